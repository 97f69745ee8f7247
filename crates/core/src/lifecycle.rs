//! Component policy: when to start, probe, stop and restart one component.
//!
//! **Invariant:** nothing here performs I/O, reads a clock or spawns; time and facts are arguments.
//! **Invariant:** equal inputs give equal actions, so that a seed replays a failure.
//!
//! Whoever drives a [`Lifecycle`] tells it what happened ([`Event`]), carries out what it answers
//! ([`Action`]), and comes back at the latest at [`Lifecycle::next_deadline`].

mod adoption;
pub mod backoff;
mod prober;
mod record;
mod restart_window;
mod snapshot;
mod steps;
#[cfg(test)]
mod tests;
mod up;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use prober::{Change, Prober};
pub use record::LifecycleRecord;
use restart_window::RestartWindow;
pub use snapshot::{End, ProbeView, Snapshot};
use up::Up;

use crate::notify::Notified;
use crate::probe::ProbeResult;
use crate::restarter::{Exit, RunId, StartStep};
use crate::spec::{ComponentSpec, ProbeRole};
use crate::status::EventType;
use crate::time::Timestamp;

/// What a lifecycle is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something about one run.
    Report(Report),
    /// A person, or the supervisor on its way out, wants something.
    Command(Command),
    /// What the component depends on is there (`None`), or what is missing.
    Dependencies(Option<String>),
    /// Its spec from now on. Taken at rest, after [`Command::Replace`]; while something runs or is about to,
    /// only if the two differ in nothing that a run is made of.
    Spec(Arc<ComponentSpec>),
    /// Time has passed.
    Deadline,
}

/// What was observed of one run. What belongs to an older run than the current one is dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which run.
    pub run: RunId,
    /// What.
    pub what: Observed,
}

/// What can be observed of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// Its start, which is under way, has come to this.
    Starting(StartStep),
    /// Its main process executes the component's program.
    Spawned,
    /// It did not begin: why.
    StartFailed(String),
    /// An earlier supervisor began it, and its main process is alive.
    Adopted,
    /// An earlier supervisor began it, or was about to, and nothing of it is there.
    NotFound,
    /// SIGTERM has been sent.
    Terminated,
    /// The postStart hook ended, well or not: why not.
    PostStartDone(Result<(), String>),
    /// The preStop hook ended, well or not: why not.
    PreStopDone(Result<(), String>),
    /// Its main process ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether anything else of its process tree lives on.
        leftovers: bool,
    },
    /// Nothing of its process tree is left.
    Gone,
    /// A probe answered.
    Probed {
        /// Which.
        role: ProbeRole,
        /// What it said.
        result: ProbeResult,
        /// How long that took.
        latency: Duration,
    },
    /// It has told something of itself: all of it so far.
    Notified(Notified),
}

/// What a person may want of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The supervisor begins: start it, unless it is to rest or has a delay to wait out.
    Begin,
    /// Start it, if it does not run.
    Start,
    /// Stop it, and leave it so.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
    /// Stop it if it runs, to be started again by `Start`, or by the next supervisor.
    Pause,
    /// Stop it if it runs, to be given another spec ([`Event::Spec`]) and begun again; what was stopped on
    /// request stays so.
    Replace,
    /// Clear its counters, and start it if it does not run.
    Reset,
    /// The supervisor ends: start nothing any more, but leave alone what runs until it is its turn.
    Close,
    /// Stop it because the supervisor ends; it starts again with the next one.
    Shutdown,
    /// As `Shutdown`, with SIGKILL at once.
    Kill,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start this run; answer with `Spawned` or `StartFailed`, later with `Exited`, and with `Gone` where
    /// there were leftovers.
    Start(RunId),
    /// Give up the start that is under way, if that can be done; its answer still comes.
    CancelStart(RunId),
    /// Run the postStart hook; answer with `PostStartDone`.
    PostStart(RunId),
    /// Run the preStop hook; answer with `PreStopDone`.
    PreStop(RunId),
    /// Ask the run's process tree to end (SIGTERM, SIGCONT); answer with `Terminated`.
    Terminate(RunId),
    /// End the run's process tree (SIGKILL).
    Kill(RunId),
    /// Check once; answer with `Probed`.
    Probe(RunId, ProbeRole),
    /// Tell people.
    Notify(Notice),
}

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Good news or bad.
    pub kind: EventType,
    /// What, in one word.
    pub reason: EventReason,
    /// What, in one sentence.
    pub message: String,
}

/// The words for what happens; Kubernetes' where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventReason {
    /// A run began.
    Started,
    /// A run of an earlier supervisor goes on under this one.
    Adopted,
    /// Its image is being got.
    Pulling,
    /// Its image has been got.
    Pulled,
    /// It is ready from now on.
    Ready,
    /// It is not ready any more.
    NotReady,
    /// A probe failed.
    Unhealthy,
    /// A probe succeeded, with something to tell.
    ProbeWarning,
    /// A probe has been unable to ask for a while.
    ProbeUnknown,
    /// It is being stopped.
    Killing,
    /// Its main process ended by itself.
    Exited,
    /// It ended well and stays so.
    Completed,
    /// It was stopped.
    Stopped,
    /// A run did not begin.
    FailedStart,
    /// A hook failed.
    FailedPostStartHook,
    /// A hook failed.
    FailedPreStopHook,
    /// The next restart waits out a delay.
    BackOff,
    /// An automatic restart was made.
    Restarted,
    /// The restart limit was reached.
    Failed,
    /// A start waits for a dependency.
    WaitingForDependency,
    /// Something lives on after SIGKILL.
    FailedKill,
    /// Its state could not be written.
    FailedWrite,
    /// Its state could not be read.
    FailedRead,
    /// There is no room on the disk of the state dir: to rotate its log, or for anything.
    DiskFull,
    /// There is room again.
    DiskFreed,
    /// Older parts of its log were dropped for want of room.
    LogsDropped,
    /// Somebody else has truncated, replaced or overwritten its log.
    LogsChanged,
    /// Its log cannot be rotated.
    FailedRotation,
    /// Logs that could not be kept at first are from now on.
    LogsKept,
    /// The machine does not give what the manifest asks for.
    NotEnforced,
    /// The manifests were read again, or could not be.
    Reloaded,
    /// The libraries of custom probes were looked for again.
    PluginsReloaded,
    /// The library of a custom probe has failed, or is not used.
    PluginFailed,
    /// Its task in the supervisor has died of a bug.
    Unattended,
}

/// The life of one component.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    spec: Arc<ComponentSpec>,
    now: Timestamp,
    phase: Phase,
    /// The run that reports are about; 0 before the first.
    run: RunId,
    window: RestartWindow,
    /// Ends in a row without a stable run: the number of the last delay.
    unstable_ends: u32,
    restart_count: u64,
    /// What is missing of the dependencies.
    missing: Option<String>,
    /// The supervisor is ending: nothing is started any more.
    closing: bool,
    /// It was restored with a run, and what has become of that is not known yet.
    adopting: bool,
    /// What the start that is under way said last.
    step: Option<StartStep>,
    last_end: Option<End>,
    last_error: Option<String>,
    was_ready: bool,
    actions: Vec<Action>,
}

#[derive(Debug, Clone)]
enum Phase {
    /// Nothing runs, and nothing will by itself.
    Idle(Rest),
    /// To be started as soon as the dependencies are there; whether people have been told.
    Waiting { launch: Launch, told: bool },
    /// To be started after a delay.
    Delaying { until: Timestamp, launch: Launch },
    /// A start is under way.
    Spawning { launch: Launch, then: Then },
    /// The main process runs.
    Up(Up),
    /// The run is being ended, or its remains are.
    Stopping(Stopping),
}

/// Why nothing runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Rest {
    /// Nobody has told it to start.
    Fresh,
    StoppedByUser,
    /// In the middle of a restart on request.
    Paused,
    /// Waits for its new spec.
    Replaced,
    Completed,
    /// A bad end under `restartPolicy: Never`.
    Error,
    /// The restart limit was reached.
    Failed,
}

/// What a start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Launch {
    /// The first one, or one on request.
    Plain,
    /// An automatic restart, because of this; the number in the window once it is made, 0 before.
    Automatic { cause: String, attempt: u32 },
}

/// What follows the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    /// What the restart policy says. For a start under way: run.
    Policy,
    /// Start again, on request.
    StartAgain,
    /// Rest, on request; `true`: with SIGKILL at once.
    Rest { kill: bool },
    /// Rest until told to go on with a restart.
    Pause,
    /// Rest until there is another spec.
    Replace,
    /// Rest, because the supervisor ends; `true`: with SIGKILL at once.
    Close { kill: bool },
}

impl Then {
    /// A stop on request. A kill that was asked for stays one.
    fn or_rest(self) -> Self {
        Self::Rest { kill: self.kills() }
    }

    /// A stop for a new spec. What is stopped on request stays so.
    fn or_replace(self) -> Self {
        match self {
            Self::Rest { .. } | Self::Close { .. } => self,
            Self::Policy | Self::StartAgain | Self::Pause | Self::Replace => Self::Replace,
        }
    }

    /// The end of the supervisor. A stop on request in the middle of which it comes is still one.
    fn or_close(self, kill: bool) -> Self {
        let kill = kill || self.kills();
        match self {
            Self::Rest { .. } => Self::Rest { kill },
            Self::Policy | Self::StartAgain | Self::Pause | Self::Replace | Self::Close { .. } => {
                Self::Close { kill }
            }
        }
    }

    fn kills(self) -> bool {
        match self {
            Self::Rest { kill } | Self::Close { kill } => kill,
            Self::Policy | Self::StartAgain | Self::Pause | Self::Replace => false,
        }
    }
}

#[derive(Debug, Clone)]
struct Stopping {
    up: Up,
    why: Why,
    then: Then,
    step: Step,
    began: Timestamp,
    grace: Duration,
    exit: Option<(Exit, Timestamp)>,
}

/// Why a run is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Why {
    ProbeFailed(ProbeRole, String),
    PostStartFailed(String),
    /// It ended by itself; what is left of its process tree goes, too.
    Exited,
    Requested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// The preStop hook runs, until then at most.
    PreStop { until: Timestamp },
    /// SIGTERM is sent, or has been; SIGKILL follows then.
    Terminating { kill_at: Timestamp, extended: bool, sent: bool },
    /// SIGKILL was sent; what lives on is told then.
    Killing { tell_at: Option<Timestamp> },
}

impl Step {
    /// Whether the component is known to have been signalled.
    fn is_heard(self) -> bool {
        match self {
            Self::PreStop { .. } | Self::Terminating { sent: false, .. } => false,
            Self::Terminating { sent: true, .. } | Self::Killing { .. } => true,
        }
    }
}

/// What a preStop hook that used up the grace period leaves for SIGTERM, as Kubernetes grants it
/// (Kubernetes documentation, "Container Lifecycle Hooks").
const GRACE_AFTER_PRE_STOP: Duration = Duration::from_secs(2);

/// How long SIGKILL may take before people are told what lives on.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

impl Lifecycle {
    /// The lifecycle of a component that has never run. It does nothing until it is told to start.
    pub fn new(spec: Arc<ComponentSpec>) -> Self {
        let window = RestartWindow::new(spec.restart.max_restarts, spec.restart.window, vec![]);
        Self {
            missing: missing_at_first(&spec),
            spec,
            now: Timestamp::ZERO,
            phase: Phase::Idle(Rest::Fresh),
            run: RunId::default(),
            window,
            unstable_ends: 0,
            restart_count: 0,
            closing: false,
            adopting: false,
            step: None,
            last_end: None,
            last_error: None,
            was_ready: false,
            actions: vec![],
        }
    }

    /// Applies one event. `Event::Deadline` before the deadline, or twice, does nothing.
    pub fn on(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        // How long a run that nobody watched was well, nobody knows.
        if !self.adopting {
            self.note_stability();
        }
        match event {
            Event::Report(report) if report.run != self.run => {} // A late answer about an earlier run.
            Event::Report(report) => self.observe(report.what),
            Event::Command(command) => self.command(command),
            Event::Dependencies(missing) => self.missing = missing,
            Event::Spec(spec) => self.replace(spec),
            Event::Deadline => {}
        }
        if !self.adopting {
            self.pass_time();
            self.tell_readiness();
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether it was restored with a run whose fate it must be told first: `Adopted`, `Exited` or
    /// `NotFound`. Until then no command may be told, and nothing is asked for.
    pub fn awaits_adoption(&self) -> bool {
        self.adopting
    }

    /// When to send `Event::Deadline` at the latest. Changes only in a call to `on`.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let probes = |up: &Up| {
            [&up.startup, &up.liveness, &up.readiness]
                .into_iter()
                .filter_map(|p| p.as_ref().and_then(Prober::next))
                .min()
        };
        match &self.phase {
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Spawning { .. } => None,
            _ if self.adopting => None,
            Phase::Delaying { until, .. } => Some(*until),
            Phase::Up(up) => probes(up).into_iter().chain(self.stable_at(up)).min(),
            Phase::Stopping(stopping) => {
                let step = match stopping.step {
                    Step::PreStop { until } => Some(until),
                    Step::Terminating { kill_at, .. } => Some(kill_at),
                    Step::Killing { tell_at } => tell_at,
                };
                step.into_iter().chain(probes(&stopping.up)).min()
            }
        }
    }

    /// The current run; 0 before the first.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Whether nothing of the component runs or is about to: the supervisor may leave it.
    pub fn is_at_rest(&self) -> bool {
        match self.phase {
            Phase::Idle(_) => true,
            Phase::Waiting { .. }
            | Phase::Delaying { .. }
            | Phase::Spawning { .. }
            | Phase::Up(_)
            | Phase::Stopping(_) => false,
        }
    }

    /// Whether a run has begun and something of it is left.
    pub fn has_run(&self) -> bool {
        match self.phase {
            Phase::Up(_) | Phase::Stopping(_) => true,
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Spawning { .. } => false,
        }
    }

    /// What the current run has told of itself.
    pub fn notified(&self) -> Notified {
        match &self.phase {
            Phase::Up(up) => up.notified.clone(),
            Phase::Stopping(stopping) => stopping.up.notified.clone(),
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Spawning { .. } => {
                Notified::default()
            }
        }
    }

    /// The component.
    pub fn spec(&self) -> &Arc<ComponentSpec> {
        &self.spec
    }

    /// Whether a request has taken effect as far as the component itself can bring it: no start or stop is
    /// under way.
    pub fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Up(_) => true,
            Phase::Spawning { then: Then::Policy | Then::StartAgain, .. } => self.only_waits(),
            Phase::Spawning { .. } | Phase::Stopping(_) => false,
        }
    }

    /// Whether the start that is under way does nothing but wait for what others start.
    pub fn only_waits(&self) -> bool {
        matches!((&self.phase, &self.step), (Phase::Spawning { .. }, Some(StartStep::Waiting { .. })))
    }

    /// Whether nothing runs, and nothing will unless somebody asks for it: not the rest in the middle of a restart,
    /// unless the supervisor ends.
    pub fn is_settled_down(&self) -> bool {
        match self.phase {
            Phase::Idle(Rest::Paused | Rest::Replaced) => self.closing,
            Phase::Idle(_) => true,
            Phase::Waiting { .. }
            | Phase::Delaying { .. }
            | Phase::Spawning { .. }
            | Phase::Up(_)
            | Phase::Stopping(_) => false,
        }
    }

    // ---- events ----

    fn observe(&mut self, what: Observed) {
        if self.adopting {
            self.adopting = false;
            return self.take_over(what);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Idle(Rest::Fresh));
        self.phase = match (phase, what) {
            (phase @ Phase::Spawning { .. }, Observed::Starting(step)) => {
                self.note_step(step);
                phase
            }
            (Phase::Spawning { launch, then }, Observed::Spawned) => self.spawned(&launch, then),
            (Phase::Spawning { launch, then }, Observed::StartFailed(why)) => {
                self.start_failed(&launch, then, &why)
            }

            (Phase::Up(mut up), Observed::PostStartDone(Ok(()))) => {
                up.post_start_done = true;
                up.note_running(self.now);
                Phase::Up(up)
            }
            (Phase::Up(up), Observed::PostStartDone(Err(why))) => {
                self.warn(EventReason::FailedPostStartHook, format!("postStart hook failed: {why}"));
                self.last_error = Some(format!("postStart hook failed: {why}"));
                self.stop(up, Why::PostStartFailed(why), Then::Policy)
            }
            (Phase::Up(up), Observed::Exited { exit, leftovers }) => self.exited(up, exit, leftovers),
            // Only where the exit itself went unseen.
            (Phase::Up(up), Observed::Gone) => self.exited(up, Exit::Unknown, false),
            (Phase::Up(up), Observed::Probed { role, result, latency }) => {
                self.probed(up, role, &result, latency)
            }

            (Phase::Up(mut up), Observed::Notified(told)) => {
                up.hear(self.now, told);
                Phase::Up(up)
            }

            (Phase::Stopping(stopping), Observed::PreStopDone(done)) => {
                if let Err(why) = done {
                    self.warn(EventReason::FailedPreStopHook, format!("preStop hook failed: {why}"));
                }
                let stopping = match stopping.step {
                    Step::PreStop { .. } => self.terminate(stopping),
                    Step::Terminating { .. } | Step::Killing { .. } => stopping,
                };
                Phase::Stopping(stopping)
            }
            (Phase::Stopping(mut stopping), Observed::Terminated) => {
                if let Step::Terminating { sent, .. } = &mut stopping.step {
                    *sent = true;
                }
                Phase::Stopping(stopping)
            }
            (Phase::Stopping(mut stopping), Observed::Exited { exit, leftovers }) => {
                // It may have been seen, and written down, by an earlier supervisor, who knew more.
                stopping.exit.get_or_insert((exit, self.now));
                match stopping.step {
                    _ if !leftovers => self.ended(stopping),
                    // The hook was for the main process; what is left of the tree is asked to end.
                    Step::PreStop { .. } => Phase::Stopping(self.terminate(stopping)),
                    Step::Terminating { .. } | Step::Killing { .. } => Phase::Stopping(stopping),
                }
            }
            (Phase::Stopping(stopping), Observed::Gone) => self.ended(stopping),
            (Phase::Stopping(mut stopping), Observed::Probed { role, result, latency }) => {
                // Startup and liveness are on hold, so that only readiness takes the answer.
                if let Some(prober) = stopping.up.prober(role) {
                    prober.take(self.now, &result, latency);
                }
                Phase::Stopping(stopping)
            }

            (Phase::Stopping(stopping), Observed::Notified(told)) => {
                Phase::Stopping(self.heard_stopping(stopping, told))
            }

            // Late answers about this run after it ended, or answers to what was not asked.
            (phase @ (Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. }), _late) => phase,
            (
                phase @ Phase::Spawning { .. },
                Observed::PostStartDone(_)
                | Observed::PreStopDone(_)
                | Observed::Terminated
                | Observed::Adopted
                | Observed::NotFound
                | Observed::Exited { .. }
                | Observed::Gone
                | Observed::Probed { .. }
                | Observed::Notified(_),
            ) => phase,
            (
                phase @ Phase::Up(_),
                Observed::Starting(_)
                | Observed::Spawned
                | Observed::StartFailed(_)
                | Observed::PreStopDone(_)
                | Observed::Terminated
                | Observed::Adopted
                | Observed::NotFound,
            ) => phase,
            (
                phase @ Phase::Stopping(_),
                Observed::Starting(_)
                | Observed::Spawned
                | Observed::StartFailed(_)
                | Observed::PostStartDone(_)
                | Observed::Adopted
                | Observed::NotFound,
            ) => phase,
        };
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Reset => {
                self.window.clear();
                self.unstable_ends = 0;
                self.restart_count = 0;
            }
            Command::Close | Command::Shutdown | Command::Kill => self.closing = true,
            Command::Begin
            | Command::Start
            | Command::Stop
            | Command::Restart
            | Command::Pause
            | Command::Replace => {}
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Idle(Rest::Fresh));
        self.phase = match (phase, command) {
            (
                phase,
                Command::Begin
                | Command::Start
                | Command::Restart
                | Command::Pause
                | Command::Replace
                | Command::Reset,
            ) if self.closing => phase,
            (Phase::Idle(Rest::Fresh), Command::Begin) => {
                Phase::Waiting { launch: Launch::Plain, told: false }
            }
            (phase, Command::Begin) => phase,

            // Started it will be, with its new spec.
            (
                phase @ Phase::Idle(Rest::Replaced),
                Command::Start | Command::Restart | Command::Reset | Command::Pause,
            ) => phase,
            (
                Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. },
                Command::Start | Command::Restart | Command::Reset,
            ) => Phase::Waiting { launch: Launch::Plain, told: false },
            (Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. }, Command::Pause) => {
                Phase::Idle(Rest::Paused)
            }
            (phase @ Phase::Idle(Rest::StoppedByUser), Command::Stop | Command::Replace) => phase,
            (Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. }, Command::Replace) => {
                Phase::Idle(Rest::Replaced)
            }
            (Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. }, Command::Stop) => self.rest(),
            // What was stopped, or has failed, stays so under the next supervisor; the rest starts again.
            (
                Phase::Idle(rest @ (Rest::StoppedByUser | Rest::Failed)),
                Command::Close | Command::Shutdown | Command::Kill,
            ) => Phase::Idle(rest),
            (
                Phase::Idle(Rest::Fresh | Rest::Paused | Rest::Replaced | Rest::Completed | Rest::Error)
                | Phase::Waiting { .. }
                | Phase::Delaying { .. },
                Command::Close | Command::Shutdown | Command::Kill,
            ) => Phase::Idle(Rest::Fresh),
            (phase @ (Phase::Spawning { .. } | Phase::Up(_) | Phase::Stopping(_)), Command::Close) => phase,

            (Phase::Spawning { launch, then }, Command::Start | Command::Restart | Command::Reset) => {
                let then = match then {
                    Then::Policy => Then::Policy,
                    Then::Replace => Then::Replace,
                    // The start that was given up may have come too far, or be made anew.
                    Then::StartAgain | Then::Rest { .. } | Then::Pause | Then::Close { .. } => {
                        Then::StartAgain
                    }
                };
                Phase::Spawning { launch, then }
            }
            (Phase::Spawning { launch, then }, Command::Stop) => {
                self.actions.push(Action::CancelStart(self.run));
                Phase::Spawning { launch, then: then.or_rest() }
            }
            (Phase::Spawning { launch, then }, Command::Pause) => {
                self.actions.push(Action::CancelStart(self.run));
                let then = if then == Then::Replace { then } else { Then::Pause };
                Phase::Spawning { launch, then }
            }
            (Phase::Spawning { launch, then }, Command::Replace) => {
                self.actions.push(Action::CancelStart(self.run));
                Phase::Spawning { launch, then: then.or_replace() }
            }
            (Phase::Spawning { launch, then }, Command::Shutdown | Command::Kill) => {
                self.actions.push(Action::CancelStart(self.run));
                Phase::Spawning { launch, then: then.or_close(command == Command::Kill) }
            }

            (phase @ Phase::Up(_), Command::Start | Command::Reset) => phase,
            (Phase::Up(up), Command::Stop) => self.stop(up, Why::Requested, Then::Rest { kill: false }),
            (Phase::Up(up), Command::Restart) => self.stop(up, Why::Requested, Then::StartAgain),
            (Phase::Up(up), Command::Pause) => self.stop(up, Why::Requested, Then::Pause),
            (Phase::Up(up), Command::Replace) => self.stop(up, Why::Requested, Then::Replace),
            (Phase::Up(up), Command::Shutdown) => self.stop(up, Why::Requested, Then::Close { kill: false }),
            (Phase::Up(up), Command::Kill) => self.stop(up, Why::Requested, Then::Close { kill: true }),

            (
                Phase::Stopping(stopping @ Stopping { then: Then::Replace, .. }),
                Command::Start | Command::Restart | Command::Reset | Command::Pause,
            ) => Phase::Stopping(stopping),
            (Phase::Stopping(stopping), Command::Replace) => {
                let then = stopping.then.or_replace();
                Phase::Stopping(Stopping { then, ..stopping })
            }
            // Started on request, it waits for no delay and uses up no restart.
            (Phase::Stopping(stopping), Command::Start | Command::Restart | Command::Reset) => {
                Phase::Stopping(Stopping { then: Then::StartAgain, ..stopping })
            }
            (Phase::Stopping(stopping), Command::Pause) => {
                Phase::Stopping(Stopping { then: Then::Pause, ..stopping })
            }
            (Phase::Stopping(stopping), Command::Stop) => {
                let then = stopping.then.or_rest();
                Phase::Stopping(Stopping { then, ..stopping })
            }
            (Phase::Stopping(stopping), Command::Shutdown) => {
                let then = stopping.then.or_close(false);
                Phase::Stopping(Stopping { then, ..stopping })
            }
            (Phase::Stopping(stopping), Command::Kill) => {
                let then = stopping.then.or_close(true);
                let stopping = Stopping { then, ..stopping };
                Phase::Stopping(match stopping.step {
                    Step::PreStop { .. } | Step::Terminating { .. } => self.kill(stopping),
                    Step::Killing { .. } => stopping,
                })
            }
        };
    }
}

/// What a component is taken to miss before anybody has looked.
fn missing_at_first(spec: &ComponentSpec) -> Option<String> {
    let dependency = spec.depends_on.first()?;
    Some(format!("waits for `{}` to be {:?}", dependency.name, dependency.condition))
}

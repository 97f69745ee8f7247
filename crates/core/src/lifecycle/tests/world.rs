//! A modelled world for one lifecycle: a process that does as it is told, probes that answer as they are
//! told, and a clock that jumps from event to event. It checks at every step what must always hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::lifecycle::{Action, Command, Event, EventReason, Lifecycle, Observed, Report, Snapshot};
use crate::probe::ProbeResult;
use crate::restarter::{Exit, RunId};
use crate::spec::{
    ComponentSpec, ExecAction, ProbeRole, ProbeSpec, ProcessSpec, RestartPolicy, RestartSpec, Workload,
};
use crate::status::Reason;
use crate::time::Timestamp;

/// How the modelled component behaves, from now on.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    /// Whether starts succeed.
    pub(super) starts: bool,
    /// How long a start takes.
    pub(super) start_takes: Duration,
    /// Whether a start can be given up on the way.
    pub(super) start_can_be_given_up: bool,
    /// After how long a run ends by itself, and how.
    pub(super) exits: Option<(Duration, Exit)>,
    /// How long after SIGTERM it ends; `None`: never.
    pub(super) heeds_term: Option<Duration>,
    /// Whether SIGKILL ends it.
    pub(super) heeds_kill: bool,
    /// How long the postStart hook takes, and what comes of it.
    pub(super) post_start: (Duration, Result<(), String>),
    /// How long the preStop hook takes; `None`: for ever.
    pub(super) pre_stop: Option<Duration>,
    /// Whether other processes of it live on after its main process, until SIGKILL.
    pub(super) leftovers: bool,
    /// What each probe answers, and after how long; `None`: nothing, ever.
    pub(super) answers: BTreeMap<ProbeRole, Option<(Duration, ProbeResult)>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            starts: true,
            start_takes: Duration::ZERO,
            start_can_be_given_up: true,
            exits: None,
            heeds_term: Some(Duration::ZERO),
            heeds_kill: true,
            post_start: (Duration::from_secs(1), Ok(())),
            pre_stop: Some(Duration::from_secs(1)),
            leftovers: false,
            answers: ProbeRole::ALL
                .into_iter()
                .map(|role| (role, Some((Duration::ZERO, ProbeResult::Success))))
                .collect(),
        }
    }
}

pub(super) struct World {
    pub(super) lifecycle: Lifecycle,
    pub(super) now: Timestamp,
    pub(super) behaviour: Behaviour,
    /// What happened, one line each: `12s Start(2)`.
    pub(super) trace: Vec<String>,
    /// When runs were started automatically.
    pub(super) restarts: Vec<Timestamp>,
    /// Whether probes and notices are told in the trace.
    pub(super) verbose: bool,
    spec: Arc<ComponentSpec>,
    begun: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Event>,
    sequence: u64,
    /// The run whose main process is alive.
    main: Option<RunId>,
    /// The run of which anything is alive, or that is being started.
    tree: Option<RunId>,
    pub(super) wish: Wish,
    /// Told that the supervisor ends: nothing is started any more.
    pub(super) closed: bool,
    /// Whether something is missing of what it depends on.
    missing: bool,
    asked: BTreeMap<ProbeRole, u32>,
    /// Automatic restarts counted so far.
    counted: u64,
}

/// What was asked for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing so far.
    Nothing,
    Runs,
    Rests,
    /// To rest until it is told to start.
    Pauses,
}

pub(super) fn spec() -> ComponentSpec {
    ComponentSpec {
        name: "web".into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        workload: Workload::Process(ProcessSpec {
            command: vec!["web".into()],
            working_dir: "/".into(),
            env: vec![],
            env_from: vec![],
            inherit_env: false,
            run_as_user: None,
            run_as_group: None,
            no_new_privileges: false,
            open_files: None,
            memory_limit: None,
            cpu_limit_millis: None,
        }),
        ports: vec![],
        depends_on: vec![],
        restart_policy: RestartPolicy::Always,
        restart: RestartSpec::default(),
        termination_grace_period: Duration::from_secs(10),
        post_start: None,
        pre_stop: None,
        startup_probe: None,
        liveness_probe: None,
        readiness_probe: None,
        logs: Default::default(),
    }
}

pub(super) fn probe(role: ProbeRole) -> ProbeSpec {
    ProbeSpec::new(role, Check::handler("pid", serde_json::Value::Null))
}

pub(super) fn exec(command: &str) -> Option<ExecAction> {
    Some(ExecAction { command: vec![command.into()] })
}

impl World {
    pub(super) fn new(spec: ComponentSpec) -> Self {
        let spec = Arc::new(spec);
        let begun = Timestamp::from_boot(Duration::from_secs(1000));
        Self {
            lifecycle: Lifecycle::new(Arc::clone(&spec)),
            now: begun,
            behaviour: Behaviour::default(),
            trace: vec![],
            restarts: vec![],
            verbose: false,
            spec,
            begun,
            queue: BTreeMap::new(),
            sequence: 0,
            main: None,
            tree: None,
            wish: Wish::Nothing,
            closed: false,
            missing: false,
            asked: BTreeMap::new(),
            counted: 0,
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Begin if self.wish == Wish::Nothing => self.wish = Wish::Runs,
            Command::Begin => {}
            Command::Start | Command::Restart | Command::Reset if !self.closed => self.wish = Wish::Runs,
            Command::Pause if !self.closed => self.wish = Wish::Pauses,
            Command::Replace => {}
            Command::Start | Command::Restart | Command::Reset | Command::Pause => {}
            Command::Stop => self.wish = Wish::Rests,
            Command::Close | Command::Shutdown | Command::Kill => self.closed = true,
        }
        if command == Command::Reset {
            self.restarts.clear();
            self.counted = 0;
        }
        self.tell(Event::Command(command));
    }

    /// The next supervisor takes over, and finds nothing that runs.
    pub(super) fn restore(&mut self, same_boot: bool) {
        let record = serde_json::to_string(&self.lifecycle.record()).unwrap();
        let record = serde_json::from_str(&record).unwrap();
        self.lifecycle = Lifecycle::restore(Arc::clone(&self.spec), record, same_boot);
        (self.main, self.tree, self.closed, self.missing) = (None, None, false, false);
        self.queue.clear();
        if self.wish != Wish::Rests {
            let rests = self.lifecycle.is_at_rest();
            self.wish = if rests { Wish::Nothing } else { Wish::Runs };
        }
        if !same_boot {
            self.restarts.clear();
        }
        if self.lifecycle.awaits_adoption() {
            self.tell(Event::Report(Report { run: self.lifecycle.run(), what: Observed::NotFound }));
        }
        self.check();
    }

    /// The supervisor dies, and the next one comes after `gap`; the component goes on meanwhile.
    pub(super) fn survive(&mut self, gap: Duration) {
        let record = serde_json::to_string(&self.lifecycle.record()).unwrap();
        let record = serde_json::from_str(&record).unwrap();
        self.now = self.now + gap;
        self.lifecycle = Lifecycle::restore(Arc::clone(&self.spec), record, true);
        (self.closed, self.missing) = (false, false);
        if self.wish == Wish::Pauses {
            self.wish = Wish::Runs;
        }
        // What the process does by itself comes all the same; what was asked of it is forgotten.
        let mut spawned = false;
        let mut ended = None;
        self.queue.retain(|(at, _), event| match event {
            Event::Report(Report { what: Observed::Spawned, .. }) => {
                spawned = true;
                false
            }
            Event::Report(Report { what: what @ (Observed::Exited { .. } | Observed::Gone), .. }) => {
                if *at <= self.now {
                    ended = Some(what.clone());
                }
                *at > self.now
            }
            _ => false,
        });
        if !self.lifecycle.awaits_adoption() {
            return self.check();
        }
        let what = match ended {
            Some(Observed::Exited { leftovers: true, .. }) => {
                self.main = None;
                Observed::Exited { exit: Exit::Unknown, leftovers: true }
            }
            None if spawned || self.main.is_some() => Observed::Adopted,
            None if self.tree.is_some() && self.lifecycle.has_run() => {
                Observed::Exited { exit: Exit::Unknown, leftovers: true }
            }
            None | Some(_) => {
                (self.main, self.tree) = (None, None);
                Observed::NotFound
            }
        };
        if spawned {
            self.main = self.tree;
        }
        self.tell(Event::Report(Report { run: self.lifecycle.run(), what }));
    }

    /// Another spec, as `apply` gives it.
    pub(super) fn replace(&mut self, spec: ComponentSpec) {
        let spec = Arc::new(spec);
        if self.lifecycle.is_at_rest() {
            self.spec = Arc::clone(&spec);
            self.restarts.clear();
            self.missing = false;
            // Whoever was to go on with it finds it started.
            if self.wish == Wish::Pauses {
                self.wish = Wish::Nothing;
            }
        }
        self.tell(Event::Spec(spec));
    }

    /// Time passes, and nobody sees to what is due in it: the machine sleeps.
    pub(super) fn sleep(&mut self, span: Duration) {
        self.now = self.now + span;
        self.tell(Event::Deadline);
    }

    /// The main process ends now.
    pub(super) fn exit(&mut self, exit: Exit) {
        let run = self.main.expect("it runs");
        let leftovers = self.behaviour.leftovers;
        self.happen(Event::Report(Report { run, what: Observed::Exited { exit, leftovers } }));
    }

    pub(super) fn tell(&mut self, event: Event) {
        if let Event::Dependencies(missing) = &event {
            self.missing = missing.is_some();
        }
        let actions = self.lifecycle.on(self.now, event);
        for action in actions {
            self.act(action);
        }
        assert_eq!(
            self.lifecycle.on(self.now, Event::Deadline),
            vec![],
            "asked again at the same time, it does nothing more"
        );
        self.check();
    }

    /// Lets time pass until `seconds` after the beginning, with everything that is due till then.
    pub(super) fn until(&mut self, seconds: f64) {
        let end = self.begun + Duration::from_secs_f64(seconds);
        for _ in 0..1_000_000 {
            let deadline = self.lifecycle.next_deadline();
            let next = self.queue.keys().next().map(|(at, _)| *at);
            match (next, deadline) {
                (Some(next), _) if next <= end && deadline.is_none_or(|at| next <= at) => {
                    self.now = self.now.max(next);
                    let (_, event) = self.queue.pop_first().unwrap();
                    self.happen(event);
                }
                (_, Some(at)) if at <= end => {
                    self.now = self.now.max(at);
                    self.tell(Event::Deadline);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("it never comes to rest:\n{}", self.trace.join("\n"));
    }

    fn happen(&mut self, event: Event) {
        if let Event::Report(Report { run, what }) = &event {
            match what {
                Observed::Spawned => {
                    self.main = Some(*run);
                    if let Some((after, exit)) = self.behaviour.exits.clone() {
                        self.ends(*run, after, exit);
                    }
                }
                Observed::StartFailed(_) => self.tree = None,
                // It has ended otherwise meanwhile.
                Observed::Exited { .. } if self.main != Some(*run) => return,
                Observed::Exited { leftovers, .. } => {
                    self.main = None;
                    if !leftovers {
                        self.tree = None;
                    }
                }
                Observed::Gone if self.tree != Some(*run) => return,
                Observed::Gone => self.tree = None,
                Observed::Starting(_)
                | Observed::PostStartDone(_)
                | Observed::PreStopDone(_)
                | Observed::Terminated
                | Observed::Adopted
                | Observed::NotFound
                | Observed::Probed { .. }
                | Observed::Notified(_) => {}
            }
        }
        self.tell(event);
    }

    fn ends(&mut self, run: RunId, after: Duration, exit: Exit) {
        let leftovers = self.behaviour.leftovers;
        self.later(after, run, Observed::Exited { exit, leftovers });
    }

    fn later(&mut self, after: Duration, run: RunId, what: Observed) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), Event::Report(Report { run, what }));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(run) => {
                self.note(format!("Start({run})"));
                assert_eq!(self.tree, None, "two runs at once:\n{}", self.trace.join("\n"));
                let may = self.wish == Wish::Runs && !self.closed && !self.missing;
                assert!(
                    may,
                    "started, and must not be ({:?}, {}, {}):\n{}",
                    self.wish,
                    self.closed,
                    self.missing,
                    self.trace.join("\n")
                );
                self.tree = Some(run);
                let count = self.lifecycle.snapshot(self.now).restart_count;
                if std::mem::replace(&mut self.counted, count) < count {
                    self.restarts.push(self.now);
                }
                let what = if self.behaviour.starts {
                    Observed::Spawned
                } else {
                    Observed::StartFailed("no such file".into())
                };
                self.later(self.behaviour.start_takes, run, what);
            }
            Action::CancelStart(run) => {
                self.note(format!("CancelStart({run})"));
                self.only_current(run);
                // The answer comes anyway: given up, or too late for that.
                if self.behaviour.start_can_be_given_up {
                    let start = |event: &Event| {
                        matches!(
                            event,
                            Event::Report(Report { what: Observed::Spawned | Observed::StartFailed(_), .. })
                        )
                    };
                    self.queue.retain(|_, event| !start(event));
                    self.later(Duration::ZERO, run, Observed::StartFailed("given up".into()));
                }
            }
            Action::PostStart(run) => {
                self.note(format!("PostStart({run})"));
                let (after, done) = self.behaviour.post_start.clone();
                self.later(after, run, Observed::PostStartDone(done));
            }
            Action::PreStop(run) => {
                self.note(format!("PreStop({run})"));
                if let Some(after) = self.behaviour.pre_stop {
                    self.later(after, run, Observed::PreStopDone(Ok(())));
                }
            }
            Action::Terminate(run) => {
                self.note(format!("Terminate({run})"));
                self.only_current(run);
                self.later(Duration::ZERO, run, Observed::Terminated);
                if let Some(after) = self.behaviour.heeds_term {
                    if self.main == Some(run) {
                        self.ends(run, after, Exit::Signal("SIGTERM".into()));
                    } else {
                        self.later(after, run, Observed::Gone);
                    }
                }
            }
            Action::Kill(run) => {
                self.note(format!("Kill({run})"));
                self.only_current(run);
                let what = if self.main == Some(run) {
                    Observed::Exited { exit: Exit::Signal("SIGKILL".into()), leftovers: false }
                } else {
                    Observed::Gone
                };
                if self.behaviour.heeds_kill {
                    self.later(Duration::ZERO, run, what);
                }
            }
            Action::Probe(run, role) => {
                if self.verbose {
                    self.note(format!("Probe({run}, {role})"));
                }
                self.only_current(run);
                *self.asked.entry(role).or_default() += 1;
                if let Some(Some((after, result))) = self.behaviour.answers.get(&role).cloned() {
                    self.later(after, run, Observed::Probed { role, result, latency: after });
                }
            }
            Action::Notify(notice) => {
                if self.verbose || notice.reason == EventReason::Failed {
                    self.note(format!("{:?}: {}", notice.reason, notice.message));
                }
            }
        }
    }

    fn only_current(&self, run: RunId) {
        assert_eq!(Some(run), self.tree, "an action for another run:\n{}", self.trace.join("\n"));
    }

    pub(super) fn asked(&self, role: ProbeRole) -> u32 {
        self.asked.get(&role).copied().unwrap_or_default()
    }

    fn note(&mut self, what: String) {
        let at = (self.now - self.begun).as_secs_f64();
        self.trace.push(format!("{}s {what}", (at * 100.0).round() / 100.0));
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        let restart = &self.spec.restart;
        let end = self.restarts.last().copied().unwrap_or_default();
        let inside = self.restarts.iter().rev().take_while(|at| **at + restart.window > end).count();
        assert!(
            inside <= restart.max_restarts as usize,
            "{inside} automatic restarts in a window:\n{}",
            self.trace.join("\n")
        );
        let snapshot = self.snapshot();
        assert!(!snapshot.ready || self.main.is_some(), "ready without a process");
        let record = self.lifecycle.record();
        assert_eq!(
            record.is_stopped_on_request(),
            self.wish == Wish::Rests,
            "a stop on request is on record, and nothing else is one:\n{}",
            self.trace.join("\n")
        );
        let restored = Lifecycle::restore(Arc::clone(&self.spec), record.clone(), true);
        let again = Lifecycle::restore(Arc::clone(&self.spec), restored.record(), true);
        assert_eq!(again.record(), restored.record(), "what is restored is what was on record");
        assert_eq!(restored.record().is_stopped_on_request(), record.is_stopped_on_request());
        let (before, after) = (self.snapshot(), restored.snapshot(self.now));
        assert_eq!(after.ready, before.ready, "readiness does not flip");
        assert_eq!((after.run, after.restart_count), (before.run, before.restart_count));
    }

    pub(super) fn begun(&self) -> Timestamp {
        self.begun
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.lifecycle.snapshot(self.now)
    }

    /// `Running`, or `Restarting/CrashLoopBackOff`, with `ready` behind it.
    pub(super) fn state(&self) -> String {
        let snapshot = self.snapshot();
        let reason =
            if snapshot.reason == Reason::None { String::new() } else { format!("/{}", snapshot.reason) };
        format!("{}{reason}{}", snapshot.state, if snapshot.ready { " ready" } else { "" })
    }

    /// The trace so far, on one line a time.
    pub(super) fn told(&mut self) -> String {
        let told = self.trace.join("; ");
        self.trace.clear();
        told
    }
}

//! The steps of a component's life: what each one changes, and what it asks for.

use std::time::Duration;

use super::{
    Action, Change, End, EventReason, GRACE_AFTER_PRE_STOP, KILL_PATIENCE, Launch, Lifecycle, Notice, Phase,
    Prober, Rest, Step, Stopping, Then, Up, Why,
};
use crate::notify::Notified;
use crate::probe::ProbeResult;
use crate::restarter::{Exit, RunId, StartStep};
use crate::spec::{ProbeRole, RestartPolicy, Workload};
use crate::status::{EventType, Reason};
use crate::time::Timestamp;

/// A deadline that is told this much too late is no measure of what happened in between.
const TOO_LATE: Duration = Duration::from_secs(1);

impl Lifecycle {
    // ---- time ----

    /// Starts what may start now, asks what is due, and lets the steps of a stop run out.
    pub(super) fn pass_time(&mut self) {
        let now = self.now;
        let phase = std::mem::replace(&mut self.phase, Phase::Idle(Rest::Fresh));
        self.phase = match phase {
            Phase::Delaying { until, launch } if until <= now => self.launch(launch, false),
            Phase::Waiting { launch, told } => self.launch(launch, told),
            Phase::Up(mut up) => {
                self.ask(&mut up);
                Phase::Up(up)
            }
            Phase::Stopping(mut stopping) => {
                self.ask(&mut stopping.up);
                Phase::Stopping(self.pass_step(stopping))
            }
            phase @ (Phase::Idle(_) | Phase::Delaying { .. } | Phase::Spawning { .. }) => phase,
        };
    }

    fn pass_step(&mut self, stopping: Stopping) -> Stopping {
        match stopping.step {
            Step::PreStop { until } if until <= self.now => {
                self.warn(EventReason::FailedPreStopHook, "preStop hook used up the grace period".into());
                self.terminate(stopping)
            }
            // The machine slept, or nobody came: the component had no time either.
            Step::Terminating { kill_at, extended: false, sent } if self.now.since(kill_at) > TOO_LATE => {
                let kill_at = self.now + stopping.grace.min(GRACE_AFTER_PRE_STOP);
                Stopping { step: Step::Terminating { kill_at, extended: true, sent }, ..stopping }
            }
            Step::Terminating { kill_at, .. } if kill_at <= self.now => {
                let waited = seconds(self.now - stopping.began);
                let last = if self.spec.workload.is_only_watched() { "let go of" } else { "SIGKILL" };
                self.warn(EventReason::Killing, format!("still there after {waited}: {last}"));
                self.kill(stopping)
            }
            Step::Killing { tell_at: Some(at) } if at <= self.now => {
                let waited = seconds(KILL_PATIENCE);
                self.warn(EventReason::FailedKill, format!("something lives on {waited} after SIGKILL"));
                Stopping { step: Step::Killing { tell_at: None }, ..stopping }
            }
            Step::PreStop { .. } | Step::Terminating { .. } | Step::Killing { .. } => stopping,
        }
    }

    fn ask(&mut self, up: &mut Up) {
        for prober in up.probers() {
            if prober.ask(self.now) {
                self.actions.push(Action::Probe(self.run, prober.role));
            }
        }
    }

    /// A run that was well for long enough makes the delays begin again, whatever becomes of it.
    pub(super) fn note_stability(&mut self) {
        if let Phase::Up(up) = &self.phase
            && up.is_stable(self.now, self.spec.restart.min_uptime)
        {
            self.unstable_ends = 0;
            self.last_error = None;
        }
    }

    /// When a run will be stable, while that changes anything: it is noted then, so that it is on record.
    pub(super) fn stable_at(&self, up: &Up) -> Option<Timestamp> {
        let open = self.unstable_ends > 0 || self.last_error.is_some();
        let may = open && (up.liveness.is_none() || up.liveness_succeeded);
        up.well_since.filter(|_| may).map(|since| since + self.spec.restart.min_uptime)
    }

    // ---- the way up ----

    /// Starts a run, or waits for what it depends on. Waiting uses up no restart.
    fn launch(&mut self, launch: Launch, told: bool) -> Phase {
        if self.closing {
            return Phase::Idle(Rest::Fresh);
        }
        if let Some(missing) = &self.missing {
            if !told {
                self.say(EventReason::WaitingForDependency, missing.clone());
            }
            return Phase::Waiting { launch, told: true };
        }
        let launch = match launch {
            Launch::Plain => Launch::Plain,
            // Counted, and lost with the supervisor that was making it: it is made now, and counts from now.
            Launch::Automatic { cause, attempt: 1.. } => {
                Launch::Automatic { cause, attempt: self.window.make_last_at(self.now) }
            }
            Launch::Automatic { cause, .. } if self.window.is_full(self.now) => return self.give_up(&cause),
            Launch::Automatic { cause, .. } => {
                self.restart_count += 1;
                Launch::Automatic { cause, attempt: self.window.add(self.now) }
            }
        };
        self.run = RunId(self.run.0 + 1);
        self.step = None;
        self.actions.push(Action::Start(self.run));
        Phase::Spawning { launch, then: Then::Policy }
    }

    /// What a start does is told when it begins and when it is done; how far it has come and what it waits for, only
    /// to who asks.
    pub(super) fn note_step(&mut self, step: StartStep) {
        match (&step, &self.step) {
            (StartStep::PullingImage { .. }, Some(StartStep::PullingImage { .. }))
            | (StartStep::Waiting { .. }, _) => {}
            (StartStep::PullingImage { image, .. }, _) => {
                self.say(EventReason::Pulling, format!("pulls {image}"));
            }
            (StartStep::PulledImage { image }, _) => {
                self.say(EventReason::Pulled, format!("has pulled {image}"));
            }
        }
        self.step = Some(step);
    }

    pub(super) fn spawned(&mut self, launch: &Launch, then: Then) -> Phase {
        let up = self.begun(launch);
        match then {
            Then::Policy | Then::StartAgain => {
                if !up.post_start_done {
                    self.actions.push(Action::PostStart(self.run));
                }
                Phase::Up(up)
            }
            Then::Rest { .. } | Then::Pause | Then::Replace | Then::Close { .. } => {
                self.stop(up, Why::Requested, then)
            }
        }
    }

    /// A run has begun, which is told; nothing is done with it so far.
    pub(super) fn begun(&mut self, launch: &Launch) -> Up {
        match launch {
            Launch::Plain => self.say(EventReason::Started, "started".into()),
            Launch::Automatic { cause, attempt } => {
                let (name, max) = (&self.spec.name, self.spec.restart.max_restarts);
                let message = format!("Restarted {name} (attempt {attempt}/{max}): {cause}");
                self.say(EventReason::Restarted, message);
            }
        }
        Up::new(&self.spec, self.now)
    }

    pub(super) fn start_failed(&mut self, launch: &Launch, then: Then, why: &str) -> Phase {
        match then {
            Then::Policy => {}
            // It was given up on request: no failure of the component's.
            Then::StartAgain => return Phase::Waiting { launch: Launch::Plain, told: false },
            Then::Rest { .. } => return self.rest(),
            Then::Pause => return Phase::Idle(Rest::Paused),
            Then::Replace => return Phase::Idle(Rest::Replaced),
            Then::Close { .. } => return Phase::Idle(Rest::Fresh),
        }
        let cause = format!("cannot be started: {why}");
        match launch {
            Launch::Plain => self.warn(EventReason::FailedStart, cause.clone()),
            Launch::Automatic { attempt, .. } => {
                let max = self.spec.restart.max_restarts;
                self.warn(
                    EventReason::FailedStart,
                    format!("cannot be started (attempt {attempt}/{max}): {why}"),
                );
            }
        }
        self.last_error = Some(cause.clone());
        self.last_end =
            Some(End { exit: None, reason: Reason::StartError, at: self.now, uptime: Duration::ZERO });
        self.after_bad_end(&cause)
    }

    pub(super) fn probed(
        &mut self,
        mut up: Up,
        role: ProbeRole,
        result: &ProbeResult,
        latency: Duration,
    ) -> Phase {
        let now = self.now;
        let extended = up.is_extended(now);
        let Some(prober) = up.prober(role) else { return Phase::Up(up) };
        let change = match (role, result) {
            // It has asked for more time to start.
            (ProbeRole::Startup, ProbeResult::Failure(_)) if extended => {
                prober.pardon(now, result, latency);
                Change::None
            }
            (ProbeRole::Startup | ProbeRole::Liveness | ProbeRole::Readiness, _) => {
                prober.take(now, result, latency)
            }
        };
        let failures = prober.consecutive_failures();
        match (role, result) {
            (_, ProbeResult::Warning(message)) => {
                self.warn(EventReason::ProbeWarning, format!("{role} probe: {message}"));
            }
            // What is still starting is not expected to answer; its status tells.
            (ProbeRole::Startup, ProbeResult::Failure(_)) => {}
            (ProbeRole::Liveness | ProbeRole::Readiness, ProbeResult::Failure(message)) => {
                self.warn(EventReason::Unhealthy, format!("{role} probe failed: {message}"));
            }
            (_, ProbeResult::Success | ProbeResult::Unknown(_)) => {}
        }
        if role == ProbeRole::Liveness {
            match result {
                ProbeResult::Success | ProbeResult::Warning(_) => {
                    up.liveness_succeeded = true;
                    up.note_running(now);
                }
                ProbeResult::Failure(_) => up.well_since = None,
                ProbeResult::Unknown(_) => {}
            }
        }
        match (role, change) {
            (ProbeRole::Startup, Change::Succeeded) => up.has_started(&self.spec, now),
            (ProbeRole::Startup | ProbeRole::Liveness, Change::Failed) => {
                let times = if failures == 1 { String::new() } else { format!(" {failures} times in a row") };
                let why = format!("{role} probe failed{times}: {}", result.message());
                if role == ProbeRole::Startup {
                    self.warn(EventReason::Unhealthy, why.clone());
                }
                self.last_error = Some(why.clone());
                return self.stop(up, Why::ProbeFailed(role, why), Then::Policy);
            }
            (ProbeRole::Startup, Change::CannotAsk) => {
                let message = format!(
                    "startup probe could not ask {failures} times in a row: {}; liveness takes over",
                    result.message(),
                    failures = self.spec.startup_probe.as_ref().map_or(0, |p| p.failure_threshold),
                );
                self.warn(EventReason::ProbeUnknown, message);
                up.open_gate(&self.spec, now);
            }
            (ProbeRole::Liveness | ProbeRole::Readiness, Change::CannotAsk) => {
                let message = format!("{role} probe could not ask: {}", result.message());
                self.warn(EventReason::ProbeUnknown, message);
            }
            (ProbeRole::Liveness | ProbeRole::Readiness, Change::Succeeded)
            | (ProbeRole::Readiness, Change::Failed)
            | (_, Change::None) => {}
        }
        Phase::Up(up)
    }

    /// Tells when readiness changed while the component runs.
    pub(super) fn tell_readiness(&mut self) {
        let ready = self.is_ready();
        if ready == self.was_ready {
            return;
        }
        self.was_ready = ready;
        if ready {
            // Without a probe that says so, `started` has said it already.
            let spec = &self.spec;
            if spec.startup_probe.is_some() || spec.readiness_probe.is_some() || spec.post_start.is_some() {
                self.say(EventReason::Ready, "ready".into());
            }
        } else if let Phase::Up(up) = &self.phase {
            let why = up.readiness.as_ref().and_then(Prober::last).map_or("", |answer| &answer.message);
            let message = format!("not ready any more: {why}");
            self.warn(EventReason::NotReady, message);
        }
    }

    // ---- the way down ----

    pub(super) fn stop(&mut self, up: Up, why: Why, then: Then) -> Phase {
        let stopping = self.stopping(up, why, then);
        let grace = stopping.grace;
        let patience = self.patience(grace, &stopping.why, then);
        match (&stopping.why, then) {
            (_, Then::Rest { kill: true } | Then::Close { kill: true }) => {
                self.say(EventReason::Killing, "stopping at once: SIGKILL".into());
                return Phase::Stopping(self.kill(stopping));
            }
            (Why::ProbeFailed(_, why), _) => self.warn(EventReason::Killing, format!("{why}; {patience}")),
            (Why::PostStartFailed(why), _) => {
                self.warn(EventReason::Killing, format!("postStart hook failed: {why}; {patience}"));
            }
            (Why::Exited, _) => {
                self.say(EventReason::Killing, format!("its processes live on without it; {patience}"));
            }
            (Why::Requested, Then::Replace) => {
                self.say(EventReason::Killing, format!("its spec has changed; {patience}"));
            }
            (Why::Requested, Then::StartAgain | Then::Pause) => {
                self.say(EventReason::Killing, format!("restart requested; {patience}"));
            }
            (Why::Requested, Then::Policy | Then::Rest { kill: false } | Then::Close { kill: false }) => {
                self.say(EventReason::Killing, format!("stopping: {patience}"));
            }
        }
        Phase::Stopping(if self.spec.pre_stop.is_some() && stopping.why != Why::Exited {
            self.actions.push(Action::PreStop(self.run));
            Stopping { step: Step::PreStop { until: self.now + grace }, ..stopping }
        } else {
            self.terminate(stopping)
        })
    }

    /// What is done to end a run, in a few words.
    fn patience(&self, grace: Duration, why: &Why, then: Then) -> String {
        match &self.spec.workload {
            Workload::External(external)
                if external.restart_command.is_some() && self.will_start_again(why, then) =>
            {
                "it is left to its restartCommand".into()
            }
            Workload::External(external) if external.stop_command.is_some() => {
                format!("its stopCommand, then SIGKILL after {}", seconds(grace))
            }
            Workload::External(_) => "it has no stopCommand, and is let go of".into(),
            Workload::Process(_) | Workload::Container(_) => {
                format!("SIGTERM, then SIGKILL after {}", seconds(grace))
            }
        }
    }

    /// Whether the run that is being stopped is to be followed by another, as far as can be told by now.
    pub fn stops_to_restart(&self) -> bool {
        match &self.phase {
            Phase::Stopping(stopping) => self.will_start_again(&stopping.why, stopping.then),
            Phase::Idle(_)
            | Phase::Waiting { .. }
            | Phase::Delaying { .. }
            | Phase::Spawning { .. }
            | Phase::Up(_) => false,
        }
    }

    fn will_start_again(&self, why: &Why, then: Then) -> bool {
        match (then, why) {
            (Then::StartAgain | Then::Pause, _) => true,
            (Then::Policy, Why::ProbeFailed(..) | Why::PostStartFailed(_)) => {
                let delay = self.spec.restart.backoff.delay(self.unstable_ends.saturating_add(1), 0.5);
                !self.closing
                    && self.spec.restart_policy != RestartPolicy::Never
                    && !self.window.is_full(self.now + delay)
            }
            (Then::Policy, Why::Exited | Why::Requested)
            | (Then::Rest { .. } | Then::Replace | Then::Close { .. }, _) => false,
        }
    }

    /// A run that is to end, before anything has been done about it.
    pub(super) fn stopping(&self, mut up: Up, why: Why, then: Then) -> Stopping {
        // Kubernetes: while a container is terminated, only readiness is probed on.
        for prober in [&mut up.startup, &mut up.liveness].into_iter().flatten() {
            prober.hold();
        }
        // The time that it asked for was for something else.
        up.extended_until = None;
        let own_grace = match &why {
            Why::ProbeFailed(role, _) => self.spec.probe(*role).and_then(|p| p.termination_grace_period),
            Why::PostStartFailed(_) | Why::Exited | Why::Requested => None,
        };
        let grace = own_grace.unwrap_or(self.spec.termination_grace_period);
        let step = Step::Killing { tell_at: None };
        Stopping { up, why, then, step, began: self.now, grace, exit: None }
    }

    pub(super) fn terminate(&mut self, stopping: Stopping) -> Stopping {
        self.actions.push(Action::Terminate(self.run));
        let least = self.now + stopping.grace.min(GRACE_AFTER_PRE_STOP);
        let least = stopping.up.extended_until.map_or(least, |until| until.max(least));
        Stopping {
            step: Step::Terminating {
                kill_at: least.max(stopping.began + stopping.grace),
                extended: false,
                sent: false,
            },
            ..stopping
        }
    }

    /// What is being stopped has told something of itself. Asked for more time, it gets it: as systemd has it,
    /// from each such message on, for as long as they come.
    pub(super) fn heard_stopping(&mut self, mut stopping: Stopping, told: Notified) -> Stopping {
        stopping.up.hear(self.now, told);
        if let (Step::Terminating { kill_at, .. }, Some(until)) =
            (&mut stopping.step, stopping.up.extended_until)
        {
            *kill_at = until.max(*kill_at);
        }
        stopping
    }

    pub(super) fn kill(&mut self, stopping: Stopping) -> Stopping {
        self.actions.push(Action::Kill(self.run));
        Stopping { step: Step::Killing { tell_at: Some(self.now + KILL_PATIENCE) }, ..stopping }
    }

    /// The main process ended by itself.
    pub(super) fn exited(&mut self, up: Up, exit: Exit, leftovers: bool) -> Phase {
        let error = up.notified.error.as_ref().map_or_else(String::new, |error| format!("; it said {error}"));
        let message = format!("{exit} after {}{error}", seconds(self.now - up.since));
        if exit.is_success() {
            self.say(EventReason::Exited, message);
        } else {
            self.last_error = Some(message.clone());
            self.warn(EventReason::Exited, message);
        }
        let ended = Some((exit, self.now));
        if leftovers {
            match self.stop(up, Why::Exited, Then::Policy) {
                Phase::Stopping(stopping) => Phase::Stopping(Stopping { exit: ended, ..stopping }),
                phase => phase,
            }
        } else {
            let grace = self.spec.termination_grace_period;
            let step = Step::Killing { tell_at: None };
            self.ended(Stopping {
                up,
                why: Why::Exited,
                then: Then::Policy,
                step,
                began: self.now,
                grace,
                exit: ended,
            })
        }
    }

    /// Nothing of the run is left.
    pub(super) fn ended(&mut self, stopping: Stopping) -> Phase {
        let Stopping { up, why, then, exit, .. } = stopping;
        let (exit, at) = exit.unwrap_or((Exit::Unknown, self.now));
        let good = exit.is_success();
        let reason = match (&why, &exit) {
            (_, Exit::OomKilled) => Reason::OOMKilled,
            (Why::ProbeFailed(ProbeRole::Startup, _), _) => Reason::StartupProbeFailed,
            (Why::ProbeFailed(_, _), _) => Reason::LivenessProbeFailed,
            (Why::PostStartFailed(_), _) => Reason::Error,
            (Why::Requested, _) => match then {
                Then::StartAgain | Then::Pause => Reason::RestartRequested,
                Then::Replace => Reason::SpecChanged,
                Then::Policy | Then::Rest { .. } => Reason::StoppedByUser,
                Then::Close { .. } => Reason::SupervisorStopped,
            },
            (Why::Exited, _) if good => Reason::Completed,
            (Why::Exited, _) => Reason::Error,
        };
        let cause = match &why {
            Why::ProbeFailed(_, why) => why.clone(),
            Why::PostStartFailed(why) => format!("postStart hook failed: {why}"),
            Why::Exited | Why::Requested => exit.to_string(),
        };
        self.last_end = Some(End { exit: Some(exit), reason, at, uptime: at - up.since });
        match then {
            Then::StartAgain => Phase::Waiting { launch: Launch::Plain, told: false },
            Then::Rest { .. } => self.rest(),
            Then::Pause => Phase::Idle(Rest::Paused),
            Then::Replace => Phase::Idle(Rest::Replaced),
            Then::Close { .. } => {
                self.say(EventReason::Stopped, "stopped".into());
                Phase::Idle(Rest::Fresh)
            }
            Then::Policy if good && why == Why::Exited => self.after_good_end(&cause),
            Then::Policy => self.after_bad_end(&cause),
        }
    }

    pub(super) fn rest(&mut self) -> Phase {
        self.say(EventReason::Stopped, self.rests_on_request().into());
        Phase::Idle(Rest::StoppedByUser)
    }

    /// Why nothing runs that was stopped on request.
    pub(super) fn rests_on_request(&self) -> &'static str {
        match self.spec.workload.is_only_watched() {
            true => "let go of on request: without a stopCommand, it goes on if it still runs",
            false => "stopped on request",
        }
    }

    fn after_good_end(&mut self, cause: &str) -> Phase {
        match self.spec.restart_policy {
            RestartPolicy::Always => self.restart_later(cause),
            RestartPolicy::OnFailure | RestartPolicy::Never => {
                self.say(EventReason::Completed, "completed".into());
                Phase::Idle(Rest::Completed)
            }
        }
    }

    fn after_bad_end(&mut self, cause: &str) -> Phase {
        match self.spec.restart_policy {
            RestartPolicy::Always | RestartPolicy::OnFailure => self.restart_later(cause),
            RestartPolicy::Never => Phase::Idle(Rest::Error),
        }
    }

    fn restart_later(&mut self, cause: &str) -> Phase {
        if self.closing {
            return Phase::Idle(Rest::Fresh);
        }
        self.unstable_ends = self.unstable_ends.saturating_add(1);
        let delay = self.spec.restart.backoff.delay(self.unstable_ends, self.chance());
        let until = self.now + delay;
        if self.window.is_full(until) {
            return self.give_up(cause);
        }
        let (next, max) = (self.window.count(until) + 1, self.spec.restart.max_restarts);
        self.warn(EventReason::BackOff, format!("restart {next}/{max} in {}: {cause}", seconds(delay)));
        Phase::Delaying { until, launch: Launch::Automatic { cause: cause.to_owned(), attempt: 0 } }
    }

    fn give_up(&mut self, cause: &str) -> Phase {
        let message = format!("{}: {cause}", self.limit_message());
        self.last_error = Some(message.clone());
        self.warn(EventReason::Failed, message);
        Phase::Idle(Rest::Failed)
    }

    pub(super) fn limit_message(&self) -> String {
        let restart = &self.spec.restart;
        format!(
            "the limit of {} restart{} in {} is reached, given up until started on request",
            restart.max_restarts,
            if restart.max_restarts == 1 { "" } else { "s" },
            seconds(restart.window)
        )
    }

    /// A number from 0 to 1 that is different for each component and restart, and the same every time.
    fn chance(&self) -> f64 {
        let seed = self.spec.name.bytes().fold(self.run.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
        });
        // SplitMix64's finisher spreads the few bits that differ.
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
    }

    pub(super) fn say(&mut self, reason: EventReason, message: String) {
        self.actions.push(Action::Notify(Notice { kind: EventType::Normal, reason, message }));
    }

    pub(super) fn warn(&mut self, reason: EventReason, message: String) {
        self.actions.push(Action::Notify(Notice { kind: EventType::Warning, reason, message }));
    }
}

/// `4 s`, `0.25 s`.
pub(super) fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 1.0 {
        format!("{} s", (seconds * 1000.0).round() / 1000.0)
    } else {
        format!("{} s", (seconds * 10.0).round() / 10.0)
    }
}

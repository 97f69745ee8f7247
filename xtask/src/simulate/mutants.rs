//! Faults made by hand, at least one for each rule: text of the lifecycle, and what stands there instead.

/// A fault in the lifecycle that the simulator must find.
pub(super) struct Mutant {
    /// The rule that it breaks.
    pub(super) rule: &'static str,
    /// Which file.
    pub(super) file: &'static str,
    /// What stands there, once.
    pub(super) text: &'static str,
    /// What stands there instead.
    pub(super) instead: &'static str,
}

const fn mutant(rule: &'static str, file: &'static str, text: &'static str, instead: &'static str) -> Mutant {
    Mutant { rule, file, text, instead }
}

const LIFECYCLE: &str = "crates/core/src/lifecycle.rs";
const ADOPTION: &str = "crates/core/src/lifecycle/adoption.rs";
const BACKOFF: &str = "crates/core/src/lifecycle/backoff.rs";
const PROBER: &str = "crates/core/src/lifecycle/prober.rs";
const RECORD: &str = "crates/core/src/lifecycle/record.rs";
const STEPS: &str = "crates/core/src/lifecycle/steps.rs";
const UP: &str = "crates/core/src/lifecycle/up.rs";
const WINDOW: &str = "crates/core/src/lifecycle/restart_window.rs";

#[rustfmt::skip]
pub(super) const MUTANTS: &[Mutant] = &[
    mutant(
        "success needs successThreshold answers",
        PROBER,
        "if good && streak >= self.success_threshold {",
        "if good {",
    ),
    mutant(
        "failure needs failureThreshold answers",
        PROBER,
        "!good && streak >= self.failure_threshold {",
        "!good && streak + 1 >= self.failure_threshold {",
    ),
    mutant(
        "failure comes at failureThreshold answers",
        PROBER,
        "!good && streak >= self.failure_threshold {",
        "!good && streak > self.failure_threshold {",
    ),
    mutant(
        "Unknown never counts towards a restart",
        PROBER,
        "ProbeResult::Unknown(_) => ProbeState::Unknown,",
        "ProbeResult::Unknown(_) => ProbeState::Failure,",
    ),
    mutant(
        "readiness keeps its last value on Unknown",
        PROBER,
        "self.unknowns = self.unknowns.saturating_add(1);",
        "self.unknowns = self.unknowns.saturating_add(1);\n                self.verdict = ProbeState::Failure;",
    ),
    mutant(
        "answers count in a row",
        PROBER,
        "Some((last, n)) if last == good => n.saturating_add(1),",
        "Some((_, n)) => n.saturating_add(1),",
    ),
    mutant(
        "one question at a time",
        PROBER,
        "if self.asking { None } else { self.due }",
        "self.due",
    ),
    mutant(
        "a probe keeps its period",
        PROBER,
        "self.due = Some(next_tick(due, self.period, now));\n                true",
        "self.due = Some(now + self.period * 2);\n                true",
    ),
    mutant(
        "adoption: failures in a row count on",
        PROBER,
        "            streak: record.streak,",
        "            streak: None,",
    ),
    mutant(
        "adoption: readiness does not flip",
        PROBER,
        "            verdict: record.verdict,\n            streak: record",
        "            verdict: self.verdict,\n            streak: record",
    ),
    mutant(
        "adoption: Unknowns in a row count on",
        PROBER,
        "            unknowns: record.unknowns,",
        "            unknowns: 0,",
    ),
    mutant(
        "adoption: probes keep their rhythm",
        PROBER,
        "self.due = self.opened.map(|at| if at > now { at } else { next_tick(at, self.period, now) });",
        "self.due = self.opened.map(|_| now);",
    ),
    mutant(
        "adoption: probes go on",
        PROBER,
        "self.due = self.opened.map(|at| if at > now { at } else { next_tick(at, self.period, now) });",
        "self.due = None;",
    ),
    mutant(
        "adoption: unanswered questions are asked again",
        ADOPTION,
        "            prober.resume(self.now);",
        "            if prober.next().is_none() {\n                continue;\n            }\n            prober.resume(self.now);",
    ),
    mutant(
        "liveness is not asked while it is stopped",
        STEPS,
        "for prober in [&mut up.startup, &mut up.liveness].into_iter().flatten() {",
        "for prober in [&mut up.startup, &mut up.readiness].into_iter().flatten() {",
    ),
    mutant(
        "initialDelaySeconds of readiness",
        UP,
        "readiness.open(now.max(self.since + probe.initial_delay));",
        "readiness.open(now);",
    ),
    mutant(
        "liveness waits for startup",
        UP,
        "(Some(startup), Some(probe)) => startup.open(now + probe.initial_delay),",
        "(Some(startup), Some(probe)) => {\n                startup.open(now + probe.initial_delay);\n                up.open_gate(spec, now);\n            }",
    ),
    mutant(
        "ready needs startup",
        UP,
        "        self.started\n            && self.post_start_done",
        "        self.post_start_done",
    ),
    mutant(
        "ready needs the postStart hook",
        UP,
        "        self.started\n            && self.post_start_done",
        "        self.started",
    ),
    mutant(
        "stable needs a success of liveness",
        UP,
        "long_enough && (self.liveness.is_none() || self.liveness_succeeded)",
        "long_enough",
    ),
    mutant(
        "stable has no liveness failure open",
        STEPS,
        "ProbeResult::Failure(_) => up.well_since = None,",
        "ProbeResult::Failure(_) => {}",
    ),
    mutant(
        "after a stable run the delays begin again",
        STEPS,
        "            self.unstable_ends = 0;\n            self.last_error = None;",
        "            self.last_error = None;",
    ),
    mutant(
        "only a stable run makes the delays begin again",
        UP,
        "since.is_some_and(|since| now.since(since) >= min_uptime)",
        "since.is_some_and(|since| now.since(since) >= min_uptime / 2)",
    ),
    mutant(
        "delay number n",
        BACKOFF,
        "self.multiplier.powi(exponent)",
        "self.multiplier.powi(exponent + 1)",
    ),
    mutant(
        "delays have a maximum",
        BACKOFF,
        "Duration::from_secs_f64(seconds) } else { self.max };",
        "Duration::from_secs_f64(seconds) } else { self.max * 2 };",
    ),
    mutant(
        "jitter is a share of the delay",
        BACKOFF,
        "let factor = 1.0 + self.jitter *",
        "let factor = 1.0 + 3.0 * self.jitter *",
    ),
    mutant(
        "no start before the delay is over",
        STEPS,
        "Phase::Delaying { until, launch } if until <= now =>",
        "Phase::Delaying { until, launch } if until <= now + Duration::from_millis(50) =>",
    ),
    mutant(
        "at most maxRestarts in a window",
        WINDOW,
        "self.count(at) >= self.max",
        "self.count(at) > self.max",
    ),
    mutant(
        "Failed only at maxRestarts in a window",
        WINDOW,
        "self.count(at) >= self.max",
        "self.count(at) + 1 >= self.max",
    ),
    mutant(
        "the window is windowSeconds long",
        WINDOW,
        "filter(|restart| **restart + self.span > at)",
        "filter(|restart| **restart + self.span / 2 > at)",
    ),
    mutant(
        "Failed where one more would be due",
        STEPS,
        "if self.window.is_full(until) {",
        "if self.window.is_full(self.now) {",
    ),
    mutant(
        "automatic restarts are counted",
        STEPS,
        "attempt: self.window.add(self.now) }",
        "attempt: self.window.count(self.now) + 1 }",
    ),
    mutant(
        "restartCount is the total ever",
        STEPS,
        "                self.restart_count += 1;\n",
        "",
    ),
    mutant(
        "a start that fails uses up a restart",
        STEPS,
        "        self.last_error = Some(cause.clone());\n        self.last_end =",
        "        if self.closing {\n            return Phase::Idle(Rest::Fresh);\n        }\n        self.window.clear();\n        self.last_end =",
    ),
    mutant(
        "every start waits for its dependencies",
        STEPS,
        "if let Some(missing) = &self.missing {",
        "if let Some(missing) = self.missing.as_ref().filter(|_| self.run.0 == 0) {",
    ),
    mutant(
        "runs are numbered",
        STEPS,
        "self.run = RunId(self.run.0 + 1);",
        "self.run = RunId(self.run.0.max(1));",
    ),
    mutant(
        "late answers belong to no run",
        LIFECYCLE,
        "Event::Report(report) if report.run != self.run => {}",
        "Event::Report(report) if report.run > self.run => {}",
    ),
    mutant(
        "restartPolicy: Always",
        STEPS,
        "RestartPolicy::Always => self.restart_later(cause),",
        "RestartPolicy::Always => Phase::Idle(Rest::Completed),",
    ),
    mutant(
        "restartPolicy: OnFailure",
        STEPS,
        "RestartPolicy::Always | RestartPolicy::OnFailure => self.restart_later(cause),",
        "RestartPolicy::Always => self.restart_later(cause),\n            RestartPolicy::OnFailure => Phase::Idle(Rest::Error),",
    ),
    mutant(
        "restartPolicy: Never",
        STEPS,
        "RestartPolicy::Never => Phase::Idle(Rest::Error),",
        "RestartPolicy::Never => self.restart_later(cause),",
    ),
    mutant(
        "a stop on request stays one",
        LIFECYCLE,
        "(Phase::Up(up), Command::Stop) => self.stop(up, Why::Requested, Then::Rest { kill: false }),",
        "(Phase::Up(up), Command::Stop) => self.stop(up, Why::Requested, Then::Policy),",
    ),
    mutant(
        "a restart on request uses up none",
        LIFECYCLE,
        "(Phase::Up(up), Command::Restart) => self.stop(up, Why::Requested, Then::StartAgain),",
        "(Phase::Up(up), Command::Restart) => self.stop(up, Why::Requested, Then::Policy),",
    ),
    mutant(
        "reset clears the window",
        LIFECYCLE,
        "                self.window.clear();\n",
        "",
    ),
    mutant(
        "reset clears the delays",
        LIFECYCLE,
        "                self.unstable_ends = 0;\n                self.restart_count = 0;",
        "                self.restart_count = 0;",
    ),
    mutant(
        "down is not a stop, and Failed stays so",
        LIFECYCLE,
        "            ) => Phase::Idle(rest),",
        "            ) => Phase::Idle(if rest == Rest::Failed { Rest::Fresh } else { rest }),",
    ),
    mutant(
        "nothing is started while the supervisor ends",
        STEPS,
        "        if self.closing {\n            return Phase::Idle(Rest::Fresh);\n        }\n        self.unstable_ends",
        "        self.unstable_ends",
    ),
    mutant(
        "leftovers are ended before the next start",
        LIFECYCLE,
        "_ if !leftovers => self.ended(stopping),",
        "_ => self.ended(stopping),",
    ),
    mutant(
        "SIGKILL only after the grace period",
        STEPS,
        "kill_at: least.max(stopping.began + stopping.grace),",
        "kill_at: least,",
    ),
    mutant(
        "SIGKILL after the grace period",
        STEPS,
        "kill_at: least.max(stopping.began + stopping.grace),",
        "kill_at: least.max(stopping.began + stopping.grace * 2),",
    ),
    mutant(
        "a probe's own grace period",
        STEPS,
        ".and_then(|p| p.termination_grace_period)",
        ".and_then(|_| None)",
    ),
    mutant(
        "what a preStop hook leaves for SIGTERM",
        STEPS,
        "let least = self.now + stopping.grace.min(GRACE_AFTER_PRE_STOP);",
        "let least = self.now;",
    ),
    mutant(
        "no preStop hook for what has ended",
        STEPS,
        "if self.spec.pre_stop.is_some() && stopping.why != Why::Exited {",
        "if self.spec.pre_stop.is_some() {",
    ),
    mutant(
        "a machine that slept gives time",
        STEPS,
        "if self.now.since(kill_at) > TOO_LATE =>",
        "if self.now.since(kill_at) > TOO_LATE * 1_000_000 =>",
    ),
    mutant(
        "a postStart hook that fails takes it down",
        LIFECYCLE,
        "self.stop(up, Why::PostStartFailed(why), Then::Policy)",
        "{\n                    drop(why);\n                    Phase::Up(up)\n                }",
    ),
    mutant(
        "a startup probe that cannot ask opens the gate",
        STEPS,
        "                up.open_gate(&self.spec, now);\n",
        "",
    ),
    mutant(
        "whoever drives it is told when to come",
        LIFECYCLE,
        "Phase::Delaying { until, .. } => Some(*until),",
        "Phase::Delaying { .. } => None,",
    ),
    mutant(
        "adoption: stability is on record",
        LIFECYCLE,
        "probes(up).into_iter().chain(self.stable_at(up)).min(),",
        "probes(up),",
    ),
    mutant(
        "adoption: unwatched time is not credited",
        LIFECYCLE,
        "        if !self.adopting {\n            self.note_stability();\n        }",
        "        self.note_stability();",
    ),
    mutant(
        "adoption: is told first what there is",
        RECORD,
        "let adopting = record.may_run();",
        "let adopting = matches!(record.phase, PhaseRecord::Up(_));",
    ),
    mutant(
        "adoption: the delays go on",
        RECORD,
        "            unstable_ends: record.unstable_ends,",
        "            unstable_ends: 0,",
    ),
    mutant(
        "adoption: the window goes on",
        RECORD,
        "RestartWindow::new(restart.max_restarts, restart.window, record.restarts);",
        "RestartWindow::new(restart.max_restarts, restart.window, vec![]);",
    ),
    mutant(
        "adoption: the count goes on",
        RECORD,
        "Self { run: record.run, restart_count: record.restart_count, ..Self::new(Arc::clone(&spec)) };",
        "Self { run: record.run, ..Self::new(Arc::clone(&spec)) };",
    ),
    mutant(
        "adoption: a delay goes on",
        RECORD,
        "PhaseRecord::Delaying { until, launch } => Phase::Delaying { until, launch },",
        "PhaseRecord::Delaying { launch, .. } => Phase::Waiting { launch, told: false },",
    ),
    mutant(
        "a stop on request outlives the machine",
        RECORD,
        "let rest = if stopped { Rest::StoppedByUser } else { Rest::Fresh };",
        "let rest = if stopped && record.run.0 == 0 { Rest::StoppedByUser } else { Rest::Fresh };",
    ),
    mutant(
        "a window means nothing after a reboot",
        RECORD,
        "if !same_boot {",
        "if !same_boot && !record.may_run() {",
    ),
    mutant(
        "adoption: an interrupted restart uses up none",
        RECORD,
        "Self::Pause | Self::Replace | Self::Close { .. } => Self::StartAgain,",
        "Self::Pause | Self::Replace | Self::Close { .. } => Self::Policy,",
    ),
    mutant(
        "adoption: a stop gets the grace that is left",
        ADOPTION,
        "Step::Terminating { kill_at, sent, extended: true }",
        "Step::Terminating { kill_at: kill_at.max(self.now + stopping.grace), sent, extended: true }",
    ),
    mutant(
        "adoption: a stop nobody told of gets its grace",
        ADOPTION,
        "if stopping.began + stopping.grace <= self.now && !stopping.step.is_heard() {",
        "if false {",
    ),
    mutant(
        "adoption: SIGTERM that may be lost is sent again",
        ADOPTION,
        "Step::Terminating { sent: false, .. } => self.terminate(stopping),",
        "Step::Terminating { sent: false, .. } => stopping,",
    ),
    mutant(
        "adoption: SIGKILL that may be lost is sent again",
        ADOPTION,
        "Step::Killing { .. } => self.kill(stopping),",
        "Step::Killing { .. } => stopping,",
    ),
    mutant(
        "adoption: what died meanwhile is restarted",
        ADOPTION,
        "(Phase::Up(up), Observed::NotFound | Observed::Gone) => self.exited(up, Exit::Unknown, false),",
        "(Phase::Up(up), Observed::NotFound | Observed::Gone) => Phase::Up(up),",
    ),
    mutant(
        "adoption: a lost start is no crash",
        ADOPTION,
        "Then::Policy => Phase::Waiting { launch, told: false },",
        r#"Then::Policy => self.start_failed(&launch, Then::Policy, "lost"),"#,
    ),
    mutant(
        "adoption: a lost restart counts when it is made",
        STEPS,
        "attempt: self.window.make_last_at(self.now) }",
        "attempt: self.window.count(self.now).max(1) }",
    ),
    mutant(
        "adoption: a lost restart is counted once",
        STEPS,
        "attempt: self.window.make_last_at(self.now) }",
        "attempt: self.window.add(self.now) }",
    ),
    mutant(
        "adoption: hooks under way run again",
        ADOPTION,
        "                if !up.post_start_done {",
        "                if !up.post_start_done && !self.is_ready() && self.closing {",
    ),
    mutant(
        "adoption: a hook of what has ended is not run",
        ADOPTION,
        "                let up = self.begun(&launch);\n",
        "                let up = self.begun(&launch);\n                if !up.post_start_done {\n                    self.actions.push(Action::PostStart(self.run));\n                }\n",
    ),
    mutant(
        "adoption: says so",
        ADOPTION,
        "Phase::Up(up) => Phase::Up(Up { adopted: true, ..up }),",
        "Phase::Up(up) => Phase::Up(up),",
    ),
    mutant(
        "another spec: what was stopped stays stopped",
        LIFECYCLE,
        "(phase @ Phase::Idle(Rest::StoppedByUser), Command::Stop | Command::Replace) => phase,",
        "(phase @ Phase::Idle(Rest::StoppedByUser), Command::Stop) => phase,",
    ),
    mutant(
        "another spec begins with an empty window",
        ADOPTION,
        "RestartWindow::new(spec.restart.max_restarts, spec.restart.window, vec![]);",
        "RestartWindow::new(spec.restart.max_restarts, spec.restart.window, self.window.restarts());",
    ),
    mutant(
        "another spec is not taken while something runs",
        ADOPTION,
        "let Phase::Idle(rest) = self.phase else { return };",
        "let Phase::Idle(rest) = self.phase else {\n            self.spec = spec;\n            return;\n        };",
    ),
    mutant(
        "the same spec with other labels touches nothing",
        ADOPTION,
        "if spec.runs_like(&self.spec) {",
        "if *spec == *self.spec {",
    ),
    mutant(
        "another spec uses up no restart",
        LIFECYCLE,
        "(Phase::Up(up), Command::Replace) => self.stop(up, Why::Requested, Then::Replace),",
        "(Phase::Up(up), Command::Replace) => self.stop(up, Why::Requested, Then::Policy),",
    ),
];

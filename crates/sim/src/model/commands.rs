//! What people want, and what processes and probes report.

use vitald_core::lifecycle::{Command, Observed};
use vitald_core::probe::ProbeResult;
use vitald_core::restarter::Exit;
use vitald_core::spec::ProbeRole;
use vitald_core::status::Reason;

use super::run::{Verdict, place};
use super::{Act, Ended, LEAST_GRACE, Launch, Model, Rest, Run, State, Step, Stop, Then, Why, ended, nanos};
use crate::dice::Nanos;

impl Then {
    fn kills(self) -> bool {
        matches!(self, Self::Rest { kill: true } | Self::Close { kill: true })
    }

    /// What becomes of it where a command comes in the middle of a start or a stop.
    fn told(self, command: Command, starting: bool) -> Self {
        match (command, self) {
            (Command::Start | Command::Restart | Command::Reset, Self::Policy) if starting => Self::Policy,
            (Command::Start | Command::Restart | Command::Reset | Command::Pause, Self::Replace) => self,
            (Command::Start | Command::Restart | Command::Reset, _) => Self::Again,
            (Command::Pause, _) => Self::Pause,
            (Command::Replace, Self::Rest { .. } | Self::Close { .. }) => self,
            (Command::Replace, _) => Self::Replace,
            (Command::Stop, _) => Self::Rest { kill: self.kills() },
            (Command::Shutdown | Command::Kill, _) => {
                let kill = command == Command::Kill || self.kills();
                if matches!(self, Self::Rest { .. }) { Self::Rest { kill } } else { Self::Close { kill } }
            }
            (Command::Begin | Command::Close, _) => self,
        }
    }
}

impl Stop {
    /// SIGTERM is sent: until when it has time.
    pub(super) fn asked(&self, now: Nanos, more_until: Option<Nanos>) -> Step {
        let kill_at = (self.began + self.grace).max(now + self.grace.min(LEAST_GRACE));
        let kill_at = kill_at.max(more_until.unwrap_or(0));
        Step::Asked { kill_at, sent: false, late: false }
    }
}

impl Model {
    pub(super) fn command(&mut self, command: Command) {
        let ends = matches!(command, Command::Close | Command::Shutdown | Command::Kill);
        if command == Command::Reset {
            // Whatever it is told beside that.
            (self.bad_ends, self.total) = (0, 0);
            self.restarts.clear();
        }
        self.closing |= ends;
        if self.closing && !ends && command != Command::Stop {
            return;
        }
        match (&mut self.state, command) {
            (State::Rest(Rest::Fresh), Command::Begin) => self.wait_to_start(),
            (_, Command::Begin) => {}
            (State::Rest(Rest::User), Command::Replace) => {}
            (State::Rest(Rest::User | Rest::Failed), _) if ends => {}
            (State::Rest(Rest::Replaced), Command::Start | Command::Restart | Command::Reset) => {}
            (State::Rest(Rest::Replaced), Command::Pause) => {}
            (State::Rest(_) | State::Due { .. }, _) => match command {
                Command::Start | Command::Restart | Command::Reset => self.wait_to_start(),
                Command::Pause => self.state = State::Rest(Rest::Paused),
                Command::Replace => self.state = State::Rest(Rest::Replaced),
                Command::Stop => self.state = State::Rest(Rest::User),
                Command::Begin | Command::Close | Command::Shutdown | Command::Kill => {
                    self.state = State::Rest(Rest::Fresh);
                }
            },
            (_, Command::Close) => {}
            (State::Spawning { then, .. }, _) => {
                *then = then.told(command, true);
                if !matches!(command, Command::Start | Command::Restart | Command::Reset) {
                    self.act(Act::CancelStart);
                }
            }
            (State::Up(_), Command::Start | Command::Reset) => {}
            (State::Up(run), _) => {
                let (run, then) = (run.clone(), Then::Policy.told(command, false));
                self.take_down(run, Why::Asked, then);
            }
            (State::Stopping(_, stop), _) => {
                stop.then = stop.then.told(command, false);
                if command == Command::Kill && stop.step != Step::Killed {
                    stop.step = Step::Killed;
                    self.act(Act::Kill);
                }
            }
        }
    }

    fn wait_to_start(&mut self) {
        self.state = State::Due { at: 0, launch: Launch::Plain };
    }

    pub(super) fn observe(&mut self, what: &Observed) {
        let now = self.now;
        let state = std::mem::replace(&mut self.state, State::Rest(Rest::Fresh));
        match (state, what) {
            (State::Spawning { then, .. }, Observed::Spawned) => self.spawned(then),
            (State::Spawning { then, .. }, Observed::StartFailed(_)) => self.start_failed(then),
            (State::Up(mut run), Observed::PostStartDone(done)) => match done {
                Ok(()) => {
                    run.hook_done = true;
                    run.note_running(now);
                    self.state = State::Up(run);
                }
                Err(_) => self.take_down(run, Why::PostStart, Then::Policy),
            },
            (State::Up(run), Observed::Exited { exit, leftovers }) => self.exited(run, exit, *leftovers),
            (State::Up(run), Observed::Gone) => self.exited(run, &Exit::Unknown, false),
            (State::Up(mut run), Observed::Probed { role, result, .. }) => {
                let (Some(asked), Some(probe)) = (&mut run.asked[place(*role)], self.spec.probe(*role))
                else {
                    self.state = State::Up(run);
                    return;
                };
                if let (ProbeRole::Startup, ProbeResult::Failure(_)) = (role, result)
                    && run.more_until.is_some_and(|until| now < until)
                {
                    asked.pardon(now);
                    self.state = State::Up(run);
                    return;
                }
                let verdict = asked.take(probe, now, result);
                if *role == ProbeRole::Liveness {
                    match result {
                        vitald_core::probe::ProbeResult::Failure(_) => run.well_since = None,
                        vitald_core::probe::ProbeResult::Unknown(_) => {}
                        _ => {
                            run.live_once = true;
                            run.note_running(now);
                        }
                    }
                }
                match (role, verdict) {
                    (ProbeRole::Startup | ProbeRole::Liveness, Verdict::Bad) => {
                        return self.take_down(run, Why::Probe(*role), Then::Policy);
                    }
                    (ProbeRole::Startup, Verdict::Good) => run.has_started(&self.spec, now),
                    (ProbeRole::Startup, Verdict::Blind) => run.open_gate(&self.spec, now),
                    (_, _) => {}
                }
                self.state = State::Up(run);
            }
            (State::Up(mut run), Observed::Notified(told)) => {
                run.hear(now, told.ready, told.extended_until.map(|until| nanos(until.since_boot())));
                self.state = State::Up(run);
            }
            (State::Stopping(mut run, mut stop), Observed::Notified(told)) => {
                run.hear(now, told.ready, told.extended_until.map(|until| nanos(until.since_boot())));
                if let (Step::Asked { kill_at, .. }, Some(until)) = (&mut stop.step, run.more_until) {
                    *kill_at = until.max(*kill_at);
                }
                self.state = State::Stopping(run, stop);
            }
            (State::Stopping(run, mut stop), Observed::PreStopDone(_)) => {
                if matches!(stop.step, Step::PreStop { .. }) {
                    stop.step = stop.asked(now, run.more_until);
                    self.act(Act::Terminate);
                }
                self.state = State::Stopping(run, stop);
            }
            (State::Stopping(run, mut stop), Observed::Terminated) => {
                if let Step::Asked { sent, .. } = &mut stop.step {
                    *sent = true;
                }
                self.state = State::Stopping(run, stop);
            }
            (State::Stopping(run, mut stop), Observed::Exited { exit, leftovers }) => {
                stop.exit = ended(exit);
                match (leftovers, stop.step) {
                    (false, _) => self.over(stop),
                    (true, Step::PreStop { .. }) => self.ask_or_kill(run, stop),
                    (true, Step::Asked { .. } | Step::Killed) => self.state = State::Stopping(run, stop),
                }
            }
            (State::Stopping(_, stop), Observed::Gone) => self.over(stop),
            (State::Stopping(mut run, stop), Observed::Probed { role, result, .. }) => {
                if let (Some(asked), Some(probe)) = (&mut run.asked[place(*role)], self.spec.probe(*role)) {
                    asked.take(probe, now, result);
                }
                self.state = State::Stopping(run, stop);
            }
            (state, _) => self.state = state,
        }
    }

    pub(super) fn spawned(&mut self, then: Then) {
        let run = Run::new(&self.spec, self.now);
        match then {
            Then::Policy | Then::Again => {
                if !run.hook_done {
                    self.act(Act::PostStart);
                }
                self.state = State::Up(run);
            }
            then => self.take_down(run, Why::Asked, then),
        }
    }

    pub(super) fn start_failed(&mut self, then: Then) {
        match then {
            Then::Policy => {
                self.last_end = Some(Reason::StartError);
                self.after_end(false);
            }
            then => self.follow(then, false),
        }
    }

    /// What was asked for, once nothing of the run is left.
    fn follow(&mut self, then: Then, well: bool) {
        match then {
            Then::Policy => self.after_end(well),
            Then::Again => self.wait_to_start(),
            Then::Pause => self.state = State::Rest(Rest::Paused),
            Then::Replace => self.state = State::Rest(Rest::Replaced),
            Then::Rest { .. } => self.state = State::Rest(Rest::User),
            Then::Close { .. } => self.state = State::Rest(Rest::Fresh),
        }
    }

    pub(super) fn stop(&self, why: Why, then: Then, exit: Option<Ended>) -> Stop {
        let own = match why {
            Why::Probe(role) => self.spec.probe(role).and_then(|probe| probe.termination_grace_period),
            Why::PostStart | Why::Exited | Why::Asked => None,
        };
        let grace = nanos(own.unwrap_or(self.spec.termination_grace_period));
        Stop { why, then, step: Step::Killed, began: self.now, grace, exit }
    }

    fn take_down(&mut self, mut run: Run, why: Why, then: Then) {
        run.hold(ProbeRole::Startup);
        run.hold(ProbeRole::Liveness);
        run.more_until = None;
        let mut stop = self.stop(why, then, None);
        if self.spec.pre_stop.is_some() && !then.kills() {
            stop.step = Step::PreStop { until: self.now + stop.grace };
            self.act(Act::PreStop);
            self.state = State::Stopping(run, stop);
        } else {
            self.ask_or_kill(run, stop);
        }
    }

    /// SIGTERM, or SIGKILL where that was asked for.
    pub(super) fn ask_or_kill(&mut self, mut run: Run, mut stop: Stop) {
        run.hold(ProbeRole::Startup);
        run.hold(ProbeRole::Liveness);
        if stop.then.kills() {
            stop.step = Step::Killed;
            self.act(Act::Kill);
        } else {
            stop.step = stop.asked(self.now, run.more_until);
            self.act(Act::Terminate);
        }
        self.state = State::Stopping(run, stop);
    }

    /// The main process ended by itself; what is left of its tree goes, too.
    pub(super) fn exited(&mut self, mut run: Run, exit: &Exit, leftovers: bool) {
        run.more_until = None;
        let stop = self.stop(Why::Exited, Then::Policy, ended(exit));
        match leftovers {
            true => self.ask_or_kill(run, stop),
            false => self.over(stop),
        }
    }

    /// Nothing of the run is left.
    pub(super) fn over(&mut self, stop: Stop) {
        let exit = stop.exit.unwrap_or(Ended { well: false, oom: false });
        self.last_end = Some(match (stop.why, stop.then) {
            _ if exit.oom => Reason::OOMKilled,
            (Why::Probe(ProbeRole::Startup), _) => Reason::StartupProbeFailed,
            (Why::Probe(_), _) => Reason::LivenessProbeFailed,
            (Why::PostStart, _) => Reason::Error,
            (Why::Exited, _) if exit.well => Reason::Completed,
            (Why::Exited, _) => Reason::Error,
            (Why::Asked, Then::Again | Then::Pause) => Reason::RestartRequested,
            (Why::Asked, Then::Replace) => Reason::SpecChanged,
            (Why::Asked, Then::Close { .. }) => Reason::SupervisorStopped,
            (Why::Asked, Then::Policy | Then::Rest { .. }) => Reason::StoppedByUser,
        });
        self.follow(stop.then, exit.well && stop.why == Why::Exited);
    }

    /// Where it is, and why, as far as the contract's table of states says.
    pub(crate) fn told(&self) -> (&'static str, Option<Reason>) {
        match &self.state {
            State::Rest(rest) => match rest {
                Rest::Fresh => ("Stopped", Some(Reason::None)),
                Rest::User => ("Stopped", Some(Reason::StoppedByUser)),
                Rest::Paused => ("Restarting", Some(Reason::RestartRequested)),
                Rest::Replaced => ("Restarting", Some(Reason::SpecChanged)),
                Rest::Completed => ("Stopped", Some(Reason::Completed)),
                Rest::Error => ("Stopped", Some(Reason::Error)),
                Rest::Failed => ("Failed", Some(Reason::RestartLimitExceeded)),
            },
            State::Due { at, .. } if *at > self.now => ("Restarting", Some(Reason::CrashLoopBackOff)),
            State::Due { .. } => ("Stopped", Some(Reason::WaitingForDependency)),
            State::Spawning { then: Then::Policy | Then::Again, .. } => ("Starting", Some(Reason::Spawning)),
            State::Spawning { .. } => ("Starting", None),
            State::Up(run) if !run.gate => ("Starting", Some(Reason::StartupProbe)),
            State::Up(run) if !run.hook_done => ("Starting", None),
            State::Up(_) => ("Running", None),
            State::Stopping(run, stop) => match (stop.then, stop.why) {
                (Then::Rest { .. } | Then::Close { .. }, _) if run.gate => ("Running", None),
                (Then::Rest { .. } | Then::Close { .. }, _) => ("Starting", None),
                (Then::Replace, _) => ("Restarting", Some(Reason::SpecChanged)),
                (Then::Again | Then::Pause, _) => ("Restarting", Some(Reason::RestartRequested)),
                (Then::Policy, Why::Exited) if stop.exit.is_some_and(|exit| exit.well) => ("Running", None),
                (Then::Policy, Why::Probe(ProbeRole::Startup)) => {
                    ("Unhealthy", Some(Reason::StartupProbeFailed))
                }
                (Then::Policy, Why::Probe(_)) => ("Unhealthy", Some(Reason::LivenessProbeFailed)),
                (Then::Policy, _) => ("Unhealthy", None),
            },
        }
    }
}

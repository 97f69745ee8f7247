//! A run that an earlier supervisor began goes on under this one, and another spec takes the place of the
//! one before.

use std::sync::Arc;

use super::{
    Action, EventReason, Launch, Lifecycle, Observed, Phase, Rest, RestartWindow, Step, Stopping, Then, Up,
    Why, missing_at_first,
};
use crate::restarter::{Exit, RunId};
use crate::spec::ComponentSpec;

impl Lifecycle {
    /// The record is older than what its supervisor did: that began run `run`, which is to be taken over. A run
    /// that is not newer than the recorded one changes nothing; the counters are those of the record.
    ///
    /// To be called before anything else.
    pub fn overtake(&mut self, run: RunId) {
        if run > self.run {
            self.run = run;
            self.phase = Phase::Spawning { launch: Launch::Plain, then: Then::Policy };
            self.adopting = true;
        }
    }

    /// The first that is heard of a run that an earlier supervisor began. What was under way is finished
    /// with the time that is left.
    pub(super) fn take_over(&mut self, what: Observed) {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle(Rest::Fresh));
        self.phase = match (phase, what) {
            (Phase::Spawning { launch, then }, Observed::Adopted) => {
                let phase = self.spawned(&launch, then);
                self.say_adopted();
                match phase {
                    Phase::Up(up) => Phase::Up(Up { adopted: true, ..up }),
                    phase => phase,
                }
            }
            (Phase::Up(up), Observed::Adopted) => {
                self.say_adopted();
                if !up.post_start_done {
                    // Whether it came to its end, nobody knows: it runs at least once, as in Kubernetes.
                    self.actions.push(Action::PostStart(self.run));
                }
                Phase::Up(self.resumed(up))
            }
            (Phase::Stopping(stopping), Observed::Adopted) => {
                self.say_adopted();
                Phase::Stopping(self.go_on_stopping(stopping))
            }

            (Phase::Spawning { launch, then }, Observed::Exited { exit, leftovers }) => {
                let up = self.begun(&launch);
                match then {
                    Then::Policy | Then::StartAgain => self.exited(up, exit, leftovers),
                    then @ (Then::Rest { .. } | Then::Pause | Then::Replace | Then::Close { .. }) => {
                        let stopping = self.stopping(up, Why::Requested, then);
                        let stopping = Stopping { exit: Some((exit, self.now)), ..stopping };
                        match leftovers {
                            false => self.ended(stopping),
                            true if then.kills() => Phase::Stopping(self.kill(stopping)),
                            true => Phase::Stopping(self.terminate(stopping)),
                        }
                    }
                }
            }
            (Phase::Up(up), Observed::Exited { exit, leftovers }) => {
                let up = self.resumed(up);
                self.exited(up, exit, leftovers)
            }
            (Phase::Stopping(stopping), Observed::Exited { exit, leftovers }) => {
                self.ended_unwatched(stopping, exit, leftovers)
            }

            (Phase::Spawning { launch, then }, Observed::NotFound) => match then {
                // It was counted when it was made, and never came to be.
                Then::Policy => Phase::Waiting { launch, told: false },
                then => self.start_failed(&launch, then, "its supervisor died"),
            },
            (Phase::Up(up), Observed::NotFound | Observed::Gone) => self.exited(up, Exit::Unknown, false),
            (Phase::Stopping(stopping), Observed::NotFound | Observed::Gone) => {
                self.ended_unwatched(stopping, Exit::Unknown, false)
            }

            (phase, other) => {
                // Nothing of the sort can be told before its fate is.
                self.adopting = matches!(phase, Phase::Spawning { .. } | Phase::Up(_) | Phase::Stopping(_));
                debug_assert!(!self.adopting, "told {other:?} before the run was adopted");
                phase
            }
        };
    }

    fn say_adopted(&mut self) {
        self.say(EventReason::Adopted, "adopted from an earlier supervisor".into());
    }

    /// Its probes go on in their rhythm.
    fn resumed(&self, mut up: Up) -> Up {
        for prober in up.probers() {
            prober.resume(self.now);
        }
        Up { adopted: true, ..up }
    }

    fn go_on_stopping(&mut self, stopping: Stopping) -> Stopping {
        let mut stopping = Stopping { up: self.resumed(stopping.up), ..stopping };
        if stopping.began + stopping.grace <= self.now && !stopping.step.is_heard() {
            // Nobody was there to tell it in time. It has the grace that it would have had.
            stopping.began = self.now;
            if let Step::PreStop { until } = &mut stopping.step {
                *until = self.now + stopping.grace;
            }
        }
        match stopping.step {
            Step::PreStop { .. } => {
                self.actions.push(Action::PreStop(self.run));
                stopping
            }
            Step::Terminating { sent: false, .. } => self.terminate(stopping),
            // It had its time, whoever watched.
            Step::Terminating { kill_at, sent, .. } => {
                Stopping { step: Step::Terminating { kill_at, sent, extended: true }, ..stopping }
            }
            Step::Killing { .. } => self.kill(stopping),
        }
    }

    /// The main process ended while nobody watched, or before that.
    fn ended_unwatched(&mut self, stopping: Stopping, exit: Exit, leftovers: bool) -> Phase {
        let ended = stopping.exit.clone().unwrap_or((exit, self.now));
        let stopping = Stopping { exit: Some(ended), ..stopping };
        if !leftovers {
            return self.ended(stopping);
        }
        let stopping = Stopping { up: self.resumed(stopping.up), ..stopping };
        Phase::Stopping(match stopping.step {
            // The hook was for the main process; what is left of the tree is asked to end.
            Step::PreStop { .. } => self.terminate(stopping),
            Step::Terminating { .. } | Step::Killing { .. } => self.go_on_stopping(stopping),
        })
    }

    /// Another spec, if nothing runs under the one before.
    pub(super) fn replace(&mut self, spec: Arc<ComponentSpec>) {
        if spec.runs_like(&self.spec) {
            self.spec = spec;
            return;
        }
        let Phase::Idle(rest) = self.phase else { return };
        self.phase = Phase::Idle(match rest {
            Rest::StoppedByUser => Rest::StoppedByUser,
            Rest::Fresh | Rest::Paused | Rest::Replaced | Rest::Completed | Rest::Error | Rest::Failed => {
                Rest::Fresh
            }
        });
        // How the old one fared says nothing of the new one.
        self.window = RestartWindow::new(spec.restart.max_restarts, spec.restart.window, vec![]);
        self.unstable_ends = 0;
        self.last_error = None;
        self.missing = missing_at_first(&spec);
        self.spec = spec;
    }
}

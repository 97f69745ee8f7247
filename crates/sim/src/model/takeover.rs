//! A run that an earlier supervisor began.

use vitald_core::lifecycle::Observed;
use vitald_core::restarter::Exit;

use super::{Act, Model, Rest, Run, State, Step, Stop, Then, Why, ended};

impl Model {
    pub(super) fn take_over(&mut self, what: &Observed) {
        let now = self.now;
        let state = std::mem::replace(&mut self.state, State::Rest(Rest::Fresh));
        match (state, what) {
            (State::Spawning { launch: _, then }, Observed::Adopted) => {
                self.spawned(then);
                if let State::Up(run) = &mut self.state {
                    run.adopted = true;
                }
            }
            (State::Up(mut run), Observed::Adopted) => {
                run.resume(now);
                if !run.hook_done {
                    self.act(Act::PostStart);
                }
                self.state = State::Up(run);
            }
            (State::Stopping(mut run, stop), Observed::Adopted) => {
                run.resume(now);
                self.go_on_stopping(run, stop);
            }
            (State::Spawning { then, .. }, Observed::Exited { exit, leftovers }) => {
                let run = Run::new(&self.spec, now);
                match then {
                    Then::Policy | Then::Again => self.exited(run, exit, *leftovers),
                    then => {
                        let stop = self.stop(Why::Asked, then, ended(exit));
                        match leftovers {
                            true => self.ask_or_kill(run, stop),
                            false => self.over(stop),
                        }
                    }
                }
            }
            (State::Spawning { launch, then }, Observed::NotFound) => match then {
                // It never came to be; what was counted is not counted again.
                Then::Policy => self.state = State::Due { at: 0, launch },
                then => self.start_failed(then),
            },
            (State::Up(mut run), Observed::Exited { exit, leftovers }) => {
                run.resume(now);
                self.exited(run, exit, *leftovers);
            }
            (State::Up(run), Observed::NotFound) => self.exited(run, &Exit::Unknown, false),
            (State::Stopping(mut run, mut stop), Observed::Exited { exit, leftovers }) => {
                stop.exit = stop.exit.or(ended(exit));
                match (leftovers, stop.step) {
                    (false, _) => self.over(stop),
                    (true, Step::PreStop { .. }) => {
                        run.resume(now);
                        self.ask_or_kill(run, stop);
                    }
                    (true, Step::Asked { .. } | Step::Killed) => {
                        run.resume(now);
                        self.go_on_stopping(run, stop);
                    }
                }
            }
            (State::Stopping(_, mut stop), Observed::NotFound) => {
                stop.exit = stop.exit.or(ended(&Exit::Unknown));
                self.over(stop);
            }
            (state, _) => self.state = state,
        }
    }

    fn go_on_stopping(&mut self, run: Run, mut stop: Stop) {
        let unheard = matches!(stop.step, Step::PreStop { .. } | Step::Asked { sent: false, .. });
        if unheard && stop.began + stop.grace <= self.now {
            // It has all of its time still, as nobody was there to tell it.
            stop.began = self.now;
        }
        match &mut stop.step {
            Step::PreStop { until } => {
                *until = stop.began + stop.grace;
                self.act(Act::PreStop);
            }
            Step::Asked { sent: false, .. } => return self.ask_or_kill(run, stop),
            Step::Asked { late, .. } => *late = true,
            Step::Killed => self.act(Act::Kill),
        }
        self.state = State::Stopping(run, stop);
    }
}

//! What a component has to do, told a second time: written from the contract's sentences, in plain numbers
//! and without a look at how the lifecycle does it. The two must agree in every step.

mod commands;
mod restarts;
mod run;
mod takeover;

use std::sync::Arc;
use std::time::Duration;

use vitald_core::lifecycle::Event;
use vitald_core::restarter::Exit;
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_core::status::Reason;

use crate::dice::{Nanos, SEC};
pub(crate) use run::{Run, place};

/// What must be done about the current run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    Start,
    CancelStart,
    PostStart,
    PreStop,
    Terminate,
    Kill,
    Probe(ProbeRole),
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) state: State,
    pub(crate) run: u64,
    /// Automatic restarts ever.
    pub(crate) total: u64,
    /// When automatic restarts were made.
    pub(crate) restarts: Vec<Nanos>,
    /// Ends in a row without a stable run.
    pub(crate) bad_ends: u32,
    pub(crate) missing: bool,
    pub(crate) closing: bool,
    pub(crate) adopting: bool,
    pub(crate) last_end: Option<Reason>,
    /// A delay has just begun: between which moments it must end.
    pub(crate) delay: Option<(Nanos, Nanos)>,
    acts: Vec<Act>,
    now: Nanos,
}

#[derive(Debug, Clone)]
pub(crate) enum State {
    Rest(Rest),
    /// To be started at `at`, or when the dependencies are there.
    Due {
        at: Nanos,
        launch: Launch,
    },
    Spawning {
        launch: Launch,
        then: Then,
    },
    Up(Run),
    Stopping(Run, Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Fresh,
    User,
    Paused,
    Replaced,
    Completed,
    Error,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Launch {
    Plain,
    /// An automatic restart, to be counted when it is made.
    Automatic,
    /// One that was counted, and lost with the supervisor that made it.
    Lost,
}

/// What the end of a run leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Policy,
    Again,
    Pause,
    Replace,
    Rest { kill: bool },
    Close { kill: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) why: Why,
    pub(crate) then: Then,
    pub(crate) step: Step,
    pub(crate) began: Nanos,
    pub(crate) grace: Nanos,
    /// Whether the main process ended, and well.
    exit: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    well: bool,
    oom: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Probe(ProbeRole),
    PostStart,
    Exited,
    Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    PreStop { until: Nanos },
    Asked { kill_at: Nanos, sent: bool, late: bool },
    Killed,
}

/// What SIGTERM gets after a hook that used up the grace period, and after a sleep of the machine.
const LEAST_GRACE: Nanos = 2 * SEC;

pub(crate) fn nanos(span: Duration) -> Nanos {
    span.as_nanos() as Nanos
}

impl Model {
    pub(crate) fn new(spec: Arc<ComponentSpec>) -> Self {
        Self {
            missing: !spec.depends_on.is_empty(),
            spec,
            state: State::Rest(Rest::Fresh),
            run: 0,
            total: 0,
            restarts: vec![],
            bad_ends: 0,
            closing: false,
            adopting: false,
            last_end: None,
            delay: None,
            acts: vec![],
            now: 0,
        }
    }

    /// What the next supervisor has to go on with.
    pub(crate) fn inherited(&self, same_boot: bool) -> Self {
        let blank = Self { run: self.run, total: self.total, ..Self::new(Arc::clone(&self.spec)) };
        if !same_boot {
            // Only a stop on request outlives the machine.
            let rest = if self.is_stopped_on_request() { Rest::User } else { Rest::Fresh };
            return Self { state: State::Rest(rest), ..blank };
        }
        let again = |then: Then| match then {
            Then::Pause | Then::Replace | Then::Close { .. } => Then::Again,
            Then::Policy | Then::Again | Then::Rest { .. } => then,
        };
        let state = match self.state.clone() {
            State::Rest(Rest::Paused | Rest::Replaced) => State::Rest(Rest::Fresh),
            state @ (State::Rest(_) | State::Due { .. } | State::Up(_)) => state,
            State::Spawning { launch, then } => State::Spawning { launch, then: again(then) },
            State::Stopping(run, stop) => {
                let then = again(stop.then);
                State::Stopping(run, Stop { then, ..stop })
            }
        };
        Self {
            adopting: matches!(state, State::Spawning { .. } | State::Up(_) | State::Stopping(..)),
            state,
            restarts: self.restarts.clone(),
            bad_ends: self.bad_ends,
            last_end: self.last_end,
            now: self.now,
            ..blank
        }
    }

    pub(crate) fn is_stopped_on_request(&self) -> bool {
        match &self.state {
            State::Rest(rest) => *rest == Rest::User,
            State::Spawning { then, .. } => matches!(then, Then::Rest { .. }),
            State::Stopping(_, stop) => matches!(stop.then, Then::Rest { .. }),
            State::Due { .. } | State::Up(_) => false,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(&self.state, State::Up(run) if run.is_ready())
    }

    /// Restarts in the window that ends at `at`.
    pub(crate) fn in_window(&self, at: Nanos) -> u32 {
        let window = nanos(self.spec.restart.window);
        self.restarts.iter().filter(|made| **made + window > at).count() as u32
    }

    pub(crate) fn is_full(&self, at: Nanos) -> bool {
        self.in_window(at) + 1 > self.spec.restart.max_restarts
    }

    /// What one event must lead to.
    pub(crate) fn step(&mut self, now: Nanos, event: &Event) -> Vec<Act> {
        self.now = self.now.max(now);
        self.delay = None;
        let watched = !self.adopting;
        if watched && matches!(&self.state, State::Up(run) if run.is_stable(&self.spec, self.now)) {
            self.bad_ends = 0;
        }
        match event {
            Event::Report(report) if report.run.0 != self.run => {}
            Event::Report(report) if self.adopting => {
                self.adopting = false;
                self.take_over(&report.what);
            }
            Event::Report(report) => self.observe(&report.what),
            Event::Command(command) => self.command(*command),
            Event::Dependencies(missing) => self.missing = missing.is_some(),
            Event::Spec(spec) => self.respec(spec),
            Event::Deadline => {}
        }
        if !self.adopting {
            self.pass();
        }
        std::mem::take(&mut self.acts)
    }

    /// When it must be told of the time at the latest.
    pub(crate) fn needs_at(&self) -> Option<Nanos> {
        match &self.state {
            _ if self.adopting => None,
            State::Rest(_) | State::Spawning { .. } => None,
            State::Due { .. } if self.closing => None,
            State::Due { at, .. } if *at > self.now => Some(*at),
            State::Due { .. } => None,
            State::Up(run) => {
                let stable = run.stable_at(&self.spec).filter(|_| self.bad_ends > 0);
                run.next_ask(&self.spec).into_iter().chain(stable).min()
            }
            State::Stopping(run, stop) => {
                let step = match stop.step {
                    Step::PreStop { until } => Some(until),
                    Step::Asked { kill_at, .. } => Some(kill_at),
                    Step::Killed => None,
                };
                run.next_ask(&self.spec).into_iter().chain(step).min()
            }
        }
    }

    fn act(&mut self, act: Act) {
        self.acts.push(act);
    }

    fn pass(&mut self) {
        let now = self.now;
        match &mut self.state {
            State::Due { at, launch } if *at <= now => {
                let launch = *launch;
                self.launch(launch);
            }
            State::Up(run) => run.ask(&self.spec, now, &mut self.acts),
            State::Stopping(run, stop) => {
                run.ask(&self.spec, now, &mut self.acts);
                match stop.step {
                    Step::PreStop { until } if until <= now => {
                        stop.step = stop.asked(now, run.more_until);
                        self.acts.push(Act::Terminate);
                    }
                    // Nobody came in time: it had no time either.
                    Step::Asked { kill_at, sent, late: false } if kill_at + SEC < now => {
                        let kill_at = now + stop.grace.min(LEAST_GRACE);
                        stop.step = Step::Asked { kill_at, sent, late: true };
                    }
                    Step::Asked { kill_at, .. } if kill_at <= now => {
                        stop.step = Step::Killed;
                        self.acts.push(Act::Kill);
                    }
                    Step::PreStop { .. } | Step::Asked { .. } | Step::Killed => {}
                }
            }
            State::Rest(_) | State::Due { .. } | State::Spawning { .. } => {}
        }
    }

    fn respec(&mut self, spec: &Arc<ComponentSpec>) {
        if !spec.runs_like(&self.spec) {
            let State::Rest(rest) = self.state else { return };
            self.state = State::Rest(if rest == Rest::User { Rest::User } else { Rest::Fresh });
            self.restarts.clear();
            self.bad_ends = 0;
            self.missing = !spec.depends_on.is_empty();
        }
        self.spec = Arc::clone(spec);
    }
}

fn ended(exit: &Exit) -> Option<Ended> {
    Some(Ended { well: *exit == Exit::Code(0), oom: *exit == Exit::OomKilled })
}

//! What a component has to do, told a second time: written from the contract's sentences, in plain numbers
//! and without a look at how the lifecycle does it. The two must agree in every step.

mod commands;
mod run;

use std::sync::Arc;
use std::time::Duration;

use vitald_core::lifecycle::{Event, Observed};
use vitald_core::restarter::Exit;
use vitald_core::spec::{ComponentSpec, ProbeRole, RestartPolicy};
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
                        stop.step = stop.asked(now);
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

    fn launch(&mut self, launch: Launch) {
        if self.closing {
            self.state = State::Rest(Rest::Fresh);
        } else if !self.missing {
            match launch {
                Launch::Plain => {}
                Launch::Automatic => {
                    self.total += 1;
                    self.restarts.push(self.now);
                }
                // Still the same one, made now.
                Launch::Lost => {
                    self.restarts.pop();
                    self.restarts.push(self.now);
                }
            }
            let launch = if launch == Launch::Plain { launch } else { Launch::Lost };
            self.run += 1;
            self.act(Act::Start);
            self.state = State::Spawning { launch, then: Then::Policy };
        }
    }

    fn after_end(&mut self, well: bool) {
        let again = match self.spec.restart_policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => !well,
            RestartPolicy::Never => false,
        };
        self.state = State::Rest(if !again && well { Rest::Completed } else { Rest::Error });
        if !again {
            return;
        }
        if self.closing {
            self.state = State::Rest(Rest::Fresh);
            return;
        }
        self.bad_ends += 1;
        let (least, most) = delay(&self.spec, self.bad_ends);
        self.state = if most == 0 && self.is_full(self.now) {
            State::Rest(Rest::Failed)
        } else {
            if most > 0 {
                self.delay = Some((self.now + least, self.now + most));
            }
            State::Due { at: self.now + most, launch: Launch::Automatic }
        };
    }

    /// Where in its range the delay that has just begun ends; `None`: given up instead.
    pub(crate) fn delayed(&mut self, until: Option<Nanos>) -> Result<(), String> {
        let Some((least, most)) = self.delay.take() else { return Ok(()) };
        match until {
            None if self.is_full(least) => self.state = State::Rest(Rest::Failed),
            None => return Err("given up, though one more restart is allowed".into()),
            Some(at) if self.is_full(at) => {
                return Err(format!("a restart too many is due at {}", at / SEC));
            }
            Some(at) if at < least || at > most => {
                let span = |to: Nanos| (to - self.now) as f64 / 1e9;
                return Err(format!(
                    "a delay of {} s, which is none from {} s to {} s (bad end {})",
                    (at as f64 - self.now as f64) / 1e9,
                    span(least),
                    span(most),
                    self.bad_ends
                ));
            }
            Some(at) => self.state = State::Due { at, launch: Launch::Automatic },
        }
        Ok(())
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

    fn take_over(&mut self, what: &Observed) {
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

fn ended(exit: &Exit) -> Option<Ended> {
    Some(Ended { well: *exit == Exit::Code(0), oom: *exit == Exit::OomKilled })
}

struct Numbers {
    initial: f64,
    max: f64,
    multiplier: f64,
    jitter: f64,
}

/// The manifest's numbers, out of what a backoff is written down as.
fn backoff(spec: &ComponentSpec) -> Numbers {
    let written = serde_json::to_value(&spec.restart.backoff).unwrap_or_default();
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    let seconds = |name: &str| number(&written[name]["secs"]) + number(&written[name]["nanos"]) / 1e9;
    Numbers {
        initial: seconds("initial"),
        max: seconds("max"),
        multiplier: number(&written["multiplier"]),
        jitter: number(&written["jitter"]),
    }
}

/// Between what lies delay number `n`: initial, then `multiplier` times the one before, never above max.
fn delay(spec: &ComponentSpec, n: u32) -> (Nanos, Nanos) {
    let backoff = backoff(spec);
    let mut seconds = backoff.initial;
    for _ in 1..n.min(200) {
        seconds = (seconds * backoff.multiplier).min(backoff.max);
    }
    if seconds == 0.0 {
        return (0, 0);
    }
    let rounding = 1e-5;
    let least = (seconds * (1.0 - backoff.jitter) - rounding).max(0.0);
    let most = (seconds * (1.0 + backoff.jitter)).min(backoff.max) + rounding;
    ((least * 1e9) as Nanos, (most * 1e9) as Nanos)
}

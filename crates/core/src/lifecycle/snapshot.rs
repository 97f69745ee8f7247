//! What people see of a lifecycle.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::steps::seconds;
use super::{Launch, Lifecycle, Phase, Prober, Rest, Step, Stopping, Then, Up, Why};
use crate::restarter::{Exit, RunId, StartStep};
use crate::spec::{ProbeRole, Workload};
use crate::status::{ProbeState, Reason, State};
use crate::time::Timestamp;

/// A lifecycle at a moment, in its own time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where it is in its life.
    pub state: State,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence.
    pub message: String,
    /// Whether it can do its work right now.
    pub ready: bool,
    /// The current run, or the last.
    pub run: RunId,
    /// When the current run began; `None` when nothing of one is left.
    pub started_at: Option<Timestamp>,
    /// Whether the current run's main process is alive.
    pub main_process: bool,
    /// Whether it runs, and its startup probe, if any, has succeeded.
    pub started: bool,
    /// Automatic restarts ever.
    pub restart_count: u64,
    /// Automatic restarts in the window that ends now.
    pub restarts_in_window: u32,
    /// When the next automatic restart is due.
    pub next_restart_at: Option<Timestamp>,
    /// How the run before ended.
    pub last_end: Option<End>,
    /// What went wrong last, until a run is stable.
    pub last_error: Option<String>,
    /// Its probes, in the order of [`ProbeRole::ALL`].
    pub probes: Vec<ProbeView>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// How its main process did; `None` if it never began.
    pub exit: Option<Exit>,
    /// Why, in one word.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
    /// How long the run lasted.
    pub uptime: Duration,
}

/// One probe at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeView {
    /// What it is for.
    pub role: ProbeRole,
    /// The last answer; `None` before the first.
    pub state: Option<ProbeState>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// How many of them make a failure.
    pub failure_threshold: u32,
    /// When it last answered; `None` if that was under an earlier supervisor.
    pub last_at: Option<Timestamp>,
    /// How long that took.
    pub latency: Option<Duration>,
    /// What it said beside its verdict.
    pub message: String,
}

impl Lifecycle {
    /// What people see at `now`, which must not be before the last event.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let (state, reason, message) = self.state();
        let message = self.in_its_own_words(state, message);
        let up = match &self.phase {
            Phase::Up(up) => Some(up),
            Phase::Stopping(stopping) => Some(&stopping.up),
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Spawning { .. } => None,
        };
        let next_restart_at = match &self.phase {
            Phase::Delaying { until, .. } => Some(*until),
            Phase::Idle(_)
            | Phase::Waiting { .. }
            | Phase::Spawning { .. }
            | Phase::Up(_)
            | Phase::Stopping(_) => None,
        };
        let stable = match &self.phase {
            Phase::Up(up) => up.is_stable(now, self.spec.restart.min_uptime),
            Phase::Idle(_)
            | Phase::Waiting { .. }
            | Phase::Delaying { .. }
            | Phase::Spawning { .. }
            | Phase::Stopping(_) => false,
        };
        Snapshot {
            state,
            reason,
            message,
            ready: self.is_ready(),
            run: self.run,
            started_at: up.map(|up| up.since),
            main_process: match &self.phase {
                Phase::Up(_) => true,
                Phase::Stopping(stopping) => stopping.exit.is_none(),
                Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Spawning { .. } => {
                    false
                }
            },
            started: match &self.phase {
                Phase::Up(up) => up.started && up.post_start_done,
                Phase::Idle(_)
                | Phase::Waiting { .. }
                | Phase::Delaying { .. }
                | Phase::Spawning { .. }
                | Phase::Stopping(_) => false,
            },
            restart_count: self.restart_count,
            restarts_in_window: self.window.count(now),
            next_restart_at,
            last_end: self.last_end.clone(),
            last_error: self.last_error.clone().filter(|_| !stable),
            probes: ProbeRole::ALL.into_iter().filter_map(|role| self.probe_view(role, up)).collect(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match &self.phase {
            Phase::Up(up) => up.is_ready(),
            Phase::Idle(_)
            | Phase::Waiting { .. }
            | Phase::Delaying { .. }
            | Phase::Spawning { .. }
            | Phase::Stopping(_) => false,
        }
    }

    fn probe_view(&self, role: ProbeRole, up: Option<&Up>) -> Option<ProbeView> {
        let spec = self.spec.probe(role)?;
        let prober = up.and_then(|up| match role {
            ProbeRole::Startup => up.startup.as_ref(),
            ProbeRole::Liveness => up.liveness.as_ref(),
            ProbeRole::Readiness => up.readiness.as_ref(),
        });
        let last = prober.and_then(Prober::last);
        Some(ProbeView {
            role,
            state: last.map(|answer| answer.state),
            consecutive_failures: prober.map_or(0, Prober::consecutive_failures),
            failure_threshold: spec.failure_threshold,
            last_at: last.and_then(|answer| Some(answer.given?.0)),
            latency: last.and_then(|answer| Some(answer.given?.1)),
            message: last.map_or_else(String::new, |answer| answer.message.clone()),
        })
    }

    fn state(&self) -> (State, Reason, String) {
        let last_error = || self.last_error.clone().unwrap_or_default();
        match &self.phase {
            Phase::Idle(Rest::Fresh) => (State::Stopped, Reason::None, String::new()),
            Phase::Idle(Rest::StoppedByUser) => {
                (State::Stopped, Reason::StoppedByUser, self.rests_on_request().into())
            }
            Phase::Idle(Rest::Paused) => {
                (State::Restarting, Reason::RestartRequested, "waits for its turn to be started again".into())
            }
            Phase::Idle(Rest::Replaced) => (
                State::Restarting,
                Reason::SpecChanged,
                "waits for its turn to be started with its new spec".into(),
            ),
            Phase::Idle(Rest::Completed) => (State::Stopped, Reason::Completed, "ended with status 0".into()),
            Phase::Idle(Rest::Error) => (State::Stopped, Reason::Error, last_error()),
            Phase::Idle(Rest::Failed) => (State::Failed, Reason::RestartLimitExceeded, last_error()),
            Phase::Waiting { .. } => {
                (State::Stopped, Reason::WaitingForDependency, self.missing.clone().unwrap_or_default())
            }
            Phase::Delaying { launch, .. } => {
                let message = match launch {
                    Launch::Plain => String::new(),
                    Launch::Automatic { cause, .. } => cause.clone(),
                };
                (State::Restarting, Reason::CrashLoopBackOff, message)
            }
            Phase::Spawning { then: Then::Policy | Then::StartAgain, .. } => match &self.step {
                Some(StartStep::PullingImage { image, progress }) if progress.is_empty() => {
                    (State::Starting, Reason::PullingImage, format!("pulls {image}"))
                }
                Some(StartStep::PullingImage { image, progress }) => {
                    (State::Starting, Reason::PullingImage, format!("pulls {image}: {progress}"))
                }
                Some(StartStep::Waiting { why }) => {
                    (State::Starting, Reason::Spawning, format!("waits for others to start it: {why}"))
                }
                Some(StartStep::PulledImage { .. }) | None => {
                    (State::Starting, Reason::Spawning, self.spawning())
                }
            },
            Phase::Spawning {
                then: Then::Rest { .. } | Then::Pause | Then::Replace | Then::Close { .. },
                ..
            } => (State::Starting, Reason::Terminating, "being stopped before it has started".into()),
            Phase::Up(up) => self.state_up(up),
            Phase::Stopping(stopping) => state_stopping(stopping, &self.spec.workload),
        }
    }

    /// What a start is about, where it may take its time.
    fn spawning(&self) -> String {
        match self.spec.workload.found_by() {
            Some(found_by) => format!("it is being started, and looked for ({found_by})"),
            None => String::new(),
        }
    }

    /// What it says of itself (`STATUS=`) stands alone where there is nothing worse to tell, and beside what
    /// it is on its way to.
    fn in_its_own_words(&self, state: State, message: String) -> String {
        let (up, on_its_way) = match &self.phase {
            Phase::Up(up) => (up, state == State::Starting),
            Phase::Stopping(stopping) => (&stopping.up, true),
            Phase::Idle(_) | Phase::Waiting { .. } | Phase::Delaying { .. } | Phase::Spawning { .. } => {
                return message;
            }
        };
        match up.notified.status.as_str() {
            "" => message,
            status if message.is_empty() => status.to_owned(),
            status if on_its_way => format!("{message}; it says: {status}"),
            _ => message,
        }
    }

    fn state_up(&self, up: &Up) -> (State, Reason, String) {
        if !up.gate_open {
            let message = up.startup.as_ref().map_or_else(String::new, |startup| told("startup", startup));
            return (State::Starting, Reason::StartupProbe, message);
        }
        if !up.post_start_done {
            return (State::Starting, Reason::Spawning, "postStart hook runs".into());
        }
        if let Some(liveness) = up.liveness.as_ref().filter(|prober| prober.consecutive_failures() > 0) {
            let reason = if up.adopted { Reason::Adopted } else { Reason::None };
            return (State::Running, reason, told("liveness", liveness));
        }
        for prober in [&up.startup, &up.liveness, &up.readiness].into_iter().flatten() {
            // A startup probe that has succeeded is on hold and says nothing new.
            if prober.cannot_ask() && !(prober.role == ProbeRole::Startup && up.started) {
                return (State::Running, Reason::ProbeUnknown, told(prober.role.name(), prober));
            }
        }
        let message = match &up.readiness {
            _ if up.is_ready() => String::new(),
            Some(readiness) if up.started => told("readiness", readiness),
            Some(_) | None => "the startup probe has not succeeded".to_owned(),
        };
        (State::Running, if up.adopted { Reason::Adopted } else { Reason::None }, message)
    }
}

/// What a probe that has not succeeded says, in one sentence.
fn told(role: &str, prober: &Prober) -> String {
    match prober.last() {
        None => format!("{role} probe has not answered so far"),
        Some(answer) => match (answer.state, prober.consecutive_failures()) {
            (ProbeState::Unknown, 0) => format!("{role} probe cannot ask: {}", answer.message),
            // It has asked for more time.
            (ProbeState::Failure, 0) => {
                format!("{role} probe failed, which does not count so far: {}", answer.message)
            }
            (ProbeState::Success, _) => {
                format!("{role} probe has not succeeded often enough so far")
            }
            (ProbeState::Unknown, failures) => format!(
                "{role} probe failed {failures} of {} times, and cannot ask now: {}",
                prober.failure_threshold(),
                answer.message
            ),
            // More failures than make one change nothing.
            (ProbeState::Failure, failures) if failures >= prober.failure_threshold() => {
                format!("{role} probe failed: {}", answer.message)
            }
            (ProbeState::Failure, failures) => format!(
                "{role} probe failed {failures} of {} times: {}",
                prober.failure_threshold(),
                answer.message
            ),
        },
    }
}

fn state_stopping(stopping: &Stopping, workload: &Workload) -> (State, Reason, String) {
    let step = match stopping.step {
        Step::PreStop { .. } => "the preStop hook runs",
        Step::Terminating { .. } if stopping.up.extended_until.is_some() => {
            "SIGTERM was sent, and it has asked for more time"
        }
        Step::Terminating { .. } if matches!(workload, Workload::External(_)) => {
            "what stops it has been called"
        }
        Step::Terminating { .. } => "SIGTERM was sent",
        Step::Killing { .. } => "SIGKILL was sent",
    };
    let bad_exit = match &stopping.exit {
        Some((Exit::OomKilled, _)) => Some(Reason::OOMKilled),
        Some((exit, _)) if !exit.is_success() => Some(Reason::Error),
        Some(_) | None => None,
    };
    match (&stopping.then, &stopping.why) {
        (Then::Rest { .. } | Then::Close { .. }, _) | (Then::Policy, Why::Requested) => {
            let state = if stopping.up.gate_open { State::Running } else { State::Starting };
            (state, Reason::Terminating, format!("being stopped within {}; {step}", seconds(stopping.grace)))
        }
        (Then::Replace, _) => (
            State::Restarting,
            Reason::SpecChanged,
            format!("being stopped to be started with its new spec; {step}"),
        ),
        (Then::StartAgain | Then::Pause, _) => (
            State::Restarting,
            Reason::RestartRequested,
            format!("being stopped to be started again; {step}"),
        ),
        (Then::Policy, Why::ProbeFailed(role, why)) => {
            let reason = match role {
                ProbeRole::Startup => Reason::StartupProbeFailed,
                ProbeRole::Liveness | ProbeRole::Readiness => Reason::LivenessProbeFailed,
            };
            (State::Unhealthy, reason, format!("{why}; {step}"))
        }
        (Then::Policy, Why::PostStartFailed(why)) => {
            (State::Unhealthy, Reason::Error, format!("postStart hook failed: {why}; {step}"))
        }
        (Then::Policy, Why::Exited) => {
            let message = format!("the main process has ended, others of it live on; {step}");
            match bad_exit {
                Some(reason) => (State::Unhealthy, reason, message),
                None => (State::Running, Reason::Terminating, message),
            }
        }
    }
}

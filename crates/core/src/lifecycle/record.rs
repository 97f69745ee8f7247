//! What a lifecycle must remember over the death of its supervisor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{End, Launch, Lifecycle, Phase, Rest, RestartWindow, Then};
use crate::restarter::RunId;
use crate::spec::ComponentSpec;
use crate::time::Timestamp;

/// The part of a lifecycle that outlives its supervisor. Times mean something in the same boot only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleRecord {
    /// The run that was started last, or is about to be.
    pub run: RunId,
    /// Automatic restarts ever.
    pub restart_count: u64,
    /// Ends in a row without a stable run.
    pub unstable_ends: u32,
    /// When automatic restarts were made, as far as they count.
    pub restarts: Vec<Timestamp>,
    /// Whether it is to run, and if not, why.
    pub rest: RestRecord,
    /// The delay that is being waited out, and what for.
    pub delay: Option<(Timestamp, String)>,
    /// How the run before ended.
    pub last_end: Option<End>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Whether a component is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestRecord {
    /// It is.
    Runs,
    /// It was stopped on request, or is being.
    StoppedByUser,
    /// It ended well, for good.
    Completed,
    /// It ended badly, and is never restarted.
    Error,
    /// It reached the restart limit.
    Failed,
}

impl Lifecycle {
    /// What to write down before the actions of the last event are carried out.
    pub fn record(&self) -> LifecycleRecord {
        let (rest, delay) = match &self.phase {
            Phase::Idle(Rest::Fresh | Rest::Paused) | Phase::Waiting { .. } | Phase::Up(_) => {
                (RestRecord::Runs, None)
            }
            Phase::Idle(Rest::StoppedByUser) => (RestRecord::StoppedByUser, None),
            Phase::Idle(Rest::Completed) => (RestRecord::Completed, None),
            Phase::Idle(Rest::Error) => (RestRecord::Error, None),
            Phase::Idle(Rest::Failed) => (RestRecord::Failed, None),
            Phase::Delaying { until, launch } => {
                let cause = match launch {
                    Launch::Plain => String::new(),
                    Launch::Automatic { cause, .. } => cause.clone(),
                };
                (RestRecord::Runs, Some((*until, cause)))
            }
            Phase::Spawning { then, .. } => (rest_after(*then), None),
            Phase::Stopping(stopping) => (rest_after(stopping.then), None),
        };
        LifecycleRecord {
            run: self.run,
            restart_count: self.restart_count,
            unstable_ends: self.unstable_ends,
            restarts: self.window.restarts(),
            rest,
            delay,
            last_end: self.last_end.clone(),
            last_error: self.last_error.clone(),
        }
    }

    /// The lifecycle of a component that an earlier supervisor had, nothing of which runs any more.
    /// Tell it to `Begin`. After a reboot only its numbers and a stop on request are left of the record.
    pub fn restore(spec: Arc<ComponentSpec>, record: LifecycleRecord, same_boot: bool) -> Self {
        let restart = &spec.restart;
        let restarts = if same_boot { record.restarts } else { vec![] };
        let window = RestartWindow::new(restart.max_restarts, restart.window, restarts);
        let phase = match (record.rest, record.delay) {
            (RestRecord::StoppedByUser, _) => Phase::Idle(Rest::StoppedByUser),
            (RestRecord::Completed, _) if same_boot => Phase::Idle(Rest::Completed),
            (RestRecord::Error, _) if same_boot => Phase::Idle(Rest::Error),
            (RestRecord::Failed, _) if same_boot => Phase::Idle(Rest::Failed),
            (RestRecord::Runs, Some((until, cause))) if same_boot => {
                Phase::Delaying { until, launch: Launch::Automatic { cause, attempt: 0 } }
            }
            (RestRecord::Completed | RestRecord::Error | RestRecord::Failed | RestRecord::Runs, _) => {
                Phase::Idle(Rest::Fresh)
            }
        };
        Self {
            phase,
            run: record.run,
            window,
            unstable_ends: if same_boot { record.unstable_ends } else { 0 },
            restart_count: record.restart_count,
            last_end: record.last_end.filter(|_| same_boot),
            last_error: record.last_error.filter(|_| same_boot),
            ..Self::new(spec)
        }
    }
}

fn rest_after(then: Then) -> RestRecord {
    match then {
        Then::Rest { .. } => RestRecord::StoppedByUser,
        Then::Policy | Then::StartAgain | Then::Pause | Then::Close { .. } => RestRecord::Runs,
    }
}

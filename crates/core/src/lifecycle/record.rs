//! What a lifecycle must remember over the death of its supervisor.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::prober::ProberRecord;
use super::{End, Launch, Lifecycle, Phase, Prober, Rest, RestartWindow, Step, Stopping, Then, Up, Why};
use crate::notify::Notified;
use crate::restarter::{Exit, RunId};
use crate::spec::{ComponentSpec, ProbeRole};
use crate::time::Timestamp;

/// The part of a lifecycle that outlives its supervisor. Times mean something in the same boot only.
///
/// It does not change while all is well: what a probe that goes on succeeding was asked last is not in it.
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
    /// How the run before ended.
    pub last_end: Option<End>,
    /// What went wrong last.
    pub last_error: Option<String>,
    phase: PhaseRecord,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum PhaseRecord {
    Idle(Rest),
    Waiting(Launch),
    Delaying { until: Timestamp, launch: Launch },
    Spawning { launch: Launch, then: Then },
    Up(UpRecord),
    Stopping(Box<StoppingRecord>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpRecord {
    since: Timestamp,
    started: bool,
    gate_open: bool,
    post_start_done: bool,
    probers: Vec<ProberRecord>,
    well_since: Option<Timestamp>,
    liveness_succeeded: bool,
    adopted: bool,
    #[serde(default, skip_serializing_if = "Notified::is_nothing")]
    notified: Notified,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extended_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoppingRecord {
    up: UpRecord,
    why: Why,
    then: Then,
    step: Step,
    began: Timestamp,
    grace: std::time::Duration,
    exit: Option<(Exit, Timestamp)>,
}

impl LifecycleRecord {
    /// Whether it was stopped on request, or is being.
    pub fn is_stopped_on_request(&self) -> bool {
        match &self.phase {
            PhaseRecord::Idle(rest) => *rest == Rest::StoppedByUser,
            PhaseRecord::Spawning { then, .. } => matches!(then, Then::Rest { .. }),
            PhaseRecord::Stopping(stopping) => matches!(stopping.then, Then::Rest { .. }),
            PhaseRecord::Waiting(_) | PhaseRecord::Delaying { .. } | PhaseRecord::Up(_) => false,
        }
    }

    /// Whether something of its run may be alive, in the same boot.
    pub fn may_run(&self) -> bool {
        match &self.phase {
            PhaseRecord::Spawning { .. } | PhaseRecord::Up(_) | PhaseRecord::Stopping(_) => true,
            PhaseRecord::Idle(_) | PhaseRecord::Waiting(_) | PhaseRecord::Delaying { .. } => false,
        }
    }
}

impl Lifecycle {
    /// What to write down before the actions of the last event are carried out.
    pub fn record(&self) -> LifecycleRecord {
        let phase = match &self.phase {
            Phase::Idle(rest) => PhaseRecord::Idle(*rest),
            Phase::Waiting { launch, .. } => PhaseRecord::Waiting(launch.clone()),
            Phase::Delaying { until, launch } => {
                PhaseRecord::Delaying { until: *until, launch: launch.clone() }
            }
            Phase::Spawning { launch, then } => PhaseRecord::Spawning { launch: launch.clone(), then: *then },
            Phase::Up(up) => PhaseRecord::Up(up.record()),
            Phase::Stopping(stopping) => PhaseRecord::Stopping(Box::new(StoppingRecord {
                up: stopping.up.record(),
                why: stopping.why.clone(),
                then: stopping.then,
                step: stopping.step,
                began: stopping.began,
                grace: stopping.grace,
                exit: stopping.exit.clone(),
            })),
        };
        LifecycleRecord {
            run: self.run,
            restart_count: self.restart_count,
            unstable_ends: self.unstable_ends,
            restarts: self.window.restarts(),
            last_end: self.last_end.clone(),
            last_error: self.last_error.clone(),
            phase,
        }
    }

    /// The lifecycle of a component that an earlier supervisor had, under the spec that it had there.
    ///
    /// Where that supervisor left a run, [`awaits_adoption`](Self::awaits_adoption) says so. After a reboot
    /// only its numbers and a stop on request are left of the record.
    pub fn restore(spec: Arc<ComponentSpec>, record: LifecycleRecord, same_boot: bool) -> Self {
        let stopped = record.is_stopped_on_request();
        let numbers =
            Self { run: record.run, restart_count: record.restart_count, ..Self::new(Arc::clone(&spec)) };
        if !same_boot {
            let rest = if stopped { Rest::StoppedByUser } else { Rest::Fresh };
            return Self { phase: Phase::Idle(rest), ..numbers };
        }
        let adopting = record.may_run();
        let restart = &spec.restart;
        let window = RestartWindow::new(restart.max_restarts, restart.window, record.restarts);
        let phase = match record.phase {
            // Whoever was to go on with these has died.
            PhaseRecord::Idle(Rest::Paused | Rest::Replaced) => Phase::Idle(Rest::Fresh),
            PhaseRecord::Idle(rest) => Phase::Idle(rest),
            PhaseRecord::Waiting(launch) => Phase::Waiting { launch, told: false },
            PhaseRecord::Delaying { until, launch } => Phase::Delaying { until, launch },
            PhaseRecord::Spawning { launch, then } => Phase::Spawning { launch, then: then.inherited() },
            PhaseRecord::Up(up) => Phase::Up(up.restore(&spec)),
            PhaseRecord::Stopping(stopping) => Phase::Stopping(Stopping {
                up: stopping.up.restore(&spec),
                why: stopping.why,
                then: stopping.then.inherited(),
                step: stopping.step,
                began: stopping.began,
                grace: stopping.grace,
                exit: stopping.exit,
            }),
        };
        let restored = Self {
            phase,
            window,
            unstable_ends: record.unstable_ends,
            last_end: record.last_end,
            last_error: record.last_error,
            adopting,
            ..numbers
        };
        // What was ready before is no news.
        Self { was_ready: restored.is_ready(), ..restored }
    }
}

impl Then {
    /// What it is under the next supervisor: whoever was to go on with it has died.
    fn inherited(self) -> Self {
        match self {
            Self::Pause | Self::Replace | Self::Close { .. } => Self::StartAgain,
            Self::Policy | Self::StartAgain | Self::Rest { .. } => self,
        }
    }
}

impl Up {
    fn record(&self) -> UpRecord {
        let probers = [&self.startup, &self.liveness, &self.readiness];
        UpRecord {
            since: self.since,
            started: self.started,
            gate_open: self.gate_open,
            post_start_done: self.post_start_done,
            probers: probers.into_iter().flatten().map(Prober::record).collect(),
            well_since: self.well_since,
            liveness_succeeded: self.liveness_succeeded,
            adopted: self.adopted,
            notified: self.notified.clone(),
            extended_until: self.extended_until,
        }
    }
}

impl UpRecord {
    fn restore(self, spec: &ComponentSpec) -> Up {
        let prober = |role| {
            let fresh = Prober::new(role, spec.probe(role)?);
            let record = self.probers.iter().find(|record| record.role == role);
            Some(record.map_or_else(|| fresh.clone(), |record| fresh.clone().restored(record)))
        };
        Up {
            startup: prober(ProbeRole::Startup),
            liveness: prober(ProbeRole::Liveness),
            readiness: prober(ProbeRole::Readiness),
            since: self.since,
            started: self.started,
            gate_open: self.gate_open,
            post_start_done: self.post_start_done,
            well_since: self.well_since,
            liveness_succeeded: self.liveness_succeeded,
            adopted: self.adopted,
            notified: self.notified,
            extended_until: self.extended_until,
        }
    }
}

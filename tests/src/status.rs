//! `status -o json` and `events -o json`, as the contract has them.

use serde::Deserialize;

use crate::Pid;

/// A supervisor and its components.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The supervisor.
    pub supervisor: SupervisorStatus,
    /// Its components.
    pub components: Vec<Component>,
}

/// The supervisor itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorStatus {
    /// Its pid.
    pub pid: i32,
    /// Where it keeps its state.
    pub state_dir: String,
}

/// One component.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Its name.
    pub name: String,
    /// `Stopped`, `Starting`, `Running`, `Unhealthy`, `Restarting`, `Failed`.
    pub state: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Whether it can do its work.
    pub ready: bool,
    /// Its main process.
    pub pid: Option<i32>,
    /// When its run began.
    pub started_at: Option<String>,
    /// Automatic restarts ever.
    pub restart_count: u64,
    /// Automatic restarts in the window.
    pub restarts_in_window: u32,
    /// The most of those.
    pub max_restarts: u32,
    /// Seconds to the next one.
    pub next_restart_seconds: Option<f64>,
    /// How the run before ended.
    pub last_exit: Option<LastExit>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Its probes.
    pub probes: Vec<Probe>,
}

impl Component {
    /// The main process, which there must be.
    pub fn pid(&self) -> Pid {
        Pid(self.pid.unwrap_or_else(|| panic!("{} has no process: {self:?}", self.name)))
    }

    /// When its run began, in seconds of that day.
    pub fn began(&self) -> f64 {
        let at =
            self.started_at.as_deref().unwrap_or_else(|| panic!("{} has not begun: {self:?}", self.name));
        let of_day = at.split_once('T').map_or("", |(_, of_day)| of_day.trim_end_matches('Z'));
        of_day.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or(0.0))
    }

    /// In a state, for a reason.
    pub fn is(&self, state: &str, reason: &str) -> bool {
        self.state == state && self.reason == reason
    }

    /// Its probe of a type: `startup`, `liveness` or `readiness`.
    pub fn probe(&self, role: &str) -> &Probe {
        let found = self.probes.iter().find(|probe| probe.role == role);
        found.unwrap_or_else(|| panic!("{} has no {role} probe: {self:?}", self.name))
    }

    /// How the last run ended, which there must be.
    pub fn last_exit(&self) -> &LastExit {
        self.last_exit.as_ref().unwrap_or_else(|| panic!("{} has no last exit: {self:?}", self.name))
    }
}

/// How a run ended.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Exit status.
    pub code: Option<i32>,
    /// Name of the signal.
    pub signal: Option<String>,
    /// Why.
    pub reason: String,
    /// How long the run lasted.
    pub uptime_seconds: f64,
}

/// One probe.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What it is for.
    #[serde(rename = "type")]
    pub role: String,
    /// The last answer.
    pub state: Option<String>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// What it said.
    pub message: String,
}

/// Something that happened.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// When.
    pub time: String,
    /// To whom.
    pub component: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What, in a word.
    pub reason: String,
    /// What, in a sentence.
    pub message: String,
    /// How often in a row.
    pub count: u64,
}

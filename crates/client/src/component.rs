//! One component, as a program asks about it.

use std::time::Duration;

use vitald_core::status::{ComponentStatus, Reason, State};

/// How a component was when it was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    status: ComponentStatus,
}

impl Component {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.status.name
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.status.state
    }

    /// Why, in one word.
    pub fn reason(&self) -> Reason {
        self.status.reason
    }

    /// How long its run has lasted; `None` when nothing runs.
    pub fn uptime(&self) -> Option<Duration> {
        self.status.uptime_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Whether it runs and can do its work.
    pub fn is_healthy(&self) -> bool {
        self.status.is_healthy()
    }

    /// Automatic restarts ever.
    pub fn restart_count(&self) -> u64 {
        self.status.restart_count
    }

    /// What went wrong last; `None` once it is well again.
    pub fn last_error(&self) -> Option<&str> {
        self.status.last_error.as_deref()
    }

    /// Everything that `vitald status` knows.
    pub fn status(&self) -> &ComponentStatus {
        &self.status
    }
}

impl From<ComponentStatus> for Component {
    fn from(status: ComponentStatus) -> Self {
        Self { status }
    }
}

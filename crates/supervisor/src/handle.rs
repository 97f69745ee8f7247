//! What the control API and the command line may ask of a running supervisor.

use thiserror::Error;
use tokio::sync::broadcast;
use vitald_core::spec::ProbeRole;
use vitald_core::status::{ComponentDetail, EventRecord, ProbeAnswer, Status};

/// A running supervisor. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorHandle {}

/// What a person asks of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start what does not run; leave alone what does.
    Start,
    /// Stop, and stay stopped until started on request.
    Stop,
    /// Stop what runs, then start.
    Restart,
    /// Clear the counters, and start what does not run.
    Reset,
}

/// How to end the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Stop all in reverse order, each with its grace period.
    Graceful,
    /// SIGKILL everything at once.
    Now,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No component has this name.
    #[error("no component is named `{name}`; there are: {}", known.join(", "))]
    NoSuchComponent {
        /// As asked.
        name: String,
        /// All there are.
        known: Vec<String>,
    },
    /// The component has no such probe.
    #[error("component `{name}` has no {role} probe")]
    NoSuchProbe {
        /// The component.
        name: String,
        /// Which probe.
        role: ProbeRole,
    },
    /// The component does not run, so there is nothing to probe.
    #[error("component `{name}` is not running")]
    NotRunning {
        /// The component.
        name: String,
    },
    /// The supervisor is on its way out.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

impl SupervisorHandle {
    /// The supervisor and all components, in start order.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// All of one component.
    pub fn describe(&self, _name: &str) -> Result<ComponentDetail, CommandError> {
        todo!()
    }

    /// The recent events of all components, oldest first, and every one after them. Joined without a gap.
    /// An event that repeats comes again with a higher `count`.
    pub fn events(&self) -> (Vec<EventRecord>, broadcast::Receiver<EventRecord>) {
        todo!()
    }

    /// Does something to components, in dependency order (reverse for `Stop`). Refused as a whole if one
    /// name is wrong. Returns once it has taken effect: stopped and gone for `Stop`; for the others a new
    /// run has begun, or is being waited for (dependency, delay), or has failed to begin.
    pub async fn command(&self, _command: Command, _names: &[String]) -> Result<(), CommandError> {
        todo!()
    }

    /// Runs a component's probe now, beside its schedule; the answer counts for nothing.
    pub async fn run_probe(&self, _name: &str, _role: ProbeRole) -> Result<ProbeAnswer, CommandError> {
        todo!()
    }

    /// Begins to end the supervisor. A second call may turn `Graceful` into `Now`.
    pub fn shutdown(&self, _mode: ShutdownMode) {
        todo!()
    }

    /// Returns once everything has been stopped and the supervisor may exit.
    pub async fn finished(&self) {
        todo!()
    }
}

//! What crosses the border of a library as JSON. Fields may be added, with a default for who is not told them; those
//! that a side does not know, it passes over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vitald_core::notify::Heard;
use vitald_core::probe::ComponentContext;
use vitald_core::restarter::{ExecOutput, ExecRequest, ProcessIdentity, StartError};

/// A kind of probe in a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// Its manifest key.
    pub key: String,
    /// The JSON Schema of its configuration, self-contained (no `$ref`s).
    pub schema: Value,
}

/// Asks what a run must be given for a probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NeedsRequest {
    /// Of which kind.
    pub key: String,
    /// Its configuration.
    pub config: Value,
}

/// Asks for a probe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRequest {
    /// Of which kind.
    pub key: String,
    /// Its configuration.
    pub config: Value,
    /// What it may know of its component.
    pub component: ComponentContext,
}

/// Asks a probe to check once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRequest {
    /// How long it may take; see [`own_time`].
    pub timeout: Duration,
    /// The run that is checked; none outside a supervisor.
    #[serde(default)]
    pub run: Option<RunFacts>,
}

/// How much of its caller's time a check may take itself: nine tenths, so that one that bounds what it waits for by it
/// gives its own answer, and not its caller.
pub fn own_time(timeout: Duration) -> Duration {
    timeout.mul_f64(0.9)
}

/// What is known of a run when a check begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFacts {
    /// The main process.
    pub process: ProcessIdentity,
    /// Where its output begins in the component's log.
    pub log_offset: u64,
    /// The container's id, where it is one.
    #[serde(default)]
    pub container: Option<String>,
}

/// What a check asks of whoever runs it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceRequest {
    /// Run a command where the component runs.
    Exec(ExecRequest),
    /// The pids of all processes of the run.
    Pids,
    /// Bytes of memory that they use together.
    Memory,
    /// What the run has told of itself.
    Heard,
}

/// The answer to a [`ServiceRequest`] of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServiceAnswer {
    /// What came of the command.
    Exec(Result<ExecOutput, StartError>),
    /// Or why they cannot be told.
    Pids(Result<Vec<i32>, String>),
    /// Or why it cannot be told.
    Memory(Result<u64, String>),
    /// Or why nobody can hear it.
    Heard(Result<Heard, String>),
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};
    use vitald_core::probe::{SpecError, SpecErrorKind};

    use super::*;

    #[test]
    fn what_is_newer_than_this_is_passed_over() {
        let build: BuildRequest = from_value(json!({
            "key": "file", "config": {}, "more": 1,
            "component": { "name": "api", "kind": "microVm", "ports": { "http": 80 }, "more": 1 },
        }))
        .unwrap();
        assert_eq!((&*build.component.name, build.component.kind), ("api", None));
        assert_eq!(build.component.ports["http"], 80);

        let refusal = json!({ "path": "port", "kind": "deprecated", "message": "must go", "more": 1 });
        let refusal: SpecError = from_value(refusal).unwrap();
        assert_eq!(refusal, SpecError::new("must go").at("port"));

        let check: CheckRequest =
            from_value(json!({ "timeout": { "secs": 1, "nanos": 0 }, "more": 1 })).unwrap();
        assert!(check.run.is_none());
    }

    #[test]
    fn a_refusal_needs_no_more_than_its_message() {
        let refusal: SpecError = from_value(json!({ "message": "must go" })).unwrap();
        assert_eq!((refusal.kind, &*refusal.path), (SpecErrorKind::Invalid, ""));
    }
}

//! `memory` against runs that say how much they use. Real ones are measured in `vitald-process` and end to end.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, ProcessIdentity, RunView, StartError};
use vitald_probe_memory::MemoryProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("memory runs no command")
    }
}

/// A run that uses so much; an error where that cannot be told.
struct Uses(Result<u64, io::ErrorKind>);

#[async_trait]
impl RunView for Uses {
    fn process(&self) -> ProcessIdentity {
        ProcessIdentity { pid: 1, start_time: 1, boot_id: String::new() }
    }

    fn log_offset(&self) -> u64 {
        0
    }

    async fn memory(&self) -> io::Result<u64> {
        self.0.map_err(io::Error::from)
    }
}

fn build(max: Value) -> Result<MemoryProbe, SpecError> {
    let spec =
        serde_json::from_value(json!({ "max": max })).map_err(|err| SpecError::new(err.to_string()))?;
    MemoryProbe::build(spec, &ComponentContext::default())
}

async fn check(max: &str, run: Option<Uses>) -> ProbeResult {
    let run = run.map(|run| Arc::new(run) as Arc<dyn RunView>);
    let cx = CheckContext { timeout: Duration::from_secs(5), run, executor: Arc::new(NoExecutor) };
    build(json!(max)).expect("a good spec").check(&cx).await
}

#[tokio::test]
async fn the_limit_itself_is_allowed() {
    assert_eq!(check("512Mi", Some(Uses(Ok(512 << 20)))).await, ProbeResult::Success);
    assert_eq!(
        check("512Mi", Some(Uses(Ok(612 << 20)))).await,
        ProbeResult::failure("uses 612 MiB, more than 512 MiB")
    );
    assert_eq!(
        check("512Mi", Some(Uses(Ok((512 << 20) + 1)))).await,
        ProbeResult::failure("uses 512.1 MiB, more than 512 MiB")
    );
}

#[tokio::test]
async fn what_cannot_be_told_is_no_failure() {
    for (run, why) in [
        (None, "outside a supervisor"),
        (Some(Uses(Err(io::ErrorKind::Unsupported))), "of this kind"),
        (Some(Uses(Err(io::ErrorKind::PermissionDenied))), "permission denied"),
    ] {
        let result = check("512Mi", run).await;
        assert!(matches!(&result, ProbeResult::Unknown(reason) if reason.contains(why)), "{result:?}");
    }
}

#[test]
fn a_limit_is_a_quantity() {
    for good in [json!("1.5Gi"), json!("500M"), json!(1 << 20), json!(1e9)] {
        assert!(build(good.clone()).is_ok(), "{good}");
    }
    for (wrong, why) in [
        (json!("512MB"), "must be a quantity, such as 512Mi"),
        (json!("512m"), "must be whole bytes"),
        (json!(512), "must be at least 1Mi"),
        (json!("-1Gi"), "must not be negative"),
        (json!("99Ei"), "must be less than 16Ei"),
    ] {
        let mistake = build(wrong.clone()).err().expect("it is a mistake");
        assert!(mistake.path == "max" && mistake.message.starts_with(why), "{wrong}: {mistake:?}");
    }
    assert!(build(json!(true)).is_err());
}

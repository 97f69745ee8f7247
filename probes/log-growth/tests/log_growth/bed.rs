//! A log, a run that writes to it, and a probe that looks.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, ProcessIdentity, RunView, StartError};
use vitald_log::{OnDiskFull, Rotated, RotatingLog, Settings, append};
use vitald_probe_log_growth::LogGrowthProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("logGrowth runs no command")
    }
}

/// A run's main process, and where the run began in its log.
struct Run(ProcessIdentity, u64);

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.0.clone()
    }

    fn log_offset(&self) -> u64 {
        self.1
    }
}

/// A folder with a log, and a process whose log it is.
pub(crate) struct Bed {
    dir: TempDir,
    process: Child,
    log: File,
    offset: u64,
}

impl Bed {
    /// A run that has just begun, in a log where an earlier one has left this.
    pub(crate) fn after(earlier: &str) -> Self {
        let dir = TempDir::new().expect("a folder");
        let (mut log, _) = append(&dir.path().join("web.log")).expect("a log");
        RotatingLog::open(&dir.path().join("web.log"), Settings::default()).expect("a log that is kept");
        log.write_all(earlier.as_bytes()).expect("a line");
        let (log, offset) = append(&dir.path().join("web.log")).expect("the same log");
        let process = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a process");
        Self { dir, process, log, offset }
    }

    pub(crate) fn new() -> Self {
        Self::after("")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&mut self, text: impl AsRef<[u8]>) {
        self.log.write_all(text.as_ref()).expect("a line");
    }

    /// Rotates the log as vitald does, until it has no more bytes than that.
    pub(crate) fn rotate(&self, max_size: u64, max_files: u32) {
        let settings = Settings { max_size, max_files, on_disk_full: OnDiskFull::Keep, sync: false };
        let mut log = RotatingLog::open(&self.path("web.log"), settings).expect("a log");
        let mut done = log.rotate().expect("a rotation");
        assert!(done != Rotated::default(), "there was nothing to rotate");
        while done != Rotated::default() {
            done = log.rotate().expect("a rotation");
        }
    }

    pub(crate) fn build(&self, spec: Value) -> Result<LogGrowthProbe, SpecError> {
        build(spec, Some(&self.path("web.log")), self.dir.path())
    }

    pub(crate) fn probe(&self, spec: Value) -> LogGrowthProbe {
        self.build(spec).expect("a good spec")
    }

    pub(crate) async fn check(&self, probe: &LogGrowthProbe) -> ProbeResult {
        self.check_within(probe, Duration::from_secs(20)).await
    }

    pub(crate) async fn check_within(&self, probe: &LogGrowthProbe, timeout: Duration) -> ProbeResult {
        let run = Run(identity(self.process.id()), self.offset);
        probe.check(&context(timeout, Some(run))).await
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As `vitald check` does.
pub(crate) async fn check_once(spec: Value, dir: &Path) -> ProbeResult {
    let probe = build(spec, None, dir).expect("a good spec");
    probe.check(&context(Duration::from_secs(20), None)).await
}

fn build(spec: Value, log_file: Option<&Path>, dir: &Path) -> Result<LogGrowthProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    let component = ComponentContext {
        working_dir: dir.to_owned(),
        log_file: log_file.map(Path::to_owned),
        ..ComponentContext::default()
    };
    LogGrowthProbe::build(spec, &component)
}

fn context(timeout: Duration, run: Option<Run>) -> CheckContext {
    let run = run.map(|run| Arc::new(run) as Arc<dyn RunView>);
    CheckContext { timeout, run, executor: Arc::new(NoExecutor) }
}

fn identity(pid: u32) -> ProcessIdentity {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let after_name = stat.rsplit_once(')').expect("proc(5)").1;
    ProcessIdentity {
        pid: pid.cast_signed(),
        start_time: after_name.split_whitespace().nth(19).and_then(|t| t.parse().ok()).expect("proc(5)"),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot").trim().to_owned(),
    }
}

#[track_caller]
pub(crate) fn assert_failure(result: &ProbeResult, why: &str) {
    assert!(matches!(result, ProbeResult::Failure(reason) if reason.contains(why)), "{why}: {result:?}");
}

#[track_caller]
pub(crate) fn assert_unknown(result: &ProbeResult, why: &str) {
    assert!(matches!(result, ProbeResult::Unknown(reason) if reason.contains(why)), "{why}: {result:?}");
}

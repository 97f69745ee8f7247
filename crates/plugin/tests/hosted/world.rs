//! A folder of libraries, and who asks them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::registry::{Isolation, Registry};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, Exit, StartError};
use vitald_plugin::{Folder, HostCommand, Limits, Notice, NoticeKind, Options, Plugins};

use crate::build;

/// More than anything here should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The library of `probes.rs`.
pub(crate) fn odd() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build::rust("odd-probes", "0.1.0", include_str!("probes.rs")))
}

/// A folder with libraries; the same one, if its file names say so, is there several times.
pub(crate) fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        install(&dir.path().join(name));
    }
    dir
}

/// Puts the library there, as who replaces one should.
pub(crate) fn install(file: &Path) {
    replace(file, odd());
}

/// The same with another library.
pub(crate) fn replace(file: &Path, with: &Path) {
    let new = file.with_extension("new");
    fs::copy(with, &new).unwrap();
    fs::rename(new, file).unwrap();
}

pub(crate) fn our_host() -> HostCommand {
    HostCommand {
        program: env!("CARGO_BIN_EXE_probe-host").into(),
        name: "vitald".into(),
        args: vec!["__probe-host".into()],
    }
}

/// A program in the place of ours, which speaks whatever it likes.
pub(crate) fn script(script: &str) -> HostCommand {
    let args = ["-c", script].map(Into::into).to_vec();
    HostCommand { program: "/bin/sh".into(), name: "sh".into(), args }
}

/// Libraries that were loaded, and what was told of them.
pub(crate) struct World {
    pub(crate) plugins: Plugins,
    pub(crate) registry: Registry,
    told: Arc<Mutex<Vec<Notice>>>,
}

impl World {
    pub(crate) fn of(dir: &Path) -> Self {
        Self::with(dir, our_host())
    }

    pub(crate) fn with(dir: &Path, host: HostCommand) -> Self {
        Self::limited(dir, host, Limits::default())
    }

    pub(crate) fn limited(dir: &Path, host: HostCommand, limits: Limits) -> Self {
        let told: Arc<Mutex<Vec<Notice>>> = Arc::default();
        let teller = Arc::clone(&told);
        let taken = [("tcpSocket", "a built-in probe")];
        let plugins = Plugins::load(Options {
            folders: vec![Folder::named(dir)],
            allow_unsafe: false,
            host,
            limits,
            taken: taken.map(|(key, what)| (key.to_owned(), what.to_owned())).into(),
            objections: Arc::new(|_, _| Vec::new()),
            tell: Arc::new(move |notice| teller.lock().unwrap().push(notice)),
        })
        .unwrap();
        let mut registry = Registry::new();
        for kind in plugins.kinds() {
            registry.insert(kind).unwrap();
        }
        Self { plugins, registry, told }
    }

    /// A probe in a process of its library.
    pub(crate) fn probe(&self, does: Value) -> Box<dyn HealthProbe> {
        self.build(does, Isolation::Process)
    }

    pub(crate) fn build(&self, does: Value, isolation: Isolation) -> Box<dyn HealthProbe> {
        let config = serde_json::json!({ "does": does });
        self.registry.build("odd", &config, &ComponentContext::default(), isolation).unwrap()
    }

    pub(crate) fn told(&self, kind: NoticeKind) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|notice| notice.kind == kind).map(|notice| notice.text.clone()).collect()
    }

    /// Why the only library is not used.
    pub(crate) fn refusal(&self) -> String {
        let refused = self.plugins.refused();
        assert_eq!(refused.len(), 1, "{refused:?}");
        refused[0].reason.clone()
    }
}

/// Asks a probe, and waits for its answer.
pub(crate) async fn ask(probe: &dyn HealthProbe) -> ProbeResult {
    tokio::time::timeout(PATIENCE, probe.check(&context())).await.expect("no answer")
}

/// Asks a probe, and does not wait for long.
pub(crate) async fn ask_briefly(probe: &dyn HealthProbe) -> Option<ProbeResult> {
    tokio::time::timeout(Duration::from_millis(300), probe.check(&context())).await.ok()
}

/// What is unknown, and why.
#[track_caller]
pub(crate) fn why(result: ProbeResult) -> String {
    match result {
        ProbeResult::Unknown(why) => why,
        other => panic!("{other:?} where it is unknown"),
    }
}

/// `probe 1, check 2, process 3`.
pub(crate) async fn counted(probe: &dyn HealthProbe) -> (u32, u32, i32) {
    let result = ask(probe).await;
    let numbers: Vec<i64> =
        result.message().split(", ").filter_map(|part| part.rsplit_once(' ')?.1.parse().ok()).collect();
    let [probe, check, process] = numbers[..] else { panic!("{result:?}") };
    (probe as u32, check as u32, process as i32)
}

/// Asks until it is answered by a process that counts.
pub(crate) async fn counted_again(probe: &dyn HealthProbe) -> (u32, u32, i32) {
    let since = Instant::now();
    while let ProbeResult::Unknown(why) = ask(probe).await {
        assert!(since.elapsed() < PATIENCE, "still unknown: {why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    counted(probe).await
}

pub(crate) fn context() -> CheckContext {
    CheckContext { timeout: PATIENCE, run: None, executor: Arc::new(Here) }
}

/// Runs commands as they are.
struct Here;

#[async_trait]
impl Executor for Here {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let mut command = tokio::process::Command::new(&request.command[0]);
        let output = command.args(&request.command[1..]).kill_on_drop(true).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(ExecOutput { exit: Exit::Code(output.status.code().unwrap_or(1)), output: text })
    }
}

/// Waits for something to become true.
pub(crate) async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

pub(crate) fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// What the processes that were started for a file are called, by pid.
pub(crate) fn hosts_of(file: &Path) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
        if line.ends_with(&file.display().to_string()) && is_alive(pid) {
            found.insert(pid, line);
        }
    }
    found
}

/// Says why a test cannot be made here. Where everything must be tested, that is a failure.
#[allow(clippy::print_stdout, reason = "the test harness shows it with the test")]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped: {why}");
    println!("skipped: {why}");
}

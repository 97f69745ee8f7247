//! `pid` against real processes.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, ProcessIdentity, RunView, StartError};
use vitald_probe_pid::PidProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("pid runs no command")
    }
}

/// A run of which nothing but the main process is known.
struct RunOf(ProcessIdentity);

#[async_trait]
impl RunView for RunOf {
    fn process(&self) -> ProcessIdentity {
        self.0.clone()
    }

    fn log_offset(&self) -> u64 {
        0
    }
}

fn build(spec: Value, dir: &Path) -> Result<PidProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    PidProbe::build(spec, &ComponentContext { working_dir: dir.to_owned(), ..Default::default() })
}

async fn check_in(dir: &Path, spec: Value, process: Option<ProcessIdentity>) -> ProbeResult {
    let run = process.map(|process| Arc::new(RunOf(process)) as Arc<dyn RunView>);
    let cx = CheckContext { timeout: Duration::from_secs(5), run, executor: Arc::new(NoExecutor) };
    build(spec, dir).expect("a good spec").check(&cx).await
}

async fn check(spec: Value, process: &ProcessIdentity) -> ProbeResult {
    check_in(Path::new("/"), spec, Some(process.clone())).await
}

async fn wait_for(spec: &Value, process: &ProcessIdentity, expected: &ProbeResult) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let seen = check(spec.clone(), process).await;
        if seen == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{spec}: {seen:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A real process, ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("sleep is on PATH"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn identity(&self) -> ProcessIdentity {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a live process");
        let (_, fields) = stat.rsplit_once(") ").expect("proc(5)");
        ProcessIdentity {
            pid: self.pid().try_into().expect("a pid"),
            start_time: fields.split(' ').nth(19).and_then(|f| f.parse().ok()).expect("field 22"),
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot").trim().into(),
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

#[tokio::test]
async fn the_living_process_is_healthy() {
    let sleeper = Sleeper::start();
    assert_eq!(check(json!({}), &sleeper.identity()).await, ProbeResult::Success);
}

#[tokio::test]
async fn a_zombie_and_a_dead_process_are_not() {
    let mut sleeper = Sleeper::start();
    let (identity, pid) = (sleeper.identity(), sleeper.pid());
    sleeper.0.kill().expect("our own child");
    // Not waited for: it stays a zombie, once the kernel has ended it.
    let zombie = ProbeResult::failure(format!("process {pid} (sleep) has ended and is a zombie"));
    wait_for(&json!({}), &identity, &zombie).await;
    sleeper.0.wait().expect("our own child");
    let gone = ProbeResult::failure(format!("process {pid} does not exist"));
    assert_eq!(check(json!({}), &identity).await, gone);
}

#[tokio::test]
async fn another_process_with_the_same_pid_is_not_it() {
    let sleeper = Sleeper::start();
    let (identity, pid) = (sleeper.identity(), sleeper.pid());
    let earlier = ProcessIdentity { start_time: identity.start_time - 1, ..identity.clone() };
    assert_eq!(
        check(json!({}), &earlier).await,
        ProbeResult::failure(format!(
            "process {pid} has ended: its pid now belongs to another one, {pid} (sleep)"
        ))
    );
    let other_boot = ProcessIdentity { boot_id: "another".into(), ..identity };
    assert_eq!(
        check(json!({}), &other_boot).await,
        ProbeResult::failure(format!("process {pid} was started before this boot"))
    );
}

#[tokio::test]
async fn without_a_process_there_is_nothing_to_look_at() {
    let nothing = ProbeResult::unknown("nothing to look at: no process and no pidFile");
    assert_eq!(check_in(Path::new("/"), json!({}), None).await, nothing);
    assert_eq!(check_in(Path::new("/"), json!({"processName": "sleep"}), None).await, nothing);
}

#[tokio::test]
async fn a_pid_file_names_the_process() {
    let (dir, sleeper) = (TempDir::new().expect("a directory"), Sleeper::start());
    let file = dir.path().join("it.pid");
    let check = || check_in(dir.path(), json!({"pidFile": "it.pid", "processName": "sleep"}), None);
    let failure = |text: &str| ProbeResult::failure(text.replace("FILE", &file.display().to_string()));

    assert_eq!(check().await, failure("pid file FILE does not exist"));
    fs::write(&file, "").expect("a file");
    assert_eq!(check().await, failure("pid file FILE is empty"));
    for rubbish in ["abc", "-1", "0", "99999999999"] {
        fs::write(&file, rubbish).expect("a file");
        assert_eq!(check().await, failure(&format!("pid file FILE holds no pid: `{rubbish}`")));
    }
    // As PostgreSQL writes it: more lines follow.
    fs::write(&file, format!("{}\n/var/lib/data\n", sleeper.pid())).expect("a file");
    assert_eq!(check().await, ProbeResult::Success);
    fs::remove_file(&file).and_then(|()| fs::create_dir(&file)).expect("a directory in its place");
    let unreadable =
        ProbeResult::unknown(format!("pid file {} cannot be read: not a regular file", file.display()));
    assert_eq!(check().await, unreadable);

    // A FIFO that nobody writes to; then more than anyone would want to read.
    fs::remove_dir(&file).expect("our own directory");
    assert!(Command::new("mkfifo").arg(&file).status().expect("mkfifo is on PATH").success());
    let result = tokio::time::timeout(Duration::from_secs(10), check()).await;
    assert_eq!(result.expect("no waiting"), unreadable);
    fs::remove_file(&file).expect("our own FIFO");
    File::create(&file).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let result = tokio::time::timeout(Duration::from_secs(10), check()).await.expect("no waiting");
    assert!(result.message().contains("holds no pid: "), "{result:?}");
}

/// Writes a pid file some time ago, which is what a clock set forward looks like, too.
fn write_pid(path: &Path, pid: u32, ago: Duration) {
    fs::write(path, pid.to_string()).expect("a file");
    let file = File::options().append(true).open(path).expect("the file");
    file.set_modified(SystemTime::now() - ago).expect("a time");
}

#[tokio::test]
async fn a_process_that_seems_younger_than_the_pid_file_is_unknown() {
    let (dir, sleeper) = (TempDir::new().expect("a directory"), Sleeper::start());
    let (path, pid) = (dir.path().join("it.pid"), sleeper.pid());
    let check = || check_in(dir.path(), json!({"pidFile": path}), None);
    let unclear = format!(
        "process {pid} (sleep) seems to have started after pid file {} was written: the file is stale, or \
         the clock was set",
        path.display()
    );

    write_pid(&path, pid, Duration::from_millis(500));
    assert_eq!(check().await, ProbeResult::Success);
    write_pid(&path, pid, Duration::from_secs(60));
    assert_eq!(check().await, ProbeResult::unknown(unclear));
}

#[tokio::test]
async fn a_process_is_known_by_comm_program_and_first_argument() {
    let sleeper = Sleeper::start();
    let (identity, pid) = (sleeper.identity(), sleeper.pid());
    assert_eq!(check(json!({"processName": "sleep"}), &identity).await, ProbeResult::Success);
    let result = check(json!({"processName": "nginx"}), &identity).await;
    assert_eq!(result, ProbeResult::failure(format!("process {pid} (sleep) is not `nginx`")));

    // Longer than the 15 bytes that the kernel keeps, and started under another name.
    let dir = TempDir::new().expect("a directory");
    let script = dir.path().join("a-name-of-some-length");
    fs::write(&script, "#!/bin/sh\nread never\n").expect("a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let script = Sleeper(Command::new(&script).stdin(Stdio::piped()).spawn().expect("a shell"));
    // The kernel shows the arguments a moment after the new program has begun.
    for name in ["a-name-of-some-length", "sh"] {
        let spec = json!({"processName": name});
        wait_for(&spec, &script.identity(), &ProbeResult::Success).await;
    }
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(spec, Path::new("/")).err().map(|err| err.to_string()).unwrap_or_default();
    assert_eq!(mistake(json!({"pidFile": ""})), "pidFile: must be a path");
    for name in ["", "/usr/sbin/nginx"] {
        let spec = json!({"processName": name});
        assert_eq!(mistake(spec), "processName: must be a name without a directory");
    }
    assert!(mistake(json!({"pidfile": "a"})).contains("unknown field `pidfile`"));
}

//! Stopping where nothing can be looked at for want of descriptors. In a program of its own: the limit is the
//! whole process's.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use vitald_core::restarter::{Restarter, RunId};
use vitald_core::spec::ProcessSpec;
use vitald_process::{Paths, ProcessRestarter, identity, is_same};

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const DEADLINE: Duration = Duration::from_secs(20);

fn restarter(dir: &Path, script: &str) -> ProcessRestarter {
    let spec = ProcessSpec {
        command: ["/bin/sh", "-c", &script.replace("$$", "$$$$")].map(str::to_owned).to_vec(),
        working_dir: PathBuf::from("/"),
        env: Vec::new(),
        env_from: Vec::new(),
        inherit_env: false,
        run_as_user: None,
        run_as_group: None,
        no_new_privileges: false,
        open_files: None,
        memory_limit: None,
        cpu_limit_millis: None,
    };
    let paths = Paths { log: dir.join("it.log"), lock: dir.join("it.lock") };
    let inherited = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    ProcessRestarter::new("it", &spec, Duration::from_secs(5), paths, inherited, None)
}

fn is_alive(pid: i32) -> bool {
    identity(pid).is_some_and(|identity| is_same(&identity))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One test at a time, with as few descriptors as an ordinary user has on some systems.
async fn alone_with_few() -> tokio::sync::MutexGuard<'static, ()> {
    let alone = ALONE.lock().await;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 256, hard).unwrap();
    alone
}

/// Does something while no descriptor can be opened.
fn without_descriptors<T>(work: impl FnOnce() -> T) -> T {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
    let done = work();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_is_signalled_at_once_and_the_rest_when_it_can_be_found() {
    let _alone = alone_with_few().await;
    let dir = tempfile::TempDir::new().unwrap();
    let script = "trap 'echo asked' TERM; setsid sh -c 'echo $$; exec sleep 1000' & echo $$; \
                  while :; do sleep 0.05; done";
    let run = restarter(dir.path(), script).start(RunId(1)).await.unwrap();
    let log = || fs::read_to_string(dir.path().join("it.log")).unwrap_or_default();
    wait_until("both are running", || log().lines().count() == 2);
    let pids: Vec<i32> = log().lines().map(|line| line.parse().unwrap()).collect();

    let refusal = without_descriptors(|| run.terminate()).unwrap_err();
    assert_eq!(refusal.raw_os_error(), Some(libc::EMFILE));
    wait_until("the group hears SIGTERM", || log().contains("asked"));

    let refusal = without_descriptors(|| run.kill()).unwrap_err();
    assert_eq!(refusal.raw_os_error(), Some(libc::EMFILE));
    tokio::time::timeout(DEADLINE, run.exited()).await.expect("the group is dead");
    tokio::time::timeout(DEADLINE, run.gone()).await.expect("nothing is left, the daemon included");
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_components_start_at_once_with_few_descriptors() {
    let _alone = alone_with_few().await;
    let dirs: Vec<_> = (0..60).map(|_| tempfile::TempDir::new().unwrap()).collect();
    let starts: Vec<_> = dirs
        .iter()
        .map(|dir| {
            let restarter = restarter(dir.path(), "exec sleep 1000");
            tokio::spawn(async move { restarter.start(RunId(1)).await })
        })
        .collect();
    let mut runs = Vec::new();
    let mut refused = Vec::new();
    for start in starts {
        match start.await.unwrap() {
            Ok(run) => runs.push(run),
            Err(err) => refused.push(err.to_string()),
        }
    }
    // Each of them looks at all processes: not one after the other.
    let kills = runs.iter().cloned().map(|run| tokio::task::spawn_blocking(move || run.kill().unwrap()));
    for kill in kills.collect::<Vec<_>>() {
        kill.await.unwrap();
    }
    for run in &runs {
        tokio::time::timeout(DEADLINE, run.gone()).await.unwrap();
    }
    assert_eq!(refused, Vec::<String>::new());
}

//! What concerns this process as a whole: orphans, statuses, descriptors, limits. One test at a time.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vitald_core::restarter::{Adoption, ExecRequest, Executor, Exit, Restarter, RunHandle, RunId};
use vitald_core::spec::ProcessSpec;
use vitald_process::{LocalExecutor, Paths, ProcessRestarter, procfs};

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const DEADLINE: Duration = Duration::from_secs(20);

fn restarter(dir: &TempDir, script: &str) -> ProcessRestarter {
    let spec = ProcessSpec {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
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
    let paths = Paths { log: dir.path().join("it.log"), lock: dir.path().join("it.lock") };
    ProcessRestarter::new("it", &spec, Duration::from_secs(5), paths, BTreeMap::new(), None)
}

async fn eventually(what: &str, mut seen: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(now) = seen() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}; now {now}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn zombies() -> Vec<procfs::Stat> {
    let own = procfs::own_pid();
    procfs::processes().unwrap().into_iter().filter(|p| p.ppid == own && p.is_dead()).collect()
}

async fn no_zombie_is_left() {
    eventually("no zombie is left", || match zombies() {
        none if none.is_empty() => Ok(()),
        some => Err(format!("{some:?}")),
    })
    .await;
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn orphans_fall_to_us_and_are_reaped() {
    let _alone = ALONE.lock().await;
    vitald_process::become_subreaper().unwrap();
    let reaper = vitald_process::spawn_reaper().unwrap();
    let dir = TempDir::new().unwrap();
    let script = "for i in 1 2 3 4 5; do (setsid sh -c 'sleep 0.1; exit 3' &); done; exec sleep 1000";
    let run = restarter(&dir, script).start(RunId(1)).await.unwrap();
    let own = procfs::own_pid();
    let orphans = || procfs::own_children().unwrap().len();
    eventually("the orphans are ours", || if orphans() == 6 { Ok(()) } else { Err(orphans().to_string()) })
        .await;
    eventually("they are gone", || if orphans() == 1 { Ok(()) } else { Err(orphans().to_string()) }).await;
    assert_eq!(procfs::stat(run.process().pid).unwrap().ppid, own, "the run was left alone");
    run.kill().unwrap();
    assert_eq!(run.exited().await, Exit::Signal("SIGKILL".into()));
    run.gone().await;
    no_zombie_is_left().await;
    reaper.abort();
}

#[tokio::test]
async fn no_status_is_stolen() {
    let _alone = ALONE.lock().await;
    vitald_process::become_subreaper().unwrap();
    let reaper = vitald_process::spawn_reaper().unwrap();
    let dir = TempDir::new().unwrap();
    let executor = Arc::new(LocalExecutor::here().unwrap());
    let mut waiting = tokio::task::JoinSet::new();
    for i in 0..40 {
        let script = format!("sleep 0.0{}; exit {i}", i % 10);
        let (executor, script_) = (Arc::clone(&executor), script.clone());
        waiting.spawn(async move {
            let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script_];
            let done = executor.exec(ExecRequest { command, ..ExecRequest::default() }).await.unwrap();
            assert_eq!(done.exit, Exit::Code(i));
        });
        let script_ = script.clone();
        waiting.spawn(async move {
            let status = tokio::process::Command::new("sh").arg("-c").arg(script_).status().await.unwrap();
            assert_eq!(status.code(), Some(i));
        });
        let folder = dir.path().join(i.to_string());
        std::fs::create_dir(&folder).unwrap();
        let dir = TempDir::new_in(folder).unwrap();
        waiting.spawn(async move {
            let run = restarter(&dir, &script).start(RunId(1)).await.unwrap();
            assert_eq!(run.exited().await, Exit::Code(i));
            run.gone().await;
        });
        waiting.spawn_blocking(move || {
            let status =
                std::process::Command::new("sh").arg("-c").arg(format!("exit {i}")).status().unwrap();
            assert_eq!(status.code(), Some(i));
        });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    no_zombie_is_left().await;
    reaper.abort();
}

#[tokio::test]
async fn many_runs_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let dir = TempDir::new().unwrap();
    let restarter = restarter(&dir, "exit 0");
    let once = async |number: u64| {
        let run = restarter.start(RunId(number)).await.unwrap();
        assert_eq!(run.exited().await, Exit::Code(0));
        run.gone().await;
    };
    once(1).await;
    let before = open_descriptors();
    for number in 2..=200 {
        once(number).await;
    }
    assert_eq!(open_descriptors(), before);
    no_zombie_is_left().await;
}

#[tokio::test]
async fn a_run_that_is_dropped_before_its_end_is_reaped_by_the_reaper() {
    let _alone = ALONE.lock().await;
    let reaper = vitald_process::spawn_reaper().unwrap();
    let dir = TempDir::new().unwrap();
    let run: Arc<dyn RunHandle> = restarter(&dir, "sleep 0.2").start(RunId(1)).await.unwrap();
    let pid = run.process().pid;
    drop(run);
    eventually("it is reaped", || procfs::stat(pid).map_or(Ok(()), |stat| Err(stat.describe()))).await;
    tidy(&dir).await;
    reaper.abort();
}

/// Also its cgroup, which nobody saw the end of.
async fn tidy(dir: &TempDir) {
    let left = vitald_process::end_leftovers("it", None, &dir.path().join("it.lock"), DEADLINE).await;
    assert_eq!(left, Ok(Vec::new()));
}

#[tokio::test]
async fn the_status_of_an_adopted_run_that_falls_to_us_is_not_stolen() {
    let _alone = ALONE.lock().await;
    vitald_process::become_subreaper().unwrap();
    let reaper = vitald_process::spawn_reaper().unwrap();
    let dir = TempDir::new().unwrap();
    // Started by nobody that waits: the restarter forgets it, the reaper would reap it.
    let go = dir.path().join("go");
    let script = format!("while ! [ -e {} ]; do sleep 0.02; done; exit 42", go.display());
    let restarter = restarter(&dir, &script);
    let record = restarter.start(RunId(1)).await.unwrap().process();
    let Adoption::Running(run) = restarter.adopt(RunId(1), Some(&record), 0).await.unwrap() else {
        panic!("it runs");
    };
    std::fs::write(go, "").unwrap();
    assert_eq!(run.exited().await, Exit::Code(42));
    // Longer than the reaper lets zombies gather.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(procfs::stat(record.pid).is_some_and(|stat| stat.is_dead()), "it is kept until it is let go");
    run.gone().await;
    no_zombie_is_left().await;
    reaper.abort();
}

#[tokio::test]
async fn our_limit_of_open_files_is_raised_and_theirs_is_not() {
    let _alone = ALONE.lock().await;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 500, hard).unwrap();
    vitald_process::raise_open_files().unwrap();
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    let dir = TempDir::new().unwrap();
    let run = restarter(&dir, "ulimit -Sn; ulimit -Hn").start(RunId(1)).await.unwrap();
    run.exited().await;
    run.gone().await;
    assert_eq!(std::fs::read_to_string(dir.path().join("it.log")).unwrap(), format!("500\n{hard}\n"));
}

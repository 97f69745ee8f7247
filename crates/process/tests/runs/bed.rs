//! A component in a state dir of its own, and ways to look at what became of it.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vitald_core::notify::RunNeeds;
use vitald_core::restarter::{Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError};
use vitald_core::spec::{EnvValue, EnvVar, ProcessSpec};
use vitald_process::{Paths, ProcessRestarter, is_same};

/// Longer than anything takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// For bash: closes all but stdio, the component's lock included.
pub(crate) const CLOSE_ALL: &str =
    "for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ $fd -gt 2 ] && eval \"exec $fd>&-\"; done";

/// One component.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    pub(crate) spec: ProcessSpec,
    pub(crate) inherited: BTreeMap<String, String>,
    pub(crate) previous: Option<ProcessIdentity>,
    pub(crate) grace: Duration,
    pub(crate) needs: RunNeeds,
    runs: AtomicU64,
}

impl Bed {
    /// A component that executes `command`.
    pub(crate) fn new(command: &[&str]) -> Self {
        let spec = ProcessSpec {
            command: command.iter().map(|&word| word.to_owned()).collect(),
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
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        Self {
            dir: TempDir::new().unwrap(),
            spec,
            inherited: BTreeMap::from([path]),
            previous: None,
            grace: Duration::from_secs(5),
            needs: RunNeeds::default(),
            runs: AtomicU64::new(0),
        }
    }

    /// A component that is a shell script.
    pub(crate) fn sh(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", &verbatim(script)])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        let value = EnvValue::Literal(value.to_owned());
        self.spec.env.push(EnvVar { name: name.to_owned(), value });
        self
    }

    /// As a supervisor would build it; a second one is the next supervisor's.
    pub(crate) fn restarter(&self) -> ProcessRestarter {
        let (inherited, previous) = (self.inherited.clone(), self.previous.clone());
        let paths = self.paths();
        ProcessRestarter::new("it", &self.spec, self.grace, paths, inherited, previous).giving(self.needs)
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths { log: self.log_file(), lock: self.path("locks/it.lock") }
    }

    pub(crate) async fn try_start(&self) -> Result<Arc<dyn RunHandle>, StartError> {
        let run = RunId(self.runs.fetch_add(1, Ordering::Relaxed) + 1);
        within("the start", self.restarter().start(run)).await
    }

    pub(crate) async fn start(&self) -> Arc<dyn RunHandle> {
        self.try_start().await.unwrap()
    }

    /// Why it cannot be started.
    pub(crate) async fn refusal(&self) -> String {
        self.try_start().await.err().expect("it was started").to_string()
    }

    /// Runs it to its end, and gives its output.
    pub(crate) async fn output(&self) -> String {
        let run = self.start().await;
        let exit = within("its end", run.exited()).await;
        within("the end of its tree", run.gone()).await;
        assert_eq!(exit, Exit::Code(0), "{}", self.log());
        self.log()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.path("logs/it.log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until the log has so many lines, and gives them as the numbers that they are.
    pub(crate) async fn numbers(&self, count: usize) -> Vec<i32> {
        eventually(&format!("{count} lines in the log"), || self.log().lines().count() >= count).await;
        self.log().lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    /// Its cgroups, in whatever hierarchy: known by its lock file.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let Ok(lock) = fs::metadata(self.path("locks/it.lock")) else { return Vec::new() };
        let start = format!("it.{:x}-{:x}-", lock.dev(), lock.ino());
        let of_it = |dir: &PathBuf| dir.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&start));
        Self::all_cgroups().into_iter().filter(of_it).collect()
    }

    /// All cgroups that supervisors have made.
    pub(crate) fn all_cgroups() -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(" - cgroup"));
        let mut all: Vec<PathBuf> =
            mounts.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
        let mut next = 0;
        while let Some(dir) = all.get(next) {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let below: Vec<_> =
                entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
            all.extend(below);
            next += 1;
        }
        all.retain(|dir| dir.parent().is_some_and(|parent| parent.ends_with("vitald")));
        all
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, mode);
        path
    }
}

/// Cgroups that a run has left are removed; where the test has failed, with what is in them.
impl Drop for Bed {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        for dir in self.cgroups() {
            if !failed {
                // One that is not empty may still be looked at.
                let _ = fs::remove_dir(&dir);
                continue;
            }
            let _ = fs::write(dir.join("cgroup.kill"), "1");
            let deadline = Instant::now() + Duration::from_secs(2);
            while fs::remove_dir(&dir).is_err() && dir.exists() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A future's output, if it comes in time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come within {DEADLINE:?}"))
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process of this pid is alive.
pub(crate) fn is_alive(pid: i32) -> bool {
    vitald_process::identity(pid).is_some_and(|identity| is_same(&identity))
}

/// What a shell is to see as it stands: `$$` would stand for `$`.
pub(crate) fn verbatim(script: &str) -> String {
    script.replace("$$", "$$$$")
}

/// Says why a test cannot be made here. Where everything must be tested, that is a failure.
#[allow(clippy::print_stdout, reason = "the test harness shows it with the test")]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped: {why}");
    println!("skipped: {why}");
}

/// Ends a run, whatever it takes.
pub(crate) async fn clear(run: &Arc<dyn RunHandle>) {
    run.kill().unwrap();
    within("the end of the killed", run.gone()).await;
}

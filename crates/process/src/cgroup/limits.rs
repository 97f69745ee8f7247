//! Limits of memory and processor time, on cgroups of version 2 or 1.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use vitald_core::spec::ProcessSpec;

use super::places::{self, Hierarchy, SUPERVISOR, V2};
use crate::procfs;

/// The usual period of the processor's quota, and a longer one for a share so small that the kernel would
/// refuse it in the usual one; in microseconds.
const PERIOD: u64 = 100_000;
const LONG_PERIOD: u64 = 1_000_000;
const SMALLEST_QUOTA: u64 = 1_000;

/// Rounds of moving what lives where we did.
const MOVES: u32 = 3;

/// Says which controllers a cgroup hands on to those below it.
const CONTROL: &str = "cgroup.subtree_control";

/// What the processes of a run may use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u32>,
}

impl From<&ProcessSpec> for Limits {
    fn from(spec: &ProcessSpec) -> Self {
        Self { memory: spec.memory_limit, cpu_millis: spec.cpu_limit_millis }
    }
}

impl Limits {
    pub(super) fn each(self) -> impl Iterator<Item = Resource> {
        self.memory.map(Resource::Memory).into_iter().chain(self.cpu_millis.map(Resource::Cpu))
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// Bytes.
    Memory(u64),
    /// Thousandths of a processor.
    Cpu(u32),
}

/// Where a limit has been set.
pub(super) enum Set {
    /// On the run's own cgroup.
    OnTree,
    /// On another, of version 1, which the run has to enter.
    OnVersion1(PathBuf),
}

impl Resource {
    pub(crate) fn controller(self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Cpu(_) => "cpu",
        }
    }

    /// For people, as a manifest has it: `memory limit of 512Mi`.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Memory(bytes) => {
                let units = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
                let whole = units.into_iter().find(|(_, size)| bytes != 0 && bytes % size == 0);
                let (unit, size) = whole.unwrap_or(("", 1));
                format!("memory limit of {}{unit}", bytes / size)
            }
            Self::Cpu(millis) if millis % 1000 == 0 => format!("cpu limit of {}", millis / 1000),
            Self::Cpu(millis) => format!("cpu limit of {millis}m"),
        }
    }

    /// Sets it for a run in `tree`, of version 2; where that cannot be, on a cgroup of version 1. The error is
    /// for people.
    pub(super) fn set(self, tree: Option<&Path>, name: &str) -> Result<Set, String> {
        let controller = self.controller();
        let v2 = places::hierarchy(V2);
        if let Some(v2) = v2.filter(|v2| has_word(&v2.base.join("cgroup.controllers"), controller)) {
            let Some(tree) = tree else {
                return Err(format!("no cgroup can be made in {}", v2.base.display()));
            };
            let set = enable(&v2, controller).and_then(|()| self.set_v2(tree));
            return set.map(|()| Set::OnTree);
        }
        match places::hierarchy(controller) {
            Some(v1) => self.set_v1(&v1.of_component(name)).map(Set::OnVersion1),
            None if !places::is_wanted() => Err("VITALD_CGROUPS is off".to_owned()),
            None => Err(format!("this machine offers no cgroup with the {controller} controller")),
        }
    }

    fn set_v2(self, dir: &Path) -> Result<(), String> {
        match self {
            Self::Memory(bytes) => {
                write(&dir.join("memory.max"), bytes)?;
                // Not everywhere there. Without them it swaps, or loses single processes.
                let _ = write(&dir.join("memory.swap.max"), 0);
                let _ = write(&dir.join("memory.oom.group"), 1);
                Ok(())
            }
            Self::Cpu(millis) => {
                let (quota, period) = quota(millis);
                write(&dir.join("cpu.max"), format!("{quota} {period}"))
            }
        }
    }

    fn set_v1(self, dir: &Path) -> Result<PathBuf, String> {
        super::make(dir).map_err(|err| format!("{} cannot be made: {err}", dir.display()))?;
        let result = match self {
            Self::Memory(bytes) => write(&dir.join("memory.limit_in_bytes"), bytes).map(|()| {
                // With swap; only where the kernel counts it.
                let _ = write(&dir.join("memory.memsw.limit_in_bytes"), bytes);
            }),
            Self::Cpu(millis) => {
                let (quota, period) = quota(millis);
                write(&dir.join("cpu.cfs_period_us"), period)
                    .and_then(|()| write(&dir.join("cpu.cfs_quota_us"), quota))
            }
        };
        if result.is_err() {
            let _ = super::remove(dir);
        }
        result.map(|()| dir.to_owned())
    }

    /// Whether it is what the files of a cgroup say.
    pub(super) fn is_set_on(self, dir: &Path) -> bool {
        let read = |file| fs::read_to_string(dir.join(file)).ok().map(|text| text.trim().to_owned());
        match self {
            // The kernel counts in pages.
            Self::Memory(bytes) => ["memory.max", "memory.limit_in_bytes"]
                .into_iter()
                .filter_map(|file| read(file)?.parse().ok())
                .any(|set: u64| set <= bytes && bytes - set < 1 << 16),
            Self::Cpu(millis) => {
                let (quota, period) = quota(millis);
                read("cpu.max").is_some_and(|set| set == format!("{quota} {period}"))
                    || read("cpu.cfs_quota_us").is_some_and(|set| set == quota.to_string())
            }
        }
    }
}

/// Where limits of a controller can be set, for people: tried on a cgroup, and undone.
pub(crate) fn available(resource: Resource) -> Result<String, String> {
    let controller = resource.controller();
    let name = places::name_of("vitald-doctor", &format!("{}-{controller}", procfs::own_pid()));
    let v2 = places::hierarchy(V2);
    let enabled = v2.as_ref().map(|v2| Enabled::before(v2, controller));
    let tree = v2.as_ref().map(|v2| v2.of_component(&name)).filter(|dir| super::make(dir).is_ok());
    let found = resource.set(tree.as_deref(), &name).map(|set| match set {
        Set::OnTree => "cgroup v2".to_owned(),
        Set::OnVersion1(dir) => {
            super::unmake(&dir);
            let base = dir.ancestors().nth(2).unwrap_or(&dir);
            format!("cgroup v1 at {}", base.display())
        }
    });
    if let Some(enabled) = enabled {
        enabled.again();
    }
    if let Some(dir) = tree {
        super::unmake(&dir);
    }
    found
}

/// What had been enabled before a try.
struct Enabled<'a> {
    v2: &'a Hierarchy,
    controller: &'a str,
    in_base: bool,
    in_folder: bool,
    had_leaf: bool,
}

impl<'a> Enabled<'a> {
    fn before(v2: &'a Hierarchy, controller: &'a str) -> Self {
        let has = |dir: &Path| has_word(&dir.join(CONTROL), controller);
        let had_leaf = v2.folder().join(SUPERVISOR).exists();
        Self { v2, controller, in_base: has(&v2.base), in_folder: has(&v2.folder()), had_leaf }
    }

    /// Makes it so again, as far as nobody has come to need it.
    fn again(self) {
        let disable = |dir: &Path| fs::write(dir.join(CONTROL), format!("-{}", self.controller));
        if !self.in_folder {
            let _ = disable(&self.v2.folder());
        }
        if !self.in_base {
            let _ = disable(&self.v2.base);
        }
        let leaf = self.v2.folder().join(SUPERVISOR);
        if !self.had_leaf && leaf.exists() {
            let _ = fs::write(self.v2.base.join("cgroup.procs"), "0");
            let _ = fs::remove_dir(leaf);
        }
    }
}

/// Quota and period that give so much of a processor.
fn quota(millis: u32) -> (u64, u64) {
    let share = |period: u64| u64::from(millis) * period / 1000;
    match share(PERIOD) {
        small if small < SMALLEST_QUOTA => (share(LONG_PERIOD).max(SMALLEST_QUOTA), LONG_PERIOD),
        usual => (usual, PERIOD),
    }
}

/// Lets the cgroups in our folder have a controller.
fn enable(v2: &Hierarchy, controller: &str) -> Result<(), String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = v2.folder();
    for dir in [&v2.base, &folder] {
        let control = dir.join(CONTROL);
        if has_word(&control, controller) {
            continue;
        }
        let enabled = match fs::write(&control, format!("+{controller}")) {
            // A cgroup with processes of its own hands on no controllers.
            Err(err) if err.kind() == io::ErrorKind::ResourceBusy && dir == &v2.base => {
                make_room(v2).and_then(|()| fs::write(&control, format!("+{controller}")))
            }
            result => result,
        };
        enabled.map_err(|err| {
            format!("the {controller} controller cannot be enabled in {}: {err}", dir.display())
        })?;
    }
    Ok(())
}

/// Moves us, and what we have started there, into a leaf of our own, if nobody else is where we are. Commands of
/// probes and hooks live where we do.
fn make_room(v2: &Hierarchy) -> io::Result<()> {
    if !are_ours(&super::members_of(&v2.base)?)? {
        return Err(io::Error::other("other processes are in that cgroup"));
    }
    let leaf = v2.folder().join(SUPERVISOR);
    fs::create_dir_all(&leaf)?;
    let procs = leaf.join("cgroup.procs");
    fs::write(&procs, "0")?;
    // What is forked from now on is in the leaf, unless it is forked by one of these.
    for _ in 0..MOVES {
        for pid in super::members_of(&v2.base)? {
            // It may have ended.
            let _ = fs::write(&procs, pid.to_string());
        }
    }
    Ok(())
}

/// Whether all of these descend from us, as far as they are still there.
fn are_ours(pids: &[i32]) -> io::Result<bool> {
    if pids.is_empty() {
        return Ok(true);
    }
    let parents: BTreeMap<i32, i32> = procfs::processes()?.into_iter().map(|p| (p.pid, p.ppid)).collect();
    let descends = |pid: &i32| {
        let mut line = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        !parents.contains_key(pid) || line.any(|ancestor| ancestor == procfs::own_pid())
    };
    Ok(pids.iter().all(descends))
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_ascii_whitespace().any(|w| w == word))
}

fn write(file: &Path, value: impl ToString) -> Result<(), String> {
    fs::write(file, value.to_string()).map_err(|err| format!("{} cannot be set: {err}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_a_manifest_has_them() {
        let told = [
            Resource::Memory(512 << 20),
            Resource::Memory(3 << 30),
            Resource::Memory(1000),
            Resource::Cpu(500),
            Resource::Cpu(2000),
        ]
        .map(Resource::describe);
        let expected = [
            "memory limit of 512Mi",
            "memory limit of 3Gi",
            "memory limit of 1000",
            "cpu limit of 500m",
            "cpu limit of 2",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_share_becomes_a_quota_that_the_kernel_takes() {
        assert_eq!(quota(500), (50_000, PERIOD));
        assert_eq!(quota(2000), (200_000, PERIOD));
        assert_eq!(quota(5), (5_000, LONG_PERIOD));
        assert_eq!(quota(0), (1_000, LONG_PERIOD));
    }

    #[test]
    fn limits_are_read_back_as_they_were_set() {
        let dir = tempfile::tempdir().unwrap();
        for limit in [Resource::Memory(64 << 20), Resource::Cpu(250)] {
            assert!(!limit.is_set_on(dir.path()));
            limit.set_v2(dir.path()).unwrap();
            assert!(limit.is_set_on(dir.path()));
        }
        let read = |file| fs::read_to_string(dir.path().join(file)).unwrap();
        assert_eq!((read("memory.swap.max"), read("memory.oom.group")), ("0".into(), "1".into()));
        assert_eq!((read("memory.max"), read("cpu.max")), ("67108864".into(), "25000 100000".into()));
        assert!(!Resource::Memory(128 << 20).is_set_on(dir.path()));
        assert!(!Resource::Cpu(500).is_set_on(dir.path()));
    }

    /// A cgroup that hands on a controller may hold no processes, and this process is in one. So: in a process
    /// of its own, in a cgroup of its own.
    #[test]
    fn room_is_made_for_a_controller_and_given_back() {
        if std::env::var_os(ALONE).is_some() {
            return alone();
        }
        let Some(v2) = places::hierarchy(V2) else { return };
        let own = v2.base.join(format!("vitald-limits-{}", procfs::own_pid()));
        let controllers = fs::read_to_string(v2.base.join("cgroup.controllers")).unwrap_or_default();
        let Some(controller) = controllers.split_ascii_whitespace().next() else { return };
        let control = v2.base.join(CONTROL);
        let had = has_word(&control, controller);
        if fs::create_dir(&own).is_err() || fs::write(&control, format!("+{controller}")).is_err() {
            let _ = fs::remove_dir(own);
            return;
        }
        let output = std::process::Command::new("sh")
            .args(["-c", "echo $$ >$0/cgroup.procs && exec \"$@\""])
            .arg(&own)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "cgroup::limits::tests::room_is_made_for_a_controller_and_given_back"])
            .env(ALONE, controller)
            .output()
            .unwrap();
        let _ = crate::cgroup::remove(&own);
        if !had {
            let _ = fs::write(&control, format!("-{controller}"));
        }
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    const ALONE: &str = "VITALD_TEST_ALONE_WITH";

    fn alone() {
        let controller = std::env::var(ALONE).unwrap();
        let v2 = places::hierarchy(V2).unwrap();
        // An orphan.
        let script = "sleep 1000 >/dev/null 2>&1 & echo $!";
        let other = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
        let other = String::from_utf8_lossy(&other.stdout).trim().parse().unwrap();
        let mut command = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let before = Enabled::before(&v2, &controller);
        super::super::make(&v2.folder()).unwrap();
        let refused = enable(&v2, &controller).unwrap_err();
        assert!(refused.contains("other processes are in that cgroup"), "{refused}");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(other), nix::sys::signal::Signal::SIGKILL).unwrap();
        while procfs::stat(other).is_some_and(|stat| !stat.is_dead()) {
            std::thread::yield_now();
        }
        enable(&v2, &controller).unwrap();
        assert!(has_word(&v2.folder().join(CONTROL), &controller));
        assert_eq!(places::dir_of(procfs::own_pid(), V2), Some(v2.folder().join(SUPERVISOR)));
        assert_eq!(places::dir_of(command.id().cast_signed(), V2), Some(v2.folder().join(SUPERVISOR)));
        command.kill().unwrap();
        command.wait().unwrap();
        assert_eq!(places::hierarchy(V2).as_ref(), Some(&v2), "it is the same place that is meant");
        before.again();
        assert_eq!(places::dir_of(procfs::own_pid(), V2), Some(v2.base.clone()));
        assert!(!has_word(&v2.base.join(CONTROL), &controller));
        assert!(!v2.folder().join(SUPERVISOR).exists());
    }
}

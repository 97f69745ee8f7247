//! What this machine offers, tried out: for `vitald doctor`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource as Rlimit, getrlimit};
use nix::unistd::geteuid;
use vitald_core::restarter::StartError;

use crate::cgroup::{self, Cage, Entrance, Limits, Resource, V2};
use crate::environment::Environment;
use crate::launch::{Launch, ProcessSettings};
use crate::{pidfd, procfs, spawn};

/// Something that a machine may offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// What it is called: `cgroup v2`.
    pub name: &'static str,
    /// Whether it is there and works.
    pub available: bool,
    /// What was found: where it is, or why it does not work.
    pub found: String,
    /// What is degraded where it is missing, in a sentence.
    pub without_it: String,
}

/// Fewer open files than this are soon too few for a supervisor of many components.
const FEW_FILES: u64 = 4096;

/// A process of ours that does what it is to do takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Tries everything out, and leaves nothing behind. Blocks for a moment.
pub fn capabilities() -> Vec<Capability> {
    // What is made for a try goes by the number of this process: one thread after the other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let capability = |name, tried: Result<String, String>, without_it: &str| Capability {
        name,
        available: tried.is_ok(),
        found: tried.unwrap_or_else(|why| why),
        without_it: without_it.to_owned(),
    };
    vec![
        capability("/proc", own_proc(), "no process can be told from any other: vitald does not work"),
        capability("pidfd", pidfds(), "no process can be watched or signalled safely: vitald does not work"),
        capability(
            "exit status of adopted processes",
            exit_status(),
            "how a component ended that an earlier supervisor started is known only while it is a zombie, else \
             reported as unknown",
        ),
        capability(
            "cgroup v2",
            cgroups(),
            "a process that leaves session, parent, environment and descriptors behind escapes a stop, and a \
             fork bomb may not be caught",
        ),
        capability(
            "memory limits",
            cgroup::available(Resource::Memory(64 << 20)),
            "`resources.limits.memory` is not enforced, and running out of memory not told apart from other kills",
        ),
        capability(
            "cpu limits",
            cgroup::available(Resource::Cpu(500)),
            "`resources.limits.cpu` is not enforced",
        ),
        capability(
            "subreaper",
            subreaper(),
            "orphans of components fall to init, and it is init's business to reap them",
        ),
        capability(
            "all processes visible",
            visible(),
            "what other users' processes belong to cannot be told, and they may escape a stop",
        ),
        capability("open files", open_files(), "a supervisor of many components may run out of descriptors"),
        capability(
            "close_range",
            spawn::has_close_range().then(|| "works".to_owned()).ok_or_else(|| "refused".to_owned()),
            "starting a component takes a little longer",
        ),
        capability(
            "switching users",
            if geteuid().is_root() {
                Ok("we are root".to_owned())
            } else {
                Err("we are not root".to_owned())
            },
            "`securityContext.runAsUser` can name nobody but the supervisor's own user",
        ),
    ]
}

fn own_proc() -> Result<String, String> {
    procfs::check_own().map(|()| "shows our own pid namespace".to_owned()).map_err(|err| err.to_string())
}

fn pidfds() -> Result<String, String> {
    pidfd::open(procfs::own_pid()).map(|_| "works".to_owned()).map_err(|err| err.to_string())
}

fn exit_status() -> Result<String, String> {
    let told = |err: std::io::Error| err.to_string();
    let mut child = Command::new("/bin/sh").args(["-c", "exit 42"]).spawn().map_err(told)?;
    let held = pidfd::open(child.id().cast_signed());
    child.wait().map_err(told)?;
    match pidfd::wait_status(&held.map_err(told)?) {
        Some(status) if libc::WEXITSTATUS(status) == 42 => Ok("told by their pidfd".to_owned()),
        _ => Err("the kernel does not tell: PIDFD_GET_INFO needs Linux 6.15 or later".to_owned()),
    }
}

fn cgroups() -> Result<String, String> {
    if !cgroup::is_wanted() {
        return Err("VITALD_CGROUPS is off".to_owned());
    }
    let Some(v2) = cgroup::hierarchy(V2) else {
        return Err("none is mounted where we can see our own place in it".to_owned());
    };
    let name = cgroup::name_of("vitald-doctor", &format!("{}-tree", procfs::own_pid()));
    let dir = v2.of_component(&name);
    cgroup::make(&dir).map_err(|err| format!("no cgroup can be made in {}: {err}", v2.base.display()))?;
    let cage = Cage::make(&name, Limits::default());
    let result = try_cage(&cage, &dir).map(|how| format!("at {}, {how}", v2.base.display()));
    let _ = cage.kill();
    cgroup::unmake(&dir);
    result
}

/// Starts a process in it, and ends it there.
fn try_cage(cage: &Cage, dir: &Path) -> Result<String, String> {
    let born = start(Entrance { tree: None, ..cage.entrance() });
    let (process, entered) = match born {
        Ok(process) if lives_in(cage, process.pid()) => (process, "entered at birth"),
        _ => (start(cage.entrance())?, "entered before the program begins"),
    };
    if !lives_in(cage, process.pid()) {
        return Err(format!("{} cannot be entered", dir.display()));
    }
    cage.kill().map_err(|err| format!("what is in {} cannot be ended: {err}", dir.display()))?;
    let deadline = Instant::now() + PATIENCE;
    while procfs::stat(process.pid()).is_some_and(|stat| !stat.is_dead()) {
        if Instant::now() > deadline {
            return Err(format!("what is in {} does not end", dir.display()));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let ended = if dir.join("cgroup.kill").exists() { "cgroup.kill" } else { "freezing and killing" };
    Ok(format!("{entered}, ended by {ended}"))
}

fn lives_in(cage: &Cage, pid: i32) -> bool {
    cage.members().is_ok_and(|members| members.contains(&pid))
}

/// A process that does nothing.
fn start(cage: Entrance) -> Result<spawn::Newborn, String> {
    let (_, output) = std::io::pipe().map_err(|err| err.to_string())?;
    let environment = Environment::new();
    let settings = ProcessSettings::default();
    let command = ["/bin/sh", "-c", "kill -STOP $$$$"].map(str::to_owned);
    let launch = Launch {
        command: &command,
        pid_variables: &[],
        environment: &environment,
        dir: &PathBuf::from("/"),
        settings: &settings,
        user: None,
        output: output.into(),
        lock: None,
        lock_note: Vec::new(),
        cage,
    };
    launch.start().map_err(|err: StartError| err.to_string())
}

fn subreaper() -> Result<String, String> {
    use nix::sys::prctl::{get_child_subreaper, set_child_subreaper};
    let before = get_child_subreaper().map_err(|err| err.desc().to_owned())?;
    set_child_subreaper(true).map_err(|err| err.desc().to_owned())?;
    set_child_subreaper(before).map_err(|err| err.desc().to_owned())?;
    Ok(if std::process::id() == 1 { "works, and we are PID 1" } else { "works" }.to_owned())
}

fn visible() -> Result<String, String> {
    procfs::check_own().map_err(|err| err.to_string())?;
    match procfs::stat(1) {
        Some(_) => Ok("/proc shows those of others, too".to_owned()),
        None => Err("/proc hides those of others (hidepid)".to_owned()),
    }
}

fn open_files() -> Result<String, String> {
    let (soft, hard) = getrlimit(Rlimit::RLIMIT_NOFILE).map_err(|err| err.desc().to_owned())?;
    let found = format!("{soft} at first, {hard} at most");
    if hard >= FEW_FILES { Ok(found) } else { Err(found) }
}

//! Control groups: who is in one cannot leave it by forking, and all of it can be ended at once.
//! cgroups(7), and `Documentation/admin-guide/cgroup-v2.rst` of the kernel.
//!
//! A run lives in `vitald/NAME.INSTANCE` below the cgroup that the supervisor was started in, entered at its
//! birth; INSTANCE is that of the component's lock file, so that no two components of this machine meet.
//! Limits are set there, too, or, where the machine has its controllers under version 1, on a cgroup of the
//! same name in their hierarchies. Nothing is at a fixed path: the mounts are those of
//! `/proc/self/mountinfo`.
//!
//! With `VITALD_CGROUPS=off` in our environment none of this is done.

mod cage;
mod limits;
mod memory;
mod places;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags};

use crate::pidfd::Pinned;
use crate::procfs;

pub(crate) use cage::{Cage, Entrance};
pub(crate) use limits::{Limits, Resource, available};
pub(crate) use places::{V2, hierarchy, instance_of, is_wanted, name_of};

const MAKE_TRIES: u32 = 10;
/// How long the killed may take until their cgroup can be removed.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(10);
/// Rounds of killing all in a frozen cgroup.
const ROUNDS: u32 = 50;

/// A cgroup, with those below it. One that is made anew under the same name is another: the next run's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    /// Tells it from all others there have been. `None` if it was not there.
    inode: Option<u64>,
}

/// The way to a cgroup, whatever is done to its name meanwhile.
struct Held {
    path: PathBuf,
    _folder: OwnedFd,
}

impl Cgroup {
    /// The one that is there now.
    pub(crate) fn at(dir: PathBuf) -> Self {
        let inode = fs::metadata(&dir).ok().map(|folder| folder.ino());
        Self { dir, inode }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// `None` if it is gone, whatever has its name by now.
    fn hold(&self) -> io::Result<Option<Held>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&self.dir, flags, Mode::empty()).map_err(io::Error::from) {
            Ok(folder) => folder,
            Err(err) if is_gone(&err) => return Ok(None),
            Err(err) => return Err(err),
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let is_it = self.inode == Some(rustix::fs::fstat(&folder)?.st_ino);
        Ok(is_it.then_some(Held { path, _folder: folder }))
    }

    /// The processes in it. None if it is gone.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let Some(held) = self.hold()? else { return Ok(Vec::new()) };
        held.members()
    }

    /// Whether anything lives in it.
    pub(crate) fn is_populated(&self) -> bool {
        let Ok(Some(held)) = self.hold() else { return false };
        let events = fs::read_to_string(held.path.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// Ends all that is in it by SIGKILL, what is being forked included.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let Some(held) = self.hold()? else { return Ok(()) };
        // A component may have started us: then it is for the caller to end the others one by one.
        if places::dir_of(procfs::own_pid(), V2).is_some_and(|own| own.starts_with(&self.dir)) {
            return Err(io::Error::other("we live in there"));
        }
        match fs::write(held.path.join("cgroup.kill"), "1") {
            // Linux 5.14 has it first.
            Err(_) if held.path.join("cgroup.freeze").exists() => held.kill_frozen(),
            Err(err) if is_gone(&err) => Ok(()),
            result => result,
        }
    }

    /// Removes it with those below. The last of its processes may take a moment to be gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self.hold()? {
            Some(_) => remove(&self.dir),
            None => Ok(()),
        }
    }
}

impl Held {
    fn members(&self) -> io::Result<Vec<i32>> {
        let mut all = Vec::new();
        for dir in with_those_below(&self.path) {
            all.extend(members_of(&dir)?);
        }
        Ok(all)
    }

    /// What is frozen does not fork, and dies all the same.
    fn kill_frozen(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), "1")?;
        let result = (0..ROUNDS).try_for_each(|_| {
            for pid in self.members()? {
                if let Some(stat) = procfs::read_stat(pid)?
                    && let Some(pinned) = Pinned::open(&stat)?
                {
                    pinned.signal(Signal::SIGKILL)?;
                }
            }
            Ok(())
        });
        result.and(fs::write(self.path.join("cgroup.freeze"), "0"))
    }
}

/// A cgroup, of whichever version, and those below it; parents first.
fn with_those_below(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let below: Vec<PathBuf> =
            entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
        all.extend(below);
        next += 1;
    }
    all
}

/// Makes a cgroup, of whichever version, and the folder it is in.
pub(crate) fn make(dir: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::create_dir_all(dir) {
            // Somebody has just found the folder empty, and removed it.
            Err(err) if is_gone(&err) && tries < MAKE_TRIES => {}
            result => return result,
        }
    }
}

/// Removes what was made for a try only: the folder, too, if nobody else has anything there.
pub(crate) fn unmake(dir: &Path) {
    let _ = remove(dir);
    let _ = dir.parent().map(fs::remove_dir);
}

/// Removes a cgroup, of whichever version, with those below it.
fn remove(dir: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        let all = with_those_below(dir);
        let result = all.iter().rev().try_for_each(|dir| match fs::remove_dir(dir) {
            Err(err) if !is_gone(&err) => Err(err),
            _ => Ok(()),
        });
        tries += 1;
        match result {
            Err(err) if err.kind() == io::ErrorKind::ResourceBusy && tries < REMOVE_TRIES => {
                thread::sleep(REMOVE_PAUSE);
            }
            result => return result,
        }
    }
}

fn members_of(dir: &Path) -> io::Result<Vec<i32>> {
    let list = match fs::read_to_string(dir.join("cgroup.procs")) {
        Ok(list) => list,
        Err(err) if is_gone(&err) => return Ok(Vec::new()),
        // One that holds threads of processes, which are listed further up.
        Err(err) if err.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    // 0 stands for what cannot be seen from here.
    let pids = list.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0);
    Ok(pids.filter(|pid| *pid != procfs::own_pid()).collect())
}

/// Whether this says that there is no such cgroup any more.
fn is_gone(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What stands in for cgroup.kill on Linux before 5.14.
    #[test]
    fn what_is_frozen_can_be_killed() {
        let name = name_of("vitald-tests", &procfs::own_pid().to_string());
        let Some(dir) = hierarchy(V2).map(|v2| v2.of_component(&name)) else { return };
        let inner = dir.join("inner");
        if make(&inner).is_err() {
            return;
        }
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let entered = fs::write(inner.join("cgroup.procs"), child.id().to_string());
        let cgroup = Cgroup::at(dir.clone());
        if entered.is_ok() {
            assert_eq!(cgroup.members().unwrap(), [child.id().cast_signed()]);
            assert!(cgroup.is_populated());
            cgroup.hold().unwrap().unwrap().kill_frozen().unwrap();
        }
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(cgroup.members().unwrap(), Vec::<i32>::new());
        cgroup.remove().unwrap();
        assert!(!dir.exists());
        assert_eq!(cgroup.members().unwrap(), Vec::<i32>::new(), "gone is empty");
        cgroup.kill().unwrap();
        make(&dir).unwrap();
        cgroup.remove().unwrap();
        assert!(dir.exists(), "another of the same name is not this one");
        assert!(cgroup.hold().unwrap().is_none());
        fs::remove_dir(dir).unwrap();
    }
}

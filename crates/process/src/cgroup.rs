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
mod places;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

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

/// A cgroup of version 2, with those below it.
///
/// It is held open: a later run's has the same name, and what is done to one that has been removed, such as
/// the end of a start that nobody wanted any more, must not reach that one.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    /// `None` where there was none when we looked.
    open: Option<Arc<OwnedFd>>,
}

impl PartialEq for Cgroup {
    fn eq(&self, other: &Self) -> bool {
        self.dir == other.dir
    }
}

impl Cgroup {
    pub(crate) fn at(dir: PathBuf) -> Self {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let open = OpenOptions::new().read(true).custom_flags(flags).open(&dir);
        Self { dir, open: open.ok().map(|dir| Arc::new(dir.into())) }
    }

    /// The way to this one, whatever has its name by now.
    fn here(&self) -> PathBuf {
        match &self.open {
            Some(open) => PathBuf::from(format!("/proc/self/fd/{}/.", open.as_raw_fd())),
            None => self.dir.clone(),
        }
    }

    /// Whether it still has its name.
    fn is_there(&self) -> bool {
        let inode = |dir: &Path| fs::metadata(dir).map(|dir| dir.ino()).ok();
        self.open.is_none() || inode(&self.here()).is_some_and(|here| Some(here) == inode(&self.dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The processes in it. None if it is gone.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let mut all = Vec::new();
        for dir in self.with_those_below() {
            all.extend(members_of(&dir)?);
        }
        Ok(all)
    }

    /// Whether anything lives in it.
    pub(crate) fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.here().join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// Ends all that is in it by SIGKILL, what is being forked included.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match fs::write(self.here().join("cgroup.kill"), "1") {
            // Linux 5.14 has it first.
            Err(_) if self.here().join("cgroup.freeze").exists() => self.kill_frozen(),
            Err(err) if is_gone(&err) => Ok(()),
            result => result,
        }
    }

    /// What is frozen does not fork, and dies all the same.
    fn kill_frozen(&self) -> io::Result<()> {
        fs::write(self.here().join("cgroup.freeze"), "1")?;
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
        result.and(fs::write(self.here().join("cgroup.freeze"), "0"))
    }

    /// Removes it with those below. The last of its processes may take a moment to be gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.is_there() { remove(&self.dir) } else { Ok(()) }
    }

    fn with_those_below(&self) -> Vec<PathBuf> {
        with_those_below(&self.here())
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
            cgroup.kill_frozen().unwrap();
        }
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(cgroup.members().unwrap(), Vec::<i32>::new());
        cgroup.remove().unwrap();
        assert!(!dir.exists());
        assert_eq!(cgroup.members().unwrap(), Vec::<i32>::new(), "gone is empty");
        cgroup.kill().unwrap();
    }

    #[test]
    fn one_that_was_removed_is_not_the_next_of_its_name() {
        let name = name_of("vitald-tests-next", &procfs::own_pid().to_string());
        let Some(dir) = hierarchy(V2).map(|v2| v2.of_component(&name)) else { return };
        if make(&dir).is_err() {
            return;
        }
        let earlier = Cgroup::at(dir.clone());
        earlier.remove().unwrap();
        make(&dir).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        if fs::write(dir.join("cgroup.procs"), child.id().to_string()).is_ok() {
            let next = Cgroup::at(dir.clone());
            assert!(next.is_populated() && !earlier.is_populated());
            assert_eq!(earlier.members().unwrap(), Vec::<i32>::new());
            earlier.kill().unwrap();
            earlier.remove().unwrap();
            assert_eq!(next.members().unwrap(), [child.id().cast_signed()]);
            assert!(child.try_wait().unwrap().is_none(), "it was not meant");
            next.kill().unwrap();
        }
        let _ = child.kill();
        child.wait().unwrap();
        Cgroup::at(dir).remove().unwrap();
    }
}

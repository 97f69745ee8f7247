//! The locks that processes hold: `/proc/PID/fdinfo`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether a process holds the exclusive flock(2) of a file: a copy of the very description that was locked.
/// To have the file open is not enough. The file is that of a device and inode, and called `name`.
///
/// Only descriptors of that name are looked at any further: one on a dead network filesystem would never
/// answer.
pub fn holds_lock(pid: i32, name: &OsStr, device: u64, inode: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().map(|entry| entry.path()).any(|link| {
        fs::read_link(&link).is_ok_and(|file| file.file_name() == Some(name))
            && link.file_name().is_some_and(|number| is_locked(pid, number))
            && fs::metadata(&link).is_ok_and(|file| file.dev() == device && file.ino() == inode)
    })
}

/// The files on which a process holds an exclusive flock(2), as it opened them.
pub(crate) fn locked_files(pid: i32) -> Vec<PathBuf> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = descriptors.flatten().map(|entry| entry.path());
    let locked = links.filter(|link| link.file_name().is_some_and(|number| is_locked(pid, number)));
    locked.filter_map(|link| fs::read_link(link).ok()).collect()
}

/// Whether there is an exclusive flock on the description that a descriptor names. `/proc/PID/fdinfo/FD` tells
/// of those of this description alone, whoever took them: `lock:⇥1: FLOCK  ADVISORY  WRITE 42 08:01:7 0 EOF`.
fn is_locked(pid: i32, descriptor: &OsStr) -> bool {
    let info = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(descriptor);
    fs::read_to_string(info).is_ok_and(|info| {
        info.lines().filter_map(|line| line.strip_prefix("lock:")).any(|lock| {
            let mut words = lock.split_ascii_whitespace().skip(1);
            words.next() == Some("FLOCK") && words.nth(1) == Some("WRITE")
        })
    })
}

//! A component's lock: flock(2) on a description that only the component inherits.
//!
//! The lock belongs to the open description, not to a process, so it is held for as long as anything
//! lives that was forked from the component and has not closed it, whoever its parent is by then.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::io::fcntl_dupfd_cloexec;
use vitald_core::restarter::RunId;

use crate::procfs::{self, Stat};

/// Scripts use the low descriptors for themselves (`exec 9>file`), which would drop the lock.
const OUT_OF_THE_WAY: i32 = 100;

/// A lock file, whoever holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    born: u128,
}

/// What came of trying to lock.
pub(crate) enum Attempt {
    /// It is ours, for as long as this description or a copy is open.
    Locked(OwnedFd),
    /// Something else holds it.
    Held,
}

impl LockFile {
    /// Opens the lock file, and makes it and its folder where they are missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let metadata = open(path)?.metadata()?;
        let born = metadata.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            born: born.map_or(0, |t| t.as_nanos()),
        })
    }

    /// Names the file among all files of this machine: a copied state dir has other ones, and so has one
    /// that was deleted and made again.
    pub(crate) fn instance(&self) -> String {
        format!("{:x}-{:x}-{:x}", self.device, self.inode, self.born)
    }

    /// The last run that was about to execute its program, as it noted itself.
    pub(crate) fn noted(&self) -> Option<RunId> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        text.lines().next()?.trim().parse().ok().map(RunId)
    }

    /// Tries to lock; never waits.
    pub(crate) fn try_lock(&self) -> io::Result<Attempt> {
        let file = open(&self.path)?;
        match file.try_lock() {
            Ok(()) => Ok(Attempt::Locked(fcntl_dupfd_cloexec(&file, OUT_OF_THE_WAY).unwrap_or(file.into()))),
            Err(TryLockError::WouldBlock) => Ok(Attempt::Held),
            Err(TryLockError::Error(err)) => Err(err),
        }
    }

    /// Whether anything holds it.
    pub(crate) fn is_held(&self) -> bool {
        // A shared lock, so that two who only look are not in each other's way.
        open(&self.path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether a process holds it.
    pub(crate) fn is_held_by(&self, process: &Stat) -> bool {
        self.path
            .file_name()
            .is_some_and(|name| procfs::holds_lock(process.pid, name, self.device, self.inode))
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Names a component's lock file among all files of this machine, and makes it where it is missing: whose a
/// component is that carries this name.
///
/// # Errors
/// The file or its folder cannot be made or opened.
pub fn instance_of(lock: &Path) -> io::Result<String> {
    LockFile::open(lock).map(|lock| lock.instance())
}

/// What a run notes in its lock file; always as long, so that it covers the one before.
pub(crate) fn note(run: RunId) -> Vec<u8> {
    format!("{:<20}\n", run.0).into_bytes()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

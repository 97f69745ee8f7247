//! A thread that keeps all logs of a folder: notices growth, rotates, notes times, watches limits.

mod kept;
mod left;
mod work;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::event::EventfdFlags;

use crate::error::LogError;
use crate::rotate::{Finding, Rotated, Settings};
use work::Work;

/// What holds for all logs of a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// All logs take at most so many bytes on the disk; the oldest archives go first. `None`: no limit.
    pub max_total: Option<u64>,
}

/// Something that people may want to know.
#[derive(Debug)]
pub enum Notice {
    /// A log was rotated.
    Rotated {
        /// Its name.
        name: String,
        /// What that did.
        rotated: Rotated,
    },
    /// There is no room to rotate a log. It grows on, and is tried again; told once until there is.
    DiskFull {
        /// Its name.
        name: String,
        /// Bytes that an archive needs.
        needed: u64,
    },
    /// There is room again.
    RoomAgain {
        /// The log's name.
        name: String,
    },
    /// An archive was removed because of `max_total` or a full disk.
    Dropped {
        /// The log's name.
        name: String,
        /// Bytes of the archive.
        bytes: u64,
        /// Why.
        why: Shortage,
    },
    /// There is hardly any room for anything on the disk of the folder. Told once until there is.
    FolderFull,
    /// There is room again on the disk of the folder.
    FolderFreed,
    /// Somebody else has done something to a log.
    Found {
        /// Its name.
        name: String,
        /// What.
        finding: Finding,
    },
    /// A log cannot be kept at present. It is tried again; told once until it works.
    Failed {
        /// Its name.
        name: String,
        /// Why.
        error: LogError,
    },
}

/// Why an archive had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// All logs together take as much as [`Policy::max_total`] allows.
    Total,
    /// The disk is full.
    Disk,
}

pub(crate) enum Command {
    Keep(String, Settings),
    Forget(String),
    Stop,
}

/// Keeps the logs of a folder until it is dropped.
///
/// Asleep while nobody writes. A log that is written to wakes it once, and is then looked at from time to
/// time (every 20 ms to 1 s, the more often the faster it grows) until it is quiet again: what a writer
/// does costs nothing in between, however fast it is.
#[derive(Debug)]
pub struct Keeper {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to keep the logs of an existing folder, none at first. `tell` is called on the keeper's thread, and
    /// must not wait.
    ///
    /// # Errors
    /// inotify(7) or eventfd(2) are not to be had, or the folder cannot be watched.
    pub fn start(
        folder: &Path,
        policy: Policy,
        tell: impl FnMut(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let wake = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (commands, received) = channel();
        let mut work = Work::new(folder, policy, Box::new(tell), received, Arc::clone(&wake))?;
        let thread = std::thread::Builder::new().name("logs".into()).spawn(move || work.run())?;
        Ok(Self { commands, wake, thread: Some(thread) })
    }

    /// Keeps `NAME.log`, which need not exist yet, or changes how it is kept.
    pub fn keep(&self, name: &str, settings: Settings) {
        self.send(Command::Keep(name.to_owned(), settings));
    }

    /// Leaves `NAME.log` alone from now on. Its files stay.
    pub fn forget(&self, name: &str) {
        self.send(Command::Forget(name.to_owned()));
    }

    fn send(&self, command: Command) {
        // The thread ends only with the keeper.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Keeper {
    /// Finishes a rotation under way.
    fn drop(&mut self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! Waiting for logs to grow, be made, be cut or be replaced.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{CreateFlags, WatchFlags};

use crate::log_file;

/// File systems such as NFS tell nothing of what others write: look now and then anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// Tells when something happens in a folder.
pub(crate) struct FolderWatch {
    /// `None` where inotify(7) is not to be had.
    inotify: Option<OwnedFd>,
}

impl FolderWatch {
    pub(crate) fn new(folder: &Path) -> Self {
        let watch = || -> rustix::io::Result<OwnedFd> {
            let inotify = rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
            rustix::fs::inotify::add_watch(&inotify, folder, what)?;
            Ok(inotify)
        };
        Self { inotify: watch().ok() }
    }

    /// Waits until something may have happened. Blocks: whoever follows logs does nothing else.
    pub(crate) fn changed(&self) {
        let Some(inotify) = &self.inotify else { return std::thread::sleep(LOOK_ANYWAY / 5) };
        let timeout = Timespec::try_from(LOOK_ANYWAY).ok();
        // An error is an interruption: looking once too often does no harm.
        let _ = rustix::event::poll(&mut [PollFd::new(inotify, PollFlags::IN)], timeout.as_ref());
        // What happened does not matter; only that it is read.
        let mut events = [0; 16 * 1024];
        while rustix::io::read(inotify, &mut events).is_ok_and(|length| length > 0) {}
    }
}

/// A log that is being followed.
pub(crate) struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// Up to where it has been read.
    position: u64,
}

impl Follower {
    /// Goes on from `position` in a file that may not exist yet.
    pub(crate) fn new(path: PathBuf, file: Option<File>, position: u64) -> Self {
        Self { path, file, position }
    }

    /// Reads what has come since. A file that has shrunk, or is another one now, is read from its beginning.
    ///
    /// # Errors
    /// The file cannot be read, or `take` fails.
    pub(crate) fn read<E: From<io::Error>>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.drain(&mut take)?;
        if self.is_replaced() {
            self.file = File::open(&self.path).ok();
            self.position = 0;
            self.drain(&mut take)?;
        }
        Ok(())
    }

    fn drain<E: From<io::Error>>(&mut self, take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let length = file.metadata()?.len();
        if length < self.position {
            self.position = 0;
        }
        log_file::read_range(file, self.position..length, take)?;
        self.position = length;
        Ok(())
    }

    fn is_replaced(&self) -> bool {
        let Ok(named) = std::fs::metadata(&self.path) else { return false };
        let own = self.file.as_ref().and_then(|file| file.metadata().ok());
        own.is_none_or(|own| (own.dev(), own.ino()) != (named.dev(), named.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn news(follower: &mut Follower) -> String {
        let mut bytes = Vec::new();
        follower
            .read(|block| {
                bytes.extend_from_slice(block);
                Ok::<_, io::Error>(())
            })
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_log_is_followed_through_all_it_may_go_through() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        let watch = FolderWatch::new(dir.path());
        let mut follower = Follower::new(path.clone(), None, 0);
        assert_eq!(news(&mut follower), "");

        let mut log = File::options().append(true).create(true).open(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        watch.changed();
        assert_eq!(news(&mut follower), "one\n");
        log.write_all(b"two\n").unwrap();
        assert_eq!(news(&mut follower), "two\n");

        log.set_len(0).unwrap();
        log.write_all(b"3\n").unwrap();
        assert_eq!(news(&mut follower), "3\n");

        log.write_all(b"last\n").unwrap();
        std::fs::rename(&path, dir.path().join("web.log.1")).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert_eq!(news(&mut follower), "last\nnew\n");
    }
}

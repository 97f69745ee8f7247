//! Waiting until something happens to logs.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags};

/// File systems over a network tell nothing of what others write: there one has to look now and then.
const LOOK_ANYWAY: Duration = Duration::from_millis(500);

/// Their numbers: NFS, CIFS, SMB2, SMB, 9p, FUSE, Ceph, AFS. statfs(2).
const REMOTE: [u32; 8] =
    [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x0102_1997, 0x6573_5546, 0x00c3_6400, 0x5346_414f];

/// Tells when something happens in a folder of logs: for those who follow them. Make it before reading what there
/// is, and what is written meanwhile is not missed.
#[derive(Debug)]
pub struct FolderWatch {
    /// `None` where inotify(7) is not to be had.
    inotify: Option<OwnedFd>,
    is_remote: bool,
}

impl FolderWatch {
    /// Watches a folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let watch = || -> io::Result<OwnedFd> {
            let inotify = inotify()?;
            let what = WatchFlags::MODIFY
                | WatchFlags::CREATE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE;
            rustix::fs::inotify::add_watch(&inotify, folder, what)?;
            Ok(inotify)
        };
        Self { inotify: watch().ok(), is_remote: is_remote(folder) }
    }

    /// Waits until something may have happened, or `at_most` so long. Blocks.
    pub fn wait(&self, at_most: Option<Duration>) {
        self.wait_beside(&[], at_most);
    }

    /// The same, or until one of these has what is asked of it.
    pub fn wait_beside(&self, others: &[PollFd<'_>], at_most: Option<Duration>) {
        let at_most = match &self.inotify {
            Some(_) if !self.is_remote => at_most,
            _ => Some(at_most.unwrap_or(LOOK_ANYWAY).min(LOOK_ANYWAY)),
        };
        let timeout = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut polled = others.to_vec();
        polled.extend(self.inotify.as_ref().map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        // An error is an interruption: looking once too often does no harm.
        let _ = rustix::event::poll(&mut polled, timeout.as_ref());
        if let Some(inotify) = &self.inotify {
            drain(inotify, |_| {});
        }
    }
}

/// A new inotify(7) instance.
pub(crate) fn inotify() -> io::Result<OwnedFd> {
    Ok(rustix::fs::inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// Takes all events that have come.
pub(crate) fn drain(inotify: &OwnedFd, mut take: impl FnMut(&rustix::fs::inotify::Event<'_>)) {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut events = Reader::new(inotify, &mut buffer);
    while let Ok(event) = events.next() {
        take(&event);
    }
}

/// Whether others may change files there without this machine noticing.
fn is_remote(folder: &Path) -> bool {
    // The numbers have 32 bits, whatever the type in which they are told.
    rustix::fs::statfs(folder).is_ok_and(|about| REMOTE.contains(&(about.f_type as u32)))
}

//! The main process of a run that an earlier supervisor began: held by a pidfd, and usually no child of
//! ours.
//!
//! The kernel tells its end to us as to its parent. How it ended it tells its parent alone, but for two
//! ways around: a zombie's line in `/proc`, and, once it has been reaped, the pidfd itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::unix::AsyncFd;
use tokio::sync::OnceCell;
use vitald_core::restarter::{Exit, ProcessIdentity};

use crate::pidfd::{self, Pinned};
use crate::{procfs, reaper, signal};

/// How often it is asked how a process ended that is known to have ended. A debugger may hear it first, and
/// its parent may take a while to reap what we may not look into.
const TRIES: u32 = 10;

/// A process that somebody else started. Should it be or become our child, as of a subreaper, it is reaped
/// by us and stays a zombie until [`reap`](Self::reap).
pub(crate) struct Adopted {
    identity: ProcessIdentity,
    /// `None` if it was gone when we came.
    pidfd: Option<AsyncFd<OwnedFd>>,
    exit: OnceCell<Exit>,
}

impl Adopted {
    /// Takes charge of the process of this identity, alive or a zombie. `None` if it is gone, whoever has its
    /// pid by now. Must be called within a tokio runtime.
    pub(crate) fn open(identity: &ProcessIdentity) -> io::Result<Option<Self>> {
        if identity.boot_id != procfs::boot_id() {
            return Ok(None);
        }
        let mut registered = reaper::registered();
        let Some(pinned) = Pinned::open_as(identity.pid, identity.start_time)? else { return Ok(None) };
        let pidfd = pidfd::watch(pinned.into_fd())?;
        registered.adopt(identity);
        Ok(Some(Self { identity: identity.clone(), pidfd: Some(pidfd), exit: OnceCell::new() }))
    }

    /// Stands for one that has gone without leaving its status to us.
    pub(crate) fn gone(identity: &ProcessIdentity) -> Self {
        Self { identity: identity.clone(), pidfd: None, exit: OnceCell::new_with(Some(Exit::Unknown)) }
    }

    pub(crate) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Waits for its end. May be awaited by many, and again.
    pub(crate) async fn exited(&self) -> Exit {
        let wait = async {
            let Some(fd) = &self.pidfd else { return Exit::Unknown };
            pidfd::wait_readable(fd).await;
            for _ in 0..TRIES {
                if let Some(exit) = self.status(fd.get_ref()) {
                    return exit;
                }
                tokio::time::sleep(pidfd::RETRY).await;
            }
            Exit::Unknown
        };
        self.exit.get_or_init(|| wait).await.clone()
    }

    /// Whether it has ended.
    pub(crate) fn has_exited(&self) -> bool {
        self.pidfd.as_ref().is_none_or(|fd| self.exit.initialized() || pidfd::has_ended(fd.get_ref()))
    }

    /// How it ended; `None` where that cannot be told yet.
    fn status(&self, fd: &OwnedFd) -> Option<Exit> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error says that it is no child of ours.
        if let Ok(status) = waitid(WaitId::PidFd(fd.as_fd()), look) {
            return status.map(|status| signal::exit_of(&status));
        }
        if let Some(status) = pidfd::wait_status(fd) {
            return Some(signal::exit_of_wait(status));
        }
        match procfs::stat_of(&self.identity) {
            Some(zombie) if zombie.is_dead() => {
                let known = zombie.wait_status != 0 || procfs::may_know_end(zombie.pid);
                known.then(|| signal::exit_of_wait(zombie.wait_status))
            }
            Some(_) => None,
            // Reaped meanwhile: now or never.
            None => Some(pidfd::wait_status(fd).map_or(Exit::Unknown, signal::exit_of_wait)),
        }
    }

    /// Sends a signal to its group, for as long as the process is there, be it as a zombie.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let Some(fd) = self.pidfd.as_ref().filter(|_| self.is_there()) else { return Ok(()) };
        match pidfd::signal_group(fd.get_ref(), signal) {
            Err(err) if err.kind() == io::ErrorKind::Unsupported => {}
            result => return result,
        }
        match killpg(Pid::from_raw(self.identity.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// Whether its pid, group and session are still its own.
    pub(crate) fn is_there(&self) -> bool {
        self.pidfd.is_some() && procfs::stat_of(&self.identity).is_some()
    }

    /// Lets go of it once it has ended; reaps it, should it be ours to reap.
    pub(crate) fn reap(&self) {
        let Some(fd) = self.pidfd.as_ref().filter(|_| self.has_exited()) else { return };
        let mut registered = reaper::registered();
        let _ = waitid(WaitId::PidFd(fd.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        registered.release(&self.identity);
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.reap();
        if self.pidfd.is_some() {
            reaper::registered().release(&self.identity);
        }
    }
}

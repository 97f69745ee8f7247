//! A process that we started, from its birth until it has been reaped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::unix::AsyncFd;
use tokio::sync::OnceCell;
use vitald_core::restarter::{Exit, ProcessIdentity};

use crate::spawn::Newborn;
use crate::{pidfd, procfs, reaper, signal};

/// A child of ours, the leader of its own session and group.
///
/// Until [`reap`](Self::reap), it remains as a zombie when it has ended: its pid names no other process,
/// its group no other group. When this is dropped, one that has ended is reaped, and one that lives is
/// left to live and to be reaped by the [reaper].
pub(crate) struct Child {
    identity: ProcessIdentity,
    pidfd: AsyncFd<OwnedFd>,
    exit: OnceCell<Exit>,
    reaped: Mutex<bool>,
}

impl Child {
    /// Takes over a child that has just been forked and registered. Must be called within a tokio runtime.
    pub(crate) fn new(newborn: Newborn) -> io::Result<Self> {
        // Nobody has reaped it, so this is its own line, even if it has ended by now.
        let identity =
            procfs::identity(newborn.pid()).ok_or_else(|| io::Error::other("/proc does not show it"))?;
        let pidfd = pidfd::watch(newborn.pidfd()?)?;
        newborn.keep();
        Ok(Self { identity, pidfd, exit: OnceCell::new(), reaped: Mutex::new(false) })
    }

    pub(crate) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Waits for its end; leaves the zombie. May be awaited by many, and again.
    pub(crate) async fn exited(&self) -> Exit {
        let wait = async {
            loop {
                pidfd::wait_readable(&self.pidfd).await;
                match self.status(WaitIdOptions::NOWAIT) {
                    Some(exit) => return exit,
                    // Its end is told, but its status goes to a debugger first: ptrace(2).
                    None => tokio::time::sleep(pidfd::RETRY).await,
                }
            }
        };
        self.exit.get_or_init(|| wait).await.clone()
    }

    /// Whether it has ended.
    pub(crate) fn has_exited(&self) -> bool {
        self.exit.initialized() || self.status(WaitIdOptions::NOWAIT).is_some()
    }

    /// How it ended; `None` while it lives. Where another has taken the status, or SIGCHLD is ignored, it
    /// cannot be known.
    fn status(&self, how: WaitIdOptions) -> Option<Exit> {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Some(self.exit.get().cloned().unwrap_or(Exit::Unknown));
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how;
        match waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), options) {
            Ok(status) => status.map(|status| signal::exit_of(&status)),
            Err(_) => Some(Exit::Unknown),
        }
    }

    /// Sends a signal to its group, if there still is one.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Ok(());
        }
        match killpg(Pid::from_raw(self.identity.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// Whether its pid, group and session may have passed to others.
    pub(crate) fn is_reaped(&self) -> bool {
        *self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps it, if it has ended. Tells whether that is done.
    pub(crate) fn reap(&self) -> bool {
        let Some(exit) = self.status(WaitIdOptions::NOWAIT) else { return false };
        // Kept for those who ask for the first time after this. Fails if it is known already.
        let _ = self.exit.set(exit);
        let mut registered = reaper::registered();
        let mut reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            self.wait_now();
            registered.remove(self.identity.pid);
            *reaped = true;
        }
        true
    }

    fn wait_now(&self) {
        let fd = self.pidfd.get_ref().as_fd();
        let _ = waitid(WaitId::PidFd(fd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut registered = reaper::registered();
        if !self.is_reaped() {
            self.wait_now();
            registered.remove(self.identity.pid);
        }
    }
}

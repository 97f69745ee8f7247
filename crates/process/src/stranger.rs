//! A process that others started.

use std::io;

use nix::sys::signal::Signal;
use vitald_core::restarter::{Exit, ProcessIdentity};

use crate::adopted::Adopted;
use crate::pidfd::Pinned;

/// A process that others started, held so that its end is told at once, and a signal reaches it or nobody.
pub struct Stranger(Adopted);

impl Stranger {
    /// Takes hold of the process of this identity. `None` if it is gone, whoever has its pid by now. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// That cannot be told.
    pub fn open(identity: &ProcessIdentity) -> io::Result<Option<Self>> {
        Ok(Adopted::open(identity)?.map(Self))
    }

    /// Which one it is.
    pub fn identity(&self) -> &ProcessIdentity {
        self.0.identity()
    }

    /// Waits for its end. How it ended is told where the kernel tells it to others than its parent. May be awaited
    /// by many, and again.
    pub async fn exited(&self) -> Exit {
        self.0.exited().await
    }

    /// Whether it has ended.
    pub fn has_exited(&self) -> bool {
        self.0.has_exited()
    }

    /// Ends it by SIGKILL, and no other process.
    ///
    /// # Errors
    /// The signal could not be sent.
    pub fn kill(&self) -> io::Result<()> {
        let identity = self.0.identity();
        match Pinned::open_as(identity.pid, identity.start_time)? {
            Some(pinned) => pinned.signal(Signal::SIGKILL),
            None => Ok(()),
        }
    }
}

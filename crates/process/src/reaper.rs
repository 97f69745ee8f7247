//! Our children: which are waited for, and the reaping of those that nobody waits for.
//!
//! As a subreaper (prctl(2)) we become the parent of every orphan among our descendants, and must reap
//! it. `waitpid(-1)` would do that, and steal the exit status of children that somebody waits for. So a
//! zombie child is reaped here only if both hold:
//!
//! - it is not registered. All that this crate starts is registered under the same lock that is held over
//!   its fork, and stays so until its own [`Child`](crate::child::Child) has reaped it; so is what has been
//!   [taken over](crate::adopted::Adopted) and may fall to us;
//! - it is in another session than ours. What other code of this process starts (`tokio::process`,
//!   `std::process`) is in ours, unless it was made to leave, and is left alone.
//!
//! So an orphan of our own session is not reaped here. All that is started has a session of its own but the
//! processes of custom probes' libraries: who has started one of these reaps what it leaves to us.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use vitald_core::restarter::ProcessIdentity;

use crate::procfs::{self, Stat};

static REGISTERED: Mutex<Registered> =
    Mutex::new(Registered { children: BTreeSet::new(), adopted: BTreeSet::new() });

/// The processes that somebody waits for.
#[derive(Clone)]
pub(crate) struct Registered {
    /// Started by us: their pids are their own until we have reaped them.
    children: BTreeSet<i32>,
    /// Taken over, with their start times: where they are not our children, their pids may pass on before
    /// we hear of it.
    adopted: BTreeSet<(i32, u64)>,
}

impl Registered {
    pub(crate) fn insert(&mut self, child: i32) {
        self.children.insert(child);
    }

    pub(crate) fn remove(&mut self, child: i32) {
        self.children.remove(&child);
    }

    pub(crate) fn adopt(&mut self, process: &ProcessIdentity) {
        self.adopted.insert((process.pid, process.start_time));
    }

    pub(crate) fn release(&mut self, process: &ProcessIdentity) {
        self.adopted.remove(&(process.pid, process.start_time));
    }

    /// Whether it is one that we started, without a look at it.
    fn has_child(&self, pid: i32) -> bool {
        self.children.contains(&pid)
    }

    pub(crate) fn has(&self, process: &Stat) -> bool {
        self.children.contains(&process.pid) || self.adopted.contains(&(process.pid, process.start_time))
    }
}

/// Zombies gather for this long before they are looked for; each look costs a little.
const GATHER: Duration = Duration::from_millis(50);

/// Those that somebody waits for. While it is held, no child is forked, and none is reaped.
pub(crate) fn registered() -> MutexGuard<'static, Registered> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes orphaned descendants fall to this process and not to init. prctl(2), PR_SET_CHILD_SUBREAPER.
///
/// # Errors
/// The kernel refuses.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Reaps, from now on, the orphans that fell to us, and no child that somebody waits for. Must be called
/// within a tokio runtime.
///
/// # Errors
/// SIGCHLD cannot be listened for.
pub fn spawn_reaper() -> io::Result<JoinHandle<()>> {
    let mut ended = signal(SignalKind::child())?;
    Ok(tokio::spawn(async move {
        loop {
            // A failed look is made good by the next one.
            let _ = reap_orphans();
            if ended.recv().await.is_none() {
                return;
            }
            tokio::time::sleep(GATHER).await;
        }
    }))
}

fn reap_orphans() -> io::Result<()> {
    let session = procfs::stat(procfs::own_pid()).map(|own| own.session);
    for pid in procfs::own_children()? {
        let registered = registered();
        if registered.has_child(pid) {
            continue;
        }
        // Nobody but us can reap it, so that what is read here stays true until it is reaped.
        let Some(child) = procfs::stat(pid) else { continue };
        if !registered.has(&child)
            && child.is_dead()
            && child.ppid == procfs::own_pid()
            && Some(child.session) != session
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
    Ok(())
}

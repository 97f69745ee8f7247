//! What an earlier supervisor left running under a component's name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vitald_core::restarter::{ProcessIdentity, StartError};

use crate::launch::system;
use crate::lock::{Attempt, LockFile};
use crate::mark;
use crate::procfs::{self, Stat};
use crate::tree::{Root, Tree};

/// How long the killed may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// How long a lock may be held by nobody that can be seen. A child of ours holds copies of all our
/// descriptors for the moment between fork and exec.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Ends what a supervisor that has died left running of a component: SIGTERM and SIGCONT, SIGKILL after
/// `grace`. `previous` is the main process that it recorded, `lock` the component's lock file. Gives what there
/// was, for people.
///
/// # Errors
/// Something could not be ended; it is named.
pub async fn end_leftovers(
    component: &str,
    previous: Option<ProcessIdentity>,
    lock: &Path,
    grace: Duration,
) -> Result<Vec<String>, StartError> {
    let lock = LockFile::open(lock).map_err(|err| system("opening the component's lock", err))?;
    let left = tree(component, previous.clone(), &lock).survivors();
    end(component, previous, &lock, grace).await?;
    Ok(left)
}

/// Ends what is left of a component's earlier runs: SIGTERM and SIGCONT, SIGKILL after `grace`.
///
/// These are the main process that an earlier supervisor recorded, if it is still the same, what descends
/// from it, what carries the component's mark, and what holds its lock.
pub(crate) async fn end(
    component: &str,
    previous: Option<ProcessIdentity>,
    lock: &LockFile,
    grace: Duration,
) -> Result<(), StartError> {
    let tree = Arc::new(tree(component, previous, lock));
    let looking = |err| system("looking for what an earlier run left", err);
    if tree.members().map_err(looking)?.is_empty() {
        return Ok(());
    }
    let refused = |err| {
        let left = tree.survivors().join(", ");
        StartError::Occupied(format!("{left} is left of an earlier run, and cannot be signalled: {err}"))
    };
    tree.terminate().map_err(refused)?;
    if timeout(grace, tree.empty()).await.is_ok() {
        return Ok(());
    }
    tree.kill().map_err(refused)?;
    timeout(AFTER_KILL, tree.empty()).await.map_err(|_| {
        let left = tree.survivors().join(", ");
        StartError::Occupied(format!("{left} is left of an earlier run, and SIGKILL does not end it"))
    })
}

fn tree(component: &str, previous: Option<ProcessIdentity>, lock: &LockFile) -> Tree {
    let mark = mark::entries(&mark::of_component(component, &lock.instance()));
    Tree::new(Root::Stranger(previous), mark, Some(lock.clone()))
}

/// Takes the lock, which is free or about to be.
pub(crate) async fn take_lock(lock: &LockFile) -> Result<std::os::fd::OwnedFd, StartError> {
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock().map_err(|err| system("taking the component's lock", err))? {
            Attempt::Locked(fd) => return Ok(fd),
            Attempt::Held if tokio::time::Instant::now() < deadline => tokio::time::sleep(LOCK_RETRY).await,
            Attempt::Held => return Err(held(lock)),
        }
    }
}

fn held(lock: &LockFile) -> StartError {
    let path = lock.path().display();
    let own = procfs::own_pid();
    let all = procfs::processes().unwrap_or_default();
    let holders: Vec<String> =
        all.iter().filter(|p| p.pid != own && lock.is_open_in(p)).map(Stat::describe).collect();
    StartError::Occupied(if holders.is_empty() {
        format!("{path} is locked by a process that cannot be seen from here")
    } else {
        format!("{path} is locked by {}", holders.join(", "))
    })
}

//! What an earlier supervisor left running under a component's name.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use vitald_core::restarter::{ProcessIdentity, StartError};

use crate::cgroup::Cage;
use crate::launch::system;
use crate::lock::{Attempt, LockFile};
use crate::procfs::{self, Stat};
use crate::restarter::blocking;
use crate::root::Root;
use crate::scan::Scan;
use crate::tree::{Tree, Whole};
use crate::{cgroup, mark, occupant};

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
    let (path, name, recorded) = (lock.to_owned(), component.to_owned(), previous.clone());
    let (lock, left) = blocking(move || {
        let lock = LockFile::open(&path).map_err(|err| system("opening the component's lock", err))?;
        let left = tree(&name, recorded, &lock, true).survivors();
        Ok((lock, left))
    })
    .await?;
    end(component, previous, &lock, true, grace).await?;
    Ok(left)
}

/// Ends what is left of a component's earlier runs: SIGTERM and SIGCONT, SIGKILL after `grace`.
///
/// These are the main process that an earlier supervisor recorded, if it is still the same, what descends
/// from it, what lives in the component's cgroup, what carries its mark, and, with `ask_lock`, what holds its lock. A lock that is our
/// own already tells nothing of others.
pub(crate) async fn end(
    component: &str,
    previous: Option<ProcessIdentity>,
    lock: &LockFile,
    ask_lock: bool,
    grace: Duration,
) -> Result<(), StartError> {
    let (component, lock) = (component.to_owned(), lock.clone());
    let tree = blocking(move || {
        let holder = previous.as_ref().and_then(|p| occupant::of_another(p, &component, &lock));
        match holder {
            Some(holder) => Err(StartError::Occupied(holder)),
            None => Ok(Arc::new(tree(&component, previous, &lock, ask_lock))),
        }
    })
    .await?;
    end_tree(&tree, grace).await?;
    blocking(move || {
        tree.remove_cage();
        Ok(())
    })
    .await
}

async fn end_tree(tree: &Arc<Tree>, grace: Duration) -> Result<(), StartError> {
    if look(tree).await?.is_empty() {
        return Ok(());
    }
    if let Err(err) = on_its_own(tree, Tree::terminate).await? {
        refused(&look(tree).await?, &err)?;
    }
    if timeout(grace, tree.empty()).await.is_ok() {
        return Ok(());
    }
    if let Err(err) = on_its_own(tree, Tree::kill).await? {
        refused(&look(tree).await?, &err)?;
    }
    if timeout(AFTER_KILL, tree.empty()).await.is_ok() {
        return Ok(());
    }
    let left = look(tree).await?;
    if left.is_empty() {
        return Ok(());
    }
    let left = names(&left);
    Err(StartError::Occupied(format!("{left} is left of an earlier run, and SIGKILL does not end it")))
}

/// An error that names what is left, if anything is.
fn refused(left: &[Stat], err: &io::Error) -> Result<(), StartError> {
    if left.is_empty() {
        return Ok(());
    }
    let left = names(left);
    Err(StartError::Occupied(format!("{left} is left of an earlier run, and cannot be signalled: {err}")))
}

fn names(processes: &[Stat]) -> String {
    processes.iter().map(Stat::describe).collect::<Vec<_>>().join(", ")
}

async fn look(tree: &Arc<Tree>) -> Result<Vec<Stat>, StartError> {
    on_its_own(tree, Tree::members).await?.map_err(|err| system("looking for what an earlier run left", err))
}

/// Does something with a tree that blocks.
async fn on_its_own<T: Send + 'static>(
    tree: &Arc<Tree>,
    work: impl FnOnce(&Tree) -> io::Result<T> + Send + 'static,
) -> Result<io::Result<T>, StartError> {
    let tree = Arc::clone(tree);
    blocking(move || Ok(work(&tree))).await
}

fn tree(component: &str, previous: Option<ProcessIdentity>, lock: &LockFile, ask_lock: bool) -> Tree {
    let mark = mark::entries(&mark::of_component(component, &lock.instance()));
    let cage = Arc::new(Cage::find(&cgroup::name_of(component, &lock.instance())));
    Tree::new(
        Root::Stranger(previous),
        Whole { mark, lock: ask_lock.then(|| lock.clone()), cage, any_age: true },
    )
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
    let all = Scan::from_now().map(|scan| scan.all.clone()).unwrap_or_default();
    let holders: Vec<String> =
        all.iter().filter(|p| p.pid != own && lock.is_held_by(p)).map(|p| p.describe()).collect();
    StartError::Occupied(if holders.is_empty() {
        format!("{path} is locked by a process that cannot be seen from here")
    } else {
        format!("{path} is locked by {}", holders.join(", "))
    })
}

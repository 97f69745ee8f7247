//! Who runs under a component's name, for people.

use vitald_core::restarter::ProcessIdentity;

use crate::lock::LockFile;
use crate::{cgroup, mark, procfs};

/// A recorded process that is alive, and which lock file it holds: `4242 (sleep), which holds
/// locks/web.lock`. In a copied state dir that is the lock of the original.
pub fn holder_of(process: &ProcessIdentity) -> Option<String> {
    let stat = procfs::stat_of(process).filter(|stat| !stat.is_dead())?;
    let who = format!("{} ({})", stat.pid, stat.comm);
    let locks = procfs::locked_files(stat.pid);
    let lock = locks.iter().find(|file| file.extension().is_some_and(|extension| extension == "lock"));
    // Not one that is gone meanwhile, and was another.
    procfs::stat_of(process)?;
    Some(match lock {
        Some(lock) => format!("{who}, which holds {}", lock.display()),
        None => who,
    })
}

/// A recorded process that is alive and belongs to another supervisor's component of the same name, by its
/// own account; for people.
pub(crate) fn of_another(process: &ProcessIdentity, component: &str, lock: &LockFile) -> Option<String> {
    let holder = holder_of(process)?;
    let variable = |name| procfs::variable(process.pid, name);
    // By its cgroup only where it has cleared its environment: it may live in that of a component whose
    // supervisor runs others of that name in turn.
    let instance = match variable(mark::COMPONENT) {
        Some(name) => variable(mark::INSTANCE).filter(|_| name == component),
        None => cgroup::instance_of(process.pid, component),
    };
    (instance? != lock.instance()).then_some(holder)
}

//! What a check has left behind in a process group of its own: when that ends, it falls to this process if it is a
//! subreaper, and nobody waits for it.
//!
//! The only processes that this one starts in its own session, but in another group, are those of libraries. So a
//! zombie child of our session that is in neither our group nor one of theirs is such a stray.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::offspring::is_proc_ours;

/// How often they are looked for while there are libraries.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// The leaders of groups that somebody waits for. While it is held, no process of a library is started or reaped.
pub(crate) fn leaders() -> MutexGuard<'static, BTreeSet<i32>> {
    static LEADERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps them.
pub(crate) fn reap() {
    let Some(own) = stat("self") else { return };
    let waited_for = leaders();
    for pid in children().unwrap_or_default() {
        // Nobody but us can reap it, so that what is read here stays true until it is reaped.
        let is_stray = stat(&pid.to_string()).is_some_and(|child| {
            child.is_dead
                && child.session == own.session
                && child.group != own.group
                && !waited_for.contains(&child.group)
        });
        if let Some(pid) = Pid::from_raw(pid).filter(|_| is_stray) {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

struct Stat {
    is_dead: bool,
    group: i32,
    session: i32,
}

/// State, group and session: what follows the name in parentheses in `/proc/PID/stat`. Group and session are 0 where
/// their leader is in another pid namespace: who is started in a container from outside is in such ones.
fn stat(pid: &str) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let is_dead = words.next()? == "Z";
    let (_parent, group, session) = (words.next()?, words.next()?, words.next()?);
    Some(Stat { is_dead, group: group.parse().ok()?, session: session.parse().ok()? })
}

/// Our children, as far as the kernel tells (CONFIG_PROC_CHILDREN).
fn children() -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    if !is_proc_ours() {
        return Ok(children);
    }
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may just have ended.
        let list = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(children)
}

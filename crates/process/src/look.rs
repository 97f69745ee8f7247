//! One look at all processes.

use std::collections::BTreeSet;
use std::io;

use crate::procfs::{self, Stat};
use crate::reaper;

/// One look at all processes.
pub(crate) struct Look {
    pub(crate) all: Vec<Stat>,
    own: i32,
    own_session: Option<i32>,
    waited_for: reaper::Registered,
    oldest: u64,
}

impl Look {
    pub(crate) fn new((oldest, root): (u64, Option<i32>)) -> io::Result<Self> {
        let all = procfs::processes()?;
        let own = procfs::own_pid();
        let mut waited_for = reaper::registered().clone();
        waited_for.forget(root);
        let own_session = all.iter().find(|p| p.pid == own).map(|p| p.session);
        Ok(Self { all, own, own_session, waited_for, oldest })
    }

    /// Adds processes that may not have been there at the look; gives those that are there.
    pub(crate) fn include(&mut self, pids: Vec<i32>) -> io::Result<BTreeSet<i32>> {
        let seen: BTreeSet<i32> = self.all.iter().map(|p| p.pid).collect();
        let mut included = BTreeSet::new();
        for pid in pids {
            if !seen.contains(&pid) {
                let Some(stat) = procfs::read_stat(pid)? else { continue };
                self.all.push(stat);
            }
            included.insert(pid);
        }
        Ok(included)
    }

    /// Neither we, nor init, nor a child of ours that is something else, nor one that is just being forked
    /// (in our session still), nor one that is older than the root.
    pub(crate) fn may_belong(&self, process: &Stat) -> bool {
        process.pid != self.own
            && process.pid != 1
            && process.start_time >= self.oldest
            && !self.waited_for.has(process)
            && Some(process.session) != self.own_session
    }

    /// Adds the children of what is found, and who is in a session that one of them made; and theirs.
    pub(crate) fn add_descendants(&self, found: &mut BTreeSet<i32>) {
        loop {
            let before = found.len();
            for process in &self.all {
                if self.may_belong(process)
                    && (found.contains(&process.ppid) || found.contains(&process.session))
                {
                    found.insert(process.pid);
                }
            }
            if found.len() == before {
                return;
            }
        }
    }

    pub(crate) fn alive(&self, found: &BTreeSet<i32>) -> Vec<Stat> {
        self.all.iter().filter(|p| found.contains(&p.pid) && !p.is_dead()).cloned().collect()
    }
}

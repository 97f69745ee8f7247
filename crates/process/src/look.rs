//! One look at all processes, for what belongs to one tree.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::procfs::{self, Stat};
use crate::reaper;
use crate::scan::{Scan, Seen};

/// One look at all processes.
pub(crate) struct Look {
    pub(crate) all: Vec<Arc<Seen>>,
    /// Neither we, nor init, nor a child of ours that is something else, nor one that is just being forked
    /// (in our session still), nor one that is older than the root.
    pub(crate) candidates: Vec<Arc<Seen>>,
}

impl Look {
    /// With `pids`, which may have come after the scan. `ours` are waited for, and belong to the tree all the
    /// same. Gives those of them that are there, too.
    pub(crate) fn new(
        scan: &Scan,
        (oldest, ours): (u64, &[i32]),
        pids: Vec<i32>,
    ) -> io::Result<(Self, BTreeSet<i32>)> {
        let mut all = scan.all.clone();
        let mut included = BTreeSet::new();
        for pid in pids {
            if scan.find(pid).is_none() {
                let Some(stat) = procfs::read_stat(pid)? else { continue };
                all.push(Arc::new(Seen::new(stat)));
            }
            included.insert(pid);
        }
        let own = procfs::own_pid();
        let own_session = scan.find(own).map(|p| p.session);
        // Asked for after the scan: who is in there, and is ours, is registered by now.
        let registered = reaper::registered();
        let may_belong = |process: &&Arc<Seen>| {
            process.pid != own
                && process.pid != 1
                && process.start_time >= oldest
                && (ours.contains(&process.pid) || !registered.has(process))
                && Some(process.session) != own_session
        };
        let candidates = all.iter().filter(may_belong).cloned().collect();
        drop(registered);
        Ok((Self { all, candidates }, included))
    }

    /// Adds the children of what is found, and who is in a session that one of them made; and theirs.
    pub(crate) fn add_descendants(&self, found: &mut BTreeSet<i32>) {
        // Without any there are no descendants, which is so for most looks.
        while !found.is_empty() {
            let before = found.len();
            for process in &self.candidates {
                if found.contains(&process.ppid) || found.contains(&process.session) {
                    found.insert(process.pid);
                }
            }
            if found.len() == before {
                return;
            }
        }
    }

    pub(crate) fn alive(&self, found: &BTreeSet<i32>) -> Vec<Stat> {
        let found = self.all.iter().filter(|p| found.contains(&p.pid) && !p.is_dead());
        found.map(|p| Stat::clone(p)).collect()
    }
}

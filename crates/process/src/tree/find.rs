//! Who belongs to a tree.

use std::collections::BTreeSet;
use std::io;

use super::{Tree, guard};
use crate::look::Look;
use crate::procfs::{self, Stat};
use crate::scan::{Scan, Seen};
use crate::turn;

/// Beyond so many processes in its cgroup, a tree is looked for nowhere else: a fork bomb is ended there first.
const CROWD: usize = 500;

impl Tree {
    /// Everything of it that is alive, be it over or not.
    pub(super) fn look(&self) -> io::Result<Vec<Stat>> {
        let scan = Scan::from_now()?;
        let _turn = turn::wait();
        let (oldest, root) = self.root.oldest();
        let oldest = if self.whole.any_age { 0 } else { oldest };
        let ours: Vec<i32> = root.into_iter().chain(*guard(&self.main)).collect();
        let (look, caged) = Look::new(&scan, (oldest, &ours), self.whole.cage.members()?)?;
        if caged.len() > CROWD {
            return Ok(look.alive(&caged));
        }
        let leader = self.leader(&look);
        let mut found: BTreeSet<i32> = {
            let known = guard(&self.known);
            let is_member = |process: &Seen| {
                leader.is_some_and(|leader| [process.pid, process.group, process.session].contains(&leader))
                    || known.get(&process.pid) == Some(&process.start_time)
            };
            look.candidates.iter().filter(|p| is_member(p)).map(|p| p.pid).collect()
        };
        found.extend(caged);
        look.add_descendants(&mut found);
        if !self.whole.mark.is_empty() {
            for process in look.candidates.iter().filter(|p| !p.is_dead()) {
                if !found.contains(&process.pid) && process.carries(&self.whole.mark) {
                    found.insert(process.pid);
                }
            }
        }
        look.add_descendants(&mut found);
        let mut alive = look.alive(&found);
        if alive.is_empty()
            && let Some(lock) = self.whole.lock.as_ref().filter(|lock| lock.is_held())
        {
            found.extend(look.candidates.iter().filter(|p| lock.is_held_by(p)).map(|p| p.pid));
            look.add_descendants(&mut found);
            alive = look.alive(&found);
        }
        let mut known = guard(&self.known);
        // Another look at this tree may have been at a later scan, and seen more.
        known.retain(|pid, start_time| {
            look.all.iter().any(|p| p.pid == *pid)
                || procfs::stat(*pid).is_some_and(|now| now.start_time == *start_time)
        });
        known.extend(alive.iter().map(|p| (p.pid, p.start_time)));
        Ok(alive)
    }

    /// The root's pid, if nobody else can have it: while it is there, and while one that is known is in
    /// its group or session, which keeps the number from passing on.
    fn leader(&self, look: &Look) -> Option<i32> {
        let kept = || {
            let known = guard(&self.known);
            self.root.pid().filter(|pid| {
                let keeps = |p: &&Stat| known.get(&p.pid) == Some(&p.start_time) && !p.is_dead();
                let all = look.all.iter().map(|p| -> &Stat { p });
                all.filter(keeps).any(|p| p.group == *pid || p.session == *pid)
            })
        };
        self.root.leader().or_else(kept)
    }
}

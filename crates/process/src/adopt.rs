//! Finding a run that an earlier supervisor began and did not see the end of.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vitald_core::restarter::{ProcessIdentity, RunId, StartError};

use crate::adopted::Adopted;
use crate::cgroup::Cage;
use crate::launch::system;
use crate::lock::LockFile;
use crate::procfs;
use crate::root::{Main, Root};
use crate::scan::{Scan, Seen};
use crate::tree::{Tree, Whole};
use crate::{mark, occupant};

/// How long something may hold the component's lock without showing as its main process. A child of the
/// dead supervisor has the lock from its fork on, and its mark only when it executes its program.
const HALF_BORN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A run to be looked for.
pub(crate) struct Wanted {
    pub component: String,
    pub run: RunId,
    /// Its main process, if that is on record.
    pub process: Option<ProcessIdentity>,
    pub lock: LockFile,
    /// What there is of its cgroups.
    pub cage: Arc<Cage>,
}

/// What there is of it.
pub(crate) enum Found {
    /// Its main process, alive or ended, with all that belongs to it.
    Run(Main, Arc<Tree>, Arc<Cage>),
    Nothing,
}

impl Wanted {
    /// Looks for it, and touches nothing. Blocks. Must be called within a tokio runtime.
    pub(crate) fn look(self) -> Result<Found, StartError> {
        let looking = |err: io::Error| system("looking for what an earlier supervisor began", err);
        let Some(process) = self.process.clone() else {
            let Some(found) = self.find().map_err(looking)? else { return Ok(Found::Nothing) };
            let adopted = Adopted::open(&procfs::identity_of(&found)).map_err(looking)?;
            // It has ended while it was looked at, and nobody can tell how.
            let adopted = adopted.unwrap_or_else(|| Adopted::gone(&procfs::identity_of(&found)));
            return self.whole(adopted).map_err(looking);
        };
        if let Some(holder) = occupant::of_another(&process, &self.component, &self.lock) {
            return Err(StartError::Occupied(holder));
        }
        match Adopted::open(&process).map_err(looking)? {
            Some(adopted) => self.whole(adopted).map_err(looking),
            None => match self.whole(Adopted::gone(&process)).map_err(looking)? {
                Found::Run(_, tree, _) if tree.members().map_err(looking)?.is_empty() => Ok(Found::Nothing),
                with_others => Ok(with_others),
            },
        }
    }

    fn mark(&self) -> Vec<String> {
        mark::entries(&mark::of_run(&self.component, &self.lock.instance(), self.run))
    }

    /// The main process with its tree. Looks at it once: what is in its session now can be told apart when
    /// the main process has gone.
    fn whole(&self, adopted: Adopted) -> io::Result<Found> {
        let root = Main::Adopted(Arc::new(adopted));
        let (lock, cage) = (Some(self.lock.clone()), Arc::clone(&self.cage));
        let any_age = !is_first(root.identity().pid);
        let whole = Whole { mark: self.mark(), lock, cage: Arc::clone(&cage), any_age };
        let tree = Arc::new(Tree::new(Root::Main(root.clone()), whole));
        tree.members()?;
        Ok(Found::Run(root, tree, cage))
    }

    /// The main process of a run that was not written down.
    fn find(&self) -> io::Result<Option<Arc<Seen>>> {
        let deadline = Instant::now() + HALF_BORN;
        loop {
            if let Some(found) = self.marked()? {
                return Ok(Some(found));
            }
            // Asked after the look: what took the lock before it was there to be seen.
            if !self.lock.is_held() && !self.cage.is_populated() {
                return self.marked();
            }
            if Instant::now() > deadline {
                return self.unmarked();
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Who carries the run's mark, and its own pid in it.
    fn marked(&self) -> io::Result<Option<Arc<Seen>>> {
        let mut mark = self.mark();
        Ok(others()?.into_iter().find(|process| {
            mark.push(mark::main_pid(process.pid));
            let is_main = process.carries(&mark);
            mark.pop();
            is_main
        }))
    }

    /// Who lives in its cgroup or holds the lock, and leads a session, the first of them: a main process that has executed something
    /// else with another environment. Not where another was the main process, of which this is left.
    fn unmarked(&self) -> io::Result<Option<Arc<Seen>>> {
        let all = others()?;
        let caged = self.cage.members()?;
        let mut holders: Vec<Arc<Seen>> = all.iter().filter(|p| caged.contains(&p.pid)).cloned().collect();
        if holders.is_empty() {
            holders = all.into_iter().filter(|p| self.lock.is_held_by(p)).collect();
        }
        if holders.iter().any(|p| p.variable(mark::MAIN_PID).is_some()) {
            return Ok(None);
        }
        Ok(holders.into_iter().filter(|p| p.session == p.pid).min_by_key(|p| (p.start_time, p.pid)))
    }
}

/// Whether a process is the one that its run was started with, by its own account.
fn is_first(pid: i32) -> bool {
    procfs::variable(pid, mark::MAIN_PID).is_none_or(|main| main == pid.to_string())
}

fn others() -> io::Result<Vec<Arc<Seen>>> {
    let mut all = Scan::from_now()?.all.clone();
    all.retain(|process| process.pid != procfs::own_pid() && process.pid != 1 && !process.is_dead());
    Ok(all)
}

//! All processes that belong together: found in `/proc`, pinned, signalled, waited for.

mod find;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;
use vitald_core::restarter::ProcessIdentity;

use crate::cgroup::Cage;
use crate::lock::LockFile;
use crate::pidfd::Pinned;
use crate::procfs::{self, Stat};
use crate::root::Root;

/// While something is left, a look this often finds what it has forked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often a look that fails is tried before a signal is sent to what is known anyway.
const LOOK_TRIES: u32 = 10;
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// Looks in a row that find nothing before nothing is believed: a process that forks and ends while one
/// look goes through `/proc` can escape it.
const QUIET_LOOKS: u32 = 2;
/// Looks that find nobody who holds the lock, before it is believed that somebody beyond sight does.
const UNSEEN_LOOKS: u32 = 100;
const UNSEEN_PAUSE: Duration = Duration::from_millis(10);
/// Most processes to wait for at once, each by a descriptor.
const MOST_WAITED_FOR: usize = 256;
/// Rounds of stopping, and of killing, after which what forks on is left to the next look.
const ROUNDS: u32 = 20;

/// What tells who belongs to a tree, beside its root.
#[derive(Default)]
pub(crate) struct Whole {
    /// `NAME=value` entries; who has all of them in its environment belongs to the tree.
    pub mark: Vec<String>,
    /// Looked at when nothing else is found: who holds it belongs to the tree.
    pub lock: Option<LockFile>,
    /// Who lives in it belongs to the tree.
    pub cage: Arc<Cage>,
    /// Its root was not the first of it, so that others may be older.
    pub any_age: bool,
}

impl Whole {
    /// By a mark alone.
    pub(crate) fn marked(mark: Vec<String>) -> Self {
        Self { mark, ..Self::default() }
    }
}

/// The processes of one run, of a probe's command, or what an earlier supervisor left.
pub(crate) struct Tree {
    root: Root,
    whole: Whole,
    /// Members seen so far, by pid and start time.
    known: Mutex<BTreeMap<i32, u64>>,
    /// The pid of a member that we watch, beside the root.
    main: Mutex<Option<i32>>,
    /// Who has been sent SIGKILL.
    killed: Mutex<BTreeSet<(i32, u64)>>,
    killing: AtomicBool,
    /// Whether nothing was left of it: from then on nothing is.
    over: AtomicBool,
}

impl Tree {
    pub(crate) fn new(root: Root, whole: Whole) -> Self {
        Self {
            root,
            whole,
            known: Mutex::default(),
            main: Mutex::default(),
            killed: Mutex::default(),
            killing: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    /// Nothing is left of it. Who has its lock and its place from now on is of the next run, and none of this
    /// tree's; also for a look or a [`kill`](Self::kill) that is still under way.
    pub(crate) fn close(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// A member that is watched from now on.
    pub(crate) fn know(&self, process: &ProcessIdentity) {
        *guard(&self.main) = Some(process.pid);
        guard(&self.known).insert(process.pid, process.start_time);
    }

    /// Whether a process is of this tree. Of one that has ended, and has not been reaped, its parent tells.
    /// May block for a moment.
    pub(crate) fn has(&self, process: &Stat) -> io::Result<bool> {
        let leader = self.root.leader();
        if !self.is_over() && leader.is_some_and(|leader| [process.group, process.session].contains(&leader))
        {
            return Ok(true);
        }
        let is_it =
            |member: &Stat| key(member) == key(process) || (process.is_dead() && member.pid == process.ppid);
        Ok(self.insist()?.iter().any(is_it))
    }

    /// Everything of the tree that is alive.
    pub(crate) fn members(&self) -> io::Result<Vec<Stat>> {
        if self.is_over() {
            return Ok(Vec::new());
        }
        let members = self.look()?;
        Ok(if self.is_over() { Vec::new() } else { members })
    }

    /// As [`members`](Self::members); a look that fails, for want of descriptors maybe, is tried again. Blocks
    /// for as long.
    fn insist(&self) -> io::Result<Vec<Stat>> {
        for _ in 1..LOOK_TRIES {
            if let Ok(members) = self.members() {
                return Ok(members);
            }
            thread::sleep(LOOK_PAUSE);
        }
        self.members()
    }

    /// Asks all that is alive to end: SIGTERM, then SIGCONT. The group hears it even where nothing can be
    /// found out about the rest. May block for a moment.
    pub(crate) fn terminate(&self) -> io::Result<()> {
        // Before anything ends: its children lose the trace of where they belong.
        let (members, looked) = match self.insist() {
            Ok(members) => (members, Ok(())),
            Err(err) => (Vec::new(), Err(err)),
        };
        let in_group: BTreeSet<i32> =
            members.iter().filter(|p| self.root.has_in_group(p)).map(|p| p.pid).collect();
        let is_in_group = |process: &&Stat| {
            let has_left = |now: Stat| now.start_time == process.start_time && now.group != process.group;
            in_group.contains(&process.pid) && !procfs::stat(process.pid).is_some_and(has_left)
        };
        let mut result = looked;
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            // The group in one go: nothing of it can escape by forking meanwhile.
            result = result.and(self.root.signal_group(signal));
            // Looked at again: what has left the group since the look has not heard it there.
            for process in members.iter().filter(|p| !is_in_group(p)) {
                result = result.and(signal_one(process, signal));
            }
        }
        result
    }

    /// Ends all by SIGKILL, and goes on doing so in [`empty`](Self::empty). The group and what has been found
    /// are killed even where a look at the rest fails. May block for a moment.
    ///
    /// A cgroup ends what is in it by itself. Of the rest, what has left the group is stopped first, with all the rest. A parent that is killed before its child
    /// has been found would leave the child without a trace of where it belongs, and what is stopped does
    /// not fork on. A group dies in one go, and needs none of this.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.killing.store(true, Ordering::Relaxed);
        // What has left its cgroup is known from now on, though its parent dies there. Where this fails, or
        // something cannot be ended there, it is looked for below.
        let _ = self.members();
        let _ = self.whole.cage.kill();
        let (mut members, looked) = self.stop();
        let mut result = looked.and(self.root.signal_group(Signal::SIGKILL));
        let mut tried = BTreeSet::new();
        for _ in 0..ROUNDS {
            members.retain(|p| !guard(&self.killed).contains(&key(p)) && tried.insert(key(p)));
            if members.is_empty() {
                break;
            }
            for process in &members {
                match signal_one(process, Signal::SIGKILL) {
                    Ok(()) => drop(guard(&self.killed).insert(key(process))),
                    refused => result = result.and(refused),
                }
            }
            match self.insist() {
                Ok(found) => members = found,
                Err(err) => return result.and(Err(err)),
            }
        }
        result
    }

    /// Stops what is to be killed, unless all of it is in the group; gives what has been found, and whether
    /// all looks succeeded.
    fn stop(&self) -> (Vec<Stat>, io::Result<()>) {
        let mut members = match self.insist() {
            Ok(members) => members,
            Err(err) => return (Vec::new(), Err(err)),
        };
        let mut stopped = BTreeSet::new();
        for _ in 0..ROUNDS {
            let new: Vec<&Stat> = members.iter().filter(|p| stopped.insert(key(p))).collect();
            if new.iter().all(|p| self.root.has_in_group(p)) {
                break;
            }
            for process in new {
                // What may not be stopped may not be killed either, and that is reported there.
                let _ = signal_one(process, Signal::SIGSTOP);
            }
            match self.insist() {
                Ok(found) => members = found,
                Err(err) => return (members, Err(err)),
            }
        }
        (members, Ok(()))
    }

    /// Waits until nothing is left.
    pub(crate) async fn empty(self: &Arc<Self>) {
        let (mut quiet, mut unseen) = (0, 0);
        while quiet < QUIET_LOOKS {
            let tree = Arc::clone(self);
            match spawn_blocking(move || tree.look_after_kill()).await {
                // Something moves faster than we look, or a child of ours is about to exec.
                Ok(Ok(left)) if left.is_empty() && unseen < UNSEEN_LOOKS && self.lock_is_held() => {
                    unseen += 1;
                    tokio::time::sleep(UNSEEN_PAUSE).await;
                }
                Ok(Ok(left)) if left.is_empty() => quiet += 1,
                Ok(Ok(left)) => {
                    (quiet, unseen) = (0, 0);
                    let _ = tokio::time::timeout(LOOK_AGAIN, all_ended(left)).await;
                }
                // Not knowing is not emptiness.
                Ok(Err(_)) | Err(_) => {
                    quiet = 0;
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    fn look_after_kill(&self) -> io::Result<Vec<Stat>> {
        let left = self.members()?;
        let is_new = |p: &Stat| !guard(&self.killed).contains(&key(p));
        if self.killing.load(Ordering::Relaxed) && left.iter().any(is_new) {
            // Something is left, so this is tried again.
            let _ = self.kill();
        }
        Ok(left)
    }

    /// Removes its cgroups, which nothing is left in. May block for a moment.
    pub(crate) fn remove_cage(&self) {
        self.whole.cage.remove();
    }

    /// What is alive, for people.
    pub(crate) fn survivors(&self) -> Vec<String> {
        self.members().unwrap_or_default().iter().map(Stat::describe).collect()
    }

    /// Bytes of memory that all of it uses together: as its cgroups count it, and what lives in none that does
    /// is added up process by process.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let members = self.members()?;
        if members.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "nothing of it is left"));
        }
        let (mut bytes, counted) = self.whole.cage.memory()?;
        for process in members.iter().filter(|process| !counted.contains(&process.pid)) {
            bytes += procfs::memory(process.pid)?;
        }
        Ok(bytes)
    }

    fn lock_is_held(&self) -> bool {
        self.whole.lock.as_ref().is_some_and(LockFile::is_held)
    }
}

fn signal_one(process: &Stat, signal: Signal) -> io::Result<()> {
    match Pinned::open(process)? {
        Some(pinned) => pinned.signal(signal),
        None => Ok(()),
    }
}

async fn all_ended(processes: Vec<Stat>) {
    let pinned: Vec<_> = processes.iter().take(MOST_WAITED_FOR).map(Pinned::open).collect();
    for process in pinned {
        match process {
            Ok(Some(process)) => process.ended().await,
            Ok(None) => {}
            // For want of descriptors; not to be asked for at every turn.
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

fn key(process: &Stat) -> (i32, u64) {
    (process.pid, process.start_time)
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

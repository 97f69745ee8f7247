//! All cgroups of one run.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::Cgroup;
use super::limits::{Limits, Resource, Set};
use super::memory::working_set;
use super::places::{self, V2};
use crate::{procfs, turn};

/// How long the killed are waited for, before the rest is looked at.
const DEATH_TRIES: u32 = 40;
const DEATH_PAUSE: Duration = Duration::from_millis(5);

/// Where a run lives. May be nowhere: then its processes are found by other means.
#[derive(Debug, Default)]
pub(crate) struct Cage {
    /// Of version 2; usually one. Several, where earlier supervisors lived in different places.
    trees: Vec<Cgroup>,
    /// Of version 1, for limits alone.
    limits: Vec<Cgroup>,
    /// Which limits have been set for the run, of which controller the cgroup is, and where it is.
    set: Vec<(Resource, &'static str, PathBuf)>,
    /// How many had been killed for want of memory in here, that say nothing about the run's end.
    killed_before: AtomicU64,
    shortcomings: Vec<String>,
}

/// The way in, for a child.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// The cgroup of version 2 to be born in.
    pub birthplace: Option<OwnedFd>,
    /// Where to write oneself to, in its stead.
    pub tree: Option<OwnedFd>,
    /// Where to write oneself to, in any case.
    pub limits: Vec<OwnedFd>,
}

impl Cage {
    /// Makes one for a new run, as far as that can be; what cannot is among the
    /// [shortcomings](Self::shortcomings). Nothing may live in an earlier one of this name.
    pub(crate) fn make(name: &str, limits: Limits) -> Self {
        Self::find(name).remove();
        let mut cage = Self::default();
        if let Some(v2) = places::hierarchy(V2) {
            let dir = v2.of_component(name);
            if super::make(&dir).is_ok() {
                cage.trees.push(Cgroup::at(dir));
            }
        }
        for limit in limits.each() {
            let tree = cage.trees.first().map(Cgroup::dir);
            match limit.set(tree, name) {
                Ok(Set::OnTree) => cage.set.extend(tree.map(|dir| (limit, V2, dir.to_owned()))),
                Ok(Set::OnVersion1(dir)) => {
                    cage.limits.push(Cgroup::at(dir.clone()));
                    cage.set.push((limit, limit.controller(), dir));
                }
                Err(why) => cage.lacks(limit, &why),
            }
        }
        cage.forgive();
        cage
    }

    /// What there is of earlier ones of this name.
    pub(crate) fn find(name: &str) -> Self {
        let existing = |controller| places::existing(controller, name).into_iter().map(Cgroup::at);
        Self {
            trees: existing(V2).collect(),
            limits: existing("memory").chain(existing("cpu")).collect(),
            ..Self::default()
        }
    }

    /// What there is for a run that was begun with these limits; `main` was its main process.
    pub(crate) fn of_adopted(name: &str, limits: Limits, main: Option<i32>) -> Self {
        let mut cage = Self::find(name);
        // Also where they were made after we looked for what there is. A stranger lives in none of this name.
        for controller in [V2, "memory", "cpu"] {
            let lives_in = main.and_then(|pid| places::dir_of(pid, controller));
            let Some(dir) = lives_in.filter(|dir| dir.ends_with(name)) else { continue };
            if cage.dirs().any(|known| known == dir) {
                continue;
            }
            match controller {
                V2 => cage.trees.push(Cgroup::at(dir)),
                _ => cage.limits.push(Cgroup::at(dir)),
            }
        }
        let dirs: Vec<&Path> = cage.dirs().collect();
        let unset: Vec<Resource> =
            limits.each().filter(|limit| !dirs.iter().any(|dir| limit.is_set_on(dir))).collect();
        for limit in unset {
            cage.lacks(limit, "it was not when this run began");
        }
        cage
    }

    /// Opens what a child needs to get in.
    pub(crate) fn entrance(&self) -> Entrance {
        let procs = |dir: &Path| OpenOptions::new().write(true).open(dir.join("cgroup.procs"));
        let directory = |dir: &Path| {
            OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(dir)
        };
        let tree = self.trees.first().map(Cgroup::dir);
        Entrance {
            birthplace: tree.and_then(|dir| directory(dir).ok()).map(File::into),
            tree: tree.and_then(|dir| procs(dir).ok()).map(File::into),
            limits: self.limits.iter().filter_map(|limit| procs(limit.dir()).ok()).map(File::into).collect(),
        }
    }

    /// Notes which limits a new process has not come under.
    pub(crate) fn check(&mut self, pid: i32) {
        for (limit, controller, dir) in std::mem::take(&mut self.set) {
            let outside = places::dir_of(pid, controller).is_some_and(|place| !place.starts_with(&dir));
            if outside && procfs::stat(pid).is_some_and(|stat| !stat.is_dead()) {
                self.lacks(limit, &format!("{} cannot be entered", dir.display()));
            }
        }
    }

    fn lacks(&mut self, limit: Resource, why: &str) {
        self.shortcomings.push(format!("the {} is not enforced: {why}", limit.describe()));
    }

    /// Which limits are not in force, for people.
    pub(crate) fn shortcomings(&self) -> &[String] {
        &self.shortcomings
    }

    /// The processes that live in it.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let mut all = Vec::new();
        for tree in &self.trees {
            all.extend(tree.members()?);
        }
        Ok(all)
    }

    /// Whether anything lives in it.
    pub(crate) fn is_populated(&self) -> bool {
        self.trees.iter().any(Cgroup::is_populated)
    }

    /// Ends all that lives in it, and waits a moment for that.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let mut result = Ok(());
        for tree in self.trees.iter().filter(|tree| tree.is_populated()) {
            let _turn = turn::wait();
            result = result.and(tree.kill());
        }
        for _ in 0..DEATH_TRIES {
            if result.is_err() || !self.is_populated() {
                break;
            }
            thread::sleep(DEATH_PAUSE);
        }
        result
    }

    /// Whether anything of the run was killed because it used too much memory, since the run began or what
    /// was before was [forgiven](Self::forgive).
    pub(crate) fn has_killed_for_memory(&self) -> bool {
        self.killed_for_memory() > self.killed_before.load(Ordering::Relaxed)
    }

    /// What was killed for want of memory until now is not why the run ends.
    pub(crate) fn forgive(&self) {
        self.killed_before.store(self.killed_for_memory(), Ordering::Relaxed);
    }

    fn killed_for_memory(&self) -> u64 {
        let count = |dir: &Path| {
            ["memory.events", "memory.oom_control"].into_iter().find_map(|file| {
                let text = fs::read_to_string(dir.join(file)).ok()?;
                text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
            })
        };
        self.dirs().filter_map(count).sum()
    }

    /// Bytes that those who live in it use, and who they are, as far as its cgroups count memory. The rest of the
    /// run is for the caller to add.
    pub(crate) fn memory(&self) -> io::Result<(u64, BTreeSet<i32>)> {
        let (mut bytes, mut counted) = (0, BTreeSet::new());
        // Controllers that are mounted together have one folder.
        let dirs: BTreeSet<&Path> = self.dirs().collect();
        for dir in dirs {
            let Some(used) = working_set(dir)? else { continue };
            bytes += used;
            counted.extend(Cgroup::at(dir.to_owned()).members()?);
        }
        Ok((bytes, counted))
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.trees.iter().chain(&self.limits).map(Cgroup::dir)
    }

    /// Removes what nothing lives in any more. Blocks for a moment, where the last is not quite gone.
    pub(crate) fn remove(&self) {
        for cgroup in self.trees.iter().chain(&self.limits) {
            // What is still there is found and removed before the next run.
            let _ = cgroup.remove();
        }
    }
}

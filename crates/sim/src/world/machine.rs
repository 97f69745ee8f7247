//! The processes of the machine, which do as they like.

use vitald_core::lifecycle::{Command, Event, Observed, Report};
use vitald_core::notify::Notified;
use vitald_core::probe::ProbeResult;
use vitald_core::restarter::{Exit, RunId};
use vitald_core::spec::{ComponentSpec, ProbeRole};

use super::{Item, World};
use crate::dice::{Dice, MS, Nanos, SEC};
use crate::plan::Spell;

/// The last process tree of a component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) pid: u64,
    pub(crate) run: u64,
    /// The start that is under way: its number among all starts.
    pub(crate) starting: Option<u64>,
    /// Whether its main process is alive.
    pub(crate) main: bool,
    /// Whether anything of it is alive.
    pub(crate) alive: bool,
    pub(crate) appeared: Option<Nanos>,
    pub(crate) exit: Option<Exit>,
    /// When the supervisor hears of its end.
    pub(crate) heard_at: Nanos,
    /// The lifecycle has been told that its main process ended, and that nothing of it is left.
    pub(crate) told_exit: bool,
    pub(crate) told_over: bool,
    /// Which supervisor watches it.
    pub(crate) watched_by: u64,
    /// When it was first decided to stop it, and when it was first signalled.
    pub(crate) stop_began: Option<Nanos>,
    pub(crate) asked_at: Option<Nanos>,
    pub(crate) kill_decided: bool,
    /// Somebody asked for its end, it ended, a hook or a probe failed often enough.
    pub(crate) may_be_stopped: bool,
    /// How often its startup and its liveness probe failed.
    pub(crate) failures: [u32; 2],
    /// A question to it is never answered.
    pub(crate) lost: bool,
    /// How often each was done: three probes, two hooks, signals.
    pub(crate) count: [u64; 6],
    pub(crate) temper: Temper,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Temper {
    boots_in: Option<Nanos>,
    can_be_cancelled: bool,
    heeds_term: Option<Nanos>,
    term_exit: Option<Exit>,
    leftovers: bool,
    leftovers_heed: bool,
    kill_takes: Nanos,
}

impl Tree {
    /// What the lifecycle is told of it.
    pub(super) fn hears(&mut self, event: &Event, spec: &ComponentSpec) {
        match event {
            Event::Command(
                Command::Stop
                | Command::Restart
                | Command::Pause
                | Command::Replace
                | Command::Shutdown
                | Command::Kill,
            ) => self.may_be_stopped = true,
            Event::Report(report) if report.run.0 == self.run => match &report.what {
                Observed::Exited { leftovers, .. } => {
                    (self.told_exit, self.may_be_stopped) = (true, true);
                    self.told_over |= !leftovers;
                }
                Observed::Gone | Observed::NotFound => self.told_over = true,
                Observed::PostStartDone(Err(_)) => self.may_be_stopped = true,
                Observed::Probed { role, result: ProbeResult::Failure(_), .. }
                    if *role != ProbeRole::Readiness =>
                {
                    let failures = &mut self.failures[crate::model::place(*role)];
                    *failures += 1;
                    let enough = spec.probe(*role).map_or(u32::MAX, |probe| probe.failure_threshold);
                    self.may_be_stopped |= *failures >= enough;
                }
                _ => {}
            },
            _ => {}
        }
    }
}

impl World<'_> {
    pub(super) fn dice_of(&self, of: usize, purpose: &[u64]) -> Dice {
        self.dice.of(&[10, of as u64, self.slots[of].tree.run]).of(purpose)
    }

    fn temper(&self, of: usize) -> Temper {
        let mut dice = self.dice_of(of, &[0]);
        let wild = &self.plan.wild;
        let boots_in = Some(dice.span(MS, 40 * SEC));
        let never = dice.chance(wild.never_starts);
        let ignores = dice.chance(wild.ignores_term);
        let takes = dice.span(MS, 20 * SEC);
        let term_exit = Some(match dice.below(4) {
            0 => Exit::Code(0),
            1 => Exit::Code(143),
            _ => Exit::Signal("SIGTERM".into()),
        });
        let leftovers = dice.chance(wild.leftovers);
        let slow_kill = dice.chance(if wild.leftovers > 0 { 30 } else { 0 });
        Temper {
            boots_in: boots_in.filter(|_| !never),
            can_be_cancelled: dice.chance(500),
            heeds_term: (!ignores).then_some(takes),
            term_exit,
            leftovers,
            leftovers_heed: dice.chance(500),
            kill_takes: if slow_kill { dice.span(SEC, 20 * SEC) } else { dice.span(MS, 50 * MS) },
        }
    }

    pub(super) fn under(&self, of: usize, spell: Spell) -> bool {
        !self.calm && self.slots[of].spells[spell as usize] > self.t
    }

    /// Starts a run; what an earlier supervisor left unknown is ended first.
    pub(super) fn spawn(&mut self, of: usize, run: RunId) {
        let session = self.session;
        self.starts += 1;
        let token = self.starts;
        self.slots[of].tree =
            Tree { run: run.0, pid: token, starting: Some(token), watched_by: session, ..Tree::default() };
        self.slots[of].tree.temper = self.temper(of);
        let mut dice = self.dice_of(of, &[1]);
        let takes = if dice.chance(700) { dice.span(MS, 30 * MS) } else { dice.span(30 * MS, 10 * SEC) };
        let bad = dice.chance(self.plan.wild.bad_start) && !self.calm;
        if bad || self.under(of, Spell::BadStarts) {
            self.tally.bad_starts += 1;
            let what = Observed::StartFailed("no such file".into());
            self.report(of, takes, run, what);
        } else {
            self.after(takes / 2, Item::Appear { of, token });
            self.report(of, takes, run, Observed::Spawned);
        }
    }

    pub(super) fn appear(&mut self, of: usize, token: u64) {
        if self.slots[of].tree.starting != Some(token) {
            return;
        }
        let t = self.t;
        let tree = &mut self.slots[of].tree;
        (tree.main, tree.alive, tree.appeared) = (true, true, Some(t));
        let pid = tree.pid;
        self.trace(|| format!("{}: process {pid} appears", self.name(of)));
        let mut dice = self.dice_of(of, &[2]);
        let life = if self.under(of, Spell::Crashes) {
            Some((dice.span(10 * MS, 60 * SEC), dice.pick(&[0, 1, 1, 1])))
        } else if self.plan.jobs[of] {
            let code = if self.calm || dice.chance(700) { 0 } else { 1 };
            Some((dice.span(SEC, 600 * SEC), code))
        } else {
            dice.chance(self.plan.wild.short_life)
                .then(|| (dice.span(SEC, 10_000 * SEC), dice.pick(&[0, 1, 2])))
        };
        if let Some((life, code)) = life {
            let item = Item::MainExit { of, pid, exit: Exit::Code(code), by_kill: false, by_itself: true };
            self.after(life, item);
        }
    }

    /// Gives up the start that is under way, where that can be done.
    pub(super) fn cancel(&mut self, of: usize, run: RunId) {
        let tree = &mut self.slots[of].tree;
        if tree.starting.is_none() || !tree.temper.can_be_cancelled {
            return;
        }
        (tree.starting, tree.main, tree.alive) = (None, false, false);
        self.tally.cancelled += 1;
        self.report(of, MS, run, Observed::StartFailed("given up".into()));
    }

    pub(super) fn main_exits(&mut self, of: usize, pid: u64, exit: Exit, by_kill: bool) {
        let t = self.t;
        let tree = &mut self.slots[of].tree;
        if tree.pid != pid || !tree.main {
            return;
        }
        let leftovers = tree.temper.leftovers && !by_kill;
        (tree.main, tree.alive, tree.exit) = (false, leftovers, Some(exit.clone()));
        let run = RunId(tree.run);
        self.tally.leftovers += u64::from(leftovers);
        self.trace(|| format!("{}: process {pid} ends: {exit}, leftovers {leftovers}", self.name(of)));
        let mut dice = self.dice_of(of, &[3]);
        let hears = dice.span(MS / 10, 20 * MS);
        self.slots[of].tree.heard_at = t + hears;
        if leftovers && dice.chance(300) {
            self.after(dice.span(SEC, 7200 * SEC), Item::TreeEnds { of, pid });
        }
        if self.watched(of) {
            self.report(of, hears, run, Observed::Exited { exit, leftovers });
        }
    }

    pub(super) fn tree_ends(&mut self, of: usize, pid: u64) {
        let t = self.t;
        let tree = &mut self.slots[of].tree;
        if tree.pid != pid || tree.main || !tree.alive {
            return;
        }
        tree.alive = false;
        let run = RunId(tree.run);
        let hears = tree.heard_at.saturating_sub(t) + MS;
        tree.heard_at = t + hears;
        self.trace(|| format!("{}: nothing of process {pid} is left", self.name(of)));
        if self.watched(of) {
            self.report(of, hears, run, Observed::Gone);
        }
    }

    fn watched(&self, of: usize) -> bool {
        let tree = &self.slots[of].tree;
        self.alive && tree.watched_by == self.session && tree.starting.is_none()
    }

    pub(super) fn terminate(&mut self, of: usize, run: RunId) {
        let t = self.t;
        let tree = &mut self.slots[of].tree;
        tree.asked_at.get_or_insert(t);
        let (pid, main, temper) = (tree.pid, tree.main, tree.temper.clone());
        tree.count[5] += 1;
        let nth = tree.count[5];
        let mut dice = self.dice_of(of, &[4, nth]);
        let told = dice.span(MS / 10, 10 * MS);
        self.report(of, told, run, Observed::Terminated);
        if main && dice.chance(200) && !self.calm {
            self.tells(of, run, dice.span(MS, 15 * SEC), dice.span(MS, 30 * SEC), false);
        }
        if let Some(takes) = temper.heeds_term.filter(|_| main) {
            let exit = temper.term_exit.unwrap_or(Exit::Unknown);
            self.after(takes, Item::MainExit { of, pid, exit, by_kill: false, by_itself: false });
        } else if !main && temper.leftovers_heed {
            self.after(dice.span(MS, 20 * SEC), Item::TreeEnds { of, pid });
        }
    }

    pub(super) fn kill(&mut self, of: usize) {
        let tree = &self.slots[of].tree;
        let (pid, takes) = (tree.pid, tree.temper.kill_takes);
        let exit = Exit::Signal("SIGKILL".into());
        self.after(takes, Item::MainExit { of, pid, exit, by_kill: true, by_itself: false });
        self.after(takes, Item::TreeEnds { of, pid });
    }

    pub(super) fn hook(&mut self, of: usize, run: RunId, after_start: bool) {
        let place = if after_start { 3 } else { 4 };
        self.slots[of].tree.count[place] += 1;
        let nth = self.slots[of].tree.count[place];
        let mut dice = self.dice_of(of, &[5, place as u64, nth]);
        let bad = dice.chance(self.plan.wild.bad_hook) && !self.calm;
        let takes = if bad || dice.chance(100) { dice.span(MS, 200 * SEC) } else { dice.span(MS, 5 * SEC) };
        let done = if bad && dice.chance(500) { Err("exited with status 1".to_owned()) } else { Ok(()) };
        if after_start {
            self.report(of, takes, run, Observed::PostStartDone(done));
        } else if !(bad && dice.chance(300)) {
            self.report(of, takes, run, Observed::PreStopDone(done));
        }
    }

    pub(super) fn check_health(&mut self, of: usize, run: RunId, role: ProbeRole) {
        let place = crate::model::place(role);
        self.slots[of].tree.count[place] += 1;
        let nth = self.slots[of].tree.count[place];
        let mut dice = self.dice_of(of, &[6, place as u64, nth]);
        let wild = &self.plan.wild;
        let (unknown, failure) = (dice.chance(wild.unknown), dice.chance(wild.failure));
        let (lost, late, warns) = (dice.chance(wild.lost), dice.chance(wild.late), dice.chance(10));
        let latency = if late && !self.calm { dice.span(SEC, 1800 * SEC) } else { dice.span(MS, 400 * MS) };
        if dice.chance(30) && !self.calm {
            self.tells(of, run, dice.span(MS, SEC), dice.span(MS, 120 * SEC), dice.chance(500));
        }
        let tree = &self.slots[of].tree;
        let booted = tree.temper.boots_in.zip(tree.appeared).is_some_and(|(takes, at)| at + takes <= self.t);
        let well = match role {
            _ if !tree.main => false,
            _ if self.calm => true,
            ProbeRole::Startup => booted,
            ProbeRole::Liveness => !failure && !self.under(of, Spell::Sick),
            ProbeRole::Readiness => {
                !failure && !self.under(of, Spell::Unready) && !self.under(of, Spell::Sick)
            }
        };
        let result = if (unknown && !self.calm) || self.under(of, Spell::Blind) {
            self.tally.answers_unknown += 1;
            ProbeResult::unknown("cannot ask")
        } else if !well {
            self.tally.answers_bad += 1;
            ProbeResult::failure("no")
        } else {
            self.tally.answers_good += 1;
            if warns { ProbeResult::Warning("well".into()) } else { ProbeResult::Success }
        };
        if lost && !self.calm {
            self.tally.answers_lost += 1;
            self.slots[of].tree.lost = true;
            return;
        }
        self.tally.answers_late += u64::from(late);
        let latency_told = std::time::Duration::from_nanos(latency);
        self.report(of, latency, run, Observed::Probed { role, result, latency: latency_told });
    }

    /// It tells of itself: that it is ready or not, and that it wants so much time.
    fn tells(&mut self, of: usize, run: RunId, after: Nanos, time: Nanos, ready: bool) {
        self.tally.told += 1;
        let until = self.stamp() + std::time::Duration::from_nanos(after + time);
        let told = Notified { ready, extended_until: Some(until), ..Notified::default() };
        self.report(of, after, run, Observed::Notified(told));
    }

    /// The supervisor of now hears of it in a while, if it lives then.
    fn report(&mut self, of: usize, after: Nanos, run: RunId, what: Observed) {
        let session = self.session;
        self.after(after, Item::Tell { of, session, event: Event::Report(Report { run, what }) });
    }
}

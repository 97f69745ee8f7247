//! What people ask of several components, in the order of their dependencies.

use std::sync::Arc;

use vitald_core::lifecycle::{Command, Event};
use vitald_core::spec::ComponentSpec;

use super::World;
use crate::plan::Order;

/// Something that takes its time, one component after the other.
pub(super) struct Op {
    pub(super) kind: Kind,
    pub(super) members: Vec<(usize, Stage)>,
    /// The specs to be, where it is an `apply`.
    pub(super) wanted: Vec<Option<Arc<ComponentSpec>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stop,
    RestartAll,
    Down,
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Waits,
    Told,
    Done,
}

impl World<'_> {
    /// `start`, `stop`, `restart` or `reset` of some components.
    pub(super) fn order(&mut self, what: Order, on: u8) {
        if !self.alive || self.ending {
            return;
        }
        let mut members: Vec<usize> = (0..self.slots.len()).filter(|of| on & (1 << of) != 0).collect();
        members.retain(|of| self.slots[*of].life.is_some() && self.manifests[*of].is_some());
        self.trace(|| format!("asked: {what:?} {members:?}"));
        let all = |members: Vec<usize>| members.into_iter().map(|of| (of, Stage::Waits)).collect();
        match what {
            Order::Stop => {
                self.tally.stops += members.len() as u64;
                self.ops.push(Op { kind: Kind::Stop, members: all(members), wanted: vec![] });
            }
            Order::Restart if members.len() > 1 => {
                self.tally.restarts_asked += members.len() as u64;
                self.ops.push(Op { kind: Kind::RestartAll, members: all(members), wanted: vec![] });
            }
            Order::Start | Order::Restart | Order::Reset => {
                let command = match what {
                    Order::Start => Command::Start,
                    Order::Reset => Command::Reset,
                    Order::Restart | Order::Stop => Command::Restart,
                };
                for of in members {
                    match what {
                        Order::Start => self.tally.starts_asked += 1,
                        Order::Reset => self.tally.resets += 1,
                        Order::Restart | Order::Stop => self.tally.restarts_asked += 1,
                    }
                    self.command(of, command);
                }
            }
        }
    }

    pub(super) fn down(&mut self) {
        if !self.alive || self.ending {
            return;
        }
        self.tally.downs += 1;
        self.trace(|| "down".into());
        self.ending = true;
        for of in 0..self.slots.len() {
            self.command(of, Command::Close);
        }
        if self.alive {
            let members = (0..self.slots.len()).filter(|of| self.slots[*of].life.is_some());
            let members = members.map(|of| (of, Stage::Waits)).collect();
            self.ops.push(Op { kind: Kind::Down, members, wanted: vec![] });
        }
    }

    pub(super) fn kill_all(&mut self) {
        self.tally.kills_asked += 1;
        for of in 0..self.slots.len() {
            self.command(of, Command::Kill);
        }
    }

    /// Tells what is missing now, and then the command.
    pub(super) fn command(&mut self, of: usize, command: Command) {
        if self.slots[of].life.is_some() {
            self.tell_missing(of);
            self.tell(of, Event::Command(command));
        }
    }

    pub(super) fn tell_missing(&mut self, of: usize) {
        let missing = self.is_missing(of);
        self.slots[of].told_missing = Some(missing);
        self.tell(of, Event::Dependencies(missing.then(|| "waits".to_owned())));
    }

    /// Everything that follows at once from what has just happened.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.alive || self.fault.is_some() {
                return;
            }
            if !self.propagate() && !self.go_on() {
                return;
            }
        }
        self.fail("comes to rest", "commands and dependencies go round and round".into());
    }

    fn propagate(&mut self) -> bool {
        let mut any = false;
        for of in 0..self.slots.len() {
            let has_deps =
                self.slots[of].life.as_ref().is_some_and(|life| !life.model.spec.depends_on.is_empty());
            if has_deps && self.slots[of].told_missing != Some(self.is_missing(of)) {
                self.tell_missing(of);
                any = true;
            }
        }
        any
    }

    fn go_on(&mut self) -> bool {
        if self.apply_wanted && !self.ending && !self.ops.iter().any(|op| op.kind == Kind::Apply) {
            self.begin_apply();
            return true;
        }
        for at in 0..self.ops.len() {
            let mut progress = false;
            for place in 0..self.ops[at].members.len() {
                progress |= self.go_on_with(at, place);
                if !self.alive || self.fault.is_some() {
                    return true;
                }
            }
            if self.ops[at].members.iter().all(|(_, stage)| *stage == Stage::Done) {
                let op = self.ops.remove(at);
                self.finish(op);
                return true;
            }
            if progress {
                return true;
            }
        }
        false
    }

    fn go_on_with(&mut self, at: usize, place: usize) -> bool {
        let op = &self.ops[at];
        let (of, stage) = op.members[place];
        let (kind, wanted) = (op.kind, op.wanted.get(of).cloned().flatten());
        let Some(life) = &self.slots[of].life else {
            self.ops[at].members[place].1 = Stage::Done;
            return stage != Stage::Done;
        };
        match stage {
            Stage::Done => false,
            Stage::Waits => {
                let name = &life.model.spec.name;
                let dependants_done = op.members.iter().all(|(other, stage)| {
                    *stage == Stage::Done
                        || !self.slots[*other].life.as_ref().is_some_and(|other| {
                            other.model.spec.depends_on.iter().any(|dependency| dependency.name == *name)
                        })
                });
                if !dependants_done {
                    return false;
                }
                let command = match kind {
                    Kind::Stop => Command::Stop,
                    Kind::RestartAll => Command::Pause,
                    Kind::Down => Command::Shutdown,
                    Kind::Apply if wanted.is_none() => Command::Shutdown,
                    Kind::Apply => Command::Replace,
                };
                self.ops[at].members[place].1 = Stage::Told;
                self.command(of, command);
                if let Some(spec) = wanted.filter(|_| kind == Kind::Apply) {
                    self.respec_early(of, spec);
                }
                true
            }
            Stage::Told => {
                let ends = kind == Kind::Down || (kind == Kind::Apply && wanted.is_none());
                let done = if ends { life.lifecycle.is_at_rest() } else { life.lifecycle.is_settled() };
                if done {
                    self.ops[at].members[place].1 = Stage::Done;
                }
                done
            }
        }
    }

    fn finish(&mut self, op: Op) {
        match op.kind {
            Kind::Stop => {}
            Kind::RestartAll => {
                for (of, _) in op.members {
                    self.command(of, Command::Start);
                }
            }
            Kind::Apply => self.finish_apply(op),
            Kind::Down => {
                self.trace(|| "the supervisor has ended".into());
                if !self.is_disk_full() {
                    self.write_all();
                    for slot in &mut self.slots {
                        slot.synced = slot.disk.clone();
                    }
                }
                let left = self.slots.iter().position(|slot| slot.tree.alive && !slot.stale);
                if let Some(of) = left {
                    let what = format!("{}: its processes live on after the end", self.name(of));
                    return self.fail("the end", what);
                }
                self.gone();
                self.rise_after(self.back_after);
            }
        }
    }
}

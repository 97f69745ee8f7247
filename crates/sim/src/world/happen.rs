//! What befalls the day.

use std::cmp::Reverse;

use vitald_core::restarter::Exit;

use super::{Item, World};
use crate::dice::{Nanos, SEC};
use crate::model::{Rest, State};
use crate::plan::{Moment, Order, Trigger, What};

/// A moment to die in that does not come is not waited for longer than this.
const PATIENCE: Nanos = 900 * SEC;

impl World<'_> {
    pub(super) fn happen(&mut self, item: Item) {
        match item {
            Item::Happening(nth) => self.befall(nth),
            Item::Calm { last } => self.calm(last),
            Item::Rise { nth } => {
                if nth == self.risings && !self.alive {
                    self.rise();
                }
            }
            Item::Appear { of, token } => self.appear(of, token),
            // Nothing ends of itself any more once all is calm, but for what is to.
            Item::MainExit { by_itself: true, of, .. } if self.calm && !self.plan.jobs[of] => {}
            Item::MainExit { of, pid, exit, by_kill, .. } => self.main_exits(of, pid, exit, by_kill),
            Item::TreeEnds { of, pid } => self.tree_ends(of, pid),
            Item::Tell { of, session, event } => self.deliver(of, session, event),
            Item::DiskWorks { nth } if nth == self.disk_full => self.disk_works(),
            Item::DiskWorks { .. } => {}
            Item::KillAll { session } if self.alive && self.ending && session == self.session => {
                self.kill_all()
            }
            Item::KillAll { .. } => {}
            Item::Disarm { nth } => {
                if self.armed.is_some_and(|(_, armed)| armed == nth) {
                    self.armed = None;
                    self.tally.deaths_between += 1;
                    self.die(None);
                }
            }
        }
    }

    fn befall(&mut self, nth: usize) {
        let what = self.plan.happenings[nth].what.clone();
        match what {
            What::Exit { of, code, oom } => {
                let tree = &self.slots[of].tree;
                if tree.main {
                    let exit = if oom { Exit::OomKilled } else { Exit::Code(code) };
                    let pid = tree.pid;
                    self.tally.exits += 1;
                    self.main_exits(of, pid, exit, false);
                }
            }
            What::Spell { of, what, lasts } => {
                self.tally.spells[what as usize] += 1;
                self.trace(|| format!("{}: {what:?} for {} s", self.name(of), lasts / SEC));
                self.slots[of].spells[what as usize] = self.t + lasts;
            }
            What::Order { what, on } => self.order(what, on),
            What::Down { kill, back_after } => {
                if self.alive && !self.ending {
                    self.back_after = back_after;
                    if let Some(after) = kill {
                        self.after(after, Item::KillAll { session: self.session });
                    }
                    self.down();
                }
            }
            What::Edit { of, how, apply } => self.edit(of, how, apply),
            What::Death(death) => {
                if !self.alive || self.armed.is_some() {
                    return;
                }
                self.back_after = death.back_after;
                let between = death.moment == Moment::Between && death.trigger == Trigger::Any;
                if between || death.trigger == Trigger::Adoption {
                    self.tally.deaths_between += 1;
                    self.die(None);
                }
                if !between {
                    self.deaths += 1;
                    self.armed = Some((death, self.deaths));
                    self.after(PATIENCE, Item::Disarm { nth: self.deaths });
                }
            }
            What::Reboot { power_loss, back_after } => self.reboot(power_loss, back_after),
            What::Sleep { lasts } => self.sleep(lasts),
            What::DiskFull { lasts } => {
                if !self.is_disk_full() {
                    self.tally.disk_full += 1;
                    self.trace(|| "the disk is full".into());
                    self.write_all();
                    self.disk_full += 1;
                    self.after(lasts, Item::DiskWorks { nth: self.disk_full });
                }
            }
        }
    }

    fn disk_works(&mut self) {
        self.trace(|| "the disk is not full any more".into());
        self.disk_full += 1;
        self.write_all();
    }

    fn reboot(&mut self, power_loss: bool, back_after: Nanos) {
        self.tally.reboots += 1;
        self.trace(|| format!("the machine goes down, by power loss: {power_loss}"));
        self.back_after = back_after;
        if self.alive {
            self.die(None);
        }
        for of in 0..self.slots.len() {
            let mut dice = self.dice.of(&[13, of as u64, self.boot]);
            let slot = &mut self.slots[of];
            slot.tree = super::machine::Tree { pid: u64::MAX, ..Default::default() };
            slot.stale = false;
            if power_loss && dice.chance(500) {
                slot.disk = slot.synced.clone();
                self.tally.power_losses += 1;
            }
        }
        self.boot += 1;
        self.booted = self.t;
        self.rise_after(back_after);
    }

    /// The machine's clock goes on, and nobody does anything.
    fn sleep(&mut self, lasts: Nanos) {
        // Not into the calm: what is to be well in the end has its time for that.
        let lasts = lasts.min(self.plan.calm_at.saturating_sub(self.t));
        if lasts == 0 {
            return;
        }
        self.tally.sleeps += 1;
        self.trace(|| format!("the machine sleeps for {} s", lasts / SEC));
        let mut entries = std::mem::take(&mut self.queue).into_vec();
        for Reverse(entry) in &mut entries {
            match entry.item {
                Item::Appear { .. } | Item::MainExit { .. } | Item::TreeEnds { .. } | Item::Tell { .. } => {
                    entry.at += lasts;
                }
                Item::Happening(_)
                | Item::Calm { .. }
                | Item::Rise { .. }
                | Item::DiskWorks { .. }
                | Item::KillAll { .. }
                | Item::Disarm { .. } => {}
            }
        }
        self.queue = entries.into();
        self.t += lasts;
        for slot in &mut self.slots {
            if slot.tree.heard_at + SEC > self.t - lasts {
                slot.tree.heard_at += lasts;
            }
        }
    }

    /// Faults end; what has been given up is begun again.
    fn calm(&mut self, last: bool) {
        if !self.calm {
            self.calm = true;
            self.armed = None;
            self.trace(|| "all is calm from now on".into());
            if self.is_disk_full() {
                self.disk_works();
            }
        }
        if !self.alive && !last {
            self.rise_after(0);
            self.back_after = 0;
            return;
        }
        self.back_after = 0;
        self.apply_wanted |= self.alive && !self.ending;
        for of in 0..self.slots.len() {
            let Some(life) = &self.slots[of].life else { continue };
            let lost = self.slots[of].tree.lost;
            let command = match &life.model.state {
                State::Rest(Rest::Failed) => Order::Reset,
                State::Rest(Rest::Completed) if self.plan.jobs[of] => continue,
                State::Rest(Rest::Completed | Rest::Error) => Order::Start,
                State::Up(_) if lost && !life.view.ready => Order::Restart,
                _ => continue,
            };
            self.order(command, 1 << of);
        }
    }
}

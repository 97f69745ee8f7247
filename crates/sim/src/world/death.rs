//! What is on disk, and a supervisor that is killed.

use vitald_core::lifecycle::Action;

use super::{Item, Life, Saved, World};
use crate::dice::Nanos;
use crate::plan::{Moment, Trigger};

impl World<'_> {
    /// A write of one component, as far as it is told apart from the one before only by a crash.
    pub(super) fn wrote(&mut self, of: usize, durable: bool) {
        let slot = &self.slots[of];
        let Some(life) = &slot.life else { return };
        let durable = durable || slot.owed || life.model.is_stopped_on_request();
        if self.is_disk_full() {
            self.tally.writes_failed += 1;
            self.slots[of].owed = durable;
        } else if durable {
            self.slots[of].synced = self.saved(of);
            self.slots[of].owed = false;
        }
    }

    pub(super) fn is_disk_full(&self) -> bool {
        self.disk_full % 2 == 1
    }

    /// The record of a component as it would be written now.
    pub(super) fn saved(&self, of: usize) -> Option<Saved> {
        let slot = &self.slots[of];
        let Life { lifecycle, model, .. } = slot.life.as_ref()?;
        Some(Saved {
            record: lifecycle.record(),
            model: model.clone(),
            facts: slot.facts.clone(),
            boot: self.boot,
        })
    }

    /// Everything is written: it is the same to write it only when somebody is going to read it.
    pub(super) fn write_all(&mut self) {
        for of in 0..self.slots.len() {
            if let Some(saved) = self.saved(of) {
                if self.slots[of].owed {
                    (self.slots[of].synced, self.slots[of].owed) = (Some(saved.clone()), false);
                }
                self.slots[of].disk = Some(saved);
            }
        }
    }

    /// `kill -9`. One record may be older by a step.
    pub(super) fn die(&mut self, lost: Option<(usize, Saved)>) {
        if !self.alive {
            return;
        }
        self.tally.deaths += 1;
        self.trace(|| "the supervisor is killed".into());
        if self.is_disk_full() {
            self.tally.deaths_with_full_disk += 1;
            for slot in &mut self.slots {
                slot.stale = slot.tree.alive || slot.tree.starting.is_some();
            }
        } else {
            self.write_all();
            if let Some((of, saved)) = lost {
                self.slots[of].disk = Some(saved);
            }
        }
        self.gone();
        self.rise_after(self.back_after);
    }

    /// Nobody is there any more.
    pub(super) fn gone(&mut self) {
        (self.alive, self.ending, self.apply_wanted) = (false, false, false);
        self.ops.clear();
        for slot in &mut self.slots {
            (slot.life, slot.due, slot.told_missing) = (None, None, None);
            if slot.tree.starting.take().is_some() && slot.tree.appeared.is_none() {
                slot.tree.alive = false;
            }
        }
    }

    pub(super) fn rise_after(&mut self, span: Nanos) {
        self.risings += 1;
        self.after(span, Item::Rise { nth: self.risings });
    }

    /// Whether and where the supervisor dies in a step.
    pub(super) fn dies_here(&mut self, kind: Trigger, actions: &[Action]) -> Option<Moment> {
        let (death, _) = self.armed?;
        let has = |wanted: fn(&Action) -> bool| actions.iter().any(wanted);
        let here = match death.trigger {
            Trigger::Any => true,
            Trigger::Start => has(|action| matches!(action, Action::Start(_))),
            Trigger::Stop => {
                has(|action| matches!(action, Action::PreStop(_) | Action::Terminate(_) | Action::Kill(_)))
            }
            Trigger::Spawned | Trigger::Ended | Trigger::Adoption | Trigger::Command => kind == death.trigger,
        };
        if !here {
            return None;
        }
        self.armed = None;
        self.back_after = death.back_after;
        if death.trigger == Trigger::Adoption {
            self.tally.deaths_in_adoption += 1;
        }
        Some(if death.moment == Moment::Between { Moment::AfterActions(100) } else { death.moment })
    }
}

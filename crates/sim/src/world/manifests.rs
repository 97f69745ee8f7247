//! Manifests that are edited, and applied: what did not change is not touched.

use std::sync::Arc;

use vitald_core::lifecycle::{Command, Event};
use vitald_core::spec::ComponentSpec;

use super::World;
use super::orders::{Kind, Op, Stage};
use crate::plan::{Edit, specs};

impl World<'_> {
    /// A component as the manifests give it: it depends on what is in them, and nothing else.
    pub(super) fn as_given(&self, of: usize, spec: &ComponentSpec) -> Arc<ComponentSpec> {
        let mut spec = spec.clone();
        spec.depends_on.retain(|dependency| {
            self.plan.specs[..of]
                .iter()
                .position(|other| other.name == dependency.name)
                .is_some_and(|on| self.manifests[on].is_some())
        });
        Arc::new(spec)
    }

    pub(super) fn edit(&mut self, of: usize, how: Edit, apply: bool) {
        self.tally.edits += 1;
        match (how, self.manifests[of].clone()) {
            (Edit::Change(version), Some(spec)) => {
                let mut dice = self.dice.of(&[12, of as u64, version]);
                self.manifests[of] = Some(Arc::new(specs::edited(&mut dice, &spec, version)));
            }
            (Edit::ChangeAll(version), _) => {
                for of in 0..self.manifests.len() {
                    if let Some(spec) = self.manifests[of].clone() {
                        let mut dice = self.dice.of(&[12, of as u64, version]);
                        self.manifests[of] = Some(Arc::new(specs::edited(&mut dice, &spec, version)));
                    }
                }
            }
            (Edit::Remove, _) => {
                self.manifests[of] = None;
                for other in 0..self.manifests.len() {
                    if let Some(spec) = self.manifests[other].clone() {
                        self.manifests[other] = Some(self.as_given(other, &spec));
                    }
                }
            }
            (Edit::Change(_), None) => {}
            (Edit::Add, Some(_)) => {}
            (Edit::Add, None) => self.manifests[of] = Some(self.as_given(of, &self.plan.specs[of].clone())),
        }
        self.trace(|| format!("{}: edited ({how:?}), apply {apply}, alive {}", self.name(of), self.alive));
        self.apply_wanted |= apply && self.alive && !self.ending;
        self.tally.edits_while_dead += u64::from(!self.alive);
    }

    /// Changed ones are stopped, each after what depends on it; unchanged ones are not touched.
    pub(super) fn begin_apply(&mut self) {
        self.apply_wanted = false;
        self.tally.applies += 1;
        let wanted = self.manifests.clone();
        let mut members = vec![];
        for (of, wanted) in wanted.iter().enumerate() {
            let Some(life) = &self.slots[of].life else { continue };
            let old = &life.model.spec;
            match wanted {
                None => {
                    self.tally.removed += 1;
                    members.push((of, Stage::Waits));
                }
                Some(new) if !new.runs_like(old) => {
                    self.tally.replaced += 1;
                    members.push((of, Stage::Waits));
                }
                Some(new) if new != old => {
                    self.tally.relabelled += 1;
                    self.tell(of, Event::Spec(Arc::clone(new)));
                }
                Some(_) => {}
            }
        }
        if self.alive {
            self.ops.push(Op { kind: Kind::Apply, members, wanted });
        }
    }

    /// The changed ones are at rest, unless somebody has told one to start: that is stopped again then.
    pub(super) fn finish_apply(&mut self, op: Op) {
        let mut again = vec![];
        for (of, wanted) in op.wanted.iter().enumerate() {
            let Some(life) = &self.slots[of].life else { continue };
            match wanted {
                None => self.forget(of),
                Some(spec) if spec.runs_like(&life.model.spec) => {}
                Some(_) if !life.lifecycle.is_at_rest() => again.push((of, Stage::Waits)),
                Some(spec) => self.respec(of, Arc::clone(spec)),
            }
            if !self.alive {
                return;
            }
        }
        if !again.is_empty() && !self.ending {
            self.tally.stopped_again += 1;
            self.ops.push(Op { kind: Kind::Apply, members: again, wanted: op.wanted });
            return;
        }
        for of in 0..self.slots.len() {
            if self.alive && !self.ending && op.wanted[of].is_some() {
                if self.slots[of].life.is_none() {
                    self.bring_up(of, op.wanted[of].clone());
                }
                self.command(of, Command::Begin);
            }
        }
    }

    /// Somebody who does not wait until it is at rest changes nothing.
    pub(super) fn respec_early(&mut self, of: usize, spec: Arc<ComponentSpec>) {
        let Some(life) = &self.slots[of].life else { return };
        let mut dice = self.dice.of(&[14, of as u64, self.t]);
        if life.lifecycle.is_at_rest() || !dice.chance(200) {
            return;
        }
        self.tally.specs_too_early += 1;
        self.tell(of, Event::Spec(spec));
        if let Some(life) = &self.slots[of].life
            && life.lifecycle.spec() != &life.model.spec
        {
            let what = format!("{}: takes another spec while it runs", self.name(of));
            self.fail("changed manifests", what);
        }
    }

    fn respec(&mut self, of: usize, spec: Arc<ComponentSpec>) {
        let facts = &mut self.slots[of].facts;
        (facts.restarts, facts.pending) = (vec![], false);
        self.tell(of, Event::Spec(Arc::clone(&spec)));
        self.slots[of].told_missing = None;
        if let Some(life) = &self.slots[of].life
            && !life.lifecycle.spec().runs_like(&spec)
        {
            let what = format!("{}: at rest, and does not take its new spec", self.name(of));
            self.fail("changed manifests", what);
        }
    }

    fn forget(&mut self, of: usize) {
        let left = self.slots[of].tree.alive && !self.slots[of].stale;
        if left {
            let what = format!("{}: its processes live on after it was removed", self.name(of));
            return self.fail("changed manifests", what);
        }
        let slot = &mut self.slots[of];
        (slot.life, slot.disk, slot.synced, slot.due, slot.told_missing) = (None, None, None, None, None);
        slot.facts = super::Facts::default();
    }
}

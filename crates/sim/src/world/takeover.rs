//! The next supervisor finds what the one before has left.

use std::sync::Arc;

use vitald_core::lifecycle::{Event, Lifecycle, LifecycleRecord, Observed, Report};
use vitald_core::restarter::{Exit, RunId};
use vitald_core::spec::ComponentSpec;

use super::supervisor::view;
use super::{Life, Saved, World};
use crate::model::{Model, State, Step};

impl World<'_> {
    pub(super) fn rise(&mut self) {
        self.session += 1;
        self.alive = true;
        self.tally.supervisors += 1;
        self.trace(|| format!("supervisor {} begins", self.session));
        for of in 0..self.slots.len() {
            if self.alive {
                self.bring_up(of, self.manifests[of].clone());
            }
        }
        for of in 0..self.slots.len() {
            if self.alive && self.slots[of].life.is_some() {
                self.tell_missing(of);
            }
        }
        // What the manifests say now is brought about, as by an `apply`; then all begin.
        self.apply_wanted = self.alive;
    }

    /// A component comes under this supervisor, with what is on record of it.
    pub(super) fn bring_up(&mut self, of: usize, manifest: Option<Arc<ComponentSpec>>) {
        match self.slots[of].disk.clone() {
            Some(saved) => self.restore(of, &saved),
            None => {
                let Some(spec) = manifest else { return };
                self.slots[of].facts = super::Facts::default();
                self.take_in(of, Lifecycle::new(Arc::clone(&spec)), Model::new(spec));
            }
        }
    }

    fn take_in(&mut self, of: usize, lifecycle: Lifecycle, model: Model) {
        let view = view(&model);
        self.slots[of].told_missing = None;
        self.slots[of].life = Some(Life { lifecycle, model, view });
    }

    fn restore(&mut self, of: usize, saved: &Saved) {
        let same_boot = saved.boot == self.boot;
        let read = serde_json::to_string(&saved.record)
            .and_then(|written| serde_json::from_str::<LifecycleRecord>(&written));
        let record = match read {
            Ok(record) if record == saved.record => record,
            Ok(_) => return self.fail("records", "what is read is not what was written".into()),
            Err(err) => return self.fail("records", format!("cannot be read: {err}")),
        };
        if saved.record.is_stopped_on_request() != saved.facts.stopped {
            let what = format!("{}: stopped on request is {}", self.name(of), saved.facts.stopped);
            return self.fail("stopped stays stopped", format!("{what}, and the record says otherwise"));
        }
        let lifecycle = Lifecycle::restore(Arc::clone(&saved.model.spec), record, same_boot);
        let model = saved.model.inherited(same_boot);
        self.slots[of].facts = saved.facts.clone();
        if !same_boot {
            (self.slots[of].facts.restarts, self.slots[of].facts.pending) = (vec![], false);
        }
        let may_live = model.adopting;
        if lifecycle.awaits_adoption() != may_live {
            let what = format!("{}: a run may be there: {may_live}, and it thinks otherwise", self.name(of));
            return self.fail("adoption", what);
        }
        let tree = &self.slots[of].tree;
        if tree.alive && !may_live && !self.slots[of].stale {
            let what = format!("{}: process {} lives, and no record tells of it", self.name(of), tree.pid);
            return self.fail("adoption", what);
        }
        let (ready, total) = (model.is_ready(), model.total);
        let run = model.run;
        self.count_adoption(&model);
        let was_up = matches!(model.state, State::Up(_));
        self.take_in(of, lifecycle, model);
        self.compare(of, &[], &[], false);
        if !may_live || self.fault.is_some() {
            return self.note_due(of);
        }
        let what = self.found(of, run);
        let adopted = what == Observed::Adopted;
        self.tally.found_dead += u64::from(matches!(what, Observed::Exited { .. }));
        self.tally.found_nothing += u64::from(what == Observed::NotFound);
        let starts = self.starts;
        self.tell(of, Event::Report(Report { run: RunId(run), what }));
        if !adopted || !was_up || !self.alive {
            return;
        }
        let stamp = self.stamp();
        let Some(life) = &self.slots[of].life else { return };
        let seen = life.lifecycle.snapshot(stamp);
        let same =
            (seen.ready, seen.restart_count, seen.run.0) == (ready, total, run) && starts == self.starts;
        if !same {
            let what = format!("{}: ready, count or run differ from what they were before", self.name(of));
            self.fail("what was adopted is what ran", what);
        }
    }

    /// What is there of a run on record.
    fn found(&mut self, of: usize, run: u64) -> Observed {
        let session = self.session;
        let mut dice = self.dice_of(of, &[7, session]);
        let tree = &mut self.slots[of].tree;
        if tree.run != run || tree.appeared.is_none() {
            return Observed::NotFound;
        }
        tree.watched_by = session;
        let known = dice.chance(500);
        if tree.main {
            (self.slots[of].facts.pending, self.slots[of].stale) = (false, false);
            return Observed::Adopted;
        }
        if !known && !tree.alive {
            return Observed::NotFound;
        }
        self.slots[of].facts.pending = false;
        let tree = &self.slots[of].tree;
        let exit = tree.exit.clone().filter(|_| known).unwrap_or(Exit::Unknown);
        Observed::Exited { exit, leftovers: tree.alive }
    }

    fn count_adoption(&mut self, model: &Model) {
        if !model.adopting {
            return;
        }
        match &model.state {
            State::Spawning { .. } => self.tally.taken_over_starting += 1,
            State::Up(_) => self.tally.taken_over_up += 1,
            State::Stopping(_, stop) => match stop.step {
                Step::PreStop { .. } => self.tally.taken_over_in_pre_stop += 1,
                Step::Asked { .. } => self.tally.taken_over_terminating += 1,
                Step::Killed => self.tally.taken_over_killed += 1,
            },
            State::Rest(_) | State::Due { .. } => {}
        }
    }
}

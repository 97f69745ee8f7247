//! What must always hold, whatever a model says.

use vitald_core::lifecycle::{Action, Event};
use vitald_core::restarter::RunId;
use vitald_core::spec::Condition;
use vitald_core::status::{Reason, State as Told};

use super::supervisor::named;
use super::{Life, World};
use crate::dice::{Nanos, SEC};
use crate::model::{Act, Rest, State, nanos, place};

impl World<'_> {
    /// The lifecycle did what the model does, and looks the same from outside.
    pub(super) fn compare(&mut self, of: usize, expected: &[Act], actions: &[Action], quiet: bool) {
        let (now, stamp) = (self.now(), self.stamp());
        let Some(life) = &mut self.slots[of].life else { return };
        let run = life.model.run;
        let mut done: Vec<Act> = vec![];
        for (act, of_run) in actions.iter().filter_map(named) {
            if of_run != run && act != Act::Start {
                let what = format!("{act:?} about run {of_run}, and {run} is the current one");
                return self.fail("only the current run", what);
            }
            done.push(act);
        }
        done.sort_unstable();
        if done != expected {
            let what = format!("{}: does {done:?}, and ought to do {expected:?}", self.name(of));
            return self.fail(rule_of(&done, expected), what);
        }
        // The commonest step by far, in which nothing can be seen to change.
        if quiet && actions.iter().all(|action| matches!(action, Action::Probe(..))) && !actions.is_empty() {
            return;
        }
        let seen = life.lifecycle.snapshot(stamp);
        if life.model.delay.is_some() {
            let until = seen.next_restart_at.map(|at| at.since_boot().as_nanos() as Nanos);
            if let Err(what) = life.model.delayed(until) {
                let rule = if what.contains("delay of") {
                    "delays are those of the backoff"
                } else {
                    "restart limit"
                };
                return self.fail(rule, format!("{}: {what}", self.plan.specs[of].name));
            }
        }
        let model = &life.model;
        let (state, reason) = model.told();
        let completed = matches!(model.state, State::Rest(Rest::Completed));
        let failures = |role| match &model.state {
            State::Up(run) | State::Stopping(run, _) => {
                run.asked[place(role)].as_ref().map_or(0, |asked| asked.failures())
            }
            State::Rest(_) | State::Due { .. } | State::Spawning { .. } => 0,
        };
        let due = match &model.state {
            State::Due { at, .. } if *at > now => Some(*at),
            _ => None,
        };
        let adopted = match &model.state {
            State::Up(run) if run.gate && run.hook_done => Some(run.adopted),
            _ => None,
        };
        let told = seen.state.to_string();
        let upcoming = seen.next_restart_at.map(|at| at.since_boot().as_nanos() as Nanos);
        let upcoming = upcoming.filter(|at| *at > now);
        let problem = if told != state {
            Some(("states", format!("is {told}, and ought to be {state}")))
        } else if reason.is_some_and(|reason| reason != seen.reason) {
            Some(("states", format!("gives {:?} as the reason of {state}, not {reason:?}", seen.reason)))
        } else if adopted
            .is_some_and(|adopted| seen.reason == if adopted { Reason::None } else { Reason::Adopted })
        {
            Some(("what was adopted is what ran", "whether it was adopted is told wrongly".to_owned()))
        } else if seen.ready != model.is_ready() {
            Some(("readiness", format!("ready is {}, and ought not to be", seen.ready)))
        } else if seen.restart_count != model.total {
            Some(("counters", format!("counts {} restarts, not {}", seen.restart_count, model.total)))
        } else if seen.restarts_in_window != model.in_window(now) {
            let (seen, real) = (seen.restarts_in_window, model.in_window(now));
            Some(("counters", format!("counts {seen} restarts in the window, not {real}")))
        } else if upcoming != due {
            Some(("counters", format!("restarts at {:?}, not at {due:?}", seen.next_restart_at)))
        } else if seen.last_end.as_ref().map(|end| end.reason) != model.last_end {
            let seen = seen.last_end.map(|end| end.reason);
            Some((
                "counters",
                format!("says that the run before ended by {seen:?}, not {:?}", model.last_end),
            ))
        } else if completed != (seen.state == Told::Stopped && seen.reason == Reason::Completed) {
            Some(("states", "completed, and does not say so".to_owned()))
        } else {
            seen.probes.iter().find(|probe| probe.consecutive_failures != failures(probe.role)).map(|probe| {
                let (role, seen, real) = (probe.role, probe.consecutive_failures, failures(probe.role));
                ("counters", format!("counts {seen} {role} failures, not {real}"))
            })
        };
        let adopting = model.adopting;
        let tree = &self.slots[of].tree;
        if let Some((rule, what)) = problem {
            let what = format!("{}: {what}", self.name(of));
            self.fail(rule, what);
        } else if seen.ready && tree.told_exit && !adopting {
            let what = format!("{}: ready, and its process is dead", self.name(of));
            self.fail("readiness", what);
        }
    }

    /// A start: nothing else of the component is alive, and it may be started.
    pub(super) fn check_start(&mut self, of: usize) {
        let name = self.name(of).to_owned();
        let slot = &self.slots[of];
        if slot.tree.alive || slot.tree.starting.is_some() {
            if !slot.stale {
                let what = format!("{name}: started, and process {} of it is alive", slot.tree.pid);
                return self.fail("never two runs", what);
            }
            // Nothing on disk told of it; a start ends what occupies the component's name.
            self.tally.unknown_ended += 1;
        }
        if slot.facts.stopped {
            return self.fail("stopped stays stopped", format!("{name}: started, though stopped on request"));
        }
        let Some(Life { model, .. }) = &slot.life else { return };
        if model.closing {
            return self.fail("the end", format!("{name}: started while the supervisor ends"));
        }
        if self.is_missing(of) {
            return self.fail("dependencies", format!("{name}: started without what it depends on"));
        }
        let window = nanos(model.spec.restart.window);
        let (now, most) = (self.now(), model.spec.restart.max_restarts as usize);
        let automatic =
            matches!(model.state, State::Spawning { launch, .. } if launch != crate::model::Launch::Plain);
        let made = &slot.facts.restarts[..slot.facts.restarts.len() - usize::from(slot.facts.pending)];
        let inside = made.iter().filter(|at| **at + window > now).count();
        if automatic && inside + 1 > most {
            let what = format!("{name}: {} automatic restarts within {} s", inside + 1, window / SEC);
            self.fail("restart limit", what);
        }
    }

    pub(super) fn check_current(&mut self, of: usize, run: RunId, act: &str) {
        let tree = &self.slots[of].tree;
        if tree.run != run.0 {
            let what =
                format!("{}: {act} for run {run}, and the process is of run {}", self.name(of), tree.run);
            self.fail("only the current run", what);
        } else if tree.starting.is_some() || tree.told_over {
            let what = format!("{}: {act} for run {run}, of which nothing is there", self.name(of));
            self.fail("only the current run", what);
        }
    }

    /// Nothing is stopped without a reason that the world knows of.
    pub(super) fn check_reason(&mut self, of: usize) {
        if !self.slots[of].tree.may_be_stopped {
            let what = format!("{}: stopped, and nobody asked for it, and nothing failed", self.name(of));
            self.fail("nothing healthy is stopped, and what is not is", what);
        }
    }

    /// Told of the time once more, it does nothing. Tried now and then.
    pub(super) fn check_repeated(&mut self, of: usize) {
        let stamp = self.stamp();
        let Some(life) = self.slots[of].life.as_ref().filter(|_| self.tally.events.is_multiple_of(32)) else {
            return;
        };
        let again = life.lifecycle.clone().on(stamp, Event::Deadline);
        if !again.is_empty() {
            let what = format!("{}: told of the same time twice, it does {again:?}", self.name(of));
            self.fail("equal times, equal actions", what);
        }
    }

    /// SIGKILL only after the grace period, counted from when the component could first know.
    pub(super) fn check_kill(&mut self, of: usize) {
        let slot = &self.slots[of];
        let Some(Life { model, .. }) = &slot.life else { return };
        let State::Stopping(_, stop) = &model.state else { return };
        let at_once = matches!(
            stop.then,
            crate::model::Then::Rest { kill: true } | crate::model::Then::Close { kill: true }
        );
        if at_once || slot.stale {
            return;
        }
        let least = stop.grace.min(2 * SEC);
        let enough = slot.tree.asked_at.is_some_and(|at| at + least <= self.t)
            && slot.tree.stop_began.is_some_and(|at| at + stop.grace <= self.t);
        if !enough {
            let (asked, began) = (slot.tree.asked_at, slot.tree.stop_began);
            let ago = |at: Option<Nanos>| {
                at.map_or("never".into(), |at| format!("{:.3} s ago", (self.t - at) as f64 / 1e9))
            };
            let what = format!(
                "{}: SIGKILL, with a grace of {:.3} s; the stop began {}, SIGTERM was sent {}",
                self.name(of),
                stop.grace as f64 / 1e9,
                ago(began),
                ago(asked)
            );
            self.fail("grace", what);
        }
    }

    /// Whether something is missing of what a component depends on.
    pub(super) fn is_missing(&self, of: usize) -> bool {
        let Some(life) = &self.slots[of].life else { return false };
        life.model.spec.depends_on.iter().any(|dependency| {
            let Some(on) = self.plan.specs.iter().position(|spec| spec.name == dependency.name) else {
                return false;
            };
            let Some(other) = &self.slots[on].life else { return false };
            let there = match dependency.condition {
                Condition::Started => other.view.started,
                Condition::Ready => other.view.ready,
                Condition::Completed => other.view.completed,
            };
            !there
        })
    }

    /// After hours in which nothing went wrong, all is well that may be.
    pub(super) fn check_end(&mut self) {
        let mut resting = vec![false; self.slots.len()];
        for of in 0..self.slots.len() {
            if self.manifests[of].is_none() {
                continue;
            }
            let Some(life) = &self.slots[of].life else {
                return self.fail("all well in the end", format!("{} is not supervised", self.name(of)));
            };
            let on = |name: &str| self.plan.specs.iter().position(|spec| spec.name == name);
            let waits = life.model.spec.depends_on.iter().filter_map(|d| on(&d.name)).any(|on| resting[on]);
            resting[of] = self.slots[of].facts.stopped || waits;
            let well = life.view.ready || (self.plan.jobs[of] && life.view.completed);
            if !well && !resting[of] {
                let seen = life.lifecycle.snapshot(self.stamp());
                let what = format!("{} is {}/{}: {}", self.name(of), seen.state, seen.reason, seen.message);
                return self.fail("all well in the end", what);
            }
            if self.slots[of].facts.stopped && !matches!(life.model.state, State::Rest(Rest::User)) {
                return self.fail("stopped stays stopped", format!("{} does not rest", self.name(of)));
            }
        }
    }
}

fn rule_of(done: &[Act], expected: &[Act]) -> &'static str {
    let odd = |acts: &[Act]| {
        done.iter()
            .chain(expected)
            .any(|act| acts.contains(act) && done.contains(act) != expected.contains(act))
    };
    if odd(&[Act::Start]) {
        "starts"
    } else if odd(&[Act::Terminate, Act::PreStop, Act::PostStart, Act::CancelStart]) {
        "nothing healthy is stopped, and what is not is"
    } else if odd(&[Act::Kill]) {
        "grace"
    } else {
        "probes"
    }
}

//! The supervisor as the lifecycles know it: tells them, writes down, carries out, and dies in between.

use vitald_core::lifecycle::{Action, Command, Event, EventReason, Observed};

use super::{Item, View, World};
use crate::dice::{MS, Nanos, SEC};
use crate::model::{Act, Launch, Model, Rest, State};
use crate::plan::{Moment, Trigger};

impl World<'_> {
    /// One step of one component: what it makes of the event is compared, written down and carried out.
    pub(super) fn tell(&mut self, of: usize, event: Event) {
        let (now, stamp) = (self.now(), self.stamp());
        let before = if self.armed.is_some() { self.saved(of) } else { None };
        let slot = &mut self.slots[of];
        let Some(life) = &mut slot.life else { return };
        let takeover = life.lifecycle.awaits_adoption();
        slot.tree.hears(&event, &life.model.spec);
        if let Event::Report(report) = &event
            && report.run.0 == slot.tree.run
        {
            // A restart that was lost with its supervisor is still the same one when it is made again.
            slot.facts.pending &= !matches!(report.what, Observed::Spawned | Observed::StartFailed(_));
        }
        let mut durable = matches!(&event, Event::Spec(_));
        if let Event::Command(command) = &event {
            durable = !matches!(command, Command::Begin | Command::Close | Command::Shutdown | Command::Kill);
            match command {
                Command::Stop => slot.facts.stopped = true,
                // A restart of several pauses each before it starts any.
                Command::Start | Command::Restart | Command::Reset | Command::Pause
                    if !life.model.closing =>
                {
                    slot.facts.stopped = false;
                }
                _ => {}
            }
            if *command == Command::Reset {
                (slot.facts.restarts, slot.facts.pending) = (vec![], false);
            }
        }
        let kind = kind(&event, takeover);
        let quiet = matches!(&event, Event::Deadline | Event::Report(_)) && kind == Trigger::Any;
        let told = self.lines.is_some().then(|| format!("{event:?}"));
        let expected = {
            let mut acts = life.model.step(now, &event);
            acts.sort_unstable();
            acts
        };
        let actions = life.lifecycle.on(stamp, event);
        if let Some(told) = told
            && !(told.contains("result: Success") && actions.is_empty())
            && !(told == "Deadline" && actions.iter().all(|action| matches!(action, Action::Probe(..))))
        {
            let done: Vec<String> = actions.iter().filter_map(worth_telling).collect();
            self.trace(|| format!("{}: {} -> [{}]", self.name(of), short(&told), done.join(", ")));
        }
        self.compare(of, &expected, &actions, quiet);
        if self.fault.is_some() {
            return;
        }

        if expected.iter().any(|act| matches!(act, Act::PreStop | Act::Terminate)) {
            let t = self.t;
            self.slots[of].tree.stop_began.get_or_insert(t);
        }
        if expected.contains(&Act::Kill) && !self.slots[of].tree.kill_decided {
            self.check_kill(of);
            self.slots[of].tree.kill_decided = true;
        }
        self.check_repeated(of);
        let dies = self.dies_here(kind, &actions);
        if dies == Some(Moment::BeforeWrite) {
            self.tally.deaths_before_write += 1;
            return self.die(before.map(|saved| (of, saved)));
        }
        self.wrote(of, durable);
        if dies == Some(Moment::AfterWrite) {
            self.tally.deaths_after_write += 1;
            return self.die(None);
        }
        for (i, action) in actions.into_iter().enumerate() {
            if dies == Some(Moment::AfterActions(i)) {
                break;
            }
            self.act(of, action);
        }
        if dies.is_some() {
            self.tally.deaths_amid_actions += 1;
            return self.die(None);
        }
        if let Some(life) = &mut self.slots[of].life {
            life.view = view(&life.model);
        }
        self.note_due(of);
    }

    fn act(&mut self, of: usize, action: Action) {
        match action {
            Action::Start(run) => {
                self.check_start(of);
                let slot = &mut self.slots[of];
                slot.stale = false;
                let automatic = slot.life.as_ref().is_some_and(|life| {
                    !matches!(life.model.state, State::Spawning { launch: Launch::Plain, .. })
                });
                if automatic {
                    self.tally.restarts += 1;
                    let now = self.now();
                    let facts = &mut self.slots[of].facts;
                    if facts.pending {
                        facts.restarts.pop();
                    }
                    facts.restarts.push(now);
                }
                self.slots[of].facts.pending = automatic;
                self.tally.runs += 1;
                self.spawn(of, run);
            }
            Action::CancelStart(run) => self.cancel(of, run),
            Action::PostStart(run) => {
                self.check_current(of, run, "PostStart");
                self.tally.hooks += 1;
                self.hook(of, run, true);
            }
            Action::PreStop(run) => {
                self.check_current(of, run, "PreStop");
                self.check_reason(of);
                self.tally.hooks += 1;
                self.hook(of, run, false);
            }
            Action::Terminate(run) => {
                self.check_current(of, run, "Terminate");
                self.check_reason(of);
                self.tally.terminated += 1;
                self.terminate(of, run);
            }
            Action::Kill(run) => {
                self.check_current(of, run, "Kill");
                self.check_reason(of);
                self.tally.killed += 1;
                self.kill(of);
            }
            Action::Probe(run, role) => {
                self.check_current(of, run, "Probe");
                self.check_health(of, run, role);
            }
            Action::Notify(notice) => match notice.reason {
                EventReason::Failed => self.tally.failed += 1,
                EventReason::BackOff => self.tally.delays += 1,
                EventReason::NotReady => self.tally.not_ready += 1,
                EventReason::ProbeUnknown => self.tally.blind += 1,
                EventReason::Adopted => self.tally.adopted += 1,
                EventReason::Completed => self.tally.completed += 1,
                EventReason::WaitingForDependency => self.tally.waits += 1,
                EventReason::FailedKill => self.tally.unkillable += 1,
                _ => {}
            },
        }
    }

    /// What a report does beside being told: the start is over, or the end is known.
    pub(super) fn deliver(&mut self, of: usize, session: u64, event: Event) {
        if !self.alive || session != self.session || self.slots[of].life.is_none() {
            self.tally.reports_lost += 1;
            return;
        }
        let mut ended_early = false;
        if let Event::Report(report) = &event {
            let slot = &mut self.slots[of];
            let run = slot.life.as_ref().map_or(0, |life| life.lifecycle.run().0);
            self.tally.reports_of_old_runs += u64::from(report.run.0 != run);
            let tree = &mut slot.tree;
            match &report.what {
                Observed::StartFailed(why) if why == "given up" => {}
                Observed::Spawned | Observed::StartFailed(_) => {
                    if tree.starting.is_none() || tree.run != report.run.0 {
                        return;
                    }
                    tree.starting = None;
                    ended_early = report.what == Observed::Spawned && !tree.main;
                }
                _ => {}
            }
        }
        self.tell(of, event);
        let tree = &self.slots[of].tree;
        if ended_early && self.alive {
            let (exit, leftovers) = (tree.exit.clone(), tree.alive);
            let what =
                Observed::Exited { exit: exit.unwrap_or(vitald_core::restarter::Exit::Unknown), leftovers };
            let run = vitald_core::restarter::RunId(tree.run);
            let session = self.session;
            self.slots[of].tree.heard_at = self.t + MS;
            let event = Event::Report(vitald_core::lifecycle::Report { run, what });
            self.after(MS, Item::Tell { of, session, event });
        }
    }

    /// When the lifecycle is told of the time; an overloaded machine is late.
    pub(super) fn note_due(&mut self, of: usize) {
        let booted = self.booted;
        let slot = &mut self.slots[of];
        let Some(life) = &slot.life else { return };
        let due = life.lifecycle.next_deadline().map(|at| at.since_boot().as_nanos() as Nanos);
        let needs = life.model.needs_at();
        slot.due = due.map(|at| at + booted);
        if let Some(at) = due
            && self.plan.wild.overload > 0
            && !self.calm
        {
            let mut dice = self.dice.of(&[11, of as u64, at]);
            if dice.chance(self.plan.wild.overload) {
                self.slots[of].due = Some(at + booted + dice.span(MS, 5 * SEC));
                self.tally.late_deadlines += 1;
            }
        }
        if let Some(needs) = needs
            && due.is_none_or(|due| due > needs)
        {
            let due = due.map_or("never".to_owned(), |due| format!("at {:.3} s", due as f64 / 1e9));
            self.fail(
                "is woken in time",
                format!(
                    "{}: needs to act at {:.3} s, and asks to be told {due}",
                    self.name(of),
                    needs as f64 / 1e9
                ),
            );
        }
    }
}

fn kind(event: &Event, takeover: bool) -> Trigger {
    match event {
        _ if takeover => Trigger::Adoption,
        Event::Command(Command::Begin) => Trigger::Any,
        Event::Command(_) => Trigger::Command,
        Event::Report(report) => match report.what {
            Observed::Spawned | Observed::StartFailed(_) => Trigger::Spawned,
            Observed::Exited { .. } | Observed::Gone => Trigger::Ended,
            _ => Trigger::Any,
        },
        Event::Dependencies(_) | Event::Spec(_) | Event::Deadline => Trigger::Any,
    }
}

pub(super) fn view(model: &Model) -> View {
    View {
        started: matches!(&model.state, State::Up(run) if run.started && run.hook_done),
        ready: model.is_ready(),
        completed: matches!(model.state, State::Rest(Rest::Completed)),
    }
}

/// The actions as the model names them.
pub(super) fn named(action: &Action) -> Option<(Act, u64)> {
    Some(match action {
        Action::Start(run) => (Act::Start, run.0),
        Action::CancelStart(run) => (Act::CancelStart, run.0),
        Action::PostStart(run) => (Act::PostStart, run.0),
        Action::PreStop(run) => (Act::PreStop, run.0),
        Action::Terminate(run) => (Act::Terminate, run.0),
        Action::Kill(run) => (Act::Kill, run.0),
        Action::Probe(run, role) => (Act::Probe(*role), run.0),
        Action::Notify(_) => return None,
    })
}

fn worth_telling(action: &Action) -> Option<String> {
    match action {
        Action::Notify(notice) => match notice.reason {
            EventReason::Failed | EventReason::BackOff | EventReason::Adopted | EventReason::Restarted => {
                Some(format!("\"{}\"", notice.message))
            }
            _ => None,
        },
        action => named(action).map(|(act, run)| format!("{act:?}({run})")),
    }
}

/// An event without its spec and its report's wrapping.
fn short(told: &str) -> String {
    match told.strip_prefix("Report(Report { run: RunId(") {
        _ if told.starts_with("Spec(") => "Spec".to_owned(),
        Some(rest) => format!("run {}", rest.replacen("), what:", "", 1).trim_end_matches(" })")),
        None => told.to_owned(),
    }
}

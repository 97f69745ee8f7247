//! A machine with a supervisor that dies, and components that do as they like.

mod check;
mod death;
mod happen;
mod machine;
mod manifests;
mod orders;
mod supervisor;
mod takeover;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use vitald_core::lifecycle::{Event, Lifecycle, LifecycleRecord};
use vitald_core::restarter::Exit;
use vitald_core::spec::ComponentSpec;
use vitald_core::time::Timestamp;

use crate::dice::{Dice, Nanos, SEC};
use crate::model::Model;
use crate::plan::{Death, Plan, SPELLS, clock};
use crate::tally::Tally;
use machine::Tree;
use orders::Op;

/// A rule that was broken.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which rule, in a word or two.
    pub rule: &'static str,
    /// What happened instead.
    pub what: String,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    dice: Dice,
    /// The time of the simulation; what the machine's clock shows is less.
    t: Nanos,
    /// When the machine was booted last, and how often before.
    booted: Nanos,
    boot: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    manifests: Vec<Option<Arc<ComponentSpec>>>,
    slots: Vec<Slot>,
    /// The number of the supervisor, and whether it lives.
    session: u64,
    alive: bool,
    /// It is told to end.
    ending: bool,
    ops: Vec<Op>,
    apply_wanted: bool,
    /// When the next supervisor comes.
    back_after: Nanos,
    risings: u64,
    armed: Option<(Death, u64)>,
    deaths: u64,
    /// Nothing can be written.
    disk_full: u64,
    calm: bool,
    starts: u64,
    pub(crate) tally: Tally,
    pub(crate) fault: Option<Fault>,
    lines: Option<std::cell::RefCell<Vec<String>>>,
    stuck: (Nanos, u32),
}

/// One component, by its number in the plan.
struct Slot {
    life: Option<Life>,
    /// Its record, as a supervisor that comes now finds it.
    disk: Option<Saved>,
    /// Its record, as the next boot finds it after a power loss.
    synced: Option<Saved>,
    /// A durable write is owed since the disk was full.
    owed: bool,
    /// The record on disk was older than what was done when the supervisor died.
    stale: bool,
    tree: Tree,
    /// When its lifecycle is told of the time.
    due: Option<Nanos>,
    told_missing: Option<bool>,
    spells: [Nanos; SPELLS],
    facts: Facts,
}

/// A component under the living supervisor.
struct Life {
    lifecycle: Lifecycle,
    model: Model,
    view: View,
}

/// What the world itself keeps count of, beside any model. It goes back with the record where a write was
/// lost.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// When automatic restarts were made, and whether anything came of the last.
    restarts: Vec<Nanos>,
    pending: bool,
    /// Stopped on request.
    stopped: bool,
}

#[derive(Clone)]
struct Saved {
    record: LifecycleRecord,
    model: Model,
    facts: Facts,
    boot: u64,
}

/// What dependants see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    started: bool,
    ready: bool,
    completed: bool,
}

struct Entry {
    at: Nanos,
    sequence: u64,
    item: Item,
}

enum Item {
    Happening(usize),
    Calm { last: bool },
    Rise { nth: u64 },
    Appear { of: usize, token: u64 },
    MainExit { of: usize, pid: u64, exit: Exit, by_kill: bool, by_itself: bool },
    TreeEnds { of: usize, pid: u64 },
    Tell { of: usize, session: u64, event: Event },
    DiskWorks { nth: u64 },
    KillAll { session: u64 },
    Disarm { nth: u64 },
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, traced: bool) -> Self {
        let slot = |_: &ComponentSpec| Slot {
            life: None,
            disk: None,
            synced: None,
            owed: false,
            stale: false,
            tree: Tree::default(),
            due: None,
            told_missing: None,
            spells: [0; SPELLS],
            facts: Facts::default(),
        };
        let mut world = Self {
            plan,
            dice: Dice::new(plan.seed).of(&[9]),
            t: 0,
            booted: 0,
            boot: 0,
            queue: BinaryHeap::with_capacity(64),
            sequence: 0,
            manifests: vec![None; plan.specs.len()],
            slots: plan.specs.iter().map(slot).collect(),
            session: 0,
            alive: false,
            ending: false,
            ops: vec![],
            apply_wanted: false,
            back_after: 0,
            risings: 0,
            armed: None,
            deaths: 0,
            disk_full: 0,
            calm: false,
            starts: 0,
            tally: Tally::default(),
            fault: None,
            lines: traced.then(std::cell::RefCell::default),
            stuck: (0, 0),
        };
        for (i, present) in plan.present.iter().enumerate() {
            if *present {
                world.manifests[i] = Some(world.as_given(i, &plan.specs[i]));
            }
        }
        for (i, happening) in plan.happenings.iter().enumerate() {
            world.at(happening.at, Item::Happening(i));
        }
        for (hours, last) in [(0, false), (1, false), (2, false), (3, true)] {
            world.at(plan.calm_at + hours * 3600 * SEC, Item::Calm { last });
        }
        world.rise_after(0);
        world
    }

    /// The whole day, or until a rule is broken.
    pub(crate) fn run(&mut self) {
        while self.fault.is_none() {
            let next = self.queue.peek().map(|Reverse(entry)| entry.at);
            let due = self.slots.iter().enumerate().filter_map(|(of, slot)| Some((slot.due?, of))).min();
            match (next, due) {
                (next, Some((at, of))) if at <= self.plan.end && next.is_none_or(|next| at < next) => {
                    self.pass_to(at);
                    self.tell(of, Event::Deadline);
                }
                (Some(at), _) if at <= self.plan.end => {
                    let Some(Reverse(entry)) = self.queue.pop() else { break };
                    self.pass_to(at);
                    self.happen(entry.item);
                }
                _ => break,
            }
            self.tally.events += 1;
            self.settle();
        }
        self.tally.days += 1;
        self.tally.seconds += self.t / SEC;
        if self.fault.is_none() {
            self.t = self.plan.end;
            self.check_end();
        }
    }

    /// What happened, one line each.
    pub(crate) fn trace_lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }

    fn pass_to(&mut self, at: Nanos) {
        self.stuck = if at > self.t { (at, 0) } else { (self.stuck.0, self.stuck.1 + 1) };
        self.t = self.t.max(at);
        if self.stuck.1 > 3000 {
            self.fail("comes to rest", "it goes round and round without time passing".into());
        }
    }

    /// What the machine's clock shows.
    fn now(&self) -> Nanos {
        self.t - self.booted
    }

    fn stamp(&self) -> Timestamp {
        Timestamp::from_boot(std::time::Duration::from_nanos(self.now()))
    }

    fn at(&mut self, at: Nanos, item: Item) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry { at, sequence: self.sequence, item }));
    }

    fn after(&mut self, span: Nanos, item: Item) {
        self.at(self.t + span, item);
    }

    fn name(&self, of: usize) -> &str {
        &self.plan.specs[of].name
    }

    fn fail(&mut self, rule: &'static str, what: String) {
        if self.fault.is_none() {
            self.trace(|| format!("BROKEN ({rule}): {what}"));
            self.fault = Some(Fault { rule, what });
        }
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            lines.borrow_mut().push(format!("{} {}", clock(self.t), line()));
        }
    }
}

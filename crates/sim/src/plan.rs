//! What is to happen in a day, drawn before it begins, so that it can be shrunk.

mod draw;
pub(crate) mod specs;

use vitald_core::spec::ComponentSpec;

use crate::dice::{Dice, MS, Nanos, SEC};

/// A virtual day: components, and what befalls them.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) seed: u64,
    /// All components that ever are in the manifests.
    pub(crate) specs: Vec<ComponentSpec>,
    /// Which of them end well by themselves.
    pub(crate) jobs: Vec<bool>,
    /// Which of them are in the manifests when the day begins.
    pub(crate) present: Vec<bool>,
    /// In the order of time.
    pub(crate) happenings: Vec<Happening>,
    /// How wild the processes are.
    pub(crate) wild: Wild,
    /// From when on nothing goes wrong any more.
    pub(crate) calm_at: Nanos,
    /// When the day ends.
    pub(crate) end: Nanos,
}

/// Times out of a thousand that something happens of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wild {
    pub(crate) bad_start: u64,
    pub(crate) short_life: u64,
    pub(crate) ignores_term: u64,
    pub(crate) leftovers: u64,
    pub(crate) bad_hook: u64,
    pub(crate) never_starts: u64,
    pub(crate) unknown: u64,
    pub(crate) failure: u64,
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) overload: u64,
}

/// Something at some time.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    pub(crate) at: Nanos,
    pub(crate) what: What,
}

/// What can befall a day. Components are numbers, sets of them bits.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The main process ends by itself.
    Exit {
        of: usize,
        code: i32,
        oom: bool,
    },
    /// Something is wrong with a component's processes for a while.
    Spell {
        of: usize,
        what: Spell,
        lasts: Nanos,
    },
    Order {
        what: Order,
        on: u8,
    },
    /// The supervisor is told to end, and the next one comes after a while; once more, at once, after `kill`.
    Down {
        kill: Option<Nanos>,
        back_after: Nanos,
    },
    /// Somebody edits the manifests, and perhaps applies them.
    Edit {
        of: usize,
        how: Edit,
        apply: bool,
    },
    Death(Death),
    /// All processes are gone, and what was not written durably may be.
    Reboot {
        power_loss: bool,
        back_after: Nanos,
    },
    /// The machine sleeps.
    Sleep {
        lasts: Nanos,
    },
    /// Nothing can be written.
    DiskFull {
        lasts: Nanos,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spell {
    /// Its liveness fails.
    Sick,
    /// Its readiness fails.
    Unready,
    /// Its probes cannot ask.
    Blind,
    /// Its starts fail.
    BadStarts,
    /// It crashes soon after each start.
    Crashes,
}

pub(crate) const SPELLS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Start,
    Stop,
    Restart,
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    Change(u64),
    ChangeAll(u64),
    Remove,
    Add,
}

/// The supervisor is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    pub(crate) moment: Moment,
    pub(crate) trigger: Trigger,
    pub(crate) back_after: Nanos,
}

/// Where in a step it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Between,
    BeforeWrite,
    AfterWrite,
    AfterActions(usize),
}

/// In which step it dies: the first such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Any,
    Start,
    Spawned,
    Stop,
    Ended,
    Adoption,
    Command,
}

const DAY: Nanos = 86_400 * SEC;

impl Plan {
    /// The day of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = dice.pick(&[1, 1, 2, 2, 3, 3, 4, 5]);
        let mut named: Vec<(String, bool)> = vec![];
        let (mut specs, mut jobs) = (vec![], vec![]);
        for name in ["ape", "bee", "cat", "dog", "eel"].into_iter().take(count) {
            let job = dice.chance(120);
            specs.push(specs::component(&mut dice.of(&[1, jobs.len() as u64]), name, job, &named));
            named.push((name.to_owned(), job));
            jobs.push(job);
        }
        let mut present = vec![true; count];
        for (i, here) in present.iter_mut().enumerate().skip(1) {
            *here = dice.of(&[2, i as u64]).below(10) > 0;
        }
        let level = dice.pick(&[0, 1, 1, 2, 2, 2, 4]);
        let wild = Wild {
            bad_start: 20 * level,
            short_life: 40 * level,
            ignores_term: 100 * level,
            leftovers: 60 * level,
            bad_hook: 50 * level,
            never_starts: 30 * level,
            unknown: 10 * level,
            failure: 12 * level,
            lost: dice.pick(&[0, 0, 1]),
            late: 15 * level,
            overload: dice.pick(&[0, 0, 5, 30]),
        };
        let calm_at = DAY - 4 * 3600 * SEC;
        let happenings = draw::happenings(dice.of(&[3]), count, calm_at);
        Self { seed, specs, jobs, present, happenings, wild, calm_at, end: DAY }
    }
}

impl Plan {
    /// The day's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many things befall the day.
    pub fn happenings(&self) -> usize {
        self.happenings.len()
    }

    /// The day without the last thing that befalls it, and when that would have been, as timelines tell it.
    pub fn without_last(&self) -> Option<(Self, String)> {
        let mut plan = self.clone();
        let last = plan.happenings.pop()?;
        Some((plan, clock(last.at)))
    }

    /// The plan in words.
    pub(crate) fn describe(&self) -> Vec<String> {
        let mut lines = vec![];
        for (spec, _) in self.specs.iter().zip(&self.present).filter(|(_, present)| **present) {
            let restart = &spec.restart;
            let mut line = format!(
                "{}: {:?}, {} restarts in {:?}, stable after {:?}, {:?}, grace {:?}",
                spec.name,
                spec.restart_policy,
                restart.max_restarts,
                restart.window,
                restart.min_uptime,
                restart.backoff,
                spec.termination_grace_period
            );
            for role in vitald_core::spec::ProbeRole::ALL {
                if let Some(probe) = spec.probe(role) {
                    line += &format!(
                        ", {role} every {:?} from {:?} ({} good, {} bad)",
                        probe.period, probe.initial_delay, probe.success_threshold, probe.failure_threshold
                    );
                }
            }
            for (there, hook) in [(&spec.post_start, "postStart"), (&spec.pre_stop, "preStop")] {
                if there.is_some() {
                    line += &format!(", {hook}");
                }
            }
            for on in &spec.depends_on {
                line += &format!(", after {} {:?}", on.name, on.condition);
            }
            lines.push(line);
        }
        for Happening { at, what } in &self.happenings {
            lines.push(format!("plan {} {what:?}", clock(*at)));
        }
        lines
    }
}

/// A time of the day: `03:08:42.643`.
pub(crate) fn clock(at: Nanos) -> String {
    let (seconds, millis) = (at / SEC, at % SEC / MS);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

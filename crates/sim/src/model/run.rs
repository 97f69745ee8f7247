//! One run as its answers tell it: lists of what was said, counted from the end.

use vitald_core::probe::ProbeResult;
use vitald_core::spec::{ComponentSpec, ProbeRole, ProbeSpec};

use super::{Act, nanos};
use crate::dice::Nanos;

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) since: Nanos,
    /// The startup probe has succeeded, or there is none.
    pub(crate) started: bool,
    /// Liveness is asked.
    pub(crate) gate: bool,
    pub(crate) hook_done: bool,
    pub(crate) asked: [Option<Asked>; 3],
    /// Since when it has been Running without an open failure.
    pub(crate) well_since: Option<Nanos>,
    pub(crate) live_once: bool,
    pub(crate) adopted: bool,
    /// What it told last: whether it is ready, and until when it wants time.
    told: (bool, Option<Nanos>),
    /// Until when it has time for what it is doing.
    pub(crate) more_until: Option<Nanos>,
}

/// What one probe of the run was asked and has said.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// From when on it is asked.
    from: Option<Nanos>,
    /// The last question or answer.
    last: Option<Nanos>,
    waits: bool,
    /// To be asked right after the answer that is waited for.
    hurried: bool,
    /// Good and bad answers in a row at the end; what could not be asked is left out.
    pub(crate) said: Vec<bool>,
    pub(crate) unknowns: u32,
    /// The last row that was long enough.
    pub(crate) verdict: bool,
}

/// What an answer makes of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Nothing,
    Good,
    Bad,
    Blind,
}

pub(crate) const ROLES: [ProbeRole; 3] = ProbeRole::ALL;

pub(crate) fn place(role: ProbeRole) -> usize {
    match role {
        ProbeRole::Startup => 0,
        ProbeRole::Liveness => 1,
        ProbeRole::Readiness => 2,
    }
}

impl Run {
    pub(crate) fn new(spec: &ComponentSpec, now: Nanos) -> Self {
        let asked = |role| {
            spec.probe(role).map(|_| Asked {
                from: None,
                last: None,
                waits: false,
                hurried: false,
                said: vec![],
                unknowns: 0,
                verdict: role == ProbeRole::Liveness,
            })
        };
        let mut run = Self {
            since: now,
            started: false,
            gate: false,
            hook_done: spec.post_start.is_none(),
            asked: ROLES.map(asked),
            well_since: None,
            live_once: false,
            adopted: false,
            told: (false, None),
            more_until: None,
        };
        match &spec.startup_probe {
            Some(probe) => run.open(ProbeRole::Startup, now + nanos(probe.initial_delay)),
            None => run.has_started(spec, now),
        }
        run
    }

    fn open(&mut self, role: ProbeRole, from: Nanos) {
        if let Some(asked) = &mut self.asked[place(role)] {
            asked.from = Some(from);
            asked.last = None;
        }
    }

    pub(crate) fn hold(&mut self, role: ProbeRole) {
        if let Some(asked) = &mut self.asked[place(role)] {
            (asked.from, asked.waits) = (None, false);
        }
    }

    pub(crate) fn has_started(&mut self, spec: &ComponentSpec, now: Nanos) {
        self.started = true;
        self.hold(ProbeRole::Startup);
        self.open_gate(spec, now);
        if let Some(probe) = &spec.readiness_probe {
            self.open(ProbeRole::Readiness, now.max(self.since + nanos(probe.initial_delay)));
        }
    }

    pub(crate) fn open_gate(&mut self, spec: &ComponentSpec, now: Nanos) {
        if !self.gate {
            self.gate = true;
            self.note_running(now);
            if let Some(probe) = &spec.liveness_probe {
                self.open(ProbeRole::Liveness, now.max(self.since + nanos(probe.initial_delay)));
            }
        }
    }

    pub(crate) fn note_running(&mut self, now: Nanos) {
        if self.gate && self.hook_done && self.well_since.is_none() {
            self.well_since = Some(now);
        }
    }

    pub(crate) fn stable_at(&self, spec: &ComponentSpec) -> Option<Nanos> {
        let live = self.asked[1].is_none() || self.live_once;
        self.well_since.filter(|_| live).map(|since| since + nanos(spec.restart.min_uptime))
    }

    pub(crate) fn is_stable(&self, spec: &ComponentSpec, now: Nanos) -> bool {
        self.stable_at(spec).is_some_and(|at| at <= now)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.started && self.hook_done && self.asked[2].as_ref().is_none_or(|asked| asked.verdict)
    }

    /// Questions of a supervisor that died get no answer.
    pub(crate) fn resume(&mut self, now: Nanos) {
        self.adopted = true;
        for asked in self.asked.iter_mut().flatten() {
            (asked.waits, asked.hurried) = (false, false);
            asked.last = asked.from.filter(|from| *from <= now).map(|_| now);
        }
    }

    /// It tells of itself: what it may have been waited for is asked about, and the beat begins anew.
    pub(crate) fn hear(&mut self, now: Nanos, ready: bool, until: Option<Nanos>) {
        if until != self.told.1 {
            self.more_until = until;
        }
        if ready != self.told.0 {
            for asked in self.asked.iter_mut().flatten() {
                if asked.from.is_some_and(|from| from <= now) {
                    (asked.from, asked.hurried) = (Some(now), asked.waits);
                    asked.last = asked.last.filter(|_| asked.waits);
                }
            }
        }
        self.told = (ready, until);
    }

    pub(crate) fn next_ask(&self, spec: &ComponentSpec) -> Option<Nanos> {
        let next = |role| self.asked[place(role)].as_ref()?.next(spec.probe(role)?);
        ROLES.into_iter().filter_map(next).min()
    }

    pub(crate) fn ask(&mut self, spec: &ComponentSpec, now: Nanos, acts: &mut Vec<Act>) {
        for role in ROLES {
            if let (Some(asked), Some(probe)) = (&mut self.asked[place(role)], spec.probe(role))
                && asked.next(probe).is_some_and(|at| at <= now)
            {
                (asked.waits, asked.last) = (true, Some(now));
                acts.push(Act::Probe(role));
            }
        }
    }
}

impl Asked {
    /// The beat goes on from the first question; beats that nobody heard are left out.
    fn next(&self, probe: &ProbeSpec) -> Option<Nanos> {
        let from = self.from.filter(|_| !self.waits)?;
        let period = nanos(probe.period);
        Some(match self.last {
            Some(last) if last >= from => from + ((last - from) / period + 1) * period,
            Some(_) | None => from,
        })
    }

    pub(crate) fn failures(&self) -> u32 {
        self.said.iter().rev().take_while(|good| !**good).count() as u32
    }

    /// An answer that counts for nothing.
    pub(crate) fn pardon(&mut self, now: Nanos) {
        if self.waits && self.from.is_some() {
            let hurried = std::mem::take(&mut self.hurried);
            (self.waits, self.last) = (false, Some(now).filter(|_| !hurried));
        }
    }

    pub(crate) fn take(&mut self, probe: &ProbeSpec, now: Nanos, result: &ProbeResult) -> Verdict {
        if !self.waits || self.from.is_none() {
            return Verdict::Nothing;
        }
        self.pardon(now);
        let good = match result {
            ProbeResult::Success | ProbeResult::Warning(_) => true,
            ProbeResult::Failure(_) => false,
            ProbeResult::Unknown(_) => {
                self.unknowns += 1;
                let blind = self.unknowns == probe.failure_threshold;
                return if blind { Verdict::Blind } else { Verdict::Nothing };
            }
        };
        self.unknowns = 0;
        if self.said.last() != Some(&good) {
            self.said.clear();
        }
        self.said.push(good);
        let enough = if good { probe.success_threshold } else { probe.failure_threshold };
        if (self.said.len() as u32) < enough {
            return Verdict::Nothing;
        }
        // However long the row grows, it says no more.
        if good {
            self.said.truncate(enough as usize);
        }
        self.verdict = good;
        if good { Verdict::Good } else { Verdict::Bad }
    }
}

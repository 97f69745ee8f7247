//! A run whose main process is alive: its probes, and how well it is.

use std::time::Duration;

use super::prober::Prober;
use crate::notify::Notified;
use crate::spec::{ComponentSpec, ProbeRole};
use crate::status::ProbeState;
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub(super) struct Up {
    pub(super) since: Timestamp,
    /// The startup probe has succeeded, or there is none.
    pub(super) started: bool,
    /// Liveness is probed: started, or the startup probe could not ask for its whole allowance.
    pub(super) gate_open: bool,
    pub(super) post_start_done: bool,
    pub(super) startup: Option<Prober>,
    pub(super) liveness: Option<Prober>,
    pub(super) readiness: Option<Prober>,
    /// Since when it has been Running with no liveness failure open.
    pub(super) well_since: Option<Timestamp>,
    pub(super) liveness_succeeded: bool,
    /// An earlier supervisor began it.
    pub(super) adopted: bool,
    /// What it has told of itself.
    pub(super) notified: Notified,
    /// Until when it has more time for what it is doing now, by its own word.
    pub(super) extended_until: Option<Timestamp>,
}

impl Up {
    pub(super) fn new(spec: &ComponentSpec, now: Timestamp) -> Self {
        let prober = |role| spec.probe(role).map(|spec| Prober::new(role, spec));
        let mut up = Self {
            since: now,
            started: false,
            gate_open: false,
            post_start_done: spec.post_start.is_none(),
            startup: prober(ProbeRole::Startup),
            liveness: prober(ProbeRole::Liveness),
            readiness: prober(ProbeRole::Readiness),
            well_since: None,
            liveness_succeeded: false,
            adopted: false,
            notified: Notified::default(),
            extended_until: None,
        };
        match (&mut up.startup, &spec.startup_probe) {
            (Some(startup), Some(probe)) => startup.open(now + probe.initial_delay),
            (Some(_), None) | (None, _) => up.has_started(spec, now),
        }
        up
    }

    /// Startup has succeeded: liveness is probed, and readiness at once.
    pub(super) fn has_started(&mut self, spec: &ComponentSpec, now: Timestamp) {
        self.started = true;
        if let Some(startup) = &mut self.startup {
            startup.hold();
        }
        self.open_gate(spec, now);
        if let (Some(readiness), Some(probe)) = (&mut self.readiness, &spec.readiness_probe) {
            readiness.open(now.max(self.since + probe.initial_delay));
        }
    }

    /// From when on it is Running and well, unless it has been so for longer.
    pub(super) fn note_running(&mut self, now: Timestamp) {
        if self.gate_open && self.post_start_done {
            self.well_since.get_or_insert(now);
        }
    }

    pub(super) fn open_gate(&mut self, spec: &ComponentSpec, now: Timestamp) {
        if self.gate_open {
            return;
        }
        self.gate_open = true;
        self.note_running(now);
        if let (Some(liveness), Some(probe)) = (&mut self.liveness, &spec.liveness_probe) {
            liveness.open(now.max(self.since + probe.initial_delay));
        }
    }

    pub(super) fn prober(&mut self, role: ProbeRole) -> Option<&mut Prober> {
        match role {
            ProbeRole::Startup => self.startup.as_mut(),
            ProbeRole::Liveness => self.liveness.as_mut(),
            ProbeRole::Readiness => self.readiness.as_mut(),
        }
    }

    pub(super) fn probers(&mut self) -> impl Iterator<Item = &mut Prober> {
        [&mut self.startup, &mut self.liveness, &mut self.readiness].into_iter().flatten()
    }

    /// It has told something of itself. What a probe may have waited for, it is asked about at once.
    pub(super) fn hear(&mut self, now: Timestamp, told: Notified) {
        if told.extended_until != self.notified.extended_until {
            self.extended_until = told.extended_until;
        }
        if (told.ready, told.gave_up) != (self.notified.ready, self.notified.gave_up) {
            for prober in self.probers() {
                prober.hurry(now);
            }
        }
        self.notified = told;
    }

    /// Whether it has been given more time to start, which is not over yet.
    pub(super) fn is_extended(&self, now: Timestamp) -> bool {
        self.extended_until.is_some_and(|until| now < until)
    }

    pub(super) fn is_stable(&self, now: Timestamp, min_uptime: Duration) -> bool {
        let long_enough = self.well_since.is_some_and(|since| now.since(since) >= min_uptime);
        long_enough && (self.liveness.is_none() || self.liveness_succeeded)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.started
            && self.post_start_done
            && self.readiness.as_ref().is_none_or(|prober| prober.verdict() == ProbeState::Success)
    }
}

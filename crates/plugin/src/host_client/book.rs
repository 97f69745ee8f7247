//! What is under way with the process of a library: probes that it is to hold, and what it was asked and has not
//! answered. Knows no clock and no process: both are arguments.

mod heard;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use vitald_core::notify::RunNeeds;
use vitald_sdk::message::{BuildRequest, CheckRequest, NeedsRequest, ServiceAnswer};

use crate::host_client::due::Due;
use crate::host_client::{CallFailure, CheckEvent, Reply};
use crate::wire::ToHost;

/// How long a probe may take to be built, or to say what it needs.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long a check may go on after nobody waits for it.
pub(crate) const LET_GO: Duration = Duration::from_secs(1);
/// All that is under way.
#[derive(Default)]
pub(super) struct Book {
    /// Whether there is somebody to say something to.
    up: bool,
    probes: HashMap<u64, Probe>,
    checks: HashMap<u64, Check>,
    calls: HashMap<u64, Call>,
    /// What is to be said, in order.
    pub(super) unsaid: Vec<ToHost>,
}

/// A probe that the process holds, or is to hold when it is asked next.
struct Probe {
    request: Arc<BuildRequest>,
    state: Built,
    /// The check that is in the process.
    now: Option<u64>,
    /// Those that wait for it to end.
    next: VecDeque<u64>,
    /// Whether it is held for somebody, and not for an answer only.
    wanted: bool,
    /// Who wants to know whether it can be built.
    validate: Option<Reply<Result<(), CallFailure>>>,
}

enum Built {
    No,
    Asked(Due),
    Yes,
}

struct Check {
    probe: u64,
    request: CheckRequest,
    /// Who waits for it; nobody, once it has been cancelled.
    events: Option<mpsc::Sender<CheckEvent>>,
    /// When it must have let go.
    due: Option<Due>,
    services: BTreeSet<u64>,
}

struct Call {
    request: NeedsRequest,
    reply: Reply<Result<RunNeeds, CallFailure>>,
    due: Option<Due>,
}

impl Book {
    /// Whether nothing is under way, and no probe is held.
    pub(super) fn is_empty(&self) -> bool {
        self.probes.is_empty() && self.checks.is_empty() && self.calls.is_empty()
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.checks.is_empty() && self.calls.is_empty() && self.probes.values().all(|p| p.validate.is_none())
    }

    /// There is somebody to say things to.
    pub(super) fn is_up(&mut self, now: Instant) {
        self.up = true;
        for (&id, call) in &mut self.calls {
            call.due = Some(Due::within(CALL_LIMIT, now));
            self.unsaid.push(ToHost::Needs { id, request: call.request.clone() });
        }
        let probes: Vec<u64> = self.probes.keys().copied().collect();
        for probe in probes {
            self.advance(probe, now);
        }
    }

    /// There is nobody any more: whoever waits is told why.
    pub(super) fn is_down(&mut self, why: &str) {
        self.up = false;
        self.unsaid.clear();
        for (_, check) in self.checks.drain() {
            check.tell(CheckEvent::Ended(Err(CallFailure::Host(why.to_owned()))));
        }
        for (_, call) in self.calls.drain() {
            (call.reply)(Err(CallFailure::Host(why.to_owned())));
        }
        for probe in self.probes.values_mut() {
            (probe.state, probe.now) = (Built::No, None);
            probe.next.clear();
            if let Some(reply) = probe.validate.take() {
                reply(Err(CallFailure::Host(why.to_owned())));
            }
        }
        self.probes.retain(|_, probe| probe.wanted);
    }

    pub(super) fn needs(
        &mut self,
        id: u64,
        request: NeedsRequest,
        reply: Reply<Result<RunNeeds, CallFailure>>,
        now: Instant,
    ) {
        let mut due = None;
        if self.up {
            due = Some(Due::within(CALL_LIMIT, now));
            self.unsaid.push(ToHost::Needs { id, request: request.clone() });
        }
        self.calls.insert(id, Call { request, reply, due });
    }

    pub(super) fn validate(
        &mut self,
        id: u64,
        request: Arc<BuildRequest>,
        reply: Reply<Result<(), CallFailure>>,
        now: Instant,
    ) {
        let probe = self.probe(id, request);
        probe.wanted = false;
        probe.validate = Some(reply);
        self.advance(id, now);
    }

    pub(super) fn check(
        &mut self,
        id: u64,
        probe: (u64, Arc<BuildRequest>),
        request: CheckRequest,
        events: mpsc::Sender<CheckEvent>,
        now: Instant,
    ) {
        let (probe, build) = probe;
        self.probe(probe, build).next.push_back(id);
        let services = BTreeSet::new();
        self.checks.insert(id, Check { probe, request, events: Some(events), due: None, services });
        self.advance(probe, now);
    }

    fn probe(&mut self, id: u64, request: Arc<BuildRequest>) -> &mut Probe {
        self.probes.entry(id).or_insert_with(|| Probe {
            request,
            state: Built::No,
            now: None,
            next: VecDeque::new(),
            wanted: true,
            validate: None,
        })
    }

    /// Nobody waits for a check any more.
    pub(super) fn cancel(&mut self, id: u64, now: Instant) {
        let Some(check) = self.checks.get_mut(&id) else { return };
        let Some(probe) = self.probes.get_mut(&check.probe) else { return };
        if probe.now == Some(id) {
            check.events = None;
            check.due = Some(Due::within(LET_GO, now));
            self.unsaid.push(ToHost::Cancel { id });
        } else {
            probe.next.retain(|waiting| *waiting != id);
            self.checks.remove(&id);
        }
    }

    pub(super) fn served(&mut self, check: u64, id: u64, answer: ServiceAnswer) {
        if self.checks.get_mut(&check).is_some_and(|check| check.services.remove(&id)) {
            self.unsaid.push(ToHost::Served { check, id, answer });
        }
    }

    /// Nobody needs a probe any more.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(probe) = self.probes.get_mut(&id) {
            probe.wanted = false;
        }
        self.let_go_of(id);
    }

    /// Lets go of a probe that nobody needs and that nothing is under way with.
    fn let_go_of(&mut self, id: u64) {
        let Some(probe) = self.probes.get(&id) else { return };
        let busy = probe.wanted || probe.now.is_some() || probe.validate.is_some() || !probe.next.is_empty();
        if busy || matches!(probe.state, Built::Asked(_)) {
            return;
        }
        if matches!(probe.state, Built::Yes) {
            self.unsaid.push(ToHost::Drop { instance: id });
        }
        self.probes.remove(&id);
    }

    /// Says what can be said next about a probe.
    fn advance(&mut self, id: u64, now: Instant) {
        let Some(probe) = self.probes.get_mut(&id).filter(|_| self.up) else { return };
        match probe.state {
            Built::No if probe.validate.is_some() || !probe.next.is_empty() => {
                probe.state = Built::Asked(Due::within(CALL_LIMIT, now));
                let request = BuildRequest::clone(&probe.request);
                self.unsaid.push(ToHost::Build { instance: id, request });
            }
            Built::Yes if probe.now.is_none() => {
                let Some(check) = probe.next.pop_front() else { return self.let_go_of(id) };
                probe.now = Some(check);
                if let Some(found) = self.checks.get(&check) {
                    let request = found.request.clone();
                    self.unsaid.push(ToHost::Check { id: check, instance: id, request });
                }
            }
            Built::No => self.let_go_of(id),
            Built::Asked(_) | Built::Yes => {}
        }
    }

    /// When something must have come about, at the earliest.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let builds = self.probes.values().filter_map(|probe| match &probe.state {
            Built::Asked(due) => Some(due),
            Built::No | Built::Yes => None,
        });
        let checks = self.checks.values().filter_map(|check| check.due.as_ref());
        let calls = self.calls.values().filter_map(|call| call.due.as_ref());
        builds.chain(checks).chain(calls).map(Due::at).min()
    }

    /// What should have come about by now and has not: in words that go on after `was ended: `.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<String> {
        for probe in self.probes.values_mut() {
            if let Built::Asked(due) = &mut probe.state
                && due.is_over(now)
            {
                let limit = CALL_LIMIT.as_secs();
                return Some(format!("building a probe {} did not end within {limit} s", probe.request.key));
            }
        }
        for check in self.checks.values_mut() {
            if check.due.as_mut().is_some_and(|due| due.is_over(now)) {
                let key = self.probes.get(&check.probe).map_or("", |probe| &probe.request.key);
                let limit = LET_GO.as_secs();
                return Some(format!(
                    "a check of {key} did not end within {limit} s after its time was over"
                ));
            }
        }
        for call in self.calls.values_mut() {
            if call.due.as_mut().is_some_and(|due| due.is_over(now)) {
                let (key, limit) = (&call.request.key, CALL_LIMIT.as_secs());
                return Some(format!("it did not say within {limit} s what {key} needs"));
            }
        }
        None
    }
}

impl Check {
    /// Whether there was room for it; what nobody waits for has room.
    fn tell(&self, event: CheckEvent) -> bool {
        match &self.events {
            Some(events) => !matches!(events.try_send(event), Err(mpsc::error::TrySendError::Full(_))),
            None => true,
        }
    }
}

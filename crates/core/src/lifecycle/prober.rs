//! One probe of one run: when to ask next, and what the answers add up to.
//!
//! The rules are those of the kubelet's probe worker (Kubernetes, `pkg/kubelet/prober/worker.go`): a
//! verdict needs its threshold of equal answers in a row, an Unknown is thrown away, and after a verdict
//! that was acted on the probe holds until there is a new run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::probe::ProbeResult;
use crate::spec::{ProbeRole, ProbeSpec};
use crate::status::ProbeState;
use crate::time::Timestamp;

/// The state of one probe of one run.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    pub(crate) role: ProbeRole,
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    /// From when on it asks; `None` while closed or on hold.
    opened: Option<Timestamp>,
    /// When to ask next; `None` while closed or on hold.
    due: Option<Timestamp>,
    asking: bool,
    /// To be asked as soon as the answer to what is being asked has come.
    hurried: bool,
    /// What counts: the last verdict, or the resting value before the first.
    verdict: ProbeState,
    /// Equal answers in a row, Unknowns left out.
    streak: Option<(bool, u32)>,
    unknowns: u32,
    last: Option<Answer>,
}

/// The last answer, as people see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) state: ProbeState,
    pub(crate) message: String,
    /// When it came, and how long that took; `None` if an earlier supervisor got it.
    pub(crate) given: Option<(Timestamp, Duration)>,
}

/// What of a probe outlives its supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProberRecord {
    pub(crate) role: ProbeRole,
    opened: Option<Timestamp>,
    verdict: ProbeState,
    streak: Option<(bool, u32)>,
    unknowns: u32,
    last: Option<(ProbeState, String)>,
}

/// What an answer changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that counts.
    None,
    /// The verdict became, or stays, success.
    Succeeded,
    /// The failure threshold was reached just now, or stays reached.
    Failed,
    /// As many Unknowns in a row as failures would have made a failure.
    CannotAsk,
}

impl Prober {
    pub(crate) fn new(role: ProbeRole, spec: &ProbeSpec) -> Self {
        Self {
            role,
            period: spec.period,
            success_threshold: spec.success_threshold,
            failure_threshold: spec.failure_threshold,
            opened: None,
            due: None,
            asking: false,
            hurried: false,
            verdict: match role {
                ProbeRole::Startup => ProbeState::Unknown,
                ProbeRole::Liveness => ProbeState::Success,
                ProbeRole::Readiness => ProbeState::Failure,
            },
            streak: None,
            unknowns: 0,
            last: None,
        }
    }

    /// Asks from `at` on, once a period.
    pub(crate) fn open(&mut self, at: Timestamp) {
        self.opened = Some(at);
        self.due = Some(at);
    }

    /// Asks no more in this run; an answer still under way counts for nothing.
    pub(crate) fn hold(&mut self) {
        self.opened = None;
        self.due = None;
        self.asking = false;
    }

    /// What to write down: nothing that changes while all is well.
    pub(crate) fn record(&self) -> ProberRecord {
        let streak =
            self.streak.map(|(good, n)| (good, if good { n.min(self.success_threshold) } else { n }));
        ProberRecord {
            role: self.role,
            opened: self.opened,
            verdict: self.verdict,
            streak,
            unknowns: self.unknowns.min(self.failure_threshold),
            last: self.last.as_ref().map(|answer| (answer.state, answer.message.clone())),
        }
    }

    /// As it was written down. Asks nothing before it is resumed.
    pub(crate) fn restored(self, record: &ProberRecord) -> Self {
        let last = record.last.clone().map(|(state, message)| Answer { state, message, given: None });
        Self {
            opened: record.opened,
            verdict: record.verdict,
            streak: record.streak,
            unknowns: record.unknowns,
            last,
            ..self
        }
    }

    /// Asks again in its rhythm from now on, if it did.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        self.asking = false;
        self.due = self.opened.map(|at| if at > now { at } else { next_tick(at, self.period, now) });
    }

    /// When `ask` will next have something to ask.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        if self.asking { None } else { self.due }
    }

    /// Whether to ask now. Says yes once for each time that is due.
    pub(crate) fn ask(&mut self, now: Timestamp) -> bool {
        match self.next() {
            Some(due) if due <= now => {
                self.asking = true;
                self.due = Some(next_tick(due, self.period, now));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Asks now, or as soon as what is being asked has been answered, and once a period from now on.
    pub(crate) fn hurry(&mut self, now: Timestamp) {
        if self.opened.is_some_and(|at| at <= now) {
            self.hurried = self.asking;
            self.open(now);
        }
    }

    /// Takes the answer to what was asked last, which people see, and which counts for nothing.
    pub(crate) fn pardon(&mut self, now: Timestamp, result: &ProbeResult, latency: Duration) {
        self.note(now, result, latency);
    }

    /// Takes the answer to what was asked last.
    pub(crate) fn take(&mut self, now: Timestamp, result: &ProbeResult, latency: Duration) -> Change {
        let Some(state) = self.note(now, result, latency) else { return Change::None };
        let good = match state {
            ProbeState::Unknown => {
                self.unknowns = self.unknowns.saturating_add(1);
                return if self.unknowns == self.failure_threshold {
                    Change::CannotAsk
                } else {
                    Change::None
                };
            }
            ProbeState::Success => true,
            ProbeState::Failure => false,
        };
        self.unknowns = 0;
        let streak = match self.streak {
            Some((last, n)) if last == good => n.saturating_add(1),
            Some(_) | None => 1,
        };
        self.streak = Some((good, streak));
        if good && streak >= self.success_threshold {
            self.verdict = ProbeState::Success;
            Change::Succeeded
        } else if !good && streak >= self.failure_threshold {
            self.verdict = ProbeState::Failure;
            Change::Failed
        } else {
            Change::None
        }
    }

    /// Takes note of an answer; `None` if nothing was asked.
    fn note(&mut self, now: Timestamp, result: &ProbeResult, latency: Duration) -> Option<ProbeState> {
        let due = self.due.filter(|_| self.asking)?;
        self.asking = false;
        if due <= now && !self.hurried {
            self.due = Some(next_tick(due, self.period, now));
        }
        self.hurried = false;
        let state = match result {
            ProbeResult::Success | ProbeResult::Warning(_) => ProbeState::Success,
            ProbeResult::Failure(_) => ProbeState::Failure,
            ProbeResult::Unknown(_) => ProbeState::Unknown,
        };
        self.last = Some(Answer { state, message: result.message().to_owned(), given: Some((now, latency)) });
        Some(state)
    }

    pub(crate) fn verdict(&self) -> ProbeState {
        self.verdict
    }

    /// Failures since the last success.
    pub(crate) fn consecutive_failures(&self) -> u32 {
        match self.streak {
            Some((false, n)) => n,
            Some((true, _)) | None => 0,
        }
    }

    /// Whether it has been unable to ask for as long as failures would have made a failure.
    pub(crate) fn cannot_ask(&self) -> bool {
        self.unknowns >= self.failure_threshold
    }

    pub(crate) fn failure_threshold(&self) -> u32 {
        self.failure_threshold
    }

    pub(crate) fn last(&self) -> Option<&Answer> {
        self.last.as_ref()
    }
}

/// The first tick after `now` of those `period` apart that begin at `due`.
fn next_tick(due: Timestamp, period: Duration, now: Timestamp) -> Timestamp {
    let missed = now.since(due).as_nanos() / period.as_nanos().max(1);
    let ticks = u32::try_from(missed + 1).unwrap_or(u32::MAX);
    due + period.saturating_mul(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use proptest::prelude::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_boot(Duration::from_millis(millis))
    }

    fn prober(role: ProbeRole, success: u32, failure: u32) -> Prober {
        let check = Check::handler("pid", serde_json::Value::Null);
        let spec = ProbeSpec {
            success_threshold: success,
            failure_threshold: failure,
            ..ProbeSpec::new(role, check)
        };
        Prober::new(role, &spec)
    }

    #[test]
    fn asks_at_the_period_and_skips_what_it_missed() {
        let mut prober = prober(ProbeRole::Readiness, 1, 3); // every 5 s
        prober.open(at(1000));
        assert!(!prober.ask(at(999)));
        assert!(prober.ask(at(1000)));
        assert!(!prober.ask(at(6000)), "never two at once");
        prober.take(at(1100), &ProbeResult::Success, Duration::ZERO);
        assert_eq!(prober.next(), Some(at(6000)));
        assert!(prober.ask(at(6000)));
        prober.take(at(23_500), &ProbeResult::Success, Duration::ZERO);
        assert_eq!(prober.next(), Some(at(26_000)));
    }

    #[test]
    fn an_unknown_neither_counts_nor_breaks_a_streak() {
        let mut prober = prober(ProbeRole::Liveness, 1, 2);
        prober.open(at(0));
        let mut answer = |ms: u64, result: ProbeResult| {
            assert!(prober.ask(at(ms)));
            prober.take(at(ms), &result, Duration::ZERO)
        };
        assert_eq!(answer(0, ProbeResult::failure("a")), Change::None);
        assert_eq!(answer(10_000, ProbeResult::unknown("b")), Change::None);
        assert_eq!(answer(20_000, ProbeResult::failure("c")), Change::Failed);
    }

    #[test]
    fn says_once_that_it_cannot_ask() {
        let mut prober = prober(ProbeRole::Liveness, 1, 2);
        prober.open(at(0));
        let changes: Vec<_> = (0..4)
            .map(|i| {
                prober.ask(at(i * 10_000));
                prober.take(at(i * 10_000), &ProbeResult::unknown("x"), Duration::ZERO)
            })
            .collect();
        assert_eq!(changes, [Change::None, Change::CannotAsk, Change::None, Change::None]);
        assert!(prober.cannot_ask());
    }

    #[test]
    fn holds_until_there_is_a_new_run() {
        let mut prober = prober(ProbeRole::Liveness, 1, 1);
        prober.open(at(0));
        assert!(prober.ask(at(0)));
        prober.hold();
        assert_eq!(prober.take(at(1), &ProbeResult::failure("late"), Duration::ZERO), Change::None);
        assert_eq!(prober.next(), None);
    }

    proptest! {
        /// Against a naive reading of the rule: the verdict is that of the last run of equal answers
        /// (Unknowns struck out) that was as long as its threshold, else the resting value.
        #[test]
        fn thresholds_agree_with_a_naive_count(
            answers in prop::collection::vec(0u8..3, 0..60), success in 1u32..4, failure in 1u32..4,
        ) {
            let mut prober = prober(ProbeRole::Readiness, success, failure);
            prober.open(at(0));
            let mut naive = ProbeState::Failure;
            let mut seen: Vec<bool> = vec![];
            for (i, answer) in answers.iter().enumerate() {
                let now = at(i as u64 * 5000);
                prop_assert!(prober.ask(now));
                let result = match answer {
                    0 => ProbeResult::failure("no"),
                    1 => ProbeResult::unknown("dunno"),
                    _ => ProbeResult::Success,
                };
                prober.take(now, &result, Duration::ZERO);
                if *answer != 1 {
                    seen.push(*answer == 2);
                }
                for (good, threshold, state) in
                    [(true, success, ProbeState::Success), (false, failure, ProbeState::Failure)]
                {
                    let tail = seen.iter().rev().take_while(|s| **s == good).count();
                    if tail >= threshold as usize {
                        naive = state;
                    }
                }
                prop_assert_eq!(prober.verdict(), naive);
            }
        }
    }
}

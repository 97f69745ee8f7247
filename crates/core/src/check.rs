//! What one probe asks: a handler, or several combined by three-valued logic.

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};

use crate::notify::RunNeeds;
use crate::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult, SpecError};
use crate::registry::{Isolation, Registry};

/// The question of a probe, as the manifest gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// One handler with its configuration.
    Handler {
        /// The key of a [`crate::probe::ProbeKind`].
        key: String,
        /// What stands below the key.
        config: serde_json::Value,
        /// Where its code runs, where it is a custom probe's.
        #[serde(default, skip_serializing_if = "Isolation::is_default")]
        isolation: Isolation,
    },
    /// Every one must succeed; one failure decides.
    AllOf(Vec<Check>),
    /// One success decides.
    AnyOf(Vec<Check>),
    /// At least this many must succeed.
    AtLeast {
        /// How many; 1 to the length of `of`.
        count: usize,
        /// Of which.
        of: Vec<Check>,
    },
}

/// What the caller adds to the probe of each handler, told the handler's key.
pub type Wrap<'a> = &'a dyn Fn(&str, Box<dyn HealthProbe>) -> Box<dyn HealthProbe>;

impl Check {
    /// A handler with its configuration, isolated where it is a custom probe's.
    pub fn handler(key: impl Into<String>, config: serde_json::Value) -> Self {
        Self::Handler { key: key.into(), config, isolation: Isolation::default() }
    }

    /// Builds the probe for one run. Each handler's probe passes through `wrap`, where the caller adds
    /// what it owns, such as the deadline.
    ///
    /// # Errors
    /// The first mistake, with the path inside this check, such as `allOf[1].grpc.port`.
    pub fn build(
        &self,
        registry: &Registry,
        component: &ComponentContext,
        wrap: Wrap<'_>,
    ) -> Result<Box<dyn HealthProbe>, SpecError> {
        let all = |of: &[Check], name: &str| {
            of.iter()
                .enumerate()
                .map(|(i, check)| {
                    check.build(registry, component, wrap).map_err(|err| err.at(format!("[{i}]")).at(name))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Self::Handler { key, config, isolation } => {
                let probe = registry.build(key, config, component, *isolation);
                wrap(key, probe.map_err(|err| err.at(key))?)
            }
            Self::AllOf(of) => Box::new(AtLeast { count: of.len(), of: all(of, "allOf")? }),
            Self::AnyOf(of) => Box::new(AtLeast { count: 1, of: all(of, "anyOf")? }),
            Self::AtLeast { count, of } => {
                Box::new(AtLeast { count: *count, of: all(of, "of").map_err(|err| err.at("atLeast"))? })
            }
        })
    }

    /// Whether every handler in it is known and takes its configuration. It may take a while: see
    /// [`AnyKind::validate`](crate::registry::AnyKind::validate).
    ///
    /// # Errors
    /// The first mistake, with the path inside this check, as [`build`](Self::build) has it.
    pub fn validate(&self, registry: &Registry, component: &ComponentContext) -> Result<(), SpecError> {
        let all = |of: &[Check], name: &str| {
            of.iter().enumerate().try_for_each(|(i, check)| {
                check.validate(registry, component).map_err(|err| err.at(format!("[{i}]")).at(name))
            })
        };
        match self {
            Self::Handler { key, config, isolation } => {
                let valid = registry.validate(key, config, component);
                let built = || registry.build(key, config, component, *isolation).map(drop);
                // Not every custom probe may run in the supervisor.
                let valid = if isolation.is_default() { valid } else { valid.and_then(|()| built()) };
                valid.map_err(|err| err.at(key))
            }
            Self::AllOf(of) => all(of, "allOf"),
            Self::AnyOf(of) => all(of, "anyOf"),
            Self::AtLeast { of, .. } => all(of, "of").map_err(|err| err.at("atLeast")),
        }
    }

    /// What a run must be given, so that all handlers in it can ask.
    pub fn needs(&self, registry: &Registry) -> RunNeeds {
        match self {
            Self::Handler { key, config, isolation: _ } => registry.needs(key, config),
            Self::AllOf(of) | Self::AnyOf(of) | Self::AtLeast { of, .. } => {
                of.iter().map(|check| check.needs(registry)).fold(RunNeeds::default(), RunNeeds::and)
            }
        }
    }

    /// The keys of all handlers in it, for people: `pid, grpc`.
    pub fn handlers(&self) -> Vec<&str> {
        self.configured().into_iter().map(|(key, ..)| key).collect()
    }

    /// All handlers in it: their keys, their configurations, and where their code runs.
    pub fn configured(&self) -> Vec<(&str, &serde_json::Value, Isolation)> {
        match self {
            Self::Handler { key, config, isolation } => vec![(key, config, *isolation)],
            Self::AllOf(of) | Self::AnyOf(of) | Self::AtLeast { of, .. } => {
                of.iter().flat_map(Check::configured).collect()
            }
        }
    }
}

/// `count` of `of` must succeed. `allOf` and `anyOf` are its two ends.
struct AtLeast {
    count: usize,
    of: Vec<Box<dyn HealthProbe>>,
}

#[async_trait]
impl HealthProbe for AtLeast {
    /// Asks all at once and answers as soon as the answer cannot change any more.
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let mut answers: FuturesUnordered<_> = self.of.iter().map(|probe| probe.check(cx)).collect();
        let mut tally = Tally::new(self.count, self.of.len());
        while let Some(answer) = answers.next().await {
            if let Some(verdict) = tally.add(answer) {
                return verdict;
            }
        }
        tally.verdict()
    }
}

/// Kleene's three-valued logic, counted.
struct Tally {
    needed: usize,
    open: usize,
    successes: usize,
    warnings: Vec<String>,
    failures: Vec<String>,
    unknowns: Vec<String>,
}

impl Tally {
    fn new(needed: usize, total: usize) -> Self {
        Self { needed, open: total, successes: 0, warnings: vec![], failures: vec![], unknowns: vec![] }
    }

    /// Takes one answer; gives the verdict once no further answer can change it.
    fn add(&mut self, answer: ProbeResult) -> Option<ProbeResult> {
        self.open -= 1;
        match answer {
            ProbeResult::Success => self.successes += 1,
            ProbeResult::Warning(message) => {
                self.successes += 1;
                self.warnings.push(message);
            }
            ProbeResult::Failure(message) => self.failures.push(message),
            ProbeResult::Unknown(message) => self.unknowns.push(message),
        }
        let possible = self.successes + self.unknowns.len() + self.open;
        (self.successes >= self.needed || possible < self.needed).then(|| self.verdict())
    }

    fn verdict(&self) -> ProbeResult {
        if self.successes >= self.needed {
            if self.warnings.is_empty() {
                ProbeResult::Success
            } else {
                ProbeResult::Warning(self.warnings.join("; "))
            }
        } else if self.successes + self.unknowns.len() + self.open < self.needed {
            ProbeResult::Failure(self.failures.join("; "))
        } else {
            ProbeResult::Unknown(self.unknowns.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(kind: u8) -> ProbeResult {
        match kind {
            0 => ProbeResult::failure("no"),
            1 => ProbeResult::unknown("dunno"),
            _ => ProbeResult::Success,
        }
    }

    fn run(needed: usize, answers: &[u8]) -> ProbeResult {
        let mut tally = Tally::new(needed, answers.len());
        for kind in answers {
            if let Some(verdict) = tally.add(answer(*kind)) {
                return verdict;
            }
        }
        tally.verdict()
    }

    #[test]
    fn failure_decides_all_of_and_success_any_of() {
        assert_eq!(run(3, &[2, 1, 0]), ProbeResult::failure("no"));
        assert_eq!(run(3, &[2, 1, 2]), ProbeResult::unknown("dunno"));
        assert_eq!(run(1, &[0, 1, 2]), ProbeResult::Success);
        assert_eq!(run(1, &[0, 1, 0]), ProbeResult::unknown("dunno"));
        assert_eq!(run(1, &[0, 0]), ProbeResult::failure("no; no"));
        assert_eq!(run(2, &[2, 0, 2]), ProbeResult::Success);
    }

    proptest! {
        /// The verdict is that of replacing every Unknown by both answers: equal verdicts are the verdict,
        /// different ones are Unknown. And it does not depend on the order.
        #[test]
        fn agrees_with_both_readings_of_unknown(mut answers in prop::collection::vec(0u8..3, 1..7), needed in 1usize..7) {
            let needed = needed.min(answers.len());
            let pessimist = answers.iter().filter(|a| **a == 2).count() >= needed;
            let optimist = answers.iter().filter(|a| **a >= 1).count() >= needed;
            let verdict = run(needed, &answers);
            match verdict {
                ProbeResult::Success => prop_assert!(pessimist),
                ProbeResult::Failure(_) => prop_assert!(!optimist),
                ProbeResult::Unknown(_) => prop_assert!(!pessimist && optimist),
                ProbeResult::Warning(_) => prop_assert!(false),
            }
            answers.reverse();
            let reversed = run(needed, &answers);
            prop_assert_eq!(std::mem::discriminant(&run(needed, &answers)), std::mem::discriminant(&reversed));
        }
    }
}

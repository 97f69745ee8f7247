//! `logGrowth`: healthy while a log grows and shows no forbidden line; for startup, once it shows a certain one.
//!
//! **Only this run's lines count**, and of these what is new since the check before. The component's own log is read
//! by logical offset from where the run begins in it, across rotations. A file that others keep (`path`) tells
//! no runs apart: it is read from its beginning if it was made after the run began, else from where it ended at
//! the first check. It may be rotated by rename or by copying and truncating.
//!
//! **What was found stays found.** A forbidden line fails every check until the run ends, since one line must lead
//! to as many failures in a row as the threshold asks for. A wanted line needs to be written only once. After a
//! takeover the run is read from its beginning again, so that neither is forgotten.
//!
//! **A check reads for half its timeout at most**; the next one goes on there, and until all is read that was there
//! when the check began, the answer is unknown.
//!
//! **Silence** is counted while the machine is awake and the checks come: what is missed while it sleeps, or is
//! too busy to check, is held against nobody. An idle component may have nothing to say.

mod lines;
mod silence;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::wording::{excerpt, system_error};
use vitald_pattern::{compile, excerpt_at};

use crate::lines::{Judge, Lines};
use crate::silence::{RunStart, Silence, awake};
use crate::source::{Source, Took};

/// Healthy while a log grows and shows no forbidden line.
///
/// Only lines of this run count, over rotations, too. At least one of the fields says what is looked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogGrowthSpec {
    /// Log file, relative to the component's working directory. Defaults to the component's own log; that of an
    /// external one has what its commands write.
    #[schemars(length(min = 1))]
    pub path: Option<PathBuf>,
    /// Longest time without anything new in the log, at least 0.1. An idle component must keep to it, too.
    /// Defaults to none: it may be silent.
    #[schemars(range(min = 0.1, max = 1e9))]
    pub max_silence_seconds: Option<f64>,
    /// Regular expression; a line with a match, once seen, makes every check of this run fail. Lines are looked at
    /// one by one, without their colours.
    #[schemars(length(min = 1))]
    pub must_not_match: Option<String>,
    /// Regular expression; checks fail until a line of this run has a match. For a startup probe:
    /// `Worker ready`.
    #[schemars(length(min = 1))]
    pub must_match: Option<String>,
}

/// Follows the log of a [`LogGrowthSpec`] through one run.
pub struct LogGrowthProbe {
    log: Option<Log>,
    rules: Arc<Rules>,
    /// What has been read so far. A check that was dropped goes on for a moment, and the next one waits for it.
    follower: Arc<Mutex<Option<Follower>>>,
}

#[derive(Debug, Clone)]
enum Log {
    /// The component's own: vitald keeps it.
    Own(PathBuf),
    /// A file that others keep.
    Other(PathBuf),
}

struct Rules {
    max_silence: Option<Duration>,
    must_not_match: Option<Regex>,
    must_match: Option<Regex>,
}

impl ProbeKind for LogGrowthProbe {
    const KEY: &'static str = "logGrowth";
    type Spec = LogGrowthSpec;

    fn build(spec: LogGrowthSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if spec.max_silence_seconds.is_none() && spec.must_not_match.is_none() && spec.must_match.is_none() {
            let fields = "needs one of maxSilenceSeconds, mustNotMatch and mustMatch, or several";
            return Err(SpecError::required(fields));
        }
        if spec.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(SpecError::new("must be a path").at("path"));
        }
        let silence = spec.max_silence_seconds.map(|seconds| match Duration::try_from_secs_f64(seconds) {
            Ok(silence) if !silence.is_zero() => Ok(silence),
            _ => Err(SpecError::new("must be a number of seconds greater than 0").at("maxSilenceSeconds")),
        });
        let pattern = |pattern: Option<String>, field| pattern.map(|text| compile(&text, field)).transpose();
        let rules = Rules {
            max_silence: silence.transpose()?,
            must_not_match: pattern(spec.must_not_match, "mustNotMatch")?,
            must_match: pattern(spec.must_match, "mustMatch")?,
        };
        let path = spec.path.map(|path| component.working_dir.join(path));
        let log = match (path, &component.log_file) {
            (Some(path), Some(own)) if path == *own => Some(Log::Own(path)),
            (Some(path), _) => Some(Log::Other(path)),
            (None, own) => own.clone().map(Log::Own),
        };
        Ok(Self { log, rules: Arc::new(rules), follower: Arc::default() })
    }
}

#[async_trait]
impl HealthProbe for LogGrowthProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let Some(log) = self.log.clone() else {
            return ProbeResult::unknown(
                "no log to look at: there is none outside a supervisor without `path`",
            );
        };
        let run = cx.run.as_ref().map(|run| RunStart { offset: run.log_offset(), process: run.process() });
        let (rules, follower) = (Arc::clone(&self.rules), Arc::clone(&self.follower));
        let until = Instant::now() + cx.timeout / 2;
        let looked = tokio::task::spawn_blocking(move || {
            let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            look(&mut follower, &log, &rules, run.as_ref(), until).map_err(|err| {
                ProbeResult::unknown(format!(
                    "{} cannot be read: {}",
                    log.path().display(),
                    system_error(&err)
                ))
            })
        });
        looked.await.map_err(|err| ProbeResult::unknown(err.to_string())).flatten().unwrap_or_else(|why| why)
    }
}

impl Log {
    fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Other(path) => path,
        }
    }

    /// For people.
    fn name(&self) -> String {
        match self {
            Self::Own(_) => "its log".to_owned(),
            Self::Other(path) => path.display().to_string(),
        }
    }
}

/// How far a log has been read, and what was seen.
struct Follower {
    source: Source,
    lines: Lines,
    seen: Seen,
    /// `None` until the log's end has been reached for the first time.
    silence: Option<Silence>,
}

#[derive(Default)]
struct Seen {
    /// The first forbidden line, for people.
    forbidden: Option<String>,
    wanted: bool,
    /// Bytes of this run that had been removed before they were read.
    lost: u64,
}

/// One check: reads what is new, and judges.
fn look(
    follower: &mut Option<Follower>,
    log: &Log,
    rules: &Rules,
    run: Option<&RunStart>,
    until: Instant,
) -> io::Result<ProbeResult> {
    let begin = || -> io::Result<Follower> {
        let source = match log {
            Log::Own(path) => Source::own(path, run.map_or(0, |run| run.offset))?,
            Log::Other(path) => Source::other(path, run)?,
        };
        Ok(Follower { source, lines: Lines::default(), seen: Seen::default(), silence: None })
    };
    let follower = match follower {
        Some(follower) => follower,
        none => none.insert(begin()?),
    };
    if follower.seen.forbidden.is_none() && !follower.catch_up(rules, run, until)? {
        let rest = follower.source.rest()?.div_ceil(1 << 20);
        return Ok(ProbeResult::unknown(format!("{rest} MiB of {} are still to be read", log.name())));
    }
    Ok(follower.verdict(log, rules))
}

impl Follower {
    /// Reads to where the log ended just now, as far as that is needed, and notes whether it has grown. Says
    /// whether the time was enough.
    fn catch_up(&mut self, rules: &Rules, run: Option<&RunStart>, until: Instant) -> io::Result<bool> {
        let mut block = vec![0; 64 << 10];
        let mut rest = self.source.rest()?;
        let mut grown = 0;
        loop {
            let takes_lines = self.seen.takes_lines(rules);
            match self.source.read(&mut block)? {
                Took::Bytes(length) => {
                    grown += length as u64;
                    rest = rest.saturating_sub(length as u64);
                    if takes_lines {
                        self.lines.take(&block[..length], &mut |line| self.seen.judge(rules, line));
                    } else {
                        grown += self.source.skip()?;
                        rest = 0;
                    }
                }
                Took::Gone(bytes) => {
                    grown += bytes;
                    rest = rest.saturating_sub(bytes);
                    self.seen.lost += bytes;
                    self.lines.interrupt(&mut |line| self.seen.judge(rules, line));
                }
                Took::Restarted => {
                    self.lines.interrupt(&mut |line| self.seen.judge(rules, line));
                    rest = self.source.rest()?;
                    continue;
                }
                Took::End => rest = 0,
            }
            if rest == 0 || self.seen.forbidden.is_some() {
                break;
            }
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        if grown == 0 || run.is_none() {
            // Whoever writes has paused in the middle of a line: it may be all that comes.
            self.lines.rest(&mut |line| self.seen.judge(rules, line));
        }
        let now = awake();
        match &mut self.silence {
            Some(silence) => silence.look(now, grown > 0),
            none => *none = Some(Silence::begin(now, self.source.age(run))),
        }
        Ok(true)
    }

    fn verdict(&self, log: &Log, rules: &Rules) -> ProbeResult {
        if let Some(verdict) = self.seen.verdict(log, rules) {
            let missing = format!("; {} does not exist", log.name());
            return match self.source.is_missing() {
                true => verdict.map_message(|message| message + &missing),
                false => verdict,
            };
        }
        let silent = self.silence.as_ref().map_or(Duration::ZERO, Silence::length);
        match rules.max_silence {
            Some(most) if silent > most => ProbeResult::failure(format!(
                "nothing new in {} for {:.1} s, longer than {} s",
                log.name(),
                silent.as_secs_f64(),
                most.as_secs_f64()
            )),
            _ if self.source.is_missing() => ProbeResult::unknown(format!("{} does not exist", log.name())),
            _ => ProbeResult::Success,
        }
    }
}

impl Seen {
    fn takes_lines(&self, rules: &Rules) -> bool {
        let is_forbidden_known = rules.must_not_match.is_none() || self.forbidden.is_some();
        !(is_forbidden_known && (rules.must_match.is_none() || self.wanted))
    }

    fn judge(&mut self, rules: &Rules, line: Judge<'_>) {
        if self.forbidden.is_none()
            && let Some(found) = rules.must_not_match.as_ref().and_then(|regex| line.find(regex))
        {
            self.forbidden = Some(excerpt_at(line.text(), found.start));
        }
        self.wanted =
            self.wanted || rules.must_match.as_ref().is_some_and(|regex| line.find(regex).is_some());
    }

    /// What the lines alone say. `None`: they are all right.
    fn verdict(&self, log: &Log, rules: &Rules) -> Option<ProbeResult> {
        if let Some(line) = &self.forbidden {
            return Some(ProbeResult::failure(format!("forbidden line in {}: {line}", log.name())));
        }
        let wanted = rules.must_match.as_ref().filter(|_| !self.wanted)?;
        let wanted = excerpt(wanted.as_str());
        Some(match self.lost {
            0 => ProbeResult::failure(format!("no line in {} matches `{wanted}` yet", log.name())),
            lost => ProbeResult::unknown(format!(
                "no line in {} matches `{wanted}`, but {lost} bytes of it were dropped unread",
                log.name()
            )),
        })
    }
}

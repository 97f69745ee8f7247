//! `temporal`: healthy when a Temporal frontend answers and has the namespace; with `taskQueue`, when a
//! worker has polled that queue lately.
//!
//! The server's own word counts (DescribeTaskQueue): who polled, and when. It writes that down when a poll
//! begins and when it ends, and a poll that finds no work ends after a minute. So a worker that has nothing
//! to do is healthy, and a process that lives while its poll loop is dead is not.
//!
//! A worker whose slots are all taken by long activities does not poll either, and must not be restarted for
//! that. So before an activity queue counts as forsaken, the running workflows are asked who has an activity
//! of it under way; the server's own timeouts end that state if the worker is in fact dead.
//!
//! A server that is down says nothing about its workers. When it is back they get `maxPollAgeSeconds` to
//! return.

mod frontend;
mod identity;
mod messages;
mod polls;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};

use crate::frontend::{Frontend, NoAnswer, Server};
use crate::identity::{Identity, Whose};
pub use crate::messages::TaskQueueType;
use crate::polls::{Now, Polls};

/// Healthy when a Temporal frontend answers or, with `taskQueue`, when a worker has polled that queue lately.
///
/// A liveness probe must hold for an idle component, too. This one does: an idle worker polls, and one whose
/// slots are all taken by long activities counts as busy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemporalSpec {
    /// Where the frontend is: `host:port`, with brackets around an IPv6 address. `localhost` is tried on
    /// 127.0.0.1 and then on ::1. Defaults to `127.0.0.1:7233`.
    #[serde(default = "default_address")]
    #[schemars(length(min = 1))]
    pub address: String,
    /// Namespace, which must exist. Defaults to `default`.
    #[serde(default = "default_namespace")]
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Task queue that a worker must have polled lately. A misspelt one looks like one that nobody polls.
    /// Defaults to none: that the server answers and the namespace exists is enough.
    #[schemars(length(min = 1))]
    pub task_queue: Option<String>,
    /// Kinds of tasks that must be polled for: `workflow`, `activity`, `nexus`; each of those named here.
    /// Defaults to `[workflow]`.
    #[serde(default = "default_types")]
    #[schemars(length(min = 1))]
    pub task_queue_types: Vec<TaskQueueType>,
    /// Seconds since the last poll, as the server knows it, from which on a worker does not count. At least 65,
    /// since the poll of an idle worker lasts 60. Defaults to 90. A worker that freezes in the middle of a poll
    /// is found up to 60 s later than this.
    #[serde(default = "default_max_poll_age")]
    #[schemars(range(min = 65.0, max = 1e9))]
    pub max_poll_age_seconds: f64,
    /// How many workers, told apart by their identities, must have polled. Defaults to 1.
    #[serde(default = "default_min_pollers")]
    #[schemars(range(min = 1))]
    pub min_pollers: u32,
    /// Whose polls count. `Any`: anybody's. `Pid`: those of the component's own processes, so that another
    /// worker's polling does not hide a dead one; the worker must have the SDK's default identity, `pid@host`.
    /// Anything else is compared with the whole identity; `*` in it stands for any characters: `runner-*`.
    /// Defaults to `Any`.
    #[serde(default = "default_identity")]
    #[schemars(length(min = 1))]
    pub identity: String,
    /// What it means that the server cannot be asked, or gives no answer in time. Defaults to `Unknown`, so that
    /// an outage does not restart every worker; `Fail` is for the probe of the server itself.
    #[serde(default)]
    pub on_server_unavailable: OnServerUnavailable,
    /// Whether to use TLS. The certificate is checked with `caFile` or `apiKey`, and else it is taken as it is.
    /// Defaults to `false`.
    #[serde(default)]
    pub tls: bool,
    /// PEM file of the certificates that the server's may be signed by, relative to the component's working
    /// directory. Defaults to the system's, where an `apiKey` is given.
    pub ca_file: Option<PathBuf>,
    /// Key to show to the server, which is sent as `authorization: Bearer …`. It needs `tls`, unless the server
    /// is on this machine. Defaults to none.
    pub api_key: Option<ApiKey>,
}

/// Where the key is: never in the manifest itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiKey {
    /// A value in a file of `NAME=value` lines, which is read for every check.
    pub file_key_ref: FileKeyRef,
}

/// A value in a file of `NAME=value` lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileKeyRef {
    /// The file, relative to the component's working directory.
    pub path: PathBuf,
    /// The name before the `=`.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// What it means that the server cannot be asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnServerUnavailable {
    /// Nothing is known of the component.
    #[default]
    Unknown,
    /// It is a failure.
    Fail,
}

fn default_address() -> String {
    "127.0.0.1:7233".to_owned()
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_types() -> Vec<TaskQueueType> {
    vec![TaskQueueType::Workflow]
}

fn default_max_poll_age() -> f64 {
    90.0
}

fn default_min_pollers() -> u32 {
    1
}

fn default_identity() -> String {
    "Any".to_owned()
}

impl TemporalSpec {
    /// A field that says something of workers, other than the default.
    fn of_workers(&self) -> Option<&'static str> {
        let fields = [
            (self.task_queue_types != default_types(), "taskQueueTypes"),
            (self.max_poll_age_seconds != default_max_poll_age(), "maxPollAgeSeconds"),
            (self.min_pollers != default_min_pollers(), "minPollers"),
            (self.identity != default_identity(), "identity"),
        ];
        fields.into_iter().find_map(|(is_set, field)| is_set.then_some(field))
    }
}

/// A poll lasts 60 s, and is then made again.
const LEAST_POLL_AGE: f64 = 65.0;

/// Asks the server of a [`TemporalSpec`].
pub struct TemporalProbe {
    server: Server,
    task_queue: Option<String>,
    types: BTreeSet<TaskQueueType>,
    max_poll_age: Duration,
    min_pollers: usize,
    identity: Identity,
    on_server_unavailable: OnServerUnavailable,
    memory: Mutex<Memory>,
}

/// What earlier checks of the same run have found.
struct Memory {
    polls: Polls,
    /// Whether the server answered the last check.
    answers: bool,
    /// When it did again, after it had not.
    back_since: Option<Instant>,
}

impl ProbeKind for TemporalProbe {
    const KEY: &'static str = "temporal";
    type Spec = TemporalSpec;

    fn build(spec: TemporalSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let named = |name: &str, field| match name {
            "" => Err(SpecError::new("must not be empty").at(field)),
            _ => Ok(()),
        };
        named(&spec.namespace, "namespace")?;
        named(spec.task_queue.as_deref().unwrap_or("none"), "taskQueue")?;
        let (host, port) = Server::parse_address(&spec.address).map_err(|err| err.at("address"))?;
        if spec.task_queue_types.is_empty() {
            return Err(SpecError::new("must name at least one type").at("taskQueueTypes"));
        }
        let max_poll_age = Some(spec.max_poll_age_seconds)
            .filter(|seconds| *seconds >= LEAST_POLL_AGE)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| {
                let why = "must be at least 65: the poll of an idle worker lasts 60 s";
                SpecError::new(why).at("maxPollAgeSeconds")
            })?;
        let min_pollers = usize::try_from(spec.min_pollers).ok().filter(|least| *least > 0);
        let min_pollers = min_pollers.ok_or_else(|| SpecError::new("must be at least 1").at("minPollers"))?;
        let identity = Identity::parse(&spec.identity).map_err(|err| err.at("identity"))?;
        if let (None, Some(field)) = (&spec.task_queue, spec.of_workers()) {
            return Err(
                SpecError::new("is about the workers of a task queue: name it in `taskQueue`").at(field)
            );
        }
        let server = Server {
            host,
            port,
            namespace: spec.namespace,
            tls: spec.tls,
            ca_file: spec.ca_file.map(|path| component.working_dir.join(path)),
            api_key: spec
                .api_key
                .map(|key| (component.working_dir.join(key.file_key_ref.path), key.file_key_ref.key)),
        };
        if server.ca_file.is_some() && !server.tls {
            return Err(SpecError::new("is of use with `tls: true` only").at("caFile"));
        }
        if server.api_key.is_some() && !server.tls && !server.is_local() {
            let why = "needs `tls: true`: it would be sent over the network for all to read";
            return Err(SpecError::new(why).at("apiKey"));
        }
        Ok(Self {
            server,
            task_queue: spec.task_queue,
            types: spec.task_queue_types.into_iter().collect(),
            max_poll_age,
            min_pollers,
            identity,
            on_server_unavailable: spec.on_server_unavailable,
            memory: Mutex::new(Memory { polls: Polls::default(), answers: true, back_since: None }),
        })
    }
}

#[async_trait]
impl HealthProbe for TemporalProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let answered_before = std::mem::replace(&mut self.memory().answers, false);
        // To run into the caller's deadline is a failure: whoever must not fail gives up before that.
        let patience = match self.on_server_unavailable {
            OnServerUnavailable::Fail => cx.timeout,
            OnServerUnavailable::Unknown => cx.timeout.mul_f64(0.9),
        };
        let answer = self.ask(cx, Instant::now() + patience);
        let answer = tokio::time::timeout(patience, answer).await.unwrap_or(Err(NoAnswer::Late));
        let verdict = match answer {
            Ok(verdict) => verdict,
            Err(NoAnswer::NoNamespace(reason)) => ProbeResult::Failure(reason),
            Err(NoAnswer::NotAsked(reason)) => return ProbeResult::Unknown(reason),
            Err(NoAnswer::Unavailable(reason)) => return self.unavailable(reason),
            Err(NoAnswer::Late) => {
                let (server, within) = (self.server.name(), patience.as_secs_f64());
                return self.unavailable(format!("no answer from {server} within {within} s"));
            }
        };
        self.remember_answer(answered_before);
        match verdict {
            ProbeResult::Failure(reason) if self.task_queue.is_some() => self.unless_just_back(reason),
            verdict => verdict,
        }
    }
}

impl TemporalProbe {
    async fn ask(&self, cx: &CheckContext, deadline: Instant) -> Result<ProbeResult, NoAnswer> {
        let whose = self.identity.resolve(cx).await.map_err(NoAnswer::NotAsked)?;
        let mut frontend = self.server.connect(deadline).await?;
        let Some(queue) = &self.task_queue else {
            return frontend.describe_namespace().await.map(|()| ProbeResult::Success);
        };
        let (mut remarks, mut doubts, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for of in &self.types {
            match self.ask_queue(&mut frontend, queue, *of, &whose).await? {
                ProbeResult::Success => {}
                ProbeResult::Warning(remark) => remarks.push(remark),
                ProbeResult::Unknown(doubt) => doubts.push(doubt),
                ProbeResult::Failure(failure) => failures.push(failure),
            }
        }
        Ok(if !failures.is_empty() {
            ProbeResult::Failure(failures.join("; "))
        } else if !doubts.is_empty() {
            ProbeResult::Unknown(doubts.join("; "))
        } else if !remarks.is_empty() {
            ProbeResult::Warning(remarks.join("; "))
        } else {
            ProbeResult::Success
        })
    }

    /// Asks about one type of task queue.
    async fn ask_queue(
        &self,
        frontend: &mut Frontend<'_>,
        queue: &str,
        of: TaskQueueType,
        whose: &Whose,
    ) -> Result<ProbeResult, NoAnswer> {
        let pollers = frontend.pollers(queue, of).await?;
        let now = Now { steady: Instant::now(), wall: SystemTime::now() };
        let (ages, polls) = {
            let polls = &mut self.memory().polls;
            polls.note(of, &pollers, now);
            let known = polls.ages(of, now).into_iter();
            let known: Vec<_> = known.map(|(identity, age)| (identity.to_owned(), age)).collect();
            known.into_iter().partition::<Vec<_>, _>(|(identity, _)| whose.is(identity))
        };
        let fresh: Vec<&str> = ages
            .iter()
            .take_while(|(_, age)| *age <= self.max_poll_age)
            .map(|(identity, _)| &**identity)
            .collect();
        if fresh.len() >= self.min_pollers {
            return Ok(ProbeResult::Success);
        }
        let about = format!("the {of} queue `{queue}`");
        let max = self.max_poll_age.as_secs_f64();
        let reason = match (ages.first(), polls.first()) {
            _ if !fresh.is_empty() => {
                format!("{} of {} workers polled {about} in the last {max} s", fresh.len(), self.min_pollers)
            }
            (Some((identity, age)), _) => {
                let age = age.as_secs();
                format!("{identity} polled {about} {age} s ago, and not since: more than {max} s")
            }
            (None, Some((other, _))) => {
                format!("{about} is polled by others, such as {other}, and not by {whose}")
            }
            (None, None) => {
                let namespace = &self.server.namespace;
                format!("nobody polls {about} in namespace `{namespace}`")
            }
        };
        if of != TaskQueueType::Activity {
            return Ok(ProbeResult::Failure(reason));
        }
        let wanted = self.min_pollers - fresh.len();
        let busy = frontend.busy(queue, wanted, |who| whose.is(who) && !fresh.contains(&who)).await?;
        Ok(if busy.identities.len() >= wanted {
            let who = busy.identities.join(", ");
            ProbeResult::Warning(format!("{reason}; but {who} has an activity of it under way: busy"))
        } else if busy.is_partial {
            ProbeResult::Unknown(format!("{reason}; too many workflows run to tell whether it is busy"))
        } else {
            ProbeResult::Failure(reason)
        })
    }

    fn unavailable(&self, reason: String) -> ProbeResult {
        match self.on_server_unavailable {
            OnServerUnavailable::Unknown => ProbeResult::Unknown(reason),
            OnServerUnavailable::Fail => ProbeResult::Failure(reason),
        }
    }

    /// Remembers that the server answers, and since when.
    fn remember_answer(&self, answered_before: bool) {
        let mut memory = self.memory();
        memory.answers = true;
        if !answered_before {
            memory.back_since = Some(Instant::now());
        }
    }

    /// A server that has just come back was not polled while it was away.
    fn unless_just_back(&self, reason: String) -> ProbeResult {
        let back_for = self.memory().back_since.map(|since| since.elapsed());
        match back_for {
            Some(back_for) if back_for <= self.max_poll_age => ProbeResult::Unknown(format!(
                "{reason}; but {} is back for {} s only, and workers have {} s to return",
                self.server.name(),
                back_for.as_secs(),
                self.max_poll_age.as_secs_f64()
            )),
            _ => ProbeResult::Failure(reason),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

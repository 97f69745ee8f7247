//! What people and programs see: the JSON of `vitald status -o json`, of events and of the control API.
//!
//! Times are RFC 3339 in UTC with milliseconds, spans are seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::{Condition, LogsSpec, OnDiskFull, ProbeRole, RestartPolicy};

/// Where a component is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Never started, waiting to be allowed to, stopped, or ended for good.
    Stopped,
    /// From the decision to start until the startup probe succeeds.
    Starting,
    /// Started and not found sick.
    Running,
    /// Found sick, or ended badly; being taken down.
    Unhealthy,
    /// Waiting out the delay, or being stopped for a restart on request or for a new spec.
    Restarting,
    /// The restart limit was reached.
    Failed,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Why a component is in its state; one CamelCase word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Reason {
    /// Nothing to say.
    #[default]
    #[serde(rename = "")]
    None,
    /// Stopped: what it depends on is not there.
    WaitingForDependency,
    /// Stopped: on request, until started on request.
    StoppedByUser,
    /// Stopped: it ended with exit status 0 and is not restarted.
    Completed,
    /// Stopped for good after a bad end, or Unhealthy after one.
    Error,
    /// Starting: the process is being made.
    Spawning,
    /// Starting: the image of its container is being got.
    PullingImage,
    /// Starting: the startup probe has not succeeded.
    StartupProbe,
    /// Running: an earlier supervisor started it.
    Adopted,
    /// Running: a probe could not ask, several times in a row.
    ProbeUnknown,
    /// Starting or Running, but being stopped.
    Terminating,
    /// Unhealthy: the liveness probe failed.
    LivenessProbeFailed,
    /// Unhealthy: the startup probe failed.
    StartupProbeFailed,
    /// Unhealthy: the kernel's out-of-memory killer ended it.
    OOMKilled,
    /// Unhealthy: it could not be started.
    StartError,
    /// Restarting: waiting out the delay.
    CrashLoopBackOff,
    /// Restarting: on request.
    RestartRequested,
    /// Restarting: for a new spec.
    SpecChanged,
    /// Failed: the restart limit was reached.
    RestartLimitExceeded,
    /// Of a run that ended with its supervisor.
    SupervisorStopped,
}

impl Reason {
    /// The word; empty for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::WaitingForDependency => "WaitingForDependency",
            Self::StoppedByUser => "StoppedByUser",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Spawning => "Spawning",
            Self::PullingImage => "PullingImage",
            Self::StartupProbe => "StartupProbe",
            Self::Adopted => "Adopted",
            Self::ProbeUnknown => "ProbeUnknown",
            Self::Terminating => "Terminating",
            Self::LivenessProbeFailed => "LivenessProbeFailed",
            Self::StartupProbeFailed => "StartupProbeFailed",
            Self::OOMKilled => "OOMKilled",
            Self::StartError => "StartError",
            Self::CrashLoopBackOff => "CrashLoopBackOff",
            Self::RestartRequested => "RestartRequested",
            Self::SpecChanged => "SpecChanged",
            Self::RestartLimitExceeded => "RestartLimitExceeded",
            Self::SupervisorStopped => "SupervisorStopped",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A supervisor and its components.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The supervisor.
    pub supervisor: SupervisorStatus,
    /// Its components, in start order.
    pub components: Vec<ComponentStatus>,
}

/// The supervisor itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorStatus {
    /// Its pid.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: f64,
    /// Where it keeps its state.
    pub state_dir: String,
    /// The files and folders of the manifests that it was given last, absolute; `-` for standard input.
    #[serde(default)]
    pub manifests: Vec<String>,
}

/// What becomes of components when other manifests are applied, by name, in start order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// New ones, which are started.
    pub created: Vec<String>,
    /// Those whose spec is another, which are restarted.
    pub changed: Vec<String>,
    /// Those of which only labels, annotations or `logs` are others. Nothing happens to what runs.
    pub relabelled: Vec<String>,
    /// Those that are not in the manifests any more, which are stopped and forgotten.
    pub removed: Vec<String>,
    /// Those that are left alone.
    pub unchanged: Vec<String>,
}

impl Plan {
    /// Whether everything is as the manifests say.
    pub fn is_empty(&self) -> bool {
        let Self { created, changed, relabelled, removed, unchanged: _ } = self;
        [created, changed, relabelled, removed].into_iter().all(Vec::is_empty)
    }
}

/// One component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// `process`, `container` or `external`.
    pub kind: String,
    /// Where it is in its life.
    pub state: State,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in one sentence.
    pub message: String,
    /// Whether it can do its work right now.
    pub ready: bool,
    /// The main process, while there is one.
    pub pid: Option<i32>,
    /// When this run started.
    pub started_at: Option<String>,
    /// Seconds since this run started; null when nothing runs.
    pub uptime_seconds: Option<f64>,
    /// Automatic restarts ever.
    pub restart_count: u64,
    /// Automatic restarts in the window that counts.
    pub restarts_in_window: u32,
    /// Most automatic restarts in a window.
    pub max_restarts: u32,
    /// Seconds until the next automatic restart, while one is waited for.
    pub next_restart_seconds: Option<f64>,
    /// How the run before ended.
    pub last_exit: Option<LastExit>,
    /// What went wrong last; null once a run has been stable.
    pub last_error: Option<String>,
    /// Its log.
    pub log_file: Option<String>,
    /// Its probes.
    pub probes: Vec<ProbeStatus>,
}

impl ComponentStatus {
    /// Running, ready, and no probe of it failing.
    pub fn is_healthy(&self) -> bool {
        self.state == State::Running && self.ready
    }

    /// Nothing is left to wait for after `up`: ready, Completed, or stopped by hand.
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Running => self.ready,
            State::Stopped => matches!(self.reason, Reason::Completed | Reason::StoppedByUser),
            State::Starting | State::Unhealthy | State::Restarting | State::Failed => false,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Exit status, if it exited.
    pub code: Option<i32>,
    /// Name of the signal that ended it, if one did.
    pub signal: Option<String>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `LivenessProbeFailed`, `StartupProbeFailed`, or
    /// the request that ended it: `StoppedByUser`, `RestartRequested`, `SupervisorStopped`.
    pub reason: String,
    /// When.
    pub at: String,
    /// Seconds that the run lasted.
    pub uptime_seconds: f64,
}

/// One probe of a component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeStatus {
    /// What it is for.
    #[serde(rename = "type")]
    pub role: ProbeRole,
    /// Its handlers, such as `pid, grpc`.
    pub handler: String,
    /// `Success`, `Failure`, `Unknown`: the last answer; null before the first.
    pub state: Option<ProbeState>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// How many of them make a failure.
    pub failure_threshold: u32,
    /// When it was last asked.
    pub last_probe_at: Option<String>,
    /// How long the last check took.
    pub latency_ms: Option<f64>,
    /// What the last check said beside its verdict.
    pub message: String,
}

/// The three answers, as people see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeState {
    /// The answer is good.
    Success,
    /// The answer is bad.
    Failure,
    /// It could not be asked.
    Unknown,
}

impl std::fmt::Display for ProbeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// All of one component: `vitald describe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentDetail {
    /// What `status` shows.
    #[serde(flatten)]
    pub status: ComponentStatus,
    /// From the manifest.
    pub labels: BTreeMap<String, String>,
    /// From the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The image of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How something that others start is found: `pid file /run/nginx.pid, named nginx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
    /// Program and arguments as the manifest has them: `$(NAME)` unexpanded, so without secrets. What starts it, where
    /// others do.
    pub command: Vec<String>,
    /// Absolute.
    pub working_dir: String,
    /// What it waits for before a start.
    pub depends_on: Vec<DependencyStatus>,
    /// Which ends are followed by a restart.
    pub restart_policy: RestartPolicy,
    /// Seconds from the first signal of a stop to SIGKILL.
    pub termination_grace_period_seconds: f64,
    /// What it may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// How its log is kept, and how much there is of it.
    #[serde(default)]
    pub logs: LogDetail,
    /// The current run's number; 0 before the first.
    pub run: u64,
    /// Where the recent runs begin in the log, oldest first.
    pub runs: Vec<RunLog>,
    /// What happened lately, newest last.
    pub events: Vec<EventRecord>,
}

/// What a component may use at most; null is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Memory of all its processes together.
    pub memory_bytes: Option<u64>,
    /// Processor time of all its processes together, in processors.
    pub cpus: Option<f64>,
    /// Open files of each of its processes.
    pub open_files: Option<u64>,
}

/// How a component's log is kept, and how much there is of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogDetail {
    /// Bytes that the live file may have before it is rotated.
    pub max_size: u64,
    /// Files that are kept at most, the live one counted.
    pub max_files: u32,
    /// What happens where there is no room to rotate it.
    pub on_disk_full: OnDiskFull,
    /// Bytes that its files take on the disk; null if that cannot be told.
    pub bytes_on_disk: Option<u64>,
    /// Files that there are, the live one counted; null if that cannot be told.
    pub files: Option<usize>,
}

impl LogDetail {
    /// Kept like this, and nothing known of what there is.
    pub fn new(spec: &LogsSpec) -> Self {
        let LogsSpec { max_size, max_files, on_disk_full } = *spec;
        Self { max_size, max_files, on_disk_full, bytes_on_disk: None, files: None }
    }
}

impl Default for LogDetail {
    fn default() -> Self {
        Self::new(&LogsSpec::default())
    }
}

/// One thing that a component waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyStatus {
    /// The other component.
    pub name: String,
    /// What must hold of it.
    pub condition: Condition,
    /// Whether it does.
    pub met: bool,
}

/// Where a run's output begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLog {
    /// The run's number.
    pub run: u64,
    /// Bytes ever written to the log before it.
    pub log_offset: u64,
}

/// Whether an event is good news or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Somebody may want to look.
    Warning,
}

/// Something that happened; `vitald events -o json` prints one a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When it happened last.
    pub time: String,
    /// To which component; empty for the supervisor itself.
    pub component: String,
    /// Good news or bad.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// What, in one word, such as `Started` or `Unhealthy`.
    pub reason: String,
    /// What, in one sentence.
    pub message: String,
    /// How often in a row.
    pub count: u64,
}

/// The answer to a probe asked on request: `vitald probe run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeAnswer {
    /// Which probe.
    #[serde(rename = "type")]
    pub role: ProbeRole,
    /// What it said.
    pub state: ProbeState,
    /// Why.
    pub message: String,
    /// How long it took.
    pub latency_ms: f64,
}

/// A library of custom probes: `vitald plugin list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Its file, absolute.
    pub file: String,
    /// Whether its probes can be used.
    pub state: PluginState,
    /// Why not, in one sentence; empty if they can.
    pub message: String,
    /// The keys of its probes.
    pub probes: Vec<String>,
    /// What it says of itself, as far as it could be read.
    pub about: Option<PluginAbout>,
}

/// Whether a library's probes can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PluginState {
    /// They can.
    Loaded,
    /// They cannot.
    Refused,
}

impl std::fmt::Display for PluginState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// What a library of custom probes says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginAbout {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// The version of the border between a library and vitald that it speaks: `1.0`.
    pub abi: String,
    /// The version of the SDK that it was built with.
    pub sdk: String,
    /// The compiler that built it.
    pub rustc: String,
    /// Whether a panic in it ends its process, so that it cannot run in the supervisor.
    pub panic_aborts: bool,
}

/// What the process of each library of custom probes may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginLimits {
    /// Bytes of memory, as far as it can be written to.
    pub memory: u64,
    /// Open files.
    pub open_files: u64,
}

/// What has become of the libraries of custom probes that were looked for again: `vitald plugin reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginChanges {
    /// Files of libraries that were not used before.
    pub added: Vec<String>,
    /// Files that there is another version of now.
    pub replaced: Vec<String>,
    /// Files of libraries that are not used any more.
    pub removed: Vec<String>,
    /// What was found and is not used, and was not before either: files, with the reason.
    pub refused: Vec<String>,
}

impl PluginChanges {
    /// Whether the same libraries are used as before.
    pub fn is_empty(&self) -> bool {
        let Self { added, replaced, removed, refused: _ } = self;
        [added, replaced, removed].into_iter().all(Vec::is_empty)
    }
}

/// What the control API answers when it cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Why not, in one sentence.
    pub error: String,
}

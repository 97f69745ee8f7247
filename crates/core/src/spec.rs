//! The model: what a manifest becomes once every mistake in it has been refused.
//!
//! Plain data in Rust's units (`Duration`, not seconds). Whoever builds it keeps the ranges of the
//! manifest reference; the constructors here refuse what would make the lifecycle misbehave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::Check;
pub use crate::lifecycle::backoff::{Backoff, InvalidBackoff};
use crate::notify::RunNeeds;
use crate::probe::ComponentContext;
use crate::registry::Registry;
use crate::status::Limits;

/// One component of a manifest.
///
/// It is on record while it runs, and read by later versions: a field that is added to anything in here is an
/// `Option`, or has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentSpec {
    /// DNS label, unique in a supervisor.
    pub name: String,
    /// For people and tools; nothing here reads them.
    pub labels: BTreeMap<String, String>,
    /// For people and tools; nothing here reads them.
    pub annotations: BTreeMap<String, String>,
    /// What runs.
    pub workload: Workload,
    /// The ports it listens on.
    pub ports: Vec<Port>,
    /// What must be there before a start.
    pub depends_on: Vec<Dependency>,
    /// Which ends are followed by a restart.
    pub restart_policy: RestartPolicy,
    /// How restarts are delayed and limited.
    pub restart: RestartSpec,
    /// From the first signal of a stop to SIGKILL.
    pub termination_grace_period: Duration,
    /// Runs right after each start, beside the component; a failure takes the component down.
    pub post_start: Option<ExecAction>,
    /// Runs before the first signal of a stop, within the grace period.
    pub pre_stop: Option<ExecAction>,
    /// Whether the component has started; gates the other two.
    pub startup_probe: Option<ProbeSpec>,
    /// Whether it must be restarted.
    pub liveness_probe: Option<ProbeSpec>,
    /// Whether it can do its work right now.
    pub readiness_probe: Option<ProbeSpec>,
    /// How its log is kept.
    #[serde(default, skip_serializing_if = "LogsSpec::is_default")]
    pub logs: LogsSpec,
}

impl ComponentSpec {
    /// The probe of a role.
    pub fn probe(&self, role: ProbeRole) -> Option<&ProbeSpec> {
        match role {
            ProbeRole::Startup => self.startup_probe.as_ref(),
            ProbeRole::Liveness => self.liveness_probe.as_ref(),
            ProbeRole::Readiness => self.readiness_probe.as_ref(),
        }
    }

    /// What its runs must be given, so that all its probes can ask.
    pub fn needs(&self, registry: &Registry) -> RunNeeds {
        let probes = ProbeRole::ALL.into_iter().filter_map(|role| self.probe(role));
        probes.map(|probe| probe.check.needs(registry)).fold(RunNeeds::default(), RunNeeds::and)
    }

    /// Whether a run of one is a run of the other: they differ at most in labels and annotations, and in how
    /// what it writes is kept.
    pub fn runs_like(&self, other: &Self) -> bool {
        let Self { labels, annotations, logs, .. } = other.clone();
        Self { labels, annotations, logs, ..self.clone() } == *other
    }

    /// A hash (FNV-1a, 64 bits, hexadecimal) of all that a run is made of: equal for two specs that
    /// [run alike](Self::runs_like), in every build. What is not said does not count, so that a field that a
    /// later version has changes nothing where it is not used.
    pub fn digest(&self) -> String {
        let bare = Self {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            logs: LogsSpec::default(),
            ..self.clone()
        };
        // Only a path that is no UTF-8 cannot be written.
        let mut value = serde_json::to_value(&bare).unwrap_or_else(|_| format!("{bare:?}").into());
        normalize(&mut value, true);
        let hash = value.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }

    /// Where a port is to be found on this machine: that of a container, where it is published.
    fn port_here(&self, port: &Port) -> u16 {
        match &self.workload {
            Workload::Container(container) if !container.host_network => {
                port.host_port.unwrap_or(port.container_port)
            }
            Workload::Container(_) | Workload::Process(_) | Workload::External(_) => port.container_port,
        }
    }

    /// What probes may know when they are built.
    pub fn context(&self, log_file: Option<PathBuf>) -> ComponentContext {
        ComponentContext {
            name: self.name.clone(),
            kind: Some(self.workload.kind()),
            ports: self.ports.iter().filter_map(|p| Some((p.name.clone()?, self.port_here(p)))).collect(),
            working_dir: self.workload.folder().to_owned(),
            log_file,
        }
    }
}

/// The order of a mapping's keys means nothing, and is kept by some builds of the library. What is off or empty in
/// the model is as good as not there; what it means in a probe's configuration, the probe alone knows.
fn normalize(value: &mut Value, ours: bool) {
    match value {
        Value::Object(map) => {
            let mut sorted: BTreeMap<String, Value> = std::mem::take(map).into_iter().collect();
            sorted.iter_mut().for_each(|(key, value)| normalize(value, ours && key != "config"));
            map.extend(sorted.into_iter().filter(|(_, value)| !ours || says_something(value)));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| normalize(value, ours)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Workload {
    /// A native process.
    Process(ProcessSpec),
    /// A Docker container.
    Container(ContainerSpec),
    /// Something that others start.
    External(ExternalSpec),
}

/// The three kinds of component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ComponentKind {
    /// `command` alone: a native process.
    Process,
    /// `image`: a Docker container.
    Container,
    /// `external`: something that others start.
    External,
}

impl ComponentKind {
    /// As in `kind` of `status -o json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::External => "external",
        }
    }
}

impl Workload {
    /// Which of the three it is.
    pub fn kind(&self) -> ComponentKind {
        match self {
            Self::Process(_) => ComponentKind::Process,
            Self::Container(_) => ComponentKind::Container,
            Self::External(_) => ComponentKind::External,
        }
    }

    /// The folder on this machine that relative paths start from.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Process(process) => &process.working_dir,
            Self::Container(container) => &container.folder,
            Self::External(external) => &external.commands.working_dir,
        }
    }

    /// Program and arguments as the manifest has them: `$(NAME)` unexpanded, so without secrets.
    pub fn command(&self) -> Vec<String> {
        match self {
            Self::Process(process) => process.command.clone(),
            Self::Container(container) => [&container.command[..], &container.args[..]].concat(),
            Self::External(external) => external.start_command.clone().unwrap_or_default(),
        }
    }

    /// The image of a container.
    pub fn image(&self) -> Option<&str> {
        match self {
            Self::Container(container) => Some(&container.image),
            Self::Process(_) | Self::External(_) => None,
        }
    }

    /// Whether vitald has no means to end it: a stop lets go of it.
    pub fn is_only_watched(&self) -> bool {
        matches!(self, Self::External(external) if external.stop_command.is_none())
    }

    /// How something that others start is found, for people.
    pub fn found_by(&self) -> Option<String> {
        let Self::External(external) = self else { return None };
        let named = external.process_name.as_ref().map(|name| format!(", named {name}")).unwrap_or_default();
        Some(format!("{}{named}", external.found_by))
    }

    /// What it may use at most.
    pub fn limits(&self) -> Limits {
        let (memory_bytes, cpu_limit_millis, open_files) = match self {
            Self::Process(spec) => (spec.memory_limit, spec.cpu_limit_millis, spec.open_files),
            Self::Container(spec) => (spec.memory_limit, spec.cpu_limit_millis, spec.open_files),
            Self::External(_) => (None, None, None),
        };
        Limits { memory_bytes, cpus: cpu_limit_millis.map(|millis| f64::from(millis) / 1e3), open_files }
    }

    /// Whether the supervisor's whole environment is passed on.
    pub fn inherits_env(&self) -> bool {
        match self {
            Self::Process(process) => process.inherit_env,
            Self::Container(_) => false,
            Self::External(external) => external.commands.inherit_env,
        }
    }
}

/// A native process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Program and arguments, `$(NAME)` not yet expanded; never empty.
    pub command: Vec<String>,
    /// Absolute.
    pub working_dir: PathBuf,
    /// Set over what is inherited and over `env_from`, in this order; later ones may use `$(NAME)` of
    /// earlier ones.
    pub env: Vec<EnvVar>,
    /// Files of `NAME=value` lines, absolute paths, the later over the earlier.
    pub env_from: Vec<PathBuf>,
    /// Whether the supervisor's whole environment is passed on, instead of the few usual variables.
    pub inherit_env: bool,
    /// User name or number to run as.
    pub run_as_user: Option<String>,
    /// Group name or number to run as.
    pub run_as_group: Option<String>,
    /// Whether set-user-ID programs give no privileges (PR_SET_NO_NEW_PRIVS, prctl(2)).
    pub no_new_privileges: bool,
    /// Most open files (RLIMIT_NOFILE, setrlimit(2)).
    pub open_files: Option<u64>,
    /// Most memory of all its processes together, in bytes.
    pub memory_limit: Option<u64>,
    /// Most processor time of all its processes together, in thousandths of one processor.
    pub cpu_limit_millis: Option<u32>,
}

/// A Docker container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// As `docker pull` takes it: `stigmer/agent-runner:latest`.
    pub image: String,
    /// When the image is pulled.
    pub image_pull_policy: ImagePullPolicy,
    /// Instead of the image's entrypoint; empty for that one. `$(NAME)` not yet expanded.
    pub command: Vec<String>,
    /// Instead of the image's command; empty for that one, unless there is a `command`.
    pub args: Vec<String>,
    /// Inside the container; `None` for the image's own.
    pub working_dir: Option<String>,
    /// The manifest's own folder, absolute: relative paths on this machine start from it.
    pub folder: PathBuf,
    /// Set over `env_from`, in this order; later ones may use `$(NAME)` of earlier ones.
    pub env: Vec<EnvVar>,
    /// Files of `NAME=value` lines, absolute paths, the later over the earlier.
    pub env_from: Vec<PathBuf>,
    /// Whether it has the machine's own network; else the ports with a host port are published.
    pub host_network: bool,
    /// What of this machine's files it sees.
    pub mounts: Vec<Mount>,
    /// User name or number to run as, inside the container.
    pub run_as_user: Option<String>,
    /// Group name or number to run as, inside the container.
    pub run_as_group: Option<String>,
    /// Whether set-user-ID programs give no privileges.
    pub no_new_privileges: bool,
    /// Most open files of each of its processes.
    pub open_files: Option<u64>,
    /// Most memory of all its processes together, in bytes.
    pub memory_limit: Option<u64>,
    /// Most processor time of all its processes together, in thousandths of one processor.
    pub cpu_limit_millis: Option<u32>,
}

/// When an image is pulled, as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// Before every start.
    Always,
    /// Where the engine does not have it.
    #[default]
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

/// A file or folder of this machine inside a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On this machine, absolute.
    pub source: PathBuf,
    /// Inside the container, absolute.
    pub target: String,
    /// Whether the container may not write to it.
    pub read_only: bool,
}

/// Something that others start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalSpec {
    /// How its process is found.
    pub found_by: FoundBy,
    /// The name that the process must have; with another one it is not the one that is meant.
    pub process_name: Option<String>,
    /// Starts it; without one it is waited for.
    pub start_command: Option<Vec<String>>,
    /// Stops it; without one it is only watched.
    pub stop_command: Option<Vec<String>>,
    /// Restarts it; without one it is stopped and started.
    pub restart_command: Option<Vec<String>>,
    /// How those commands, the hooks and `exec` probes run; its `command` is empty.
    pub commands: ProcessSpec,
}

/// How something that others start is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FoundBy {
    /// By the file that holds its pid, an absolute path.
    PidFile(PathBuf),
    /// By the TCP port that it listens on.
    Port(u16),
}

impl std::fmt::Display for FoundBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PidFile(file) => write!(f, "pid file {}", file.display()),
            Self::Port(port) => write!(f, "port {port}"),
        }
    }
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where the value of an environment variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EnvValue {
    /// The manifest, `$(NAME)` not yet expanded.
    Literal(String),
    /// A key of a file of `NAME=value` lines, read at each start. A secret: never printed.
    FileKey {
        /// Absolute.
        path: PathBuf,
        /// The name in the file.
        key: String,
        /// Whether the variable is left out when file or key are missing.
        optional: bool,
    },
}

/// A port that a component listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// What probes may call it.
    pub name: Option<String>,
    /// 1 to 65535.
    pub container_port: u16,
    /// The port of this machine that a container's port is published on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The address of this machine that it is published on; `127.0.0.1` for `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// What is spoken on it.
    #[serde(default, skip_serializing_if = "Protocol::is_tcp")]
    pub protocol: Protocol,
}

/// What is spoken on a port, as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    fn is_tcp(&self) -> bool {
        *self == Self::Tcp
    }
}

/// Something that must hold before a component is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Another component.
    pub name: String,
    /// What must hold of it.
    pub condition: Condition,
}

/// What must hold of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Condition {
    /// It runs, and its startup probe, if any, has succeeded.
    Started,
    /// It is ready.
    #[default]
    Ready,
    /// It ended with exit status 0 and stays so.
    Completed,
}

/// Which ends of a run are followed by a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Every one.
    #[default]
    Always,
    /// Every one but exit status 0.
    OnFailure,
    /// None.
    Never,
}

/// How restarts are delayed and limited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartSpec {
    /// At most this many automatic restarts in any `window`.
    pub max_restarts: u32,
    /// How long that window is.
    pub window: Duration,
    /// A run that was well for this long is stable.
    pub min_uptime: Duration,
    /// The delays before restarts.
    pub backoff: Backoff,
}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            max_restarts: 10,
            window: Duration::from_secs(600),
            min_uptime: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }
}

/// How a component's log is kept: it is rotated underneath the component, which need not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogsSpec {
    /// Bytes that the live file may have before it is rotated.
    pub max_size: u64,
    /// Files that are kept, the live one counted; at least 1.
    pub max_files: u32,
    /// What happens where there is no room for an archive.
    pub on_disk_full: OnDiskFull,
}

impl LogsSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for LogsSpec {
    fn default() -> Self {
        Self { max_size: 50 << 20, max_files: 5, on_disk_full: OnDiskFull::Keep }
    }
}

/// What happens to a log where there is no room on the disk to rotate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnDiskFull {
    /// The live file grows on until there is room; nothing that was written is given up.
    #[default]
    Keep,
    /// The oldest of it is given up.
    DropOldest,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAction {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
}

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeRole {
    /// Has it started?
    Startup,
    /// Must it be restarted?
    Liveness,
    /// Can it do its work right now?
    Readiness,
}

impl ProbeRole {
    /// All three, in the order people read them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// `startup`, `liveness`, `readiness`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }

    /// `startupProbe` …, the manifest's field.
    pub fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Liveness => "livenessProbe",
            Self::Readiness => "readinessProbe",
        }
    }
}

impl std::fmt::Display for ProbeRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A probe: what it asks, and how often it must say what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// The question.
    pub check: Check,
    /// From the start of the run to the first check.
    pub initial_delay: Duration,
    /// From one check to the next.
    pub period: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// Successes in a row that make a success.
    pub success_threshold: u32,
    /// Failures in a row that make a failure.
    pub failure_threshold: u32,
    /// Instead of the component's, when this probe takes it down.
    pub termination_grace_period: Option<Duration>,
}

impl ProbeSpec {
    /// A probe of `check` with the defaults of its role.
    pub fn new(role: ProbeRole, check: Check) -> Self {
        let (period, timeout, failure_threshold) = match role {
            ProbeRole::Startup => (1, 1, 30),
            ProbeRole::Liveness => (10, 3, 3),
            ProbeRole::Readiness => (5, 3, 3),
        };
        Self {
            check,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(period),
            timeout: Duration::from_secs(timeout),
            success_threshold: 1,
            failure_threshold,
            termination_grace_period: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(config: serde_json::Value) -> String {
        let text = serde_json::json!({
            "name": "web", "labels": {}, "annotations": {}, "ports": [], "depends_on": [],
            "workload": {"process": {
                "command": ["web"], "working_dir": "/", "env": [], "env_from": [], "inherit_env": false,
                "run_as_user": null, "run_as_group": null, "no_new_privileges": false, "open_files": null,
            }},
            "restart_policy": "Always", "restart": RestartSpec::default(),
            "termination_grace_period": {"secs": 10, "nanos": 0},
            "post_start": null, "pre_stop": null, "startup_probe": null, "readiness_probe": null,
            "liveness_probe":
                ProbeSpec::new(ProbeRole::Liveness, Check::handler("tcpSocket", config)),
        });
        let spec: ComponentSpec = serde_json::from_value(text).unwrap();
        let labelled = ComponentSpec { labels: [("a".into(), "b".into())].into(), ..spec.clone() };
        assert_eq!(labelled.digest(), spec.digest());
        assert!(labelled.runs_like(&spec) && labelled != spec);
        let logs = LogsSpec { max_files: 2, ..LogsSpec::default() };
        let rotated = ComponentSpec { logs, ..spec.clone() };
        assert!(rotated.runs_like(&spec) && rotated != spec);
        assert_eq!(rotated.digest(), spec.digest());
        assert_eq!(serde_json::from_value::<ComponentSpec>(serde_json::json!(rotated)).unwrap(), rotated);
        assert_eq!(serde_json::json!(spec).get("logs"), None, "records are those of earlier versions");
        spec.digest()
    }

    #[test]
    fn a_digest_is_that_of_what_is_said() {
        let parse = |text: &str| digest(serde_json::from_str(text).unwrap());
        let plain = parse(r#"{"port": 80, "host": "localhost"}"#);
        assert_eq!(plain, parse(r#"{"host": "localhost", "port": 80}"#));
        assert_ne!(plain, parse(r#"{"host": "localhost", "port": 80, "tls": false}"#));
        assert_ne!(plain, parse(r#"{"host": "localhost", "port": 81}"#));
        assert_ne!(plain, parse(r#"{"host": "localhost", "port": "80"}"#));
        // The same in every build: records are compared with it.
        assert_eq!(plain, "27ee7920d19ec4cd");
    }
}

//! The fields of a manifest. Their docs are what `vitald schema` says about them.
//!
//! Ranges stand in the schema, so that [`crate::check`] finds all mistakes in one go; a number that was
//! found good here needs no second look.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use vitald_core::quantity::Quantity;
use vitald_core::spec::{Condition, ImagePullPolicy, OnDiskFull, Protocol, RestartPolicy};

use crate::typed::{At, Unread};

/// What a component is called, and what people note about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "the name is read before the rest, to say whose mistakes are told")]
pub(crate) struct Metadata {
    /// Name of the component, unique in a supervisor: a DNS label, at most 63 of `a` to `z`, `0` to `9` and
    /// `-`, beginning and ending with a letter or digit.
    #[schemars(required, length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(crate) name: Option<At<String>>,
    /// Labels, for people and tools: names and values such as `tier: backend`. vitald shows them, and takes no notice of
    /// them itself.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// Annotations, for people and tools: longer notes than labels. vitald takes no notice of them.
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// What runs, how it is probed, and when it is restarted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    /// Program and arguments; no shell is involved. `$(NAME)` stands for a variable of `env`. Alone it is a native
    /// process; beside `image` it takes the place of the image's entrypoint.
    #[schemars(length(min = 1))]
    pub(crate) command: Option<Vec<At<String>>>,
    /// More arguments, after those of `command`. Beside `image` they take the place of the image's own command.
    #[serde(default)]
    pub(crate) args: Vec<At<String>>,
    /// Image of a Docker container, as `docker pull` takes it: `stigmer/agent-runner:latest`.
    #[schemars(length(min = 1))]
    pub(crate) image: Option<At<String>>,
    /// When the image is pulled: `Always` before every start, `IfNotPresent` where the engine does not have it, or
    /// `Never`. As in Kubernetes, `Always` by default for the tag `latest` or none, else `IfNotPresent`.
    #[schemars(with = "Option<PullPolicyName>")]
    pub(crate) image_pull_policy: Option<ImagePullPolicy>,
    /// Something that others start: how it is found, and what starts and stops it.
    pub(crate) external: Option<At<External>>,
    /// Working directory, relative to the manifest's own folder. That folder by default. Beside `image` a directory
    /// inside the container, absolute; the image's own by default.
    #[schemars(length(min = 1))]
    pub(crate) working_dir: Option<At<String>>,
    /// Environment variables, in this order: later values may use `$(NAME)` of earlier ones. Beside them, a process gets
    /// PATH, HOME and the like from the supervisor.
    #[serde(default)]
    pub(crate) env: Vec<Env>,
    /// Files of `NAME=value` lines; later ones win over earlier ones, `env` over all.
    #[serde(default)]
    pub(crate) env_from: Vec<EnvFile>,
    /// Whether the supervisor's whole environment is passed on, instead of PATH, HOME and the like. These are PATH,
    /// HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ, TMPDIR, XDG_* and SSL_CERT_*.
    #[schemars(extend("default" = false))]
    pub(crate) inherit_env: Option<bool>,
    /// Ports that the component listens on. Probes may use their names; those of a container may be published.
    #[serde(default)]
    pub(crate) ports: Vec<Port>,
    /// Whether a container has the machine's own network. Else its ports with a `hostPort` are published.
    #[schemars(extend("default" = false))]
    pub(crate) host_network: Option<bool>,
    /// Where in a container its `volumes` are.
    #[serde(default)]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    /// Files and folders of this machine that a container may see, each where a `volumeMounts` puts it.
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
    /// Which user it runs as, and what it may do.
    pub(crate) security_context: Option<SecurityContext>,
    /// How much it may use: memory, processor time, open files.
    pub(crate) resources: Option<Resources>,
    /// Components that must be there before this one is started. Restarts wait for them, too; what runs is left alone
    /// when they go down. Stops go the other way round.
    #[serde(default)]
    pub(crate) depends_on: Vec<Dependency>,
    /// Which ends are followed by a restart: `Always`, `OnFailure` (any but exit status 0) or `Never`.
    #[schemars(with = "Option<PolicyName>", extend("default" = "Always"))]
    pub(crate) restart_policy: Option<RestartPolicy>,
    /// How restarts are delayed and limited. Restarts on request are neither.
    pub(crate) restart: Option<Restart>,
    /// Seconds from the first signal of a stop to SIGKILL. The `preStop` hook takes its time out of them.
    #[schemars(range(min = 0.0, max = 1e9), extend("default" = 10))]
    pub(crate) termination_grace_period_seconds: Option<f64>,
    /// Commands that run when the component starts and stops.
    pub(crate) lifecycle: Option<Lifecycle>,
    /// How what it writes to stdout and stderr is kept.
    pub(crate) logs: Option<Logs>,
    /// Whether the component has started; the other probes wait for it. After `failureThreshold` failures in a row
    /// before its first success, the component is restarted.
    #[schemars(with = "Option<Timing>")]
    pub(crate) startup_probe: Option<Unread>,
    /// Whether the component must be restarted. It is, after `failureThreshold` failures in a row.
    #[schemars(with = "Option<Timing>")]
    pub(crate) liveness_probe: Option<Unread>,
    /// Whether the component can do its work right now. If not, it is shown as not ready, what depends on it waits, and
    /// it goes on running.
    #[schemars(with = "Option<Timing>")]
    pub(crate) readiness_probe: Option<Unread>,
}

/// One environment variable: `value`, or `valueFrom`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Env {
    /// Name of the variable.
    #[schemars(length(min = 1))]
    pub(crate) name: At<String>,
    /// Its value, a string: numbers and booleans need quotes. Empty by default.
    pub(crate) value: Option<At<String>>,
    /// Where its value comes from, instead of `value`.
    pub(crate) value_from: Option<At<EnvSource>>,
}

/// Where a value comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EnvSource {
    /// A key of a file of `NAME=value` lines; never shown in any output.
    pub(crate) file_key_ref: FileKey,
}

/// A key of a file of `NAME=value` lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FileKey {
    /// Path of the file, relative to the manifest's own folder.
    #[schemars(length(min = 1))]
    pub(crate) path: At<String>,
    /// Name in the file, before the `=`.
    #[schemars(length(min = 1))]
    pub(crate) key: String,
    /// Whether the variable is left out when the file or the key is missing, instead of failing the start.
    #[schemars(extend("default" = false))]
    pub(crate) optional: Option<bool>,
}

/// A file of `NAME=value` lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EnvFile {
    /// Path of the file, relative to the manifest's own folder.
    #[schemars(length(min = 1))]
    pub(crate) file: At<String>,
}

/// A port that the component listens on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Port {
    /// Name that probes may use instead of the number: at most 15 of `a` to `z`, `0` to `9` and `-`, with a letter.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(crate) name: Option<At<String>>,
    /// Number of the port, 1 to 65535. For a container, the one inside.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) container_port: At<u16>,
    /// Port of this machine that a container's port is published on, 1 to 65535. Not published by default.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) host_port: Option<At<u16>>,
    /// Address of this machine that `hostPort` is published on, such as `0.0.0.0` for all. Only this machine itself by
    /// default.
    #[serde(rename = "hostIP")]
    #[schemars(length(min = 1), extend("default" = "127.0.0.1"))]
    pub(crate) host_ip: Option<At<String>>,
    /// What is spoken on it: `TCP` or `UDP`.
    #[schemars(with = "Option<ProtocolName>", extend("default" = "TCP"))]
    pub(crate) protocol: Option<Protocol>,
}

/// A file or folder of this machine that a container may see.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Volume {
    /// Name that `volumeMounts` use: at most 63 of `a` to `z`, `0` to `9` and `-`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub(crate) name: At<String>,
    /// Where it is on this machine.
    pub(crate) host_path: HostPath,
}

/// A file or folder of this machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HostPath {
    /// Path of the file or folder, relative to the manifest's own folder.
    #[schemars(length(min = 1))]
    pub(crate) path: At<String>,
}

/// Where in a container a volume is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VolumeMount {
    /// Name of one of the component's `volumes`.
    #[schemars(length(min = 1))]
    pub(crate) name: At<String>,
    /// Path inside the container, absolute.
    #[schemars(length(min = 1))]
    pub(crate) mount_path: At<String>,
    /// Whether the container may not write to it.
    #[schemars(extend("default" = false))]
    pub(crate) read_only: Option<bool>,
}

/// Something that others start. Its process is found by `pidFile` or by `port`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct External {
    /// File whose first line is the pid of its process, relative to the manifest's own folder.
    #[schemars(length(min = 1))]
    pub(crate) pid_file: Option<At<String>>,
    /// TCP port of this machine that its process listens on, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<At<u16>>,
    /// Name that its process must have: that of its program file, its first argument, or its `comm`. Any name by
    /// default.
    #[schemars(length(min = 1))]
    pub(crate) process_name: Option<At<String>>,
    /// Command that starts it; no shell is involved. Without one it is waited for.
    #[schemars(length(min = 1))]
    pub(crate) start_command: Option<Vec<At<String>>>,
    /// Command that stops it; no shell is involved. Without one it is watched only, and goes on when the component is
    /// stopped.
    #[schemars(length(min = 1))]
    pub(crate) stop_command: Option<Vec<At<String>>>,
    /// Command that restarts it, instead of a stop and a start; no shell is involved.
    #[schemars(length(min = 1))]
    pub(crate) restart_command: Option<Vec<At<String>>>,
}

/// Which user a component runs as, and what it may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecurityContext {
    /// User, by name or number. The supervisor's own by default.
    pub(crate) run_as_user: Option<At<Account>>,
    /// Group, by name or number. The user's own by default.
    pub(crate) run_as_group: Option<At<Account>>,
    /// Whether set-user-ID programs give no privileges, as with `no_new_privs` of prctl(2).
    #[schemars(extend("default" = false))]
    pub(crate) no_new_privileges: Option<bool>,
}

/// A user or a group, by name or number.
#[derive(Debug, JsonSchema)]
#[schemars(inline, extend("type" = ["string", "integer"], "minimum" = 0, "maximum" = 4294967294u32, "minLength" = 1))]
pub(crate) struct Account(#[schemars(with = "serde_json::Value")] pub(crate) String);

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Account;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Account, E> {
                Ok(Account(value.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Account, E> {
                Ok(Account(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How much a component may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Resources {
    /// Upper limits, which the kernel keeps to.
    pub(crate) limits: Option<Limits>,
    /// What Kubernetes chooses a node by. There is one machine here: passed over, with a warning.
    #[schemars(with = "Option<BTreeMap<String, Quantity>>")]
    pub(crate) requests: Option<Unread>,
}

/// Upper limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    /// Most memory of all its processes together: `512Mi`, `1.5Gi`, `500M` or a number of bytes, at least 1Mi.
    /// No limit by default.
    #[schemars(extend("pattern" = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[kMGTPE]|[eE][-+]?[0-9]+)?$"))]
    pub(crate) memory: Option<At<Quantity>>,
    /// Most processor time of all its processes together: `1` is one processor, `500m` or `0.5` half of one, at
    /// least 1m. Less than 10m is taken for 10m, the least that Linux can keep to. No limit by default.
    #[schemars(extend("pattern" = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[munkMGTPE]|[eE][-+]?[0-9]+)?$"))]
    pub(crate) cpu: Option<At<Quantity>>,
    /// Most open files, at least 1. The limit that the supervisor was started with by default.
    #[schemars(range(min = 1))]
    pub(crate) open_files: Option<u64>,
}

/// A component that must be there before a start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Dependency {
    /// Name of another component.
    pub(crate) name: At<String>,
    /// What must hold of it: `Started`, `Ready`, or `Completed` (it ended with exit status 0).
    #[schemars(with = "Option<ConditionName>", extend("default" = "Ready"))]
    pub(crate) condition: Option<At<Condition>>,
}

/// How restarts are delayed and limited.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Restart {
    /// Most automatic restarts in any window; where one more would be due, the component has failed. It stays so until
    /// `vitald restart`, `reset` or `start`. With 0, the first end is the last.
    #[schemars(range(min = 0), extend("default" = 10))]
    pub(crate) max_restarts: Option<u32>,
    /// Seconds that the window for `maxRestarts` is long, more than 0.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0, "default" = 600))]
    pub(crate) window_seconds: Option<f64>,
    /// Seconds of being well after which a run is stable: the delays begin again.
    #[schemars(range(min = 0.0, max = 1e9), extend("default" = 10))]
    pub(crate) min_uptime_seconds: Option<f64>,
    /// The delays before restarts.
    pub(crate) backoff: Option<At<Backoff>>,
}

/// Delays of `initialSeconds`, then `multiplier` times the last, never above `maxSeconds`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Backoff {
    /// Seconds before the first restart, at most `maxSeconds`.
    #[schemars(range(min = 0.0, max = 1e9), extend("default" = 1))]
    pub(crate) initial_seconds: Option<At<f64>>,
    /// Seconds that no delay is longer than.
    #[schemars(range(min = 0.0, max = 1e9), extend("default" = 60))]
    pub(crate) max_seconds: Option<At<f64>>,
    /// Factor from one delay to the next, at least 1.
    #[schemars(range(min = 1.0), extend("default" = 2))]
    pub(crate) multiplier: Option<f64>,
    /// Share of itself, 0 to 1, by which each delay is moved at random.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = 0))]
    pub(crate) jitter: Option<f64>,
}

/// How a component's log is kept: rotated while it goes on writing. A change restarts nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Logs {
    /// How large the live file may become: `50Mi`, `1G` or a number of bytes, at least 16Ki.
    #[schemars(extend("pattern" = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[kMGTPE]|[eE][-+]?[0-9]+)?$", "default" = "50Mi"))]
    pub(crate) max_size: Option<At<Quantity>>,
    /// How many files are kept, the live one counted, at least 1. With 1, what is rotated is dropped.
    #[schemars(range(min = 1), extend("default" = 5))]
    pub(crate) max_files: Option<u32>,
    /// Where the disk has no room to rotate: `Keep` lets the live file grow on until it has, `DropOldest` gives up
    /// the oldest of the log.
    #[schemars(with = "Option<OnDiskFullName>", extend("default" = "Keep"))]
    pub(crate) on_disk_full: Option<OnDiskFull>,
}

/// Commands that run when a component starts and stops.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Lifecycle {
    /// Runs right after each start, beside the component; if it fails, the component is taken down.
    pub(crate) post_start: Option<Hook>,
    /// Runs before the first signal of a stop, within the grace period.
    pub(crate) pre_stop: Option<Hook>,
}

/// What a hook does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Hook {
    /// Runs a command where the component runs, with its user and environment; for a container, inside it.
    pub(crate) exec: HookCommand,
}

/// A command to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HookCommand {
    /// Program and arguments; no shell is involved.
    #[schemars(length(min = 1))]
    pub(crate) command: Vec<At<String>>,
}

/// When a probe asks, and how often it must say what. The handler stands beside these fields.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timing {
    /// Seconds from the start of the run to the first check. Liveness and readiness also wait for the startup probe.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub(crate) initial_delay_seconds: Option<f64>,
    /// Seconds from one check to the next, at least 0.01.
    #[schemars(range(min = 0.01, max = 1e9), extend("exclusiveMinimum" = 0))]
    pub(crate) period_seconds: Option<At<f64>>,
    /// Seconds that one check may take, more than 0. One that takes longer has failed; one of a custom probe is unknown.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
    pub(crate) timeout_seconds: Option<At<f64>>,
    /// Successes in a row that make a success, at least 1.
    #[schemars(range(min = 1))]
    pub(crate) success_threshold: Option<u32>,
    /// Failures in a row that make a failure, at least 1. Answers of Unknown do not count.
    #[schemars(range(min = 1))]
    pub(crate) failure_threshold: Option<At<u32>>,
    /// Seconds from the first signal to SIGKILL when this probe takes the component down, instead of the component's own.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
    pub(crate) termination_grace_period_seconds: Option<f64>,
}

/// The names of [`RestartPolicy`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "only the schema is wanted")]
enum PolicyName {
    Always,
    OnFailure,
    Never,
}

/// The names of [`OnDiskFull`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "only the schema is wanted")]
enum OnDiskFullName {
    Keep,
    DropOldest,
}

/// The names of [`Condition`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "only the schema is wanted")]
enum ConditionName {
    Started,
    Ready,
    Completed,
}

/// The names of [`ImagePullPolicy`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "only the schema is wanted")]
enum PullPolicyName {
    Always,
    IfNotPresent,
    Never,
}

/// The names of [`Protocol`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code, reason = "only the schema is wanted")]
#[serde(rename_all = "UPPERCASE")]
enum ProtocolName {
    Tcp,
    Udp,
}

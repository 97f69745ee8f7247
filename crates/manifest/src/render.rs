//! From the model back to a manifest, in one form whatever the file looked like: for people who compare.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use vitald_core::check::Check;
use vitald_core::quantity;
use vitald_core::registry::Isolation;
use vitald_core::spec::{
    Backoff, ComponentSpec, ContainerSpec, EnvValue, EnvVar, ExecAction, ExternalSpec, FoundBy, LogsSpec,
    Port, ProbeSpec, ProcessSpec, Protocol, RestartSpec, Workload,
};

use crate::schema::{API_VERSION, ISOLATION, KIND};

/// A component as a whole document, which loads as an equal [`ComponentSpec`].
///
/// Fields are in the order of the manifest reference. Defaults are written out; what is empty or absent is
/// left out. Paths are absolute, the `args` of a process stand in `command`, volumes are named by their numbers,
/// `$(NAME)` and `$$` are as they were written. What stands below a handler's key is in the order of names, without
/// the defaults that its probe knows alone. The folder of a container's manifest is in no manifest.
///
/// Values from files appear as references to them, those of the manifest itself as they are.
pub fn render(component: &ComponentSpec) -> Json {
    object([
        ("apiVersion", API_VERSION.into()),
        ("kind", KIND.into()),
        (
            "metadata",
            object([
                ("name", json!(component.name)),
                ("labels", json!(component.labels)),
                ("annotations", json!(component.annotations)),
            ]),
        ),
        ("spec", spec(component)),
    ])
}

fn spec(component: &ComponentSpec) -> Json {
    let mut spec = Map::new();
    let [runs, sees, may] = match &component.workload {
        Workload::Process(process) => process_fields(process),
        Workload::Container(container) => container_fields(container),
        Workload::External(external) => external_fields(external),
    };
    let ports = object([("ports", component.ports.iter().map(port).collect())]);
    for part in [runs, ports, sees, may, rest(component)] {
        if let Json::Object(fields) = part {
            spec.extend(fields);
        }
    }
    spec.into()
}

/// What runs; what it sees of this machine; what it may do.
fn process_fields(process: &ProcessSpec) -> [Json; 3] {
    let runs = object([
        ("command", json!(process.command)),
        ("workingDir", path(&process.working_dir)),
        ("env", env(&process.env)),
        ("envFrom", env_from(&process.env_from)),
        ("inheritEnv", json!(process.inherit_env)),
    ]);
    let account = (process.run_as_user.as_deref(), process.run_as_group.as_deref());
    let limits = (process.memory_limit, process.cpu_limit_millis, process.open_files);
    [runs, Json::Null, may(account, process.no_new_privileges, limits)]
}

fn container_fields(container: &ContainerSpec) -> [Json; 3] {
    let runs = object([
        ("image", json!(container.image)),
        ("imagePullPolicy", json!(container.image_pull_policy)),
        ("command", json!(container.command)),
        ("args", json!(container.args)),
        ("workingDir", json!(container.working_dir)),
        ("env", env(&container.env)),
        ("envFrom", env_from(&container.env_from)),
    ]);
    let name = |index: usize| format!("v{}", index + 1);
    let mounts = container.mounts.iter().enumerate();
    let volumes = mounts.clone().map(|(index, mount)| {
        let source = json!({ "path": path(&mount.source) });
        json!({ "name": name(index), "hostPath": source })
    });
    let mounts = mounts.map(|(index, mount)| {
        json!({ "name": name(index), "mountPath": mount.target, "readOnly": mount.read_only })
    });
    let sees = object([
        ("hostNetwork", json!(container.host_network)),
        ("volumeMounts", mounts.collect()),
        ("volumes", volumes.collect()),
    ]);
    let account = (container.run_as_user.as_deref(), container.run_as_group.as_deref());
    let limits = (container.memory_limit, container.cpu_limit_millis, container.open_files);
    [runs, sees, may(account, container.no_new_privileges, limits)]
}

fn external_fields(external: &ExternalSpec) -> [Json; 3] {
    let (file, number) = match &external.found_by {
        FoundBy::PidFile(file) => (path(file), Json::Null),
        FoundBy::Port(port) => (Json::Null, json!(port)),
    };
    let found = object([
        ("pidFile", file),
        ("port", number),
        ("processName", json!(external.process_name)),
        ("startCommand", json!(external.start_command)),
        ("stopCommand", json!(external.stop_command)),
        ("restartCommand", json!(external.restart_command)),
    ]);
    let commands = &external.commands;
    let runs = object([
        ("external", found),
        ("workingDir", path(&commands.working_dir)),
        ("env", env(&commands.env)),
        ("envFrom", env_from(&commands.env_from)),
        ("inheritEnv", json!(commands.inherit_env)),
    ]);
    [runs, Json::Null, Json::Null]
}

fn rest(component: &ComponentSpec) -> Json {
    let hook = |action: &Option<ExecAction>| {
        action.as_ref().map_or(Json::Null, |action| json!({ "exec": { "command": action.command } }))
    };
    let depends_on = component.depends_on.iter();
    let depends_on = depends_on.map(|on| json!({ "name": on.name, "condition": on.condition }));
    object([
        ("dependsOn", depends_on.collect()),
        ("restartPolicy", json!(component.restart_policy)),
        ("restart", restart(&component.restart)),
        ("terminationGracePeriodSeconds", seconds(component.termination_grace_period)),
        (
            "lifecycle",
            object([("postStart", hook(&component.post_start)), ("preStop", hook(&component.pre_stop))]),
        ),
        ("logs", logs(&component.logs)),
        ("startupProbe", probe(component.startup_probe.as_ref())),
        ("livenessProbe", probe(component.liveness_probe.as_ref())),
        ("readinessProbe", probe(component.readiness_probe.as_ref())),
    ])
}

fn env(env: &[EnvVar]) -> Json {
    env.iter().map(variable).collect()
}

fn env_from(files: &[PathBuf]) -> Json {
    files.iter().map(|file| json!({ "file": path(file) })).collect()
}

fn variable(variable: &EnvVar) -> Json {
    match &variable.value {
        EnvValue::Literal(value) => json!({ "name": variable.name, "value": value }),
        EnvValue::FileKey { path: file, key, optional } => {
            let reference = json!({ "path": path(file), "key": key, "optional": optional });
            json!({ "name": variable.name, "valueFrom": { "fileKeyRef": reference } })
        }
    }
}

fn port(port: &Port) -> Json {
    let protocol = (port.protocol != Protocol::default()).then_some(port.protocol);
    object([
        ("name", json!(port.name)),
        ("containerPort", json!(port.container_port)),
        ("hostPort", json!(port.host_port)),
        ("hostIP", json!(port.host_ip)),
        ("protocol", json!(protocol)),
    ])
}

/// As whom it runs, and how much it may use: memory, processor time, open files.
fn may(
    (user, group): (Option<&str>, Option<&str>),
    no_new_privileges: bool,
    (memory, cpu, open_files): (Option<u64>, Option<u32>, Option<u64>),
) -> Json {
    let security = object([
        ("runAsUser", account(user)),
        ("runAsGroup", account(group)),
        ("noNewPrivileges", json!(no_new_privileges)),
    ]);
    let limits = object([
        ("memory", json!(memory.map(quantity::show_bytes))),
        ("cpu", json!(cpu.map(quantity::show_thousandths))),
        ("openFiles", json!(open_files)),
    ]);
    object([("securityContext", security), ("resources", object([("limits", limits)]))])
}

/// A number as a number, as Kubernetes has it, where it is written the usual way.
fn account(name: Option<&str>) -> Json {
    match name.map(|name| (name, name.parse::<u32>())) {
        Some((name, Ok(number))) if number.to_string() == name => json!(number),
        _ => json!(name),
    }
}

fn restart(restart: &RestartSpec) -> Json {
    object([
        ("maxRestarts", json!(restart.max_restarts)),
        ("windowSeconds", seconds(restart.window)),
        ("minUptimeSeconds", seconds(restart.min_uptime)),
        ("backoff", backoff(&restart.backoff)),
    ])
}

fn logs(logs: &LogsSpec) -> Json {
    json!({
        "maxSize": quantity::show_bytes(logs.max_size),
        "maxFiles": logs.max_files,
        "onDiskFull": logs.on_disk_full,
    })
}

fn backoff(backoff: &Backoff) -> Json {
    /// A [`Backoff`] keeps its fields to itself, but for whoever writes it down.
    #[derive(Deserialize)]
    struct Fields {
        initial: Duration,
        max: Duration,
        multiplier: f64,
        jitter: f64,
    }
    let fields: Result<Fields, _> = serde_json::from_value(json!(backoff));
    fields.map_or(Json::Null, |fields| {
        object([
            ("initialSeconds", seconds(fields.initial)),
            ("maxSeconds", seconds(fields.max)),
            ("multiplier", number(fields.multiplier)),
            ("jitter", number(fields.jitter)),
        ])
    })
}

/// The handler first, then its timing.
fn probe(probe: Option<&ProbeSpec>) -> Json {
    let Some(probe) = probe else { return Json::Null };
    let mut fields = check(&probe.check);
    let grace = probe.termination_grace_period.map(|grace| ("terminationGracePeriodSeconds", seconds(grace)));
    let timing = [
        ("initialDelaySeconds", seconds(probe.initial_delay)),
        ("periodSeconds", seconds(probe.period)),
        ("timeoutSeconds", seconds(probe.timeout)),
        ("successThreshold", json!(probe.success_threshold)),
        ("failureThreshold", json!(probe.failure_threshold)),
    ];
    fields.extend(timing.into_iter().chain(grace).map(|(name, value)| (name.to_owned(), value)));
    fields.into()
}

fn check(question: &Check) -> Map<String, Json> {
    let all = |of: &[Check]| -> Json { of.iter().map(|part| Json::from(check(part))).collect() };
    let (key, below, isolation) = match question {
        Check::Handler { key, config: Json::Null, isolation } => (key.as_str(), json!({}), *isolation),
        Check::Handler { key, config, isolation } => (key.as_str(), sorted(config), *isolation),
        Check::AllOf(of) => ("allOf", all(of), Isolation::default()),
        Check::AnyOf(of) => ("anyOf", all(of), Isolation::default()),
        Check::AtLeast { count, of } => {
            ("atLeast", json!({ "count": count, "of": all(of) }), Isolation::default())
        }
    };
    let mut fields = Map::from_iter([(key.to_owned(), below)]);
    // Beside a built-in probe it must not even be said.
    if !isolation.is_default() {
        fields.insert(ISOLATION.to_owned(), json!(isolation));
    }
    fields
}

/// With the fields of all mappings in the order of their names.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        Json::Array(items) => items.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}

/// These fields, but for what is absent or empty.
fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    let there = |value: &Json| match value {
        Json::Null => false,
        Json::Array(items) => !items.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    };
    let fields = fields.into_iter().filter(|(_, value)| there(value));
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn path(path: &Path) -> Json {
    path.to_string_lossy().into()
}

fn seconds(duration: Duration) -> Json {
    number(duration.as_secs_f64())
}

/// Whole numbers without a point.
fn number(value: f64) -> Json {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}

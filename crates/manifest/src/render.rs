//! From the model back to a manifest, in one form whatever the file looked like: for people who compare.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use vitald_core::check::Check;
use vitald_core::quantity;
use vitald_core::spec::{
    Backoff, ComponentSpec, EnvValue, EnvVar, ExecAction, LogsSpec, Port, ProbeSpec, ProcessSpec,
    RestartSpec, Workload,
};

use crate::schema::{API_VERSION, KIND};

/// A component as a whole document, which loads as an equal [`ComponentSpec`].
///
/// Fields are in the order of the manifest reference. Defaults are written out; what is empty or absent is
/// left out. Paths are absolute, `args` stand in `command`, `$(NAME)` and `$$` are as they were written. What
/// stands below a handler's key is in the order of names, without the defaults that its probe knows alone.
///
/// Values from files appear as references to them, those of the manifest itself as they are.
pub fn render(component: &ComponentSpec) -> Json {
    let Workload::Process(process) = &component.workload else { unreachable!("no manifest says so") };
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
        ("spec", spec(component, process)),
    ])
}

fn spec(component: &ComponentSpec, process: &ProcessSpec) -> Json {
    let hook = |action: &Option<ExecAction>| {
        action.as_ref().map_or(Json::Null, |action| json!({ "exec": { "command": action.command } }))
    };
    let depends_on = component.depends_on.iter();
    let depends_on = depends_on.map(|on| json!({ "name": on.name, "condition": on.condition }));
    object([
        ("command", json!(process.command)),
        ("workingDir", path(&process.working_dir)),
        ("env", process.env.iter().map(variable).collect()),
        ("envFrom", process.env_from.iter().map(|file| json!({ "file": path(file) })).collect()),
        ("inheritEnv", json!(process.inherit_env)),
        ("ports", component.ports.iter().map(port).collect()),
        ("securityContext", security_context(process)),
        ("resources", object([("limits", limits(process))])),
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
    object([("name", json!(port.name)), ("containerPort", json!(port.container_port))])
}

fn security_context(process: &ProcessSpec) -> Json {
    object([
        ("runAsUser", account(process.run_as_user.as_deref())),
        ("runAsGroup", account(process.run_as_group.as_deref())),
        ("noNewPrivileges", json!(process.no_new_privileges)),
    ])
}

/// A number as a number, as Kubernetes has it, where it is written the usual way.
fn account(name: Option<&str>) -> Json {
    match name.map(|name| (name, name.parse::<u32>())) {
        Some((name, Ok(number))) if number.to_string() == name => json!(number),
        _ => json!(name),
    }
}

fn limits(process: &ProcessSpec) -> Json {
    object([
        ("memory", json!(process.memory_limit.map(quantity::show_bytes))),
        ("cpu", json!(process.cpu_limit_millis.map(quantity::show_thousandths))),
        ("openFiles", json!(process.open_files)),
    ])
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
    let (key, below) = match question {
        Check::Handler { key, config: Json::Null } => (key.as_str(), json!({})),
        Check::Handler { key, config } => (key.as_str(), sorted(config)),
        Check::AllOf(of) => ("allOf", all(of)),
        Check::AnyOf(of) => ("anyOf", all(of)),
        Check::AtLeast { count, of } => ("atLeast", json!({ "count": count, "of": all(of) })),
    };
    Map::from_iter([(key.to_owned(), below)])
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

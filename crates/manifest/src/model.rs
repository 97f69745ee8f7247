//! From what a manifest says to what it means: defaults, units, absolute paths, and the rules that
//! take more than one field.

use std::collections::HashMap;
use std::path::{Component as Part, Path, PathBuf};
use std::time::Duration;

use vitald_core::probe::ComponentContext;
use vitald_core::registry::Registry;
use vitald_core::spec::{
    Backoff, ComponentKind as Kind, ComponentSpec, Dependency, EnvValue, EnvVar, ExecAction, LogsSpec, Port,
    ProbeRole, ProcessSpec, RestartSpec, Workload,
};

use crate::files::File;
use crate::mistake::{Code, Mistake};
use crate::tree::{NodeId, Tree, quote};
use crate::typed::At;
use crate::types::{self, Metadata, Spec};

/// Builds the model of one document, and collects what is wrong with it.
pub(crate) struct Modeller<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) file: &'a File,
    pub(crate) registry: &'a Registry,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Modeller<'_> {
    /// Checks what a component is called.
    pub(crate) fn name(&mut self, metadata: &Metadata) {
        let Some(name) = &metadata.name else { return };
        if !is_label(name) {
            let rule = "must be a DNS label: lower-case letters, digits and `-`, with a letter or digit at both ends";
            let better: String = name
                .to_lowercase()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            let better = better.trim_matches('-');
            let help = is_label(better).then(|| format!("for example `name: {better}`"));
            self.invalid(name.id, name, rule, help);
        }
    }

    /// The component, with defaults where the manifest is wrong.
    pub(crate) fn component(&mut self, metadata: Option<&Metadata>, spec: &Spec) -> ComponentSpec {
        let kind = self.kind();
        if let Some(kind) = kind {
            self.fields_of(kind);
        }
        let workload = match kind {
            Some(Kind::Container) => Workload::Container(self.container(spec)),
            Some(Kind::External) => {
                let external = spec.external.as_ref().map(|external| &external.value);
                Workload::External(self.external(spec, external))
            }
            Some(Kind::Process) | None => Workload::Process(self.process(spec)),
        };
        if kind == Some(Kind::Container) {
            self.host_ports(&spec.ports, spec.host_network.unwrap_or_default());
        }
        let mut component = ComponentSpec {
            name: metadata.and_then(|m| m.name.as_ref()).map(|name| name.value.clone()).unwrap_or_default(),
            labels: metadata.and_then(|m| m.labels.clone()).unwrap_or_default(),
            annotations: metadata.and_then(|m| m.annotations.clone()).unwrap_or_default(),
            workload,
            ports: self.ports(&spec.ports),
            depends_on: spec
                .depends_on
                .iter()
                .map(|dependency| Dependency {
                    name: dependency.name.value.clone(),
                    condition: dependency.condition.as_ref().map(|at| at.value).unwrap_or_default(),
                })
                .collect(),
            restart_policy: spec.restart_policy.unwrap_or_default(),
            restart: self.restart(spec.restart.as_ref()),
            termination_grace_period: seconds(spec.termination_grace_period_seconds, 10),
            post_start: None,
            pre_stop: None,
            startup_probe: None,
            liveness_probe: None,
            readiness_probe: None,
            logs: self.logs(spec.logs.as_ref()),
        };
        if let Some(lifecycle) = &spec.lifecycle {
            component.post_start = lifecycle.post_start.as_ref().map(|hook| self.hook(hook));
            component.pre_stop = lifecycle.pre_stop.as_ref().map(|hook| self.hook(hook));
        }
        let kind = kind.filter(|kind| *kind != Kind::Process || !self.may_be_no_process());
        let context = ComponentContext { kind, ..component.context(None) };
        component.startup_probe = self.probe(ProbeRole::Startup, spec.startup_probe.as_ref(), &context);
        component.liveness_probe = self.probe(ProbeRole::Liveness, spec.liveness_probe.as_ref(), &context);
        component.readiness_probe = self.probe(ProbeRole::Readiness, spec.readiness_probe.as_ref(), &context);
        component
    }

    fn process(&mut self, spec: &Spec) -> ProcessSpec {
        let mut command = self.command(spec.command.as_deref().unwrap_or_default());
        command.extend(self.words(&spec.args));
        let security = spec.security_context.as_ref();
        let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        ProcessSpec {
            command,
            working_dir: match &spec.working_dir {
                Some(dir) => self.path(dir),
                None => self.file.dir.clone(),
            },
            env: self.env(&spec.env),
            env_from: spec.env_from.iter().map(|from| self.path(&from.file)).collect(),
            inherit_env: spec.inherit_env.unwrap_or_default(),
            run_as_user: security.and_then(|s| s.run_as_user.as_ref()).map(|user| user.0.clone()),
            run_as_group: security.and_then(|s| s.run_as_group.as_ref()).map(|group| group.0.clone()),
            no_new_privileges: security.and_then(|s| s.no_new_privileges).unwrap_or_default(),
            open_files: limits.and_then(|limits| limits.open_files),
            memory_limit: limits.and_then(|limits| self.memory(limits.memory.as_ref()?)),
            cpu_limit_millis: limits.and_then(|limits| self.cpu(limits.cpu.as_ref()?)),
        }
    }

    pub(crate) fn env(&mut self, env: &[types::Env]) -> Vec<EnvVar> {
        let mut first: HashMap<&str, NodeId> = HashMap::new();
        for variable in env {
            let name = &variable.name;
            if name.contains(['=', '\0']) {
                self.invalid(name.id, name, "must not contain `=` or NUL", None);
            } else if let Some(earlier) = first.insert(name, name.id) {
                self.duplicate(name.id, earlier, &format!("variable `{}`", name.value));
            }
            if let (Some(_), Some(from)) = (&variable.value, &variable.value_from) {
                let message = "forbidden beside `value`: only one is allowed";
                self.mistake(Code::Forbidden, from.id, message, "`value` is there already");
            }
        }
        env.iter()
            .map(|variable| EnvVar {
                name: variable.name.value.clone(),
                value: match &variable.value_from {
                    Some(from) => EnvValue::FileKey {
                        path: self.path(&from.file_key_ref.path),
                        key: from.file_key_ref.key.clone(),
                        optional: from.file_key_ref.optional.unwrap_or_default(),
                    },
                    None => {
                        let value = variable.value.as_ref();
                        EnvValue::Literal(value.map(|value| self.word(value)).unwrap_or_default())
                    }
                },
            })
            .collect()
    }

    fn ports(&mut self, ports: &[types::Port]) -> Vec<Port> {
        let mut first: HashMap<&str, NodeId> = HashMap::new();
        for name in ports.iter().filter_map(|port| port.name.as_ref()) {
            if !is_label(name) || !name.contains(|c: char| c.is_ascii_lowercase()) {
                let rule = "must be of lower-case letters, digits and `-`, with a letter among them";
                self.invalid(name.id, name, rule, None);
            } else if let Some(earlier) = first.insert(name, name.id) {
                self.duplicate(name.id, earlier, &format!("port name `{}`", name.value));
            }
        }
        let port = |port: &types::Port| Port {
            name: port.name.as_ref().map(|name| name.value.clone()),
            container_port: port.container_port.value,
            host_port: port.host_port.as_ref().map(|port| port.value),
            host_ip: port.host_ip.as_ref().map(|ip| ip.value.clone()),
            protocol: port.protocol.unwrap_or_default(),
        };
        ports.iter().map(port).collect()
    }

    fn restart(&mut self, restart: Option<&types::Restart>) -> RestartSpec {
        let default = RestartSpec::default();
        let Some(restart) = restart else { return default };
        RestartSpec {
            max_restarts: restart.max_restarts.unwrap_or(default.max_restarts),
            window: seconds(restart.window_seconds, 600),
            min_uptime: seconds(restart.min_uptime_seconds, 10),
            backoff: restart.backoff.as_ref().map(|backoff| self.backoff(backoff)).unwrap_or_default(),
        }
    }

    fn backoff(&mut self, backoff: &At<types::Backoff>) -> Backoff {
        let value = |seconds: &Option<At<f64>>| seconds.as_ref().map(|seconds| seconds.value);
        let initial = seconds(value(&backoff.initial_seconds), 1);
        let max = seconds(value(&backoff.max_seconds), 60);
        if initial > max && !self.told(backoff.id, &["initialSeconds", "maxSeconds"]) {
            let (at, rule) = match (&backoff.initial_seconds, &backoff.max_seconds) {
                (Some(initial), Some(max)) => {
                    (Some(initial), format!("must not be above maxSeconds, which is {}", max.value))
                }
                (Some(initial), None) => {
                    (Some(initial), "must not be above maxSeconds, which is 60 by default".to_owned())
                }
                (None, max) => {
                    (max.as_ref(), "must not be below initialSeconds, which is 1 by default".to_owned())
                }
            };
            if let Some(at) = at {
                let message = format!("invalid value {}: {rule}", at.value);
                self.mistake(Code::Invalid, at.id, &message, "the first delay is above the longest");
            }
        }
        Backoff::try_new(initial, max, backoff.multiplier.unwrap_or(2.0), backoff.jitter.unwrap_or(0.0))
            .unwrap_or_default()
    }

    /// Whether one of these fields is wrong itself, which has been told.
    fn told(&self, id: NodeId, fields: &[&str]) -> bool {
        fields.iter().filter_map(|field| self.tree.get(id, field)).any(|field| self.tree.any_faulty(field))
    }

    fn logs(&mut self, logs: Option<&types::Logs>) -> LogsSpec {
        let default = LogsSpec::default();
        let Some(logs) = logs else { return default };
        let max_size = logs.max_size.as_ref().and_then(|size| self.log_size(size));
        LogsSpec {
            max_size: max_size.unwrap_or(default.max_size),
            max_files: logs.max_files.unwrap_or(default.max_files),
            on_disk_full: logs.on_disk_full.unwrap_or_default(),
        }
    }

    fn hook(&mut self, hook: &types::Hook) -> ExecAction {
        ExecAction { command: self.command(&hook.exec.command) }
    }

    /// A program and its arguments.
    pub(crate) fn command(&mut self, command: &[At<String>]) -> Vec<String> {
        if let Some(program) = command.first().filter(|program| program.is_empty()) {
            self.invalid(program.id, program, "must name a program", None);
        }
        self.words(command)
    }

    pub(crate) fn words(&mut self, words: &[At<String>]) -> Vec<String> {
        words.iter().map(|word| self.word(word)).collect()
    }

    /// A string that the kernel takes.
    pub(crate) fn word(&mut self, word: &At<String>) -> String {
        if word.contains('\0') {
            self.invalid(word.id, word, "must not contain NUL", None);
        }
        word.value.clone()
    }

    pub(crate) fn path(&mut self, path: &At<String>) -> PathBuf {
        let path = self.word(path);
        join(&self.file.dir, Path::new(&path))
    }

    pub(crate) fn invalid(&mut self, id: NodeId, value: &str, rule: &str, help: Option<String>) {
        let message = format!("invalid value {}: {rule}", quote(value));
        let mut mistake = self.at(Code::Invalid, id, message).label(rule);
        if let Some(help) = help {
            mistake = mistake.help(help);
        }
        self.mistakes.push(mistake);
    }

    pub(crate) fn duplicate(&mut self, id: NodeId, earlier: NodeId, what: &str) {
        let mistake = Mistake::new(Code::Duplicate, self.tree.path(id), format!("duplicate {what}"))
            .at(self.tree.node(id).span.clone())
            .label("the second time")
            .related(self.tree.node(earlier).span.clone(), "the first time");
        self.mistakes.push(mistake);
    }

    fn mistake(&mut self, code: Code, id: NodeId, message: &str, label: &str) {
        let mistake = self.at(code, id, message.to_owned()).label(label);
        self.mistakes.push(mistake);
    }

    /// A mistake at a value.
    pub(crate) fn at(&self, code: Code, id: NodeId, message: String) -> Mistake {
        let place = crate::check::place_of(self.tree, &self.file.source.text, id);
        Mistake::new(code, self.tree.path(id), message).at(place)
    }
}

/// A DNS label, but for its length.
pub(crate) fn is_label(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Seconds of a manifest. The schema keeps them finite and below what a `Duration` holds.
pub(crate) fn seconds(value: Option<f64>, default: u64) -> Duration {
    let Some(value) = value else { return Duration::from_secs(default) };
    let duration = Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(default));
    // What is more than nothing stays so.
    if value > 0.0 { duration.max(Duration::from_nanos(1)) } else { duration }
}

/// A path of a manifest, without `.`; `..` stays, since it may lead out of a symbolic link.
pub(crate) fn join(dir: &Path, path: &Path) -> PathBuf {
    dir.join(path).components().filter(|part| *part != Part::CurDir).collect()
}

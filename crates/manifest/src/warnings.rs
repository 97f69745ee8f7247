//! What works, and is probably not what was meant.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitald_core::check::Check;
use vitald_core::quantity;
use vitald_core::spec::{EnvValue, EnvVar, ProbeRole, ProbeSpec, ProcessSpec, Protocol, Workload};

use crate::check::key_of;
use crate::document::Document;
use crate::files::File;
use crate::mistake::{Code, Mistake};
use crate::tree::{NodeId, Value, quote};
use crate::typed::{self, At};
use crate::types::{Spec, Timing};
use crate::{container, external};

/// Looks at all documents. `env_path` is the PATH that components inherit.
pub(crate) fn check(documents: &mut [Document], files: &[File], env_path: Option<&OsStr>) {
    for document in documents.iter_mut() {
        let mut mistakes = Vec::new();
        if let (Some(spec), Some(model)) = (&document.spec, &document.model) {
            for role in ProbeRole::ALL {
                mistakes.extend(probe(document, role));
            }
            let (process, env, env_from) = match &model.workload {
                Workload::Process(process) => (Some(process), &process.env, &process.env_from),
                Workload::External(external) => {
                    mistakes.extend(external::warnings(document, spec, external));
                    (Some(&external.commands), &external.commands.env, &external.commands.env_from)
                }
                Workload::Container(container) => {
                    mistakes.extend(container::warnings(document, spec, container));
                    (None, &container.env, &container.env_from)
                }
            };
            // What a container is made of, nobody knows before it runs.
            if let Some(process) = process {
                let missing = working_dirs(document, spec, process);
                let has_dir = !missing.iter().any(|mistake| mistake.path == "spec.workingDir");
                mistakes.extend(missing);
                mistakes.extend(programs(document, spec, process, env_path, has_dir));
            }
            mistakes.extend(env_files(document, spec, env, env_from));
            mistakes.extend(resources(document, spec, model.workload.limits().cpus));
        }
        document.mistakes.append(&mut mistakes);
    }
    shared_ports(documents, files);
}

fn probe(document: &Document, role: ProbeRole) -> Vec<Mistake> {
    let tree = &document.tree;
    let Some(id) = document.spec_node(role.field()) else { return Vec::new() };
    if *tree.value(id) == Value::Null {
        // What was to be below it may stand beside it, which has been told.
        let stray = |mistake: &Mistake| {
            mistake.code == Code::UnknownField && mistake.path.matches(['.', '[']).count() == 1
        };
        if document.mistakes.iter().any(stray) {
            return Vec::new();
        }
        let field = role.field();
        let message = format!("{field} is empty: no {role} probe is run");
        let mistake = Mistake::new(Code::EmptyProbe, tree.path(id), message)
            .at(key_of(tree, id))
            .label("nothing is below it")
            .help("give it a handler, such as `pid: {}`, or take it out");
        return vec![mistake];
    }
    let timing = typed::read::<Timing>(tree, id).unwrap_or_default();
    let default = ProbeSpec::new(role, Check::AllOf(Vec::new()));
    let or_default = |given: &Option<At<f64>>, default: Duration| {
        given.as_ref().map_or(default.as_secs_f64(), |seconds| seconds.value)
    };
    let timeout = or_default(&timing.timeout_seconds, default.timeout);
    let period = or_default(&timing.period_seconds, default.period);
    let wrong = ["timeoutSeconds", "periodSeconds"]
        .iter()
        .any(|field| tree.get(id, field).is_some_and(|field| tree.node(field).faulty));
    let mut mistakes = Vec::new();
    if timeout > period && !wrong {
        let by_default = |set: bool| if set { "" } else { ", by default," };
        let given = timing.timeout_seconds.as_ref().or(timing.period_seconds.as_ref());
        let at = given.map_or(id, |at| at.id);
        let message = format!(
            "timeoutSeconds ({timeout}{}) is longer than periodSeconds ({period}{})",
            by_default(timing.timeout_seconds.is_some()).trim_end_matches(','),
            by_default(timing.period_seconds.is_some()).trim_end_matches(','),
        );
        mistakes.push(
            Mistake::new(Code::TimeoutOverPeriod, tree.path(at), message)
                .at(tree.node(at).span.clone())
                .label("a slow check makes the next one late")
                .help(format!("make timeoutSeconds at most {period}")),
        );
    }
    if let Some(threshold) =
        timing.failure_threshold.filter(|threshold| role == ProbeRole::Liveness && threshold.value == 1)
    {
        mistakes.push(
            Mistake::new(
                Code::FailureThreshold,
                tree.path(threshold.id),
                "failureThreshold 1 restarts the component for a single failed check",
            )
            .at(tree.node(threshold.id).span.clone())
            .label("one slow answer is enough")
            .help("leave it out for the default, `failureThreshold: 3`"),
        );
    }
    mistakes
}

/// Working directories that are not there: of the component, and of its probes' commands.
fn working_dirs(document: &Document, spec: &Spec, process: &ProcessSpec) -> Vec<Mistake> {
    let tree = &document.tree;
    let mut found = Vec::new();
    if let Some(dir) = &spec.working_dir {
        found.push((dir.id, process.working_dir.clone()));
    }
    // What a handler calls `workingDir` begins at the component's.
    let mut checks: Vec<NodeId> =
        ProbeRole::ALL.iter().filter_map(|role| document.spec_node(role.field())).collect();
    while let Some(check) = checks.pop() {
        for (key, node) in tree.entries(check) {
            match key {
                "allOf" | "anyOf" => checks.extend(tree.items(node)),
                "atLeast" => checks.extend(tree.get(node, "of").iter().flat_map(|of| tree.items(*of))),
                _ => {
                    let dir = tree.get(node, "workingDir").filter(|dir| !tree.node(*dir).faulty);
                    if let Some((dir, text)) = dir.and_then(|dir| Some((dir, tree.text(dir)?))) {
                        found.push((dir, crate::model::join(&process.working_dir, Path::new(text))));
                    }
                }
            }
        }
    }
    // Below a directory that is not there, none is.
    let own = spec.working_dir.as_ref().map(|dir| dir.id);
    let own_is_there = own.is_none() || missing_dir(&process.working_dir).is_none();
    let mut mistakes = Vec::new();
    for (id, dir) in found {
        let below = Some(id) != own && dir.starts_with(&process.working_dir);
        let Some(what) = missing_dir(&dir).filter(|_| own_is_there || !below) else { continue };
        let message = format!("the directory {} {what}", quote(tree.text(id).unwrap_or_default()));
        mistakes.push(
            Mistake::new(Code::FileNotFound, tree.path(id), message)
                .at(tree.node(id).span.clone())
                .label("no such directory, right now")
                .help(if Some(id) == own {
                    "without it, the component does not start; its path begins at the manifest's own folder"
                } else {
                    "without it, the check cannot run; its path begins at the component's own working directory"
                }),
        );
    }
    mistakes
}

/// What is wrong with a directory that is none; nothing where that cannot be told.
fn missing_dir(path: &Path) -> Option<&'static str> {
    match fs::metadata(path) {
        Ok(metadata) => (!metadata.is_dir()).then_some("is none"),
        Err(err) => {
            matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory).then_some("does not exist")
        }
    }
}

/// Programs of the commands and the hooks that are not where they are looked for. `has_dir`: whether the
/// working directory is there, which some are looked for in.
fn programs(
    document: &Document,
    spec: &Spec,
    process: &ProcessSpec,
    env_path: Option<&OsStr>,
    has_dir: bool,
) -> Vec<Mistake> {
    let lifecycle = spec.lifecycle.as_ref();
    let hooks = lifecycle.into_iter().flat_map(|l| [&l.post_start, &l.pre_stop]).flatten();
    let hooks = hooks.map(|hook| &hook.exec.command);
    let commands = spec.command.iter().chain(external::commands(spec)).chain(hooks);
    let path = search_path(process, env_path)
        .filter(|path| has_dir || std::env::split_paths(path).all(|dir| dir.is_absolute()));
    let mut mistakes = Vec::new();
    for program in commands.filter_map(|command| command.first()) {
        let name = program.value.as_str();
        if name.is_empty() || name.contains("$(") || name.contains('\0') {
            continue;
        }
        if !has_dir && name.contains('/') && !name.starts_with('/') {
            continue;
        }
        if name.contains('/') {
            let file = crate::model::join(&process.working_dir, Path::new(name));
            if !is_program(&file) {
                let what = if file.is_file() { "is not executable" } else { "does not exist" };
                mistakes.push(program_warning(
                    document,
                    program,
                    format!("the program {} {what}", quote(name)),
                ));
            }
        } else if let Some(path) = &path {
            let found = std::env::split_paths(path)
                .any(|dir| is_program(&crate::model::join(&process.working_dir, &dir).join(name)));
            if !found {
                mistakes.push(program_warning(document, program, format!("`{name}` is not on PATH")));
            }
        }
    }
    mistakes
}

fn program_warning(document: &Document, program: &At<String>, message: String) -> Mistake {
    Mistake::new(Code::ProgramNotFound, document.tree.path(program.id), message)
        .at(document.tree.node(program.id).span.clone())
        .label("no such program, right now")
        .help("install it, write its whole path, or set PATH in `env`")
}

/// The component's own PATH if the manifest says it, else the inherited one; nothing where only a start
/// can tell.
fn search_path(process: &ProcessSpec, env_path: Option<&OsStr>) -> Option<OsString> {
    match process.env.iter().rev().find(|variable| variable.name == "PATH").map(|variable| &variable.value) {
        Some(EnvValue::Literal(path)) if path.contains("$(") => None,
        Some(EnvValue::Literal(path)) => Some(path.into()),
        Some(EnvValue::FileKey { .. }) => None,
        None => {
            // Opening a FIFO would wait for somebody to write to it.
            let sets_path = |file: &PathBuf| {
                fs::metadata(file).is_ok_and(|there| there.is_file())
                    && fs::read_to_string(file).is_ok_and(|text| text.contains("PATH="))
            };
            (!process.env_from.iter().any(sets_path)).then(|| env_path.map(OsStr::to_owned))?
        }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn env_files(document: &Document, spec: &Spec, env: &[EnvVar], env_from: &[PathBuf]) -> Vec<Mistake> {
    let whole = spec.env_from.iter().zip(env_from).map(|(from, path)| (from.file.id, path));
    let keys = spec.env.iter().zip(env).filter_map(|(variable, model)| {
        let from = &variable.value_from.as_ref()?.file_key_ref;
        match &model.value {
            EnvValue::FileKey { path, optional: false, .. } => Some((from.path.id, path)),
            _ => None,
        }
    });
    whole
        .chain(keys)
        .filter(|(_, path)| !path.exists())
        .map(|(id, _): (NodeId, _)| {
            let message =
                format!("the file {} does not exist", quote(document.tree.text(id).unwrap_or_default()));
            Mistake::new(Code::FileNotFound, document.tree.path(id), message)
                .at(document.tree.node(id).span.clone())
                .label("no such file, right now")
                .help(
                    "without it, the component does not start; its path begins at the manifest's own folder",
                )
        })
        .collect()
}

/// Requests, which mean nothing here, and a limit that is not quite the one that was asked for.
fn resources(document: &Document, spec: &Spec, cpus: Option<f64>) -> Vec<Mistake> {
    let tree = &document.tree;
    let resources = spec.resources.as_ref();
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let asked = requests.filter(|at| tree.entries(at.id).next().is_some() && !tree.any_faulty(at.id));
    let passed_over = asked.map(|at| {
        Mistake::new(Code::PassedOver, tree.path(at.id), "`requests` is passed over: there is one machine")
            .at(key_of(tree, at.id))
            .label("changes nothing here")
            .help("Kubernetes chooses a node by it; what a component may use at most stands in `limits`")
    });
    let cpu = resources.and_then(|resources| resources.limits.as_ref()?.cpu.as_ref());
    let asked = cpu.and_then(|at| Some((at, quantity::thousandths(&at.0).ok()?)));
    let millis = cpus.map(|cpus| (cpus * 1e3).round() as u64);
    let raised = asked.zip(millis).filter(|((_, asked), got)| asked < got);
    let raised = raised.map(|((at, asked), got)| {
        let message = format!("{asked}m is taken for {got}m");
        Mistake::new(Code::LimitRaised, tree.path(at.id), message)
            .at(tree.node(at.id).span.clone())
            .label("less than Linux can keep to")
            .help(format!("write `cpu: {got}m`; 1 ms in every 100 ms is the least that Linux gives"))
    });
    passed_over.into_iter().chain(raised).collect()
}

/// A port of this machine that somebody wants to listen on.
struct WantedPort {
    document: usize,
    id: NodeId,
    /// The address, where it is known.
    ip: Option<IpAddr>,
}

/// The ports of this machine that a component wants, with what is spoken on them.
fn wanted_ports(index: usize, document: &Document) -> Vec<((u16, Protocol), WantedPort)> {
    let Some(spec) = &document.spec else { return Vec::new() };
    let wanted = |port: &At<u16>, protocol, ip| {
        ((port.value, protocol), WantedPort { document: index, id: port.id, ip })
    };
    let published = spec.image.is_some() && !spec.host_network.unwrap_or_default();
    let ports = spec.ports.iter().filter_map(|port| {
        let protocol = port.protocol.unwrap_or_default();
        if !published {
            return Some(wanted(&port.container_port, protocol, None));
        }
        let ip = port.host_ip.as_ref().map_or(Ok(container::PUBLISHED_ON), |ip| ip.parse());
        Some(wanted(port.host_port.as_ref()?, protocol, Some(ip.ok()?)))
    });
    let external = spec.external.as_ref().and_then(|external| external.port.as_ref());
    ports.chain(external.map(|port| wanted(port, Protocol::Tcp, None))).collect()
}

fn shared_ports(documents: &mut [Document], files: &[File]) {
    let mut all: HashMap<(u16, Protocol), Vec<WantedPort>> = HashMap::new();
    let mut mistakes = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        for (port, wanted) in wanted_ports(index, document) {
            let taken = all.entry(port).or_default();
            let clash = |other: &&WantedPort| match (other.ip, wanted.ip) {
                (Some(one), Some(other)) => container::overlap(one, other),
                _ => true,
            };
            let Some(other) = taken.iter().find(clash) else {
                taken.push(wanted);
                continue;
            };
            if other.document == index {
                continue;
            }
            let place = other.id;
            let other = &documents[other.document];
            let name = other.name.as_deref().unwrap_or("another component");
            let file = &files[other.file];
            let (line, column) = file.source.position(key_of(&other.tree, place).start);
            let message = format!("`{name}` wants port {}, too", port.0);
            let mistake = Mistake::new(Code::PortShared, document.tree.path(wanted.id), message)
                .at(document.tree.node(wanted.id).span.clone())
                .label("only one of them can listen here")
                .help(format!("the other is at {}:{line}:{column}", file.name.display()));
            mistakes.push((index, mistake));
        }
    }
    for (index, mistake) in mistakes {
        documents[index].mistakes.push(mistake);
    }
}

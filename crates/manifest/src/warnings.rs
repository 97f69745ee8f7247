//! What works, and is probably not what was meant.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vitald_core::spec::{EnvValue, ProbeRole, ProcessSpec, Workload};

use crate::check::key_of;
use crate::document::Document;
use crate::files::File;
use crate::mistake::{Code, Mistake};
use crate::tree::{NodeId, quote};
use crate::typed::{self, At};
use crate::types::{Spec, Timing};

/// Looks at all documents. `env_path` is the PATH that components inherit.
pub(crate) fn check(documents: &mut [Document], files: &[File], env_path: Option<&OsStr>) {
    for document in documents.iter_mut() {
        let mut mistakes = Vec::new();
        if let (Some(spec), Some(model)) = (&document.spec, &document.model) {
            let Workload::Process(process) = &model.workload;
            for role in ProbeRole::ALL {
                mistakes.extend(probe(document, role));
            }
            mistakes.extend(programs(document, spec, process, env_path));
            mistakes.extend(env_files(document, spec, process));
        }
        document.mistakes.append(&mut mistakes);
    }
    shared_ports(documents, files);
}

fn probe(document: &Document, role: ProbeRole) -> Vec<Mistake> {
    let tree = &document.tree;
    let Some(id) = document.spec_node(role.field()).filter(|id| !tree.any_faulty(*id)) else {
        return Vec::new();
    };
    let Some(probe) = document.model.as_ref().and_then(|model| model.probe(role)) else { return Vec::new() };
    let timing = typed::read::<Timing>(tree, id).unwrap_or_default();
    let mut mistakes = Vec::new();
    if probe.timeout > probe.period {
        let (timeout, period) = (probe.timeout.as_secs_f64(), probe.period.as_secs_f64());
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

/// Programs of the command and the hooks that are not where they are looked for.
fn programs(
    document: &Document,
    spec: &Spec,
    process: &ProcessSpec,
    env_path: Option<&OsStr>,
) -> Vec<Mistake> {
    let lifecycle = spec.lifecycle.as_ref();
    let hooks = lifecycle.into_iter().flat_map(|l| [&l.post_start, &l.pre_stop]).flatten();
    let commands = spec.command.iter().chain(hooks.map(|hook| &hook.exec.command));
    let path = search_path(process, env_path);
    let mut mistakes = Vec::new();
    for program in commands.filter_map(|command| command.first()) {
        let name = program.value.as_str();
        if name.is_empty() || name.contains("$(") || name.contains('\0') {
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
            let sets_path =
                |file: &std::path::PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains("PATH="));
            (!process.env_from.iter().any(sets_path)).then(|| env_path.map(OsStr::to_owned))?
        }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn env_files(document: &Document, spec: &Spec, process: &ProcessSpec) -> Vec<Mistake> {
    let whole = spec.env_from.iter().zip(&process.env_from).map(|(from, path)| (from.file.id, path));
    let keys = spec.env.iter().zip(&process.env).filter_map(|(variable, model)| {
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

fn shared_ports(documents: &mut [Document], files: &[File]) {
    let mut first: HashMap<u16, (usize, NodeId)> = HashMap::new();
    let mut mistakes = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        for port in document.spec.iter().flat_map(|spec| &spec.ports) {
            let (number, id) = (port.container_port.value, port.container_port.id);
            let (other, place) = *first.entry(number).or_insert((index, id));
            if other == index {
                continue;
            }
            let other = &documents[other];
            let name = other.name.as_deref().unwrap_or("another component");
            let file = &files[other.file];
            let (line, column) = file.source.position(key_of(&other.tree, place).start);
            let message = format!("`{name}` wants port {number}, too");
            let mistake = Mistake::new(Code::PortShared, document.tree.path(id), message)
                .at(document.tree.node(id).span.clone())
                .label("only one of them can listen here")
                .help(format!("the other is at {}:{line}:{column}", file.name.display()));
            mistakes.push((index, mistake));
        }
    }
    for (index, mistake) in mistakes {
        documents[index].mistakes.push(mistake);
    }
}

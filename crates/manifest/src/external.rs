//! Something that others start: how it is found, and what starts and stops it.

use std::path::Path;

use vitald_core::spec::{ExternalSpec, FoundBy, ProcessSpec};

use crate::document::Document;
use crate::mistake::{Code, Mistake};
use crate::model::Modeller;
use crate::tree::quote;
use crate::typed::At;
use crate::types::{External, Spec};

impl Modeller<'_> {
    /// The component that a spec with `external` describes.
    pub(crate) fn external(&mut self, spec: &Spec, external: Option<&External>) -> ExternalSpec {
        let by_file = external.and_then(|external| external.pid_file.as_ref());
        let port = external.and_then(|external| external.port.as_ref());
        let name = external.and_then(|external| external.process_name.as_ref());
        let command =
            |this: &mut Self, command: Option<&Vec<At<String>>>| command.map(|command| this.command(command));
        ExternalSpec {
            found_by: match (by_file, port) {
                (Some(file), _) => FoundBy::PidFile(self.path(file)),
                (None, port) => FoundBy::Port(port.map(|port| port.value).unwrap_or_default()),
            },
            process_name: name.map(|name| self.process_name(name)),
            start_command: command(self, external.and_then(|external| external.start_command.as_ref())),
            stop_command: command(self, external.and_then(|external| external.stop_command.as_ref())),
            restart_command: command(self, external.and_then(|external| external.restart_command.as_ref())),
            commands: ProcessSpec {
                command: Vec::new(),
                working_dir: match &spec.working_dir {
                    Some(dir) => self.path(dir),
                    None => self.file.dir.clone(),
                },
                env: self.env(&spec.env),
                env_from: spec.env_from.iter().map(|from| self.path(&from.file)).collect(),
                inherit_env: spec.inherit_env.unwrap_or_default(),
                run_as_user: None,
                run_as_group: None,
                no_new_privileges: false,
                open_files: None,
                memory_limit: None,
                cpu_limit_millis: None,
            },
        }
    }

    fn process_name(&mut self, name: &At<String>) -> String {
        if name.contains('/') {
            let help = name.rsplit('/').next().filter(|base| !base.is_empty());
            let help = help.map(|base| format!("for example `processName: {base}`"));
            self.invalid(name.id, name, "must be a name without a directory", help);
        }
        self.word(name)
    }
}

/// The programs that `external` names.
pub(crate) fn commands(spec: &Spec) -> impl Iterator<Item = &Vec<At<String>>> {
    let external = spec.external.iter();
    external.flat_map(|e| [&e.start_command, &e.stop_command, &e.restart_command]).flatten()
}

/// A pid file in a folder that is not there.
pub(crate) fn warnings(document: &Document, spec: &Spec, model: &ExternalSpec) -> Vec<Mistake> {
    let Some(external) = &spec.external else { return Vec::new() };
    let tree = &document.tree;
    let mut mistakes = Vec::new();
    if let (Some(at), FoundBy::PidFile(file)) = (&external.pid_file, &model.found_by)
        && let Some(folder) = file.parent().filter(|folder| !folder.is_dir())
    {
        let message = format!("the folder {} does not exist", quote(&shown(folder)));
        mistakes.push(
            Mistake::new(Code::FileNotFound, tree.path(at.id), message)
                .at(tree.node(at.id).span.clone())
                .label("nobody can write this file, right now")
                .help("its path begins at the manifest's own folder"),
        );
    }
    mistakes
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

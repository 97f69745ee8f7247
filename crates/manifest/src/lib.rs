//! vitald manifests: YAML in, `vitald_core`'s model out, every mistake of every file in its place.
//!
//! A deserializer stops at its first mistake. So a document is read into a tree with positions
//! (`read`), checked against the schema that comes from the declarations of fields and probes
//! (`check`), read into types with what is wrong left out (`typed`, `types`), turned into the
//! model (`model`), and at last seen together with all the others (`together`). The way back, for people who
//! compare, is `render`. What each field means is told by `explain`.
//!
//! **Invariant:** one mistake, one diagnostic: what follows from a mistake is not told.
//! **Invariant:** no input makes it panic, run out of stack or take long; limits stand in `read` and `files`.

mod files;
mod read;
mod scalar;
mod tree;

mod check;
mod schema;
mod typed;
mod types;

mod container;
mod document;
mod external;
mod kinds;
mod limits;
mod model;
mod probes;
mod together;
mod warnings;

mod arguments;
mod diagnostic;
mod explain;
mod mistake;
mod nearest;
mod render;
mod source;

use std::ffi::OsString;
use std::path::PathBuf;

use vitald_core::registry::Registry;
use vitald_core::spec::ComponentSpec;

pub use arguments::{handler_config, objections};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use explain::{Explanation, NoSuchField, explain};
pub use limits::bytes;
pub use render::render;
pub use schema::{reserved, schema};

use crate::document::Document;
use crate::files::File;
use crate::mistake::{Code, Mistake};

/// What the manifests say.
#[derive(Debug)]
pub struct Manifests {
    /// In the order to start them: dependencies first, else as they stand in the files.
    pub components: Vec<ComponentSpec>,
    /// What is odd about them, in the order of files and lines.
    pub warnings: Vec<Diagnostic>,
}

/// What loading needs to know.
pub struct LoadOptions<'a> {
    /// The probes that there are.
    pub registry: &'a Registry,
    /// The PATH that components will inherit, to warn of programs that are not on it.
    pub env_path: Option<OsString>,
}

/// More diagnostics than this help nobody.
const MOST: usize = 500;

/// Loads files, and directories recursively: `*.yaml` and `*.yml` in the order of names, hidden ones left out.
/// `-` is standard input; paths in it begin at the current folder.
///
/// # Errors
/// At least one mistake. What comes back has all of them, and the warnings, in the order of files and lines.
pub fn load(paths: &[PathBuf], options: &LoadOptions<'_>) -> Result<Manifests, Diagnostics> {
    let files = files::read(paths);
    let schema = schema::document(options.registry);
    options.registry.ask_anew();
    let mut documents: Vec<Document> = Vec::new();
    let mut found: Vec<(usize, Diagnostic)> = Vec::new();
    let mut unread: Vec<&str> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if let Some(mistake) = &file.mistake {
            found.push((index, diagnose(file, mistake.clone(), None, false)));
            continue;
        }
        let read = read::read(&file.source.text);
        if read.count == 0 {
            let mistake = document::nothing("there is nothing in this file").at(0..0);
            found.push((index, diagnose(file, mistake, None, false)));
        }
        unread.extend(read.unread.iter().filter_map(|range| file.source.text.get(range.clone())));
        found.extend(read.mistakes.into_iter().map(|mistake| (index, diagnose(file, mistake, None, false))));
        let several = read.count > 1;
        documents.extend(
            read.trees
                .into_iter()
                .map(|tree| Document::examine(tree, (index, file), several, &schema, options.registry)),
        );
    }
    together::check(&mut documents, &files, &unread);
    warnings::check(&mut documents, &files, options.env_path.as_deref());

    for document in &mut documents {
        let file = &files[document.file];
        for mistake in std::mem::take(&mut document.mistakes) {
            let component = document.name.clone();
            found.push((document.file, diagnose(file, mistake, component, document.several)));
        }
    }
    found.sort_by_key(|(file, diagnostic)| (*file, diagnostic.span.start));
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for (_, diagnostic) in found {
        let same = |other: &Diagnostic| {
            // An alias repeats the mistakes of what it stands for.
            other.span == diagnostic.span
                && other.file == diagnostic.file
                && other.message == diagnostic.message
        };
        if !diagnostics.iter().rev().take(8).any(same) {
            diagnostics.push(diagnostic);
        }
    }
    let refused = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    if diagnostics.len() > MOST {
        // Errors go before warnings where not all are kept.
        diagnostics.retain(|diagnostic| !refused || diagnostic.severity == Severity::Error);
        if diagnostics.len() > MOST {
            diagnostics.truncate(MOST);
            let rest = Mistake::new(
                Code::Limit,
                String::new(),
                format!("more than {MOST} mistakes, the rest is left out"),
            );
            diagnostics
                .extend(files.last().filter(|_| refused).map(|file| diagnose(file, rest, None, false)));
        }
    }
    if refused {
        return Err(Diagnostics(diagnostics));
    }
    let components = documents.into_iter().filter_map(|document| document.model).collect();
    Ok(Manifests { components: together::start_order(components), warnings: diagnostics })
}

fn diagnose(file: &File, mistake: Mistake, component: Option<String>, several: bool) -> Diagnostic {
    Diagnostic::new(mistake, file.name.clone(), file.source.clone(), component, several)
}

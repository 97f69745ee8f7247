//! Loading manifests, and saying what is wrong with them.

use std::env;
use std::path::PathBuf;

use vitald_core::registry::Registry;
use vitald_core::spec::ComponentSpec;
use vitald_manifest::{Diagnostics, LoadOptions, Manifests, Severity};

use crate::exit::{Exit, Failure};
use crate::format::{count, plain};
use crate::output;

/// Loads manifests for a command that acts on them: warnings are shown, and do no harm.
///
/// # Errors
/// There are mistakes; all of them have been shown.
pub(crate) fn load(paths: &[PathBuf], registry: &Registry) -> Result<Vec<ComponentSpec>, Failure> {
    let colour = output::colour_on_stderr();
    match read(paths, registry) {
        Ok(manifests) => {
            if !manifests.warnings.is_empty() {
                output::note(&Diagnostics(manifests.warnings).render(colour));
            }
            Ok(manifests.components)
        }
        Err(diagnostics) => {
            output::note(&diagnostics.render(colour));
            let mistakes = count(diagnostics.error_count(), "mistake");
            Err(Failure::new(Exit::Usage, format!("{mistakes} in the manifests; nothing was changed")))
        }
    }
}

/// Loads manifests, and says nothing.
///
/// # Errors
/// There are mistakes.
pub(crate) fn read(paths: &[PathBuf], registry: &Registry) -> Result<Manifests, Diagnostics> {
    vitald_manifest::load(paths, &LoadOptions { registry, env_path: env::var_os("PATH") })
}

/// All that is wrong, in one line.
pub(crate) fn in_short(mistakes: &Diagnostics) -> String {
    let number = count(mistakes.error_count(), "mistake");
    match mistakes.0.iter().find(|mistake| mistake.severity == Severity::Error) {
        Some(first) => {
            // A folder without manifests, a file that cannot be read: there is no line to name.
            let place = match first.line {
                0 => first.file.display().to_string(),
                line => format!("{}:{line}:{}", first.file.display(), first.column),
            };
            let which = if mistakes.error_count() > 1 { ", the first at" } else { ":" };
            format!("{number} in the manifests{which} {place}: {}", plain(&first.headline()))
        }
        None => format!("{number} in the manifests"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_placed_where_it_has_a_place() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().display();
        let told = || in_short(&read(&[temp.path().to_owned()], &crate::builtin::registry()).unwrap_err());
        let empty = format!("1 mistake in the manifests: {folder}: no manifest in this directory");
        assert!(told().starts_with(&empty), "{}", told());
        std::fs::write(temp.path().join("a.yaml"), "a: [").unwrap();
        assert!(
            told().starts_with(&format!("1 mistake in the manifests: {folder}/a.yaml:1:4: ")),
            "{}",
            told()
        );
    }
}

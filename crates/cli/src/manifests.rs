//! Loading manifests, and saying what is wrong with them.

use std::env;
use std::path::PathBuf;

use vitald_core::registry::Registry;
use vitald_core::spec::ComponentSpec;
use vitald_manifest::{Diagnostics, LoadOptions};

use crate::exit::{Exit, Failure};
use crate::format::count;
use crate::output;

/// Loads manifests for a command that acts on them: warnings are shown, and do no harm.
///
/// # Errors
/// There are mistakes; all of them are in the text.
pub(crate) fn load(paths: &[PathBuf], registry: &Registry) -> Result<Vec<ComponentSpec>, Failure> {
    let colour = output::colour_on_stderr();
    let options = LoadOptions { registry, env_path: env::var_os("PATH") };
    match vitald_manifest::load(paths, &options) {
        Ok(manifests) => {
            if !manifests.warnings.is_empty() {
                output::note(&Diagnostics(manifests.warnings).render(colour));
            }
            Ok(manifests.components)
        }
        Err(diagnostics) => {
            output::note(&diagnostics.render(colour));
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} in the manifests; nothing was started",
                    count(diagnostics.error_count(), "mistake")
                ),
            ))
        }
    }
}

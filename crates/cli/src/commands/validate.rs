//! `vitald validate`.

use std::env;

use vitald_manifest::{Diagnostics, LoadOptions, Severity};

use crate::cli::Validate;
use crate::exit::{Exit, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::{output, plugins};

/// Prints all that is wrong with manifests.
pub(crate) async fn run(args: &Validate, places: &Places) -> Outcome {
    let named = [args.manifests.filename.as_slice(), &args.path].concat();
    let paths = places.manifests(&named)?;
    let registry = plugins::of_manifests(places, &paths).await?.registry;
    let options = LoadOptions { registry: &registry, env_path: env::var_os("PATH") };
    let (components, mut diagnostics) = match vitald_manifest::load(&paths, &options) {
        Ok(manifests) => (Some(manifests.components.len()), Diagnostics(manifests.warnings)),
        Err(diagnostics) => (None, diagnostics),
    };
    if args.strict {
        diagnostics.0.iter_mut().for_each(|diagnostic| diagnostic.severity = Severity::Error);
    }
    let (errors, warnings) = (diagnostics.error_count(), diagnostics.warning_count());
    if errors + warnings > 0 {
        output::note(&diagnostics.render(output::colour_on_stderr()));
        output::note("");
    }
    match components {
        Some(components) if errors == 0 => {
            let warned =
                if warnings > 0 { format!(", {}", count(warnings, "warning")) } else { String::new() };
            output::say(format!("{} valid{warned}", count(components, "component")))?;
        }
        _ => output::say(format!("{}, {}", count(errors, "error"), count(warnings, "warning")))?,
    }
    let bad = errors > 0 || components.is_none();
    Ok(if bad { Exit::Usage } else { Exit::Done })
}

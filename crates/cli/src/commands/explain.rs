//! `vitald explain`.

use crate::cli::{Explain, ExplainFormat};
use crate::exit::{Exit, Failure, Outcome};
use crate::format::plain;
use crate::places::Places;
use crate::{output, plugins};

/// Where nobody can tell how wide the reader's window is.
const ORDINARY_WIDTH: usize = 80;
/// Longer lines are hard to read, however wide the window.
const WIDEST: usize = 100;

/// Shows what a field of the manifest means.
pub(crate) async fn run(args: &Explain, places: &Places) -> Outcome {
    let path = args.path.as_deref().unwrap_or_default();
    let registry = plugins::of_folder(places).await?.registry;
    let explanation = vitald_manifest::explain(&registry, path)
        .map_err(|no_such_field| Failure::usage(no_such_field.to_string()))?;
    match args.output {
        ExplainFormat::Json => output::json(explanation.schema())?,
        ExplainFormat::Text if args.recursive => output::bytes(shown(&explanation.tree(width())).as_bytes())?,
        ExplainFormat::Text => output::bytes(shown(&explanation.text(width())).as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Names and words may be a library's. A tab stands before a type, as `kubectl explain` has it.
fn shown(page: &str) -> String {
    let line = |line: &str| line.split('\t').map(plain).collect::<Vec<_>>().join("\t") + "\n";
    page.lines().map(line).collect()
}

fn width() -> usize {
    output::width().map_or(ORDINARY_WIDTH, usize::from).min(WIDEST)
}

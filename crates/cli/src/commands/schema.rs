//! `vitald schema`.

use crate::exit::{Exit, Outcome};
use crate::places::Places;
use crate::{output, plugins};

/// Prints the JSON Schema of manifests.
pub(crate) async fn run(places: &Places) -> Outcome {
    output::json(&vitald_manifest::schema(&plugins::of_folder(places).await?.registry))?;
    Ok(Exit::Done)
}

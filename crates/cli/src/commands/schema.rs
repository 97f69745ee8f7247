//! `vitald schema`.

use crate::exit::{Exit, Outcome};
use crate::{builtin, output};

/// Prints the JSON Schema of manifests.
pub(crate) fn run() -> Outcome {
    output::json(&vitald_manifest::schema(&builtin::registry()))?;
    Ok(Exit::Done)
}

//! `vitald plugin inspect`.

use crate::cli::PluginInspect;
use crate::exit::{Failure, Outcome};
use crate::places::Places;

/// Not yet.
pub(crate) async fn run(_args: &PluginInspect, _places: &Places) -> Outcome {
    Err(Failure::not("not built yet"))
}

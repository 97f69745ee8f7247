//! `vitald plugin list`.

use crate::cli::PluginList;
use crate::exit::{Failure, Outcome};
use crate::places::Places;

/// Not yet.
pub(crate) async fn run(_args: &PluginList, _places: &Places) -> Outcome {
    Err(Failure::not("not built yet"))
}

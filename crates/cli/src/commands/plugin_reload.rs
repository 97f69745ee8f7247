//! `vitald plugin reload`.

use crate::cli::Selector;
use crate::exit::{Failure, Outcome};
use crate::places::Places;

/// Not yet.
pub(crate) async fn run(_args: &Selector, _places: &Places) -> Outcome {
    Err(Failure::not("not built yet"))
}

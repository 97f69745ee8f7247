//! The probes that a command knows: the built-in ones, and those of the libraries it finds.

use std::sync::Arc;

use vitald_core::registry::Registry;

use crate::builtin;
use crate::exit::Failure;
use crate::places::Places;

/// The probes that a command knows, as long as it lives.
pub(crate) struct Probes {
    /// Built-in and custom.
    pub(crate) registry: Arc<Registry>,
}

/// The probes for a command that is about no manifests: with the libraries of the current folder's state dir.
///
/// # Errors
/// A folder of libraries that was named is not there.
pub(crate) async fn of_folder(_places: &Places) -> Result<Probes, Failure> {
    Ok(Probes { registry: Arc::new(builtin::registry()) })
}

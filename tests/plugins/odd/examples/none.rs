//! Speaks our language, and has no probes at all.

use vitald_sdk::abi::{Export, MAGIC};

/// So that what is linked is not nothing.
#[unsafe(no_mangle)]
pub static NOTHING_ELSE: usize = size_of::<Export>() + MAGIC.len();

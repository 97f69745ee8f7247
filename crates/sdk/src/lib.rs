//! What a custom probe crate depends on: the traits that vitald's own probes implement, the macro that exports
//! them from a library, and a kit to try them without a supervisor.

pub mod abi;
pub mod message;

pub use vitald_core::async_trait;
pub use vitald_core::{probe, quantity, wording};

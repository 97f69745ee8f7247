//! What a custom probe crate depends on: the traits that vitald's own probes implement, the macro that exports
//! them from a library, and a kit to try them without a supervisor.

pub mod abi;
#[doc(hidden)]
pub mod answer;
mod bytes;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod glue;
pub mod message;
#[doc(hidden)]
pub mod panics;
mod runtime;
mod services;

pub use bytes::MOST_BYTES;
pub use vitald_core::async_trait;
pub use vitald_core::spec::ComponentKind;
pub use vitald_core::{notify, probe, quantity, restarter, wording};

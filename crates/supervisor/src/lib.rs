//! Drives the lifecycles: one task a component, events by message, state that survives.

pub mod handle;
pub mod state_dir;

pub use handle::{CommandError, ShutdownMode, SupervisorHandle};

//! What vitald is about, without any of the machinery: the contracts for probes and restarters, the
//! validated model of a component, and the lifecycle that decides when it is started, probed,
//! restarted and given up.
//!
//! **Invariant:** nothing here performs I/O, reads a clock, spawns or needs a runtime; time and facts
//! are arguments.
//! **Invariant:** equal inputs give equal actions, so that a seed replays a failure.

pub mod check;
pub mod env_file;
pub mod lifecycle;
pub mod notify;
pub mod probe;
pub mod quantity;
pub mod registry;
pub mod restarter;
pub mod spec;
pub mod status;
pub mod time;
pub mod wording;

pub use async_trait::async_trait;

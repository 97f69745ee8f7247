//! Drives the lifecycles: one task a component, events by message, state that survives.
//!
//! Every decision is the [lifecycle](vitald_core::lifecycle)'s. Here is what it leaves open: a clock,
//! timers, tasks that start runs and ask probes, files, and what others may look at meanwhile.

mod apply;
pub mod clock;
mod driver;
mod events;
pub mod handle;
mod logs;
mod member;
mod probe_run;
mod probes;
pub mod recall;
mod replace;
mod report;
mod shutdown;
pub mod state_dir;
mod store;
mod supervisor;
pub mod survivors;

pub use handle::{Command, CommandError, ShutdownMode, SupervisorHandle};
pub use logs::{LogKeeper, LogKeeperFactory, TellOfLogs};
pub use probe_run::check_once;
pub use probes::{ProbeInUse, ProbeLibraries};
pub use state_dir::{StateDir, StateDirError, StateLock};
pub use supervisor::{Config, Refused, RestarterContext, RestarterFactory, Supervisor, Wanted};

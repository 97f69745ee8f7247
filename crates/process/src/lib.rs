//! Native processes: how a component is started, watched, signalled and cleared away.
//!
//! A pid alone is never trusted. A run's main process is held by a pidfd from its birth, and stays
//! unreaped until nothing of its tree is left, so that its pid, group and session cannot pass to a
//! stranger. Everything else of the tree is found in `/proc` and pinned by a pidfd, with its start time
//! read again, before it is signalled.
//!
//! What counts as a run's tree, without a cgroup: its process group, its session, what descends from
//! either, and what carries the run's mark in its environment or still holds the component's lock. A
//! process that leaves its session, clears its environment, closes its descriptors and loses its parent
//! between two looks is beyond reach.
//!
//! Everything here is Linux (5.11 or later); nothing here decides when a component starts or stops.

mod adopt;
mod commands;
mod environment;
mod executor;
mod launch;
mod leftovers;
mod limits;
mod lock;
mod log;
mod mark;
mod occupant;
mod program;
mod reaper;
mod redact;
mod restarter;
mod root;
mod run;
mod tree;
mod unclaimed;

mod adopted;
mod child;
mod pidfd;
mod spawn;
mod user;

pub mod env_file;
pub mod expand;
pub mod procfs;
pub mod signal;

pub use environment::inherited_environment;
pub use executor::LocalExecutor;
pub use launch::ProcessSettings;
pub use leftovers::end_leftovers;
pub use limits::raise_open_files;
pub use occupant::holder_of;
pub use procfs::{boot_id, identity, is_same};
pub use reaper::{become_subreaper, spawn_reaper};
pub use restarter::{Paths, ProcessRestarter};

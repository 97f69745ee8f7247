//! Native processes: how a component is started, watched, signalled and cleared away.
//!
//! A pid alone is never trusted. A run's main process is held by a pidfd from its birth, and, as our child,
//! stays unreaped until nothing of its tree is left, so that its pid, group and session cannot pass to a
//! stranger. Everything else of the tree is found in `/proc` and pinned by a pidfd, with its start time
//! read again, before it is signalled.
//!
//! A run lives in a cgroup of its own wherever one can be had, from its birth, and whatever lives there is
//! its tree. What counts as its tree besides, and where there is no cgroup: its process group, its session,
//! what descends from either, and what carries the run's mark in its environment or still holds the
//! component's lock. Without a cgroup, a process that leaves its session, clears its environment, closes its
//! descriptors and loses its parent between two looks is beyond reach. `VITALD_CGROUPS=off` in our environment
//! does without cgroups.
//!
//! A run outlives its supervisor. The next one takes it over by pid, start time and boot, or finds
//! it by these same traces where the pid had not been written down.
//!
//! Everything here is Linux (5.11 or later); nothing here decides when a component starts or stops.

mod adopt;
mod capabilities;
mod commands;
mod component;
mod environment;
mod errands;
mod executor;
mod inherited;
mod launch;
mod leftovers;
mod limits;
mod lock;
mod look;
mod main_process;
mod mark;
mod notify;
mod occupant;
mod program;
mod reaper;
mod redact;
mod restarter;
mod root;
mod run;
mod scan;
mod stranger;
mod tree;
mod turn;
mod unclaimed;

mod adopted;
mod cgroup;
mod child;
mod pidfd;
mod spawn;
mod user;

pub mod env_file;
pub mod expand;
pub mod pid_file;
pub mod procfs;
pub mod signal;

pub use capabilities::{Capability, capabilities};
pub use environment::{Built, described_environment, expand_with, inherited_environment};
pub use errands::Errands;
pub use executor::LocalExecutor;
pub use inherited::set_signals_right;
pub use launch::ProcessSettings;
pub use leftovers::end_leftovers;
pub use limits::raise_open_files;
pub use lock::instance_of;
pub use occupant::holder_of;
pub use pidfd::{signal_group_of, signal_process};
pub use procfs::{boot_id, identity, is_same};
pub use reaper::{become_subreaper, spawn_reaper};
pub use redact::redact;
pub use restarter::{Paths, ProcessRestarter};
pub use stranger::Stranger;

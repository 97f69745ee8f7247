//! The whole of vitald from outside: real processes, real signals, real ports.
//!
//! `cargo xtask test e2e` builds what is needed and runs them; `cargo xtask test e2e -- NAME` some of them.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod adoption;
mod applying;
mod commands;
mod demo;
mod dependencies;
mod edits;
mod explain;
mod external;
mod external_commands;
mod files;
mod first;
mod inherited;
mod kills;
mod limits;
mod log_growth;
mod logs;
mod logs_read;
mod logs_reading_alone;
mod logs_rotation;
mod manifests;
mod memory;
mod midway;
mod namespaces;
mod notify;
mod ordinary;
mod outages;
mod probes;
mod process;
mod restarts;
mod stopping;
mod strangers;
mod supervisors;
mod surroundings;
mod survivors;
mod trees;
mod unknown;

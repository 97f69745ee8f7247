//! Runs of real processes, seen from where the supervisor stands.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod bed;
mod earlier;

mod adopt;
mod cgroups;
mod environment;
mod exec;
mod isolation;
mod leftovers;
mod many;
mod memory;
mod notify;
mod start;
mod stop;

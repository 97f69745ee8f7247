//! Runs of real processes, seen from where the supervisor stands.

mod bed;

mod environment;
mod exec;
mod isolation;
mod leftovers;
mod start;
mod stop;

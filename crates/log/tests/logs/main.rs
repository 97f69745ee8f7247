//! Logs as those who use them see them: other processes write, rotate, die, fill disks and meddle.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // A test fails by panicking, and says what it skips.

mod bed;
mod disks;
mod first_meta;
mod follow;
mod full;
mod keeping;
mod kills;
mod left;
mod machine;
mod meddled;
mod meddling;
mod obstacles;
mod offsets;
mod steps;
mod waking;

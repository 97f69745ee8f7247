//! Logs as those who use them see them: other processes write, rotate, die, fill disks and meddle.

mod bed;
mod follow;
mod full;
mod keeping;
mod kills;
mod meddling;
mod offsets;
mod steps;

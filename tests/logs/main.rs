//! Logs that lose nothing, from outside: on ext4 and on tmpfs, with disks that fill up and supervisors that die.
//!
//! These write gigabytes and wait for the disk: beside the other end-to-end tests they would be in each other's way.
//! `cargo xtask test logs` builds what is needed and runs them; `cargo xtask test logs -- NAME` some of them.

#![allow(clippy::unwrap_used)] // A test fails by panicking.
#![allow(clippy::print_stderr)] // What is printed is shown when a test fails: the seed above all.

mod disk;
mod follow;
mod idle;
mod kills;
mod lines;
mod own;
mod writer;

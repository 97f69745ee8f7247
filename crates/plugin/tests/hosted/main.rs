//! Libraries in processes of their own, and in this one: what they do wrong, and what others notice of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

#[path = "../border/build.rs"]
#[allow(dead_code)] // Some of it is for the tests beside these only.
mod build;
mod deaths;
mod folders;
mod hosts;
mod in_process;
mod reload;
mod rubbish;
mod silence;
mod world;

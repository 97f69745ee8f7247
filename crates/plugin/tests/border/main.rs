//! Libraries that are built, loaded and asked: what crosses the border, and what does not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod build;
mod checks;
mod linking;
mod loading;

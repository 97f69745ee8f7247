//! Custom probe crates from outside: built as strangers build them, loaded by a real `vitald`, asked about real
//! things.
//!
//! `cargo xtask test plugins` builds what is needed and runs them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod certificate;
mod compilers;
mod entered;
mod everything;
mod folders;
mod host_health;
mod hosts;
mod in_process;
mod made;
mod misbehaving;
mod page;
mod postgres;
mod postgres_server;
mod refusing;
mod reloading;
mod showing;
mod ward;
mod words;

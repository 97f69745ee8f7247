//! Tells the SDK which compiler builds it: a library says so to whoever loads it.

#![allow(clippy::print_stdout)] // The way to tell cargo.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=VITALD_SDK_RUSTC={}", version.as_deref().unwrap_or("an unknown rustc").trim());
}

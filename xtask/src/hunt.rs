//! `cargo xtask hunt`: the property tests, with other cases than ever before, and many more of them.
//!
//! `cargo xtask test` tries the same cases every time, so that it says of a change what the change has done. What is rare
//! is found here.

use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, say};

/// Where cases come from: proptest reads it.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";
/// How many of them each property is tried with, whatever it says itself.
const CASES_VARIABLE: &str = "PROPTEST_CASES";

/// The crates that have properties.
const PACKAGES: [&str; 3] = ["vitald-core", "vitald-manifest", "vitald-log"];

/// What to hunt for.
#[derive(clap::Args)]
pub(crate) struct Wanted {
    /// How many cases each property is tried with
    #[arg(long, default_value_t = 10_000)]
    cases: u32,
    /// The cases of this seed, as an earlier hunt has told it; by default others every time
    #[arg(long)]
    seed: Option<u64>,
    /// Arguments of the test programs, after `--`: the name of a property, `--nocapture` …
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// The same cases in every run, unless the caller has named other ones.
pub(crate) fn same_cases(command: &mut Command) {
    if std::env::var_os(SEED_VARIABLE).is_none() {
        command.env(SEED_VARIABLE, "0");
    }
}

/// Whether every property held.
pub(crate) fn hunt(workspace: &Workspace, wanted: &Wanted) -> Result<bool> {
    let seed = wanted.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
    eprintln!("xtask: seed {seed}");
    let mut command = workspace.cargo_command(["test", "--release", "--no-fail-fast", "--lib", "--tests"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    command
        .arg("--")
        .args(&wanted.args)
        .env(SEED_VARIABLE, seed.to_string())
        .env(CASES_VARIABLE, wanted.cases.to_string());
    say(&command);
    let held = command.status().context("cannot start cargo")?.success();
    if !held {
        eprintln!("xtask: the same again: cargo xtask hunt --cases {} --seed {seed}", wanted.cases);
    }
    Ok(held)
}

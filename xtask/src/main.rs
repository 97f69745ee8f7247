//! Project tasks: `cargo xtask run`, `cargo xtask test`, `cargo xtask bench`, `cargo xtask simulate`, `cargo xtask hunt`,
//! `cargo xtask schema`.

// What a task says is for the person at the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod apt;
mod bench;
mod cache;
mod docker;
mod hunt;
mod run;
mod schema;
mod simulate;
mod standin;
mod strangers;
mod tally;
mod temporal;
mod test;
mod worker;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::test::Part;
use crate::workspace::Workspace;

/// Project tasks.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// `vitald run`, built in release mode, on `manifests/quickstart` unless -f is given
    #[command(disable_help_flag = true)]
    Run {
        /// Arguments of `vitald run`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Every test, or the parts named; brings up what they need
    Test {
        /// Parts to run
        parts: Vec<Part>,
        /// Arguments of the test programs, after `--`: a filter, `--nocapture` …
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Write `manifests/schema.json`, after a change of fields or probes
    Schema,
    /// Virtual days of components, probes, people and disasters, and the rules that none may break
    Simulate(simulate::Wanted),
    /// The property tests with other cases than ever before, and many more of them
    Hunt(hunt::Wanted),
    /// What a supervisor costs: all that is measured, or the parts named
    Bench {
        /// Parts to measure
        parts: Vec<bench::Part>,
        /// How many components, each with a TCP probe every 10 s
        #[arg(long, default_value_t = 100)]
        components: usize,
        /// Over how many seconds an idle one is watched
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many times 1 GiB is written each way
        #[arg(long, default_value_t = 5)]
        turns: usize,
        /// How many checks are made in each way
        #[arg(long, default_value_t = 5000)]
        checks: usize,
    },
}

fn main() -> ExitCode {
    match execute(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("xtask: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well; if not, that has been told.
fn execute(task: Task) -> Result<bool> {
    let workspace = Workspace::find()?;
    match task {
        Task::Run { args } => run::run(&workspace, &args).map(|never| match never {}),
        Task::Test { parts, args } => test::test(&workspace, &parts, &args),
        Task::Schema => schema::write(&workspace).map(|()| true),
        Task::Simulate(wanted) => simulate::simulate(&workspace, &wanted),
        Task::Hunt(wanted) => hunt::hunt(&workspace, &wanted),
        Task::Bench { parts, components, seconds, turns, checks } => {
            let wanted = |part| parts.is_empty() || parts.contains(&part);
            if wanted(bench::Part::Idle) {
                bench::idle(&workspace, components, seconds)?;
            }
            if wanted(bench::Part::Logs) {
                bench::logs(&workspace, turns)?;
            }
            if wanted(bench::Part::Plugins) {
                bench::plugins(&workspace, checks)?;
            }
            Ok(true)
        }
    }
}

//! `cargo xtask test`: the parts, and the sum of what they say.

use std::ffi::OsString;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::tally::Tally;
use crate::workspace::{Workspace, path_with, say};
use crate::{docker, hunt, standin, strangers, temporal, worker};

/// A part of the tests that can be run by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What must stay true of the sources
    Tidy,
    /// Unit and documentation tests of all crates
    Unit,
    /// Ten thousand virtual days of the lifecycle, optimized
    Sim,
    /// The whole from outside, on programs that misbehave on purpose
    E2e,
    /// The whole from outside, on logs of gigabytes, disks that fill up, and deaths in the middle
    Logs,
    /// The whole from outside, on a real Temporal server and real workers
    Temporal,
    /// Containers, by hand and from outside, in real Docker engines
    Docker,
    /// Custom probe crates, built as strangers would, against real things, PostgreSQL among them
    Plugins,
    /// The stack of stigmer falls ill and is mended; all examples
    Story,
    /// The documentation builds without warnings
    Docs,
}

/// End-to-end tests mostly wait, and each has its own ports and state dir.
const E2E_THREADS: &str = "--test-threads=4";
/// They wait for each other's disk: two are about as fast as four.
const LOGS_THREADS: &str = "--test-threads=2";
/// Each test has a database, a server with four services and a client of its own.
const TEMPORAL_THREADS: &str = "--test-threads=2";
/// All on one server, and all wait for minutes.
const WORKERS_THREADS: &str = "--test-threads=16";

/// Each test has an engine of its own.
const DOCKER_THREADS: &str = "--test-threads=2";
/// They mostly wait, and some have a database of their own.
const PLUGINS_THREADS: &str = "--test-threads=4";
/// Each has a stack of its own in a network of its own, and waits for minutes.
const STORY_THREADS: &str = "--test-threads=4";

/// Runs the parts, all of them if none is named; whether all passed. The last line says how many.
pub(crate) fn test(workspace: &Workspace, parts: &[Part], args: &[OsString]) -> Result<bool> {
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    let (waiting, working): (Vec<Part>, Vec<Part>) = parts.iter().partition(|part| part.mostly_waits());
    for part in working {
        part.run_and_tell(workspace, args, &mut tally, &mut failed);
    }
    // What they need is made by one after the other; then they wait side by side.
    thread::scope(|scope| {
        let begun: Vec<_> = waiting
            .into_iter()
            .map(|part| {
                scope.spawn(move || {
                    let (mut tally, mut failed) =
                        (Tally::with_prefix(format!("{} | ", part.name())), Vec::new());
                    part.run_and_tell(workspace, args, &mut tally, &mut failed);
                    (tally, failed)
                })
            })
            .collect();
        for part in begun {
            match part.join() {
                Ok((of_part, failed_parts)) => {
                    tally.sum(&of_part);
                    failed.extend(failed_parts);
                }
                Err(_panic) => failed.push("a part that panicked".to_owned()),
            }
        }
    });
    tally.tell_failures();
    if tally.ignored > 0 {
        eprintln!("xtask: {} tests were ignored, which counts as a failure", tally.ignored);
        failed.push("ignored tests".to_owned());
    }
    // A part can fail before any test of it ran; that must not read as a success.
    let failures = tally.failed.max(failed.len() as u64);
    if !failed.is_empty() {
        eprintln!("xtask: failed: {}", failed.join(", "));
    }
    println!("{} passed, {failures} failed", tally.passed);
    Ok(failed.is_empty())
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// For answers, timeouts and the next poll, for minutes; the machine is free for others meanwhile.
    fn mostly_waits(self) -> bool {
        matches!(self, Self::Temporal | Self::Docker | Self::Story)
    }

    fn run_and_tell(
        self,
        workspace: &Workspace,
        args: &[OsString],
        tally: &mut Tally,
        failed: &mut Vec<String>,
    ) {
        let begun = Instant::now();
        eprintln!("xtask: test {}", self.name());
        if let Err(err) = self.run(workspace, args, tally) {
            eprintln!("xtask: test {}: {err:#}", self.name());
            failed.push(self.name());
        }
        eprintln!("xtask: test {} took {} s", self.name(), begun.elapsed().as_secs());
    }

    fn run(self, workspace: &Workspace, args: &[OsString], tally: &mut Tally) -> Result<()> {
        let cargo_test = |words: &[&str]| {
            let mut command = workspace.cargo_command(["test", "--no-fail-fast"]);
            command.args(words).arg("--").args(args);
            command
        };
        let of_the_whole = |name: &str| cargo_test(&["--package", "vitald-tests", "--test", name]);
        match self {
            Self::Tidy => tally.count(of_the_whole("tidy")),
            Self::Unit => {
                let mut command = cargo_test(&["--workspace", "--exclude", "vitald-tests"]);
                hunt::same_cases(&mut command);
                // Of the harness of the tests from outside there are some, too; the others of it are parts of their own.
                let of_the_harness = cargo_test(&["--package", "vitald-tests", "--lib"]);
                tally.count(command).and(tally.count(of_the_harness))
            }
            Self::Sim => tally.count(cargo_test(&["--release", "--package", "vitald-sim", "--test", "days"])),
            Self::E2e | Self::Logs => {
                build(workspace)?;
                let threads = if self == Self::E2e { E2E_THREADS } else { LOGS_THREADS };
                let mut command = of_the_whole(&self.name());
                command.arg(threads).env("VITALD_BIN", workspace.programs("debug").join("vitald"));
                tally.count(command)
            }
            Self::Temporal => {
                let path = path_with(&[temporal::ensure()?])?;
                let python = worker::ensure()?;
                build(workspace)?;
                let of_temporal = |name: &str, threads: &str| {
                    let mut command = of_the_whole(name);
                    command
                        .arg(threads)
                        .env("VITALD_BIN", workspace.programs("debug").join("vitald"))
                        .env("PATH", &path)
                        .env("VITALD_TEST_PYTHON", &python);
                    command
                };
                let server = tally.count(of_temporal("temporal", TEMPORAL_THREADS));
                server.and(tally.count(of_temporal("workers", WORKERS_THREADS)))
            }
            Self::Docker => {
                docker::ensure()?;
                build(workspace)?;
                let mut by_hand = cargo_test(&["--package", "vitald-container", "--test", "engine"]);
                by_hand.arg(DOCKER_THREADS);
                let by_hand = tally.count(by_hand);
                let mut command = of_the_whole("docker");
                command.arg(DOCKER_THREADS).env("VITALD_BIN", workspace.programs("debug").join("vitald"));
                by_hand.and(tally.count(command))
            }
            Self::Plugins => {
                strangers::ensure_postgres()?;
                let other_compiler = strangers::ensure_other_compiler()?;
                build(workspace)?;
                let mut own = Ok(());
                for project in strangers::PROJECTS {
                    strangers::build(workspace, project)?;
                    let mut command =
                        strangers::cargo(workspace, project, &["test", "--workspace", "--no-fail-fast"]);
                    command.arg("--").args(args);
                    own = own.and(tally.count(command));
                }
                let mut command = of_the_whole("custom");
                command
                    .arg(PLUGINS_THREADS)
                    .env("VITALD_BIN", workspace.programs("debug").join("vitald"))
                    .env(strangers::TARGET_VARIABLE, strangers::target(workspace))
                    .env(strangers::COMPILER_VARIABLE, other_compiler);
                own.and(tally.count(command))
            }
            Self::Story => {
                let path = path_with(&[temporal::ensure()?, standin::ensure(workspace)?])?;
                docker::ensure()?;
                build(workspace)?;
                let mut command = of_the_whole("story");
                // The table of what was found when is for whoever runs them.
                command
                    .args([STORY_THREADS, "--nocapture"])
                    .env("VITALD_BIN", workspace.programs("debug").join("vitald"))
                    .env("PATH", path);
                tally.count(command)
            }
            Self::Docs => {
                let mut command = workspace.cargo_command(["doc", "--workspace", "--no-deps"]);
                say(&command);
                let status = command.env("RUSTDOCFLAGS", "-D warnings").status()?;
                if !status.success() {
                    bail!("cargo doc failed");
                }
                Ok(())
            }
        }
    }
}

fn build(workspace: &Workspace) -> Result<()> {
    workspace.cargo(["build", "--package", "vitald", "--package", "vitald-demo"])
}

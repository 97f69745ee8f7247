//! Cargo projects outside this workspace, which know vitald by its SDK; and what their tests need: PostgreSQL, and
//! a second Rust compiler.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::workspace::{Workspace, on_path, say};

/// Where they are.
pub(crate) const PROJECTS: [&str; 1] = ["examples/custom-probes"];

/// The folder that all of them are built in.
pub(crate) const TARGET_VARIABLE: &str = "VITALD_STRANGER_TARGET";
/// The compiler that is another than ours.
pub(crate) const COMPILER_VARIABLE: &str = "VITALD_OTHER_RUSTC";

/// Where Debian's packages put PostgreSQL's server, by version.
const POSTGRES: &str = "/usr/lib/postgresql";
/// The one of Debian's packages of Rust that follows its releases.
const RUSTC_PACKAGE: &str = "rustc-web";
const DEBIANS_RUSTC: &str = "/usr/bin/rustc";

/// Where they are built: as the variable says, else beside what is built here.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    env::var_os(TARGET_VARIABLE).map_or_else(|| workspace.target().join("stranger"), PathBuf::from)
}

/// Makes sure that a PostgreSQL server can be started.
pub(crate) fn ensure_postgres() -> Result<()> {
    let programs = ["initdb", "postgres", "psql"];
    let debians = || {
        let versions = fs::read_dir(POSTGRES).into_iter().flatten().flatten();
        versions.map(|version| version.path().join("bin")).collect::<Vec<_>>()
    };
    let has_all = |folder: &PathBuf| programs.iter().all(|program| folder.join(program).exists());
    apt::ensure(&format!("a PostgreSQL server ({}) is", programs.join(", ")), &["postgresql"], || {
        programs.iter().all(|program| on_path(program).is_some()) || debians().iter().any(has_all)
    })
}

/// Makes sure that there is a Rust compiler of another build than ours, and says where.
pub(crate) fn ensure_other_compiler() -> Result<PathBuf> {
    if let Some(named) = env::var_os(COMPILER_VARIABLE) {
        return Ok(named.into());
    }
    let ours = version(Path::new("rustc")).context("there is no rustc on PATH")?;
    let is_another = || version(Path::new(DEBIANS_RUSTC)).is_some_and(|version| version != ours);
    apt::ensure(
        &format!("a Rust compiler other than `{ours}` (or {COMPILER_VARIABLE}, with the path of one) is"),
        &[RUSTC_PACKAGE],
        is_another,
    )?;
    Ok(DEBIANS_RUSTC.into())
}

fn version(rustc: &Path) -> Option<String> {
    let output = Command::new(rustc).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Builds all of a project, with its own lock file where it has one.
pub(crate) fn build(workspace: &Workspace, project: &str) -> Result<()> {
    let mut command = cargo(workspace, project, &["build", "--workspace"]);
    say(&command);
    if !command.status().context("cannot start cargo")?.success() {
        bail!("{project} cannot be built; if its lock file is old: cargo update --workspace in it");
    }
    Ok(())
}

/// Cargo in such a project.
pub(crate) fn cargo(workspace: &Workspace, project: &str, words: &[&str]) -> Command {
    let folder = workspace.root().join(project);
    let mut command = workspace.cargo_command(words);
    if folder.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    command.arg("--target-dir").arg(target(workspace)).current_dir(folder).env_remove("CARGO_TARGET_DIR");
    command
}

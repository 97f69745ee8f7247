//! The programs under test, and what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command did.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|err| panic!("cannot run {command:?}: {err}"));
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics unless the exit status is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit status; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// All that was said, on stdout and stderr.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A program of this workspace: `vitald`, `vitald-demo` or `vitald-fixture`. `cargo xtask test` builds them
/// and names vitald in `VITALD_BIN`; without it they are looked for beside the test program.
pub fn program(name: &str) -> PathBuf {
    let named = std::env::var_os("VITALD_BIN").map(PathBuf::from);
    let path = match named {
        Some(vitald) if name == "vitald" => vitald,
        _ => beside_the_test(name),
    };
    assert!(
        path.exists(),
        "{} is not there; run the tests with `cargo xtask test`, or first `cargo build --package vitald \
         --package vitald-demo --package vitald-tests`",
        path.display()
    );
    path
}

/// Test programs lie in `TARGET/PROFILE/deps`, others one folder up.
fn beside_the_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors().nth(2).unwrap_or(Path::new(".")).join(name)
}

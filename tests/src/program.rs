//! The programs under test, and what they say.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::eventually;

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
        Self::from(command.output().unwrap_or_else(|err| panic!("cannot run {command:?}: {err}")))
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

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that goes on beside the test; dropped, it is killed.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Starts a command.
    pub fn of(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap_or_else(|err| panic!("cannot run {command:?}: {err}"))))
    }

    /// Whether it still goes on.
    pub fn goes_on(&mut self) -> bool {
        self.0.as_mut().is_some_and(|child| child.try_wait().expect("a child's status").is_none())
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self, within: Duration) -> Output {
        eventually("the end of a command", within, || (!self.goes_on()).then_some(()), String::new);
        let child = self.0.take().expect("it was started");
        Output::from(child.wait_with_output().expect("a child that has ended"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
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

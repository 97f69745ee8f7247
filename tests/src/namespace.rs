//! A pid namespace of the test's own: numbers that nobody else takes, and a first process that is no init
//! of a machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Output, Pid, eventually, program, seconds};

/// A namespace with a process that reaps orphans. Dropped, the kernel ends all that is in it.
pub struct Namespace {
    holder: Child,
    first: Pid,
}

impl Namespace {
    /// None where the kernel or our rights do not allow one; the reason has been told.
    pub fn new() -> Option<Self> {
        let allowed = Output::of(Command::new("unshare").args(NEW).arg("true"));
        if allowed.code != 0 {
            skip(&format!("no pid namespace can be had: {}", allowed.stderr.trim()));
            return None;
        }
        let holder = Command::new("unshare")
            .args(NEW)
            .arg(program("vitald-fixture"))
            .arg("init")
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare was there a moment ago");
        let outer = Pid(i32::try_from(holder.id()).expect("a pid"));
        let first = eventually(
            "the first process of the namespace",
            seconds(5),
            || outer.descendants().into_iter().find(|pid| pid.command().ends_with("init")),
            String::new,
        );
        Some(Self { holder, first })
    }

    /// What to put before a command so that it runs in here.
    pub fn prefix(&self) -> Vec<String> {
        ["nsenter", "--pid", "--mount", "--target", &self.first.0.to_string()].map(str::to_owned).to_vec()
    }

    /// A command in here.
    pub fn command(&self, words: &[&str]) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).args(words).stdin(Stdio::null());
        command
    }

    /// The folder of a process in `/proc`, by its number in here.
    pub fn proc(&self, pid: Pid) -> PathBuf {
        Path::new("/proc").join(self.first.0.to_string()).join("root/proc").join(pid.0.to_string())
    }

    /// Whether this number is taken by a process that lives.
    pub fn has(&self, pid: Pid) -> bool {
        let stat = fs::read_to_string(self.proc(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }
}

/// All that is in it dies with its first process, and that with its parent.
const NEW: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

impl Drop for Namespace {
    fn drop(&mut self) {
        self.first.kill();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Says why a test cannot be made here. Where everything must be tested, that fails it.
pub fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped: {why}");
}

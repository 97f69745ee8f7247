//! A component that writes numbered lines, as far as the test lets it.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use vitald_tests::{Supervisor, assert_numbered, eventually, seconds};

/// Its manifest: `vitald-fixture numbered`.
pub(crate) fn writer(name: &str, bytes: u64, mib_per_second: u64, done: &Path, logs: &str) -> String {
    let done = done.display();
    format!(
        "metadata: {{name: {name}}}\nspec:\n  command: [vitald-fixture, numbered, '{bytes}', \
         '{mib_per_second}', {done}]\n  logs: {logs}"
    )
}

/// Lets it go on until it has written so many bytes. It begins with none if this is said before its start.
pub(crate) fn tide(done: &Path, bytes: u64) {
    let next = done.with_added_extension("next");
    fs::write(&next, bytes.to_string()).unwrap();
    fs::rename(next, done.with_added_extension("tide")).unwrap();
}

/// Waits until it has written all.
#[track_caller]
pub(crate) fn wait_done(done: &Path, within: f64) {
    let is_done = || done.exists().then_some(());
    eventually("all to be written", seconds(within), is_done, || done.display().to_string());
}

/// Panics unless `vitald logs` shows this many bytes of numbered lines, and says nothing else.
#[track_caller]
pub(crate) fn assert_shown(s: &Supervisor, name: &str, bytes: u64) {
    let mut logs = s.command(&["logs", name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_numbered("vitald logs", name, bytes, logs.stdout.take().unwrap());
    let said = logs.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

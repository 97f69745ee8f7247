//! What the process of a library has started, wherever it went: told by a variable that it inherits.
//!
//! A process group does not hold who leaves it, as daemons do.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, pidfd_send_signal, waitid,
};

/// The variable. Its value is another one for each process that is started.
pub(crate) const MARK: &str = "VITALD_PROBE_HOST";

/// Who forks while it is looked for is found the next time.
const ROUNDS: usize = 5;
/// Descriptors that are taken to know again whom to reap. More are ended, and not reaped here.
const MOST_HELD: usize = 100;

/// A value that no process has.
pub(crate) fn new_mark() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{}.{}.{since_epoch}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Ends all processes with this mark but this one. Those of other users are not seen.
///
/// Some of them may be, or become, children of this process: see [`reap`].
pub(crate) fn end(mark: &str) -> Vec<OwnedFd> {
    let variable = format!("{MARK}={mark}");
    let mut ended = Vec::new();
    for _ in 0..ROUNDS {
        let found = marked(variable.as_bytes()).unwrap_or_default();
        if found.is_empty() {
            break;
        }
        let held = found.into_iter().filter_map(|pid| kill(pid, variable.as_bytes()));
        ended.extend(held);
        ended.truncate(MOST_HELD);
    }
    ended
}

/// Reaps those that are our children, and those that become so by the end of their parents.
pub(crate) fn reap(mut ended: Vec<OwnedFd>) {
    let mut before = usize::MAX;
    while ended.len() < before {
        before = ended.len();
        ended.retain(|process| {
            let waited = loop {
                match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
                    Err(Errno::INTR) => {}
                    waited => break waited,
                }
            };
            waited.is_err()
        });
    }
}

/// Ends a process, if it is marked, and holds it. While it is looked at it is held already, so that no other one
/// that gets its pid is ended in its place.
fn kill(pid: Pid, variable: &[u8]) -> Option<OwnedFd> {
    let held = pidfd_open(pid, PidfdFlags::empty());
    if !is_marked(pid, variable) {
        return None;
    }
    // It may just have ended.
    match held {
        Ok(held) => pidfd_send_signal(&held, Signal::KILL).ok().map(|()| held),
        // There are no more descriptors.
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            None
        }
    }
}

fn marked(variable: &[u8]) -> io::Result<Vec<Pid>> {
    let own = rustix::process::getpid();
    if !is_proc_ours() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        found.extend(pid.filter(|pid| *pid != own && is_marked(*pid, variable)));
    }
    Ok(found)
}

/// Whether the numbers in `/proc` are those that we signal by. Where it is still that of the namespace that ours was
/// made in, they are strangers' here. One number for each namespace from theirs down to ours: proc(5).
pub(crate) fn is_proc_ours() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let numbers = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let own = std::process::id().to_string();
    // Older kernels know one number only.
    numbers("Pid:") == own && ["", &own].contains(&numbers("NSpid:"))
}

/// Who has ended has no variables any more.
fn is_marked(pid: Pid, variable: &[u8]) -> bool {
    std::fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|is| is == variable))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    /// Set where the test runs within another namespace.
    const WITHIN: &str = "VITALD_TEST_WITHIN";

    /// A marked child of ours, and who is found by its mark.
    fn child_and_found() -> (Pid, Vec<Pid>) {
        let mark = new_mark();
        let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
        let mut child = Command::new("cat").env(MARK, &mark).stdin(stdin).stdout(stdout).spawn().unwrap();
        // While it becomes its program, it has no variables for a moment.
        child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let found = marked(format!("{MARK}={mark}").as_bytes());
        let pid = Pid::from_child(&child);
        child.kill().unwrap();
        child.wait().unwrap();
        (pid, found.unwrap())
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "the test harness shows it with the test")]
    fn what_another_namespace_calls_by_that_number_is_not_taken_for_it() {
        let (child, found) = child_and_found();
        if std::env::var_os(WITHIN).is_some() {
            assert_eq!(found, [], "these are strangers here");
            return;
        }
        assert_eq!(found, [child]);
        let as_root = if nix::unistd::geteuid().is_root() { &[][..] } else { &["--user", "--map-root-user"] };
        // With the `/proc` that there was before.
        let within = |program: &std::ffi::OsStr, args: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(as_root).args(["--pid", "--fork", "--kill-child"]).arg(program).args(args);
            unshare.env(WITHIN, "1").output().unwrap()
        };
        if !within("true".as_ref(), &[]).status.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "in CI nothing is skipped: no pid namespace can be had"
            );
            eprintln!("SKIPPED: no pid namespace can be had");
            return;
        }
        let name = "offspring::tests::what_another_namespace_calls_by_that_number_is_not_taken_for_it";
        let output = within(std::env::current_exe().unwrap().as_os_str(), &["--exact", name, "--nocapture"]);
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}\n{complained}");
    }
}

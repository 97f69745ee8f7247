//! A place of its own under systemd: a scope, in whose cgroup a supervisor may make others, and which outlives the
//! session that it was started from.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Here on a machine that systemd runs: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

/// How long systemd may take to make a scope.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

/// What to put before a command, so that it runs in a delegated scope: systemd-run(1), which replaces itself by
/// the command, so that pid, exit status, environment and stdio are the command's own. Empty where there is no
/// systemd that makes one, and where systemd has started us itself as a service: its cgroup is to be kept.
pub(crate) fn prefix() -> Vec<OsString> {
    let is_service = env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    match is_booted() && !is_service {
        true => found(env::var_os("PATH").as_deref().unwrap_or_default()),
        false => Vec::new(),
    }
}

/// Whether systemd runs this machine.
pub(crate) fn is_booted() -> bool {
    Path::new(BOOTED).is_dir()
}

fn found(path: &OsStr) -> Vec<OsString> {
    let is_program = |file: &PathBuf| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    let Some(program) = env::split_paths(path).map(|dir| dir.join("systemd-run")).find(is_program) else {
        return Vec::new();
    };
    let user = (!rustix::process::geteuid().is_root()).then_some("--user");
    let options = ["--scope", "--quiet", "--collect", "--property=Delegate=yes", "--description=vitald"];
    let prefix: Vec<OsString> = std::iter::once(program.into_os_string())
        .chain(user.into_iter().chain(options).chain(["--"]).map(OsString::from))
        .collect();
    // Tried first: what fails later would look as if the supervisor had failed.
    if works(&prefix) { prefix } else { Vec::new() }
}

/// Whether a command can be run that way.
fn works(prefix: &[OsString]) -> bool {
    let [program, options @ ..] = prefix else { return false };
    let mut trial = Command::new(program);
    trial.args(options).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = trial.spawn() else { return false };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with a `systemd-run` of this text.
    fn fake(text: &str) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let program = temp.path().join("systemd-run");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        temp
    }

    #[test]
    fn a_command_in_a_scope_keeps_pid_and_exit_status() {
        let temp = fake("#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"\n");
        let prefix = found(temp.path().as_os_str());
        assert!(prefix.contains(&"--scope".into()) && prefix.contains(&"--property=Delegate=yes".into()));
        let shell = ["sh", "-c", "echo $$; exit 3"];
        let child =
            Command::new(&prefix[0]).args(&prefix[1..]).args(shell).stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), pid.to_string());
    }

    #[test]
    fn without_a_systemd_that_works_there_is_none() {
        assert!(found(tempfile::tempdir().unwrap().path().as_os_str()).is_empty());
        let refuses = fake("#!/bin/sh\necho 'Failed to connect to bus' >&2; exit 1\n");
        assert!(found(refuses.path().as_os_str()).is_empty());
        let is_no_program = fake("");
        assert!(found(is_no_program.path().as_os_str()).is_empty());
    }
}

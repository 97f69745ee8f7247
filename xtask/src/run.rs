//! `cargo xtask run`.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::temporal;
use crate::workspace::{Workspace, path_with};

/// Builds, then becomes `vitald run`, so that Ctrl-C and exit status are vitald's own.
pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<Infallible> {
    workspace.cargo(["build", "--release", "--package", "vitald", "--package", "vitald-demo"])?;
    let programs = workspace.programs("release");
    let vitald = programs.join("vitald");
    let mut path = vec![programs];
    let given = values_of(args, "-f", "--filename");
    let temporal = workspace.root().join("manifests/temporal");
    if given.iter().any(|file| fs::canonicalize(file).is_ok_and(|file| file.starts_with(&temporal))) {
        path.push(temporal::ensure()?);
    }

    let mut command = Command::new(&vitald);
    command.arg("run").args(args).env("PATH", path_with(&path)?);
    let wants_help = args.iter().any(|arg| arg == "-h" || arg == "--help");
    if given.is_empty() && !wants_help {
        let quickstart = short(&workspace.root().join("manifests/quickstart"));
        if values_of(args, "--state-dir", "--state-dir").is_empty()
            && env::var_os("VITALD_STATE_DIR").is_none()
            && let Some(state) = quickstart_state(workspace)
        {
            forget(&vitald, &state)?;
            command.arg("--state-dir").arg(state);
        }
        command.arg("-f").arg(quickstart);
        introduce(&short(&vitald));
    }
    Err(command.exec()).with_context(|| format!("cannot start {}", vitald.display()))
}

/// The values of an option, in all the ways it can be spelt.
fn values_of(args: &[OsString], short: &str, long: &str) -> Vec<PathBuf> {
    let mut values = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == short || arg == long {
            values.push(args.next().cloned().unwrap_or_default().into());
            continue;
        }
        let bytes = arg.as_bytes();
        let value = bytes
            .strip_prefix(long.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .or_else(|| if short == long { None } else { bytes.strip_prefix(short.as_bytes()) });
        if let Some(value) = value {
            values.push(OsStr::from_bytes(value.strip_prefix(b"=").unwrap_or(value)).into());
        }
    }
    values
}

/// The demonstration begins anew each time, so it has a state dir of its own: beside the others, where
/// commands without `-f` look for running supervisors.
fn quickstart_state(workspace: &Workspace) -> Option<PathBuf> {
    let base = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = base.or_else(|| env::home_dir().map(|home| home.join(".local/state")))?;
    let mut hasher = DefaultHasher::new();
    workspace.root().hash(&mut hasher);
    Some(base.join("vitald").join(format!("demo-{:08x}", hasher.finish() as u32)))
}

/// Clears what an earlier demonstration left; one that still runs is left to `vitald run`'s refusal.
fn forget(vitald: &Path, state: &Path) -> Result<()> {
    if !state.exists() {
        return Ok(());
    }
    let ask = |command: &str| {
        Command::new(vitald)
            .args([command, "--state-dir"])
            .arg(state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    const NO_SUPERVISOR: i32 = 3;
    if ask("status")?.code() == Some(NO_SUPERVISOR) && ask("down")?.success() {
        fs::remove_dir_all(state).with_context(|| format!("cannot clear {}", state.display()))?;
    }
    Ok(())
}

fn introduce(vitald: &Path) {
    let vitald = vitald.display();
    eprintln!(
        "
Five small servers, most of them with a fault of their own. In the next half minute:
   0 s  crash-loop crashes at every start: delays of 1, 2 and 4 s, then Failed
   6 s  crashes    exits: seen at once, started again after 1 s
  10 s  hangs      answers no more: found by its liveness probe, killed, started again
  12 s  unready    is not ready for 6 s: READY turns to no and back, nothing is restarted
Then all is calm. From a second terminal, here:
  {vitald} status                           (also describe steady, events, logs -f)
  curl -X POST http://127.0.0.1:18080/hang             (also /crash, /unready?seconds=10)
  {vitald} reset crash-loop                 Ctrl-C here stops everything.
"
    );
}

/// Relative to the current folder where that is shorter.
fn short(path: &Path) -> PathBuf {
    let relative = env::current_dir().ok().and_then(|here| Some(path.strip_prefix(here).ok()?.to_owned()));
    relative.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_every_spelling() {
        let files = |args: &str| {
            let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
            values_of(&args, "-f", "--filename")
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(files("-f a --filename b -fc --filename=d -f=e"), ["a", "b", "c", "d", "e"]);
        assert_eq!(files("--filenames x --quiet"), [""; 0]);
    }
}

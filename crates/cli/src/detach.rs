//! A supervisor in the background: ourselves again, without terminal and caller.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vitald_supervisor::StateDir;

use crate::cli::{LogFormat, SupervisorLogs};
use crate::exit::Failure;
use crate::places::{ANOTHER_PLACE, Places};
use crate::{log_file, plugins, scope};

/// How many lines of its log tell why a supervisor died at once.
const LAST_WORDS: usize = 20;

/// A supervisor that has been started in the background.
pub(crate) struct Detached {
    child: Child,
    log: PathBuf,
    /// Where its own lines begin in the log.
    log_start: u64,
}

/// Where a supervisor looks for libraries of custom probes: where whoever starts it would, from another folder.
pub(crate) struct PluginArgs {
    folders: Vec<PathBuf>,
    in_environment: Vec<PathBuf>,
    allow_unsafe: bool,
    memory: Option<u64>,
    open_files: Option<u64>,
}

impl PluginArgs {
    /// What we were told.
    pub(crate) fn of(places: &Places) -> Self {
        let flags = &places.plugins;
        Self {
            folders: places.all_absolute(&flags.plugin_dir),
            in_environment: plugins::in_environment(places),
            allow_unsafe: flags.allow_unsafe_plugins,
            memory: flags.plugin_memory,
            open_files: flags.plugin_open_files,
        }
    }

    fn pass(&self, command: &mut Command) {
        for folder in &self.folders {
            command.arg("--plugin-dir").arg(folder);
        }
        if self.allow_unsafe {
            command.arg("--allow-unsafe-plugins");
        }
        if let Some(memory) = self.memory {
            command.arg(format!("--plugin-memory={memory}"));
        }
        if let Some(files) = self.open_files {
            command.arg(format!("--plugin-open-files={files}"));
        }
        // They were divided at the `:` that they would be joined with. No variable is made up: components inherit it.
        if let Ok(folders) = env::join_paths(&self.in_environment)
            && !folders.is_empty()
        {
            command.env(plugins::PATH, folders);
        }
    }
}

/// Starts `vitald run` on these manifests in the background. Its account goes to the supervisor's log.
///
/// # Errors
/// It could not be started.
pub(crate) fn start(
    manifests: &[PathBuf],
    state_dir: &StateDir,
    logs: &SupervisorLogs,
    plugins: &PluginArgs,
) -> Result<Detached, Failure> {
    let log = state_dir.supervisor_log();
    let file = open_log(state_dir.path(), &log)
        .map_err(|err| Failure::not(format!("cannot write {}: {err}; {ANOTHER_PLACE}", log.display())))?;
    let begin = || -> io::Result<(u64, Child)> {
        // The supervisor gets nothing but its stdio: a pipe or a lock of our caller's that it kept open would
        // keep others waiting for as long as it lives.
        close_fds::set_fds_cloexec(3, &[]);
        let start = file.metadata()?.len();
        // Still there under this name when the file has been replaced by a newer build.
        let program = env::current_exe().ok().filter(|path| path.exists());
        let program = program.unwrap_or_else(|| "/proc/self/exe".into());
        let mut command = match scope::prefix().split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => {
                let mut command = Command::new(program);
                command.arg0("vitald");
                command
            }
        };
        command.args(["run", "--detached", "--state-dir"]).arg(state_dir.path());
        if let Some(max_total) = logs.logs_max_total {
            command.arg(format!("--logs-max-total={max_total}"));
        }
        if logs.log_format == LogFormat::Json {
            command.arg("--log-format=json");
        }
        plugins.pass(&mut command);
        for path in manifests {
            command.arg("-f").arg(path);
        }
        // No folder is kept busy by it.
        command.current_dir("/").stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        Ok((start, command.spawn()?))
    };
    let (log_start, child) =
        begin().map_err(|err| Failure::not(format!("the supervisor cannot be started: {err}")))?;
    Ok(Detached { child, log, log_start })
}

fn open_log(dir: &Path, log: &Path) -> io::Result<File> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|err| match err.kind() {
        // What exists is no folder.
        io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
        _ => err,
    })?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(log)
}

impl Detached {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended; -1 if a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().map(|status| status.code().unwrap_or(-1))
    }

    /// What it said last.
    pub(crate) fn last_words(&self) -> String {
        // Shorter than it was, it has been rotated meanwhile.
        let length = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        let start = if length < self.log_start { 0 } else { self.log_start };
        let lines = log_file::excerpt(&self.log, start..u64::MAX, LAST_WORDS).unwrap_or_default();
        if lines.is_empty()
            && let Some(err) = self.log.parent().and_then(unwritable)
        {
            return format!("\n  (nothing: the state dir cannot be written: {err})");
        }
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

/// Why nothing can be written to a folder, as when its disk is full. What is written has no name, and is gone.
fn unwritable(folder: &Path) -> Option<io::Error> {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    // Where files without a name cannot be made, nothing is known.
    let mut file = match rustix::fs::open(folder, flags, mode) {
        Ok(fd) => File::from(fd),
        Err(err) if err == rustix::io::Errno::NOSPC || err == rustix::io::Errno::DQUOT => {
            return Some(err.into());
        }
        Err(_) => return None,
    };
    file.write_all(&[0; 8192]).err()
}

/// Leaves the terminal and the session of the caller: what happens there concerns us no more. setsid(2).
///
/// # Errors
/// The system refuses.
pub(crate) fn leave_session() -> Result<(), Failure> {
    match rustix::process::setsid() {
        // Already the leader of a session.
        Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(err) => Err(Failure::not(format!("cannot leave the caller's session: {err}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_libraries_are_passed_on_and_none_are_made_up() {
        let passed = |folders: &[&str], in_environment: &[&str]| {
            let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
            let (folders, in_environment) = (paths(folders), paths(in_environment));
            let mut command = Command::new("vitald");
            PluginArgs { folders, in_environment, allow_unsafe: false, memory: None, open_files: None }
                .pass(&mut command);
            (
                command.get_args().count(),
                command.get_envs().map(|(_, value)| value.map(ToOwned::to_owned)).next(),
            )
        };
        assert_eq!(passed(&["/a"], &["/b", "/c"]), (2, Some(Some("/b:/c".into()))));
        // Components inherit the supervisor's environment.
        assert_eq!(passed(&[], &[]), (0, None));
    }
}

//! From what a manifest says to a process that executes its program, or to the reason why not.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use vitald_core::restarter::StartError;
use vitald_core::spec::ProcessSpec;

use crate::cgroup::Entrance;
use crate::environment::{Environment, expand_with};
use crate::spawn::{Newborn, Plan, Refusal, Step, c_path, spawn};
use crate::{limits, mark, procfs, program, user};

/// As whom, and with what limits, something runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// User name or number; `None` for our own.
    pub user: Option<String>,
    /// Group name or number; `None` for the user's.
    pub group: Option<String>,
    /// Whether set-user-ID programs give no privileges: PR_SET_NO_NEW_PRIVS, prctl(2).
    pub no_new_privileges: bool,
    /// Soft and hard limit of open files; `None` for what we were started with.
    pub open_files: Option<u64>,
}

impl From<&ProcessSpec> for ProcessSettings {
    fn from(spec: &ProcessSpec) -> Self {
        Self {
            user: spec.run_as_user.clone(),
            group: spec.run_as_group.clone(),
            no_new_privileges: spec.no_new_privileges,
            open_files: spec.open_files,
        }
    }
}

impl ProcessSettings {
    /// Whom to become.
    pub(crate) fn identity(&self) -> Result<Option<user::Identity>, StartError> {
        user::Identity::wanted(self.user.as_deref(), self.group.as_deref())
    }
}

/// Something to be started.
pub(crate) struct Launch<'a> {
    /// Program and arguments, `$(NAME)` not yet expanded.
    pub command: &'a [String],
    pub environment: &'a Environment,
    /// Variables beside the mark that are its own pid.
    pub pid_variables: &'a [&'a str],
    /// Absolute.
    pub dir: &'a Path,
    pub settings: &'a ProcessSettings,
    pub user: Option<user::Identity>,
    /// Becomes stdout and stderr.
    pub output: OwnedFd,
    /// Left open for the process.
    pub lock: Option<OwnedFd>,
    /// See [`Plan::lock_note`].
    pub lock_note: Vec<u8>,
    /// The cgroups to live in.
    pub cage: Entrance,
}

impl Launch<'_> {
    /// Starts it. Blocks until the program is being executed.
    pub(crate) fn start(self) -> Result<Newborn, StartError> {
        // Of a process that is not shown, nothing could be found again.
        procfs::check_own().map_err(|err| system("starting a process", err))?;
        let shown = self.command.first().ok_or_else(|| system("reading the command", "it is empty"))?;
        let command: Vec<String> = self.command.iter().map(|a| expand_with(a, self.environment)).collect();
        if let Err(err) = std::fs::metadata(self.dir) {
            // Told before the program is missed: it may have been meant relative to it.
            return Err(working_dir(self.dir, errno_of(&err)));
        }
        let path = self.environment.get("PATH").map(String::as_str);
        let program = program::find(&command[0], shown, path, self.dir)?;
        let who = self.user.as_ref().map(|user| user.who.clone()).unwrap_or_default();
        let is_pid = |name: &str| name == mark::MAIN_PID || self.pid_variables.contains(&name);
        let pid_variables = [mark::MAIN_PID].iter().chain(self.pid_variables);
        let plan = Plan {
            program: c_path(&program).ok_or_else(|| holds_nul("the program's path"))?,
            arguments: c_strings(command, "an argument")?,
            environment: c_strings(
                self.environment
                    .iter()
                    .filter(|(name, _)| !is_pid(name))
                    .map(|(name, value)| format!("{name}={value}")),
                "a variable",
            )?,
            pid_variables: c_strings(pid_variables.map(|name| format!("{name}=")), "a variable")?,
            dir: c_path(self.dir).ok_or_else(|| holds_nul("the working directory"))?,
            output: self.output,
            lock: self.lock,
            lock_note: self.lock_note,
            open_files: limits::for_child(self.settings.open_files),
            user: self.user.map(|user| (user.uid, user.gid, user.groups)),
            no_new_privileges: self.settings.no_new_privileges,
            cage: self.cage,
        };
        let asked_for = self.settings.open_files;
        spawn(plan).map_err(|refusal| explain(refusal, &program, shown, self.dir, who, asked_for))
    }
}

fn explain(
    Refusal { step, errno }: Refusal,
    program: &Path,
    shown: &str,
    dir: &Path,
    who: String,
    open_files: Option<u64>,
) -> StartError {
    let reason = errno.desc();
    match step {
        Step::Exec => program::refused(program, shown, errno),
        Step::WorkingDir => working_dir(dir, errno),
        Step::Groups | Step::Group | Step::User if errno == Errno::EPERM => StartError::User {
            who,
            reason: "only root may switch users (Operation not permitted)".to_owned(),
        },
        Step::Groups | Step::Group | Step::User => StartError::User { who, reason: reason.to_owned() },
        Step::OpenFiles => match open_files {
            Some(most) => system(&format!("setting the limit of open files to {most}"), reason),
            None => system("restoring the limit of open files", reason),
        },
        Step::NoNewPrivileges => system("giving up new privileges", reason),
        Step::Session => system("making a session", reason),
        Step::Output => system("connecting stdout and stderr", reason),
        Step::Fork if errno == Errno::EAGAIN => system("starting a process", TOO_MANY_PROCESSES),
        Step::Fork => system("starting a process", reason),
        Step::Hold if matches!(errno, Errno::ENOSYS | Errno::EPERM) => system(
            "holding a process by a pidfd",
            format!(
                "{reason}; the kernel is too old for pidfd_open(2), or a filter of system calls refuses it"
            ),
        ),
        Step::Hold => system("holding a process by a pidfd", reason),
    }
}

fn working_dir(dir: &Path, errno: Errno) -> StartError {
    StartError::WorkingDir { dir: PathBuf::from(dir), reason: errno.desc().to_owned() }
}

fn c_strings(texts: impl IntoIterator<Item = String>, what: &str) -> Result<Vec<CString>, StartError> {
    texts.into_iter().map(|text| CString::new(text).map_err(|_| holds_nul(what))).collect()
}

fn holds_nul(what: &str) -> StartError {
    system("starting a process", format!("{what} holds a NUL"))
}

/// What EAGAIN says of a process that is to be.
const TOO_MANY_PROCESSES: &str =
    "the system allows no more of them now (`ulimit -u`, or pids.max of a cgroup)";

/// Something that the system refused.
pub(crate) fn system(doing: &str, reason: impl ToString) -> StartError {
    StartError::System { doing: doing.to_owned(), reason: reason.to_string() }
}

/// The number of an I/O error, as far as it has one.
pub(crate) fn errno_of(err: &std::io::Error) -> Errno {
    Errno::from_raw(err.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(step: Step, errno: Errno) -> String {
        let who = "user nobody".to_owned();
        explain(Refusal { step, errno }, Path::new("/bin/x"), "x", Path::new("/w"), who, Some(9)).to_string()
    }

    #[test]
    fn every_refusal_says_what_was_refused() {
        assert_eq!(
            message(Step::Groups, Errno::EPERM),
            "cannot run as user nobody: only root may switch users (Operation not permitted)"
        );
        assert_eq!(
            message(Step::User, Errno::EAGAIN),
            format!("cannot run as user nobody: {}", Errno::EAGAIN.desc())
        );
        assert_eq!(
            message(Step::OpenFiles, Errno::EPERM),
            "setting the limit of open files to 9: Operation not permitted"
        );
        assert_eq!(
            message(Step::WorkingDir, Errno::EACCES),
            "working directory /w cannot be entered: Permission denied"
        );
        assert_eq!(
            message(Step::Fork, Errno::EAGAIN),
            "starting a process: the system allows no more of them now (`ulimit -u`, or pids.max of a cgroup)"
        );
        assert_eq!(
            message(Step::Hold, Errno::ENOSYS),
            "holding a process by a pidfd: Function not implemented; the kernel is too old for pidfd_open(2), or a \
             filter of system calls refuses it"
        );
        assert_eq!(message(Step::Hold, Errno::EMFILE), "holding a process by a pidfd: Too many open files");
        assert_eq!(
            message(Step::Exec, Errno::E2BIG),
            "`x` cannot be executed: its arguments and environment are too long"
        );
    }
}

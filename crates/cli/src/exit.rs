//! Exit statuses, and failures on the way to them.

use std::process::ExitCode;

use vitald_client::Error as ClientError;
use vitald_supervisor::StateDir;

/// How a command ends, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; healthy.
    Done,
    /// Not done; not healthy.
    Not,
    /// The command line or a manifest is wrong.
    Usage,
    /// No supervisor, or, for `run`, another one.
    NoSupervisor,
    /// `check`, `probe run`: it could not be asked.
    Unknown,
    /// `run` in the background says to `up`: nor will it be of any use to try again.
    NeverSupervisor,
}

/// The exit status that only `up` sees.
pub(crate) const NEVER: i32 = 5;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Not => 1,
            Exit::Usage => 2,
            Exit::NoSupervisor => 3,
            Exit::Unknown => 4,
            Exit::NeverSupervisor => NEVER as u8,
        })
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Why a command did not come to its end: for a person to read, and for a script to tell apart.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Goes to stderr; nothing is said if empty.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// Whoever read stdout has gone away: there is nothing to say, and nobody to say it to.
    pub(crate) fn quiet() -> Self {
        Self::new(Exit::Done, "")
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.text.is_empty()
    }

    /// It could not be done.
    pub(crate) fn not(text: impl Into<String>) -> Self {
        Self::new(Exit::Not, text)
    }

    /// It was asked for in a way that makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// There is nobody to ask.
    pub(crate) fn no_supervisor(text: impl Into<String>) -> Self {
        Self::new(Exit::NoSupervisor, text)
    }
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        match err {
            ClientError::NoSupervisor { .. } => {
                Self::no_supervisor(format!("{err}; `vitald up` or `vitald run` starts one"))
            }
            ClientError::Silent { ref state_dir } => {
                let pid = StateDir::new(state_dir.clone()).holder().filter(|pid| *pid > 0);
                Self::not(pid.map_or_else(
                    || err.to_string(),
                    |pid| {
                        format!(
                            "the supervisor (pid {pid}) does not answer; if it is stopped, `kill -CONT {pid}` lets it \
                             go on"
                        )
                    },
                ))
            }
            ClientError::Refused { .. } | ClientError::Transport(_) | ClientError::Answer(_) => {
                Self::not(err.to_string())
            }
        }
    }
}

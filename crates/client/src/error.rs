//! Why a request came to nothing, sorted by what one does about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody listens: start a supervisor.
    #[error("no supervisor runs on {}: {reason}", state_dir.display())]
    NoSupervisor {
        /// Where it would be.
        state_dir: PathBuf,
        /// How that was seen.
        reason: &'static str,
    },
    /// It is there, and does not answer in time: it is stopped, or the machine is too busy.
    #[error("the supervisor on {} does not answer", state_dir.display())]
    Silent {
        /// Where it is.
        state_dir: PathBuf,
    },
    /// The supervisor said no: ask for something else.
    #[error("{message}")]
    Refused {
        /// HTTP status: 400 makes no sense, 404 does not exist, 409 wrong state, 503 shutting down.
        status: u16,
        /// Why, in one sentence.
        message: String,
    },
    /// The supervisor went away, or something else is wrong between here and there.
    #[error("the supervisor cannot be asked: {0}")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What came back is not what this version understands.
    #[error("the supervisor's answer makes no sense: {0}")]
    Answer(#[from] serde_json::Error),
}

impl From<hyper::Error> for Error {
    fn from(err: hyper::Error) -> Self {
        Self::Transport(err.into())
    }
}

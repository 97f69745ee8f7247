//! The files under the state dir, and the lock that makes a supervisor the only one there.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A state dir: a private folder (mode 0700) with the lock, the socket, logs and records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Names it, and creates nothing. `path` must be absolute.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `vitald.sock`.
    pub fn socket(&self) -> PathBuf {
        self.0.join("vitald.sock")
    }

    /// `vitald.lock`.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("vitald.lock")
    }

    /// `vitald.log`: what a detached supervisor says.
    pub fn supervisor_log(&self) -> PathBuf {
        self.0.join("vitald.log")
    }

    /// `logs/NAME.log`.
    pub fn log(&self, component: &str) -> PathBuf {
        self.0.join("logs").join(format!("{component}.log"))
    }

    /// `components/NAME.json`.
    pub fn record(&self, component: &str) -> PathBuf {
        self.0.join("components").join(format!("{component}.json"))
    }

    /// `locks/NAME.lock`.
    pub fn component_lock(&self, component: &str) -> PathBuf {
        self.0.join("locks").join(format!("{component}.lock"))
    }

    /// Creates the folders and takes the supervisor's lock, which is held until the guard is dropped.
    ///
    /// # Errors
    /// Another supervisor holds it (its pid is told), or the folder cannot be used.
    pub fn lock(&self) -> Result<StateLock, StateDirError> {
        todo!()
    }

    /// The pid of the supervisor that holds the lock right now, if one does.
    pub fn holder(&self) -> Option<u32> {
        todo!()
    }
}

/// The lock of a state dir. Dropped, it is free again.
#[derive(Debug)]
pub struct StateLock {
    _file: std::fs::File,
}

/// Why a state dir cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Another supervisor is at work there.
    #[error("another vitald (pid {pid}) supervises {}", dir.display())]
    Held {
        /// Its pid; 0 if it could not be read.
        pid: u32,
        /// The state dir.
        dir: PathBuf,
    },
    /// The system refused something.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// `cannot create`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word for why.
        source: std::io::Error,
    },
}

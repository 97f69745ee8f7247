//! What can go wrong with a log, sorted by what happens next.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a log could not be looked at, rotated or kept. Nothing is lost by any of these.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk, or somebody's share of it, is full. Try again later.
    #[error("{}: no room to rotate: {needed} bytes are needed", path.display())]
    NoSpace {
        /// The live file.
        path: PathBuf,
        /// How many bytes the archive takes.
        needed: u64,
    },
    /// Somebody else keeps this log.
    #[error("{}: kept by another process", path.display())]
    Locked {
        /// The live file.
        path: PathBuf,
    },
    /// A pipe, a device or a folder is where the log should be.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// The live file.
        path: PathBuf,
    },
    /// The file system offers neither of the ways to rotate underneath a writer. The log only grows.
    #[error("{}: this file system can neither collapse nor punch files", path.display())]
    Unsupported {
        /// The live file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {doing}: {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

/// Whether this is about room on the disk: ENOSPC, EDQUOT.
pub(crate) fn is_full(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

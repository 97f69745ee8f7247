//! Opening a log to write to it, and asking how far it has come.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::LogError;
use crate::names::Names;
use crate::view::View;

/// Which part of a log there is, as logical offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Of the oldest byte that was kept.
    pub oldest: u64,
    /// Of the first byte in the live file.
    pub live: u64,
    /// Bytes ever written.
    pub end: u64,
}

/// Opens the log (0600) for append, and makes it and its folder (0700) where they are missing. Gives the
/// file, and its end as a logical offset: where the run begins that is given the file.
///
/// O_APPEND puts every write(2) at the end, whoever else writes, and wherever a rotation has moved the end
/// to: stdout and stderr keep the order in which they were written, and so do a run and the
/// leftovers of the one before. Blocks for a moment: call it where that is allowed.
///
/// # Errors
/// [`LogError::NotAFile`]; the file or its folder cannot be made, opened or read.
pub fn append(path: &Path) -> Result<(File, u64), LogError> {
    let refused = |doing| move |source| LogError::System { path: path.to_owned(), doing, source };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused("making its folder"))?;
    }
    // Looked at first: opening a pipe would wait for somebody to read from it.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(LogError::NotAFile { path: path.to_owned() });
    }
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let file = open().map_err(refused("opening"))?;
    Ok((file, extent(path)?.end))
}

/// Which part of a log there is. A log that does not exist is empty.
///
/// # Errors
/// Files that cannot be read.
pub fn extent(path: &Path) -> Result<Extent, LogError> {
    let names = Names::new(path);
    let look = || -> io::Result<Extent> {
        loop {
            let view = View::load(&names)?;
            if let Some(end) = view.end()? {
                return Ok(Extent { oldest: view.oldest(), live: view.live.begin, end });
            }
        }
    };
    look().map_err(|source| LogError::System { path: path.to_owned(), doing: "reading", source })
}

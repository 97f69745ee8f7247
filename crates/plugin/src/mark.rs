//! Which file it was.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells a file from the one that has taken its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Mark {
    /// Of the file that lies there now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(crate) fn of(file: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(file)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }

    /// Whether it still lies there.
    ///
    /// # Errors
    /// It does not: a sentence that says what to do.
    pub(crate) fn still(&self, file: &Path) -> Result<(), String> {
        let what = match Self::of(file) {
            Ok(found) if found == *self => return Ok(()),
            Ok(_) => "has changed since it was loaded".to_owned(),
            Err(err) => format!("cannot be loaded again: {err}"),
        };
        Err(format!("{} {what} (`vitald plugin reload` takes what is there now)", file.display()))
    }
}

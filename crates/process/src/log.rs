//! A component's log: one file, opened for append, that the component writes to by itself.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Opens the log (0600) for append, and makes it and its folder (0700) where they are missing. Gives the
/// file and the number of bytes in it.
///
/// O_APPEND puts every write(2) at the end, whoever else writes: stdout and stderr keep the order in
/// which they were written, and so do a run and the leftovers of the one before.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    make_folder_of(path)?;
    // Looked at first: opening a pipe would wait for somebody to read from it.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("not a regular file"));
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Makes the folder that a file of ours is to lie in.
pub(crate) fn make_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}

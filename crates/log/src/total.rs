//! One limit over all logs of a folder.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::names::number_of;

/// Removes archives, the oldest of all logs first, until the files of all logs in a folder take at most
/// `max_total` bytes on the disk; gives the bytes they take then. That may be more than allowed: live files
/// stay. `drop_oldest` removes the oldest archive of the log with this live file, and says how many
/// bytes that was.
///
/// # Errors
/// The folder cannot be listed, or an archive not be removed; those of other logs go nevertheless.
pub fn limit_total(
    folder: &Path,
    max_total: u64,
    mut drop_oldest: impl FnMut(&Path) -> Result<Option<u64>, LogError>,
) -> Result<u64, LogError> {
    let refused = |source| LogError::System { path: folder.to_owned(), doing: "listing", source };
    let (mut total, archives) = list(folder).map_err(refused)?;
    let mut failed = None;
    for archive in archives {
        if total <= max_total {
            break;
        }
        match drop_oldest(&archive.live) {
            Ok(Some(_)) => total = total.saturating_sub(archive.bytes),
            Ok(None) => {}
            Err(err) => failed = failed.or(Some(err)),
        }
    }
    failed.map_or(Ok(total), Err)
}

struct Old {
    /// Sorted by: when it was made, then the higher number first.
    made: i64,
    number: u32,
    live: PathBuf,
    bytes: u64,
}

/// The bytes of all files, and the archives from the oldest.
fn list(folder: &Path) -> io::Result<(u64, Vec<Old>)> {
    let mut total = 0;
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(data) = entry.metadata() else { continue };
        let bytes = data.blocks() * 512;
        let numbered = name.rsplit_once('.').and_then(|(live, number)| Some((live, number_of(number)?)));
        match numbered {
            Some((live, number)) if live.ends_with(".log") => {
                total += bytes;
                archives.push(Old { made: data.mtime(), number, live: folder.join(live), bytes });
            }
            _ if name.ends_with(".log") => total += bytes,
            _ => {}
        }
    }
    archives.sort_by_key(|old| (old.made, std::cmp::Reverse(old.number)));
    Ok((total, archives))
}

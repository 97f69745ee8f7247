//! What the file system of a folder offers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::cut;

/// How logs in a folder can be rotated underneath their writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// FALLOC_FL_COLLAPSE_RANGE: what was rotated leaves the live file. ext4, xfs, overlay on them.
    Collapse,
    /// FALLOC_FL_PUNCH_HOLE: what was rotated stays as a hole that takes no room, which vitald hides; other
    /// programs see zeros, and a size that only grows. tmpfs, btrfs.
    Punch,
    /// Neither: logs only grow.
    None,
}

/// What was found by trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// How logs are rotated.
    pub way: Way,
    /// In multiples of how many bytes.
    pub block: u64,
    /// Whether growth is noticed at once: inotify(7).
    pub notices: bool,
}

/// Tries on a scratch file in a folder, which must exist.
///
/// # Errors
/// No file can be made there.
pub fn capabilities(folder: &Path) -> io::Result<Capabilities> {
    let path = folder.join(format!(".vitald-scratch-{}", std::process::id()));
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let found = try_on(&file);
    fs::remove_file(&path)?;
    let (way, block) = found?;
    Ok(Capabilities { way, block, notices: crate::watch::inotify().is_ok() })
}

fn try_on(file: &File) -> io::Result<(Way, u64)> {
    let block = cut::block_of(file);
    let text = [vec![b'a'; block as usize], vec![b'b'; 100]].concat();
    file.write_all_at(&text, 0)?;
    if cut::collapse(file, block).is_ok() {
        let mut rest = vec![0; 100];
        file.read_exact_at(&mut rest, 0)?;
        if file.metadata()?.len() == 100 && rest.iter().all(|byte| *byte == b'b') {
            return Ok((Way::Collapse, block));
        }
    }
    file.write_all_at(&text, 0)?;
    file.sync_data()?;
    let before = file.metadata()?.blocks();
    let punched = cut::punch(file, 0..block).is_ok() && file.metadata()?.blocks() < before;
    Ok((if punched { Way::Punch } else { Way::None }, block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_folder_offers_something() {
        let dir = tempfile::tempdir().unwrap();
        let found = capabilities(dir.path()).unwrap();
        assert_ne!(found.way, Way::None, "{found:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was left behind");
    }
}

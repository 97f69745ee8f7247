//! Rotations that died half way, of logs that perhaps nobody keeps any more.

use std::io;
use std::path::Path;

use super::Notice;
use crate::meta::Meta;
use crate::names::Names;
use crate::rotate::{RotatingLog, Settings};

/// Finishes what an interrupted rotation has left of any log in a folder, as it was to be. One that cannot be
/// finished now is when it is next kept, or the next time.
pub(super) fn finish(folder: &Path, tell: &mut dyn FnMut(Notice)) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".log.meta")) else { continue };
        let live = folder.join(format!("{name}.log"));
        let Ok(Some(settings)) = left(&Names::new(&live)) else { continue };
        // Opening it does it.
        let look = RotatingLog::open(&live, settings).and_then(|mut log| log.look());
        if let Some(finding) = look.ok().and_then(|look| look.finding) {
            tell(Notice::Found { name: name.to_owned(), finding });
        }
    }
}

/// Under which settings it is to be finished; `None` if nothing is left to do.
fn left(names: &Names) -> io::Result<Option<Settings>> {
    let Some(meta) = Meta::load(names)?.meta else { return Ok(None) };
    if meta.collapse.is_none() && meta.live.start == 0 && !names.draft().exists() {
        return Ok(None);
    }
    // As many as meta lists; somebody may have removed one from their midst.
    let found = names.archives(meta.archives.len())?;
    let numbers = meta.archives.iter().map(|archive| found.iter().find(|f| f.inode == archive.inode));
    let highest = numbers.map(|found| found.map(|found| found.number)).collect::<Option<Vec<_>>>();
    let listed = u32::try_from(meta.archives.len()).unwrap_or(u32::MAX);
    let keep = match highest {
        Some(numbers) => numbers.into_iter().max().unwrap_or(0).max(listed),
        // Of a folder that was copied: all of them.
        None => u32::MAX,
    };
    Ok(Some(Settings { max_files: keep.saturating_add(1), ..Settings::default() }))
}

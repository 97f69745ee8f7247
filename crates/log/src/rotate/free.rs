//! Giving back to the file system what meta has hidden at the beginning of the live file.

use std::io;
use std::os::unix::fs::FileExt;

use super::{RotatingLog, Step};
use crate::cut;
use crate::view::has_mark;

/// How many times `max_size` may be hidden before it is collapsed in any case.
const HIDDEN_AT_MOST: u64 = 16;

/// Every mark begins with this …
pub(super) const MARK: &str = "vitald-log collapses here ";

/// … and ends with a UUID and a newline.
pub(super) const REST_OF_MARK: u64 = 37;

impl RotatingLog {
    /// Collapses the hidden part, or punches it. Where neither works it stays hidden, and is tried again after
    /// the next rotation.
    pub(super) fn free_hidden(&mut self) {
        let start = self.meta.live.start;
        if start == 0 || (self.is_to_collapse() && self.collapse_hidden().is_ok()) {
            return;
        }
        // Where meta still says that a mark stands, it has to.
        if let (Some(file), None) = (&self.file, &self.meta.collapse) {
            // Of one that was truncated just now, nothing is hidden any more.
            let is_whole = file.metadata().is_ok_and(|data| data.len() >= start);
            if is_whole {
                let _ = cut::punch(file, 0..start);
            }
        }
        self.step(Step::Punched);
    }

    /// A collapse moves all that follows through the disk, while the writer waits. As long as there is still
    /// so much that it is due again, that is left for later.
    fn is_to_collapse(&self) -> bool {
        let start = self.meta.live.start;
        let size = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |data| data.len());
        let is_behind = size.saturating_sub(start) > self.settings.max_size.max(self.block);
        let can_wait = start < self.settings.max_size.saturating_mul(HIDDEN_AT_MOST);
        let can = self.can_collapse && !self.meta.own_offset && start.is_multiple_of(self.block);
        can && !(is_behind && can_wait)
    }

    /// Shifts what is in the file to its beginning.
    ///
    /// First a mark is written into the hidden part, then meta says that it is there, then the collapse takes
    /// it away, then meta says so. Whoever sees meta say that it is there, and does not find it, knows
    /// that the collapse has happened.
    fn collapse_hidden(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().map(std::fs::File::try_clone).transpose()? else { return Ok(()) };
        let start = self.meta.live.start;
        if self.meta.collapse.is_some() {
            return self.finish_collapse(&file);
        }
        let mark = new_mark()?;
        if file.metadata()?.len() <= start {
            return Err(io::Error::other("truncated meanwhile"));
        }
        file.write_all_at(mark.as_bytes(), 0)?;
        self.step(Step::Marked);
        // What is going to be dropped need not be written to the disk before.
        cut::punch(&file, self.block..start)?;
        // The collapse writes what follows to the disk while the writer waits: better before. It also keeps
        // the order of mark and meta on the disk.
        file.sync_data()?;
        let before = self.meta.clone();
        self.meta.collapse = Some(mark);
        self.store_or(before).map_err(io::Error::other)?;
        self.step(Step::Journalled);
        self.finish_collapse(&file)
    }

    /// Collapses, the mark being in its place or gone with the collapse.
    pub(super) fn finish_collapse(&mut self, file: &std::fs::File) -> io::Result<()> {
        let Some(mark) = self.meta.collapse.clone() else { return Ok(()) };
        let start = self.meta.live.start;
        let collapsed = if has_mark(file, &mark) { cut::collapse(file, start) } else { Ok(()) };
        self.step(Step::Collapsed);
        if collapsed.is_ok() {
            self.size = self.size.saturating_sub(start);
            self.dense = self.dense.saturating_sub(start);
            self.meta.live.start = 0;
        }
        self.meta.collapse = None;
        let stored = self.meta.store(&self.names, self.settings.sync);
        self.step(Step::Cleared);
        if collapsed.is_err() && stored.is_err() {
            self.meta.collapse = Some(mark);
        }
        // After a collapse it is no harm if this meta could not be stored: the mark has gone.
        collapsed
    }
}

/// Nobody else writes this.
fn new_mark() -> io::Result<String> {
    let unique = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(format!("{MARK}{}\n", unique.trim()))
}

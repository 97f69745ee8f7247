//! Looking at the live file, and making sense of what others have done to it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::FlockOperation;

use super::free::{MARK, REST_OF_MARK};
use super::{Finding, Look, RotatingLog};
use crate::cut;
use crate::error::LogError;
use crate::meta::Live;
use crate::view::known_end;

impl RotatingLog {
    /// Looks how far the log has come, and whether it is due. Cheap: stat(2) twice, and lseek(2) over what is new.
    ///
    /// # Errors
    /// The file cannot be looked at, or meta not be written.
    pub fn look(&mut self) -> Result<Look, LogError> {
        let named = match fs::metadata(self.names.live()) {
            Ok(named) => named.ino(),
            Err(err) if err.kind() == io::ErrorKind::NotFound => 0,
            Err(err) => return Err(self.refused("looking", err)),
        };
        if named != self.meta.live.inode {
            self.finding = self.take_other_file()?.or(self.finding);
        }
        let Some(data) =
            self.file.as_ref().map(File::metadata).transpose().map_err(|e| self.refused("looking", e))?
        else {
            let finding = self.finding.take();
            return Ok(Look { end: self.meta.live.begin, size: 0, due: false, finding });
        };
        if data.len() < self.size || data.len() < self.meta.live.start {
            self.finding = Some(self.take_truncated(data.len())?);
        }
        self.size = data.len();
        while let Some(hole) = self.next_hole() {
            self.finding = Some(self.skip_hole(hole)?);
        }
        self.dense = self.size;
        let size = self.size.saturating_sub(self.meta.live.start);
        let due = size > self.settings.max_size && self.cut_at().is_some();
        Ok(Look { end: self.meta.live.begin + size, size, due, finding: self.finding.take() })
    }

    /// The live file is another one, or none. If it had been there before, what it held is gone.
    fn take_other_file(&mut self) -> Result<Option<Finding>, LogError> {
        let before = self.meta.clone();
        // The old one may have grown since it was last looked at.
        let old = self.file.as_ref().and_then(|file| file.metadata().ok());
        let old = old.filter(|data| data.ino() == before.live.inode);
        self.size = old.map_or(self.size, |data| data.len().max(self.size));
        let held = self.size.saturating_sub(self.meta.live.start);
        self.open_live()?;
        let inode = match &self.file {
            Some(file) => file.metadata().map_err(|err| self.refused("looking", err))?.ino(),
            None => 0,
        };
        if before.live.inode == 0 {
            self.meta.live.inode = inode;
            // Not synced: 200 components that start at once must not wait for the disk for this.
            let _ = self.meta.store(&self.names, false);
            return Ok(None);
        }
        let end = known_end(&self.meta, &self.names).max(self.meta.live.begin + held);
        let lost = end - self.meta.live.begin;
        self.begin_again(Live { inode, start: 0, begin: end })?;
        Ok(Some(Finding::Replaced(lost)))
    }

    /// The live file is shorter than it was: what is in it now comes after all that was.
    fn take_truncated(&mut self, size: u64) -> Result<Finding, LogError> {
        let held = self.size.saturating_sub(self.meta.live.start);
        let end = self.meta.live.begin + held;
        // A mark that came just after the truncation.
        let mut bytes = vec![0; MARK.len()];
        let file = self.file.as_ref();
        let marked = file.is_some_and(|f| f.read_exact_at(&mut bytes, 0).is_ok() && bytes == MARK.as_bytes());
        let start = if marked { size.min(MARK.len() as u64 + REST_OF_MARK) } else { 0 };
        self.begin_again(Live { start, begin: end, ..self.meta.live })?;
        Ok(Finding::Truncated(held))
    }

    fn begin_again(&mut self, live: Live) -> Result<(), LogError> {
        let before = self.meta.clone();
        self.meta.begin_again(live);
        (self.size, self.dense) = (0, 0);
        self.store_or(before)
    }

    /// The first hole in what is new.
    fn next_hole(&self) -> Option<Range<u64>> {
        let file = self.file.as_ref()?;
        let hole = cut::next_hole(file, self.dense.max(self.meta.live.start))?;
        (hole < self.size).then(|| hole..cut::next_data(file, hole).unwrap_or(self.size).min(self.size))
    }

    /// A file that is only appended to has no holes. One with a hole is written to at an offset that was kept
    /// across a rotation or truncation: what is before the hole goes to an archive, and the hole is
    /// hidden. From now on nothing is shifted, so that the offset stays right.
    fn skip_hole(&mut self, hole: Range<u64>) -> Result<Finding, LogError> {
        self.meta.own_offset = true;
        // It moves no bytes if there are none before the hole.
        self.take_out(self.meta.live.start..hole.start, hole.end)?;
        Ok(Finding::OwnOffset(hole.end - hole.start))
    }

    /// Opens the live file, if there is one, and keeps others from rotating it.
    pub(super) fn open_live(&mut self) -> Result<(), LogError> {
        self.let_go();
        let path = self.names.live();
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(LogError::NotAFile { path: path.to_owned() });
        }
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                // Not inherited by anybody: it goes with us.
                if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                    return Err(LogError::Locked { path: path.to_owned() });
                }
                self.block = cut::block_of(&file);
                self.can_collapse = cut::can_collapse(&file, self.block);
                self.can_punch = cut::can_punch(&file, self.block);
                self.file = Some(file);
                Ok(())
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(err) => Err(self.refused("opening", err)),
        }
    }

    /// Lets others rotate it. Closing alone would not: a child that was forked just now has the file, too, until it
    /// executes its program.
    fn let_go(&mut self) {
        if let Some(file) = self.file.take() {
            let _ = rustix::fs::flock(&file, FlockOperation::Unlock);
        }
    }
}

impl Drop for RotatingLog {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotate::Settings;

    #[test]
    fn what_was_let_go_of_is_nobodys_though_a_child_still_has_the_file()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("web.log");
        crate::append(&path)?;
        let log = RotatingLog::open(&path, Settings::default())?;
        let forked = log.file.as_ref().map(File::try_clone).transpose()?;
        assert!(matches!(RotatingLog::open(&path, Settings::default()), Err(LogError::Locked { .. })));
        drop(log);
        RotatingLog::open(&path, Settings::default())?;
        drop(forked);
        Ok(())
    }
}

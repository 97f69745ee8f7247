//! Taking a log over from whoever kept it before, wherever that was interrupted.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::{Finding, HEADROOM, RotatingLog, Settings};
use crate::chain;
use crate::cut;
use crate::error::LogError;
use crate::meta::{Live, Meta};
use crate::names::Names;
use crate::times;
use crate::view::known_end;

/// How much is compared. Less than a block: a mark may stand at the beginning of the only one.
const SAMPLE: u64 = 2048;

impl RotatingLog {
    /// Takes over a log, which need not exist yet, and finishes or undoes what an interrupted rotation has left.
    /// A log without a meta, or with one that is damaged, is taken to be what is there of it.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::NotAFile`], and whatever the system refuses.
    pub fn open(path: &Path, settings: Settings) -> Result<Self, LogError> {
        let names = Names::new(path);
        let refused =
            |doing| move |source: io::Error| LogError::System { path: path.to_owned(), doing, source };
        let loaded = Meta::load(&names).map_err(refused("reading meta"))?;
        let known = loaded.meta.is_some();
        let meta = match loaded.meta {
            Some(meta) => meta,
            None => names
                .open_live()
                .and_then(|live| Meta::reconstruct(&names, live.as_ref(), times::last_offset(&names.times())))
                .map_err(refused("listing archives"))?,
        };
        let mut log = Self {
            names,
            settings,
            meta,
            file: None,
            size: 0,
            dense: 0,
            block: 4096,
            can_collapse: false,
            can_punch: false,
            headroom: HEADROOM,
            finding: None,
            hook: None,
        };
        log.open_live()?;
        if !known {
            // For readers and the next one to find the live file replaced. Until then it can be made up again.
            let _ = log.meta.store(&log.names, false);
        }
        log.recover()?;
        Ok(log)
    }

    fn recover(&mut self) -> Result<(), LogError> {
        let file = self
            .file
            .as_ref()
            .map(File::try_clone)
            .transpose()
            .map_err(|err| self.refused("opening", err))?;
        let own = match &file {
            Some(file) => Some(file.metadata().map_err(|err| self.refused("looking", err))?),
            None => None,
        };
        let is_ours = own.as_ref().is_some_and(|data| data.ino() == self.meta.live.inode);
        self.finish_draft()?;
        self.forget_missing()?;
        self.shift()?;
        if let (Some(file), true) = (&file, is_ours) {
            // Failing to collapse leaves it hidden.
            let _ = self.finish_collapse(file);
            self.size = file.metadata().map_err(|err| self.refused("looking", err))?.len();
            if self.meta.is_of_another_boot(&self.names) {
                self.take_shortened()?;
            }
            self.free_or_notice(file)?;
            // Shorter than it is known to have been: the next look finds it truncated.
            let known = known_end(&self.meta, &self.names).saturating_sub(self.meta.live.begin);
            self.size = self.size.max(known.saturating_add(self.meta.live.start));
        } else if self.meta.live.inode != 0 && !is_ours {
            // What the other file held is not known better than by meta: the next look tells.
            self.size = self.meta.seen.saturating_sub(self.meta.live.begin) + self.meta.live.start;
        }
        Ok(())
    }

    /// The machine has died, and with it the end of what was written: nobody has read that who is still there, and
    /// the rest keeps its offsets.
    fn take_shortened(&mut self) -> Result<(), LogError> {
        let before = self.meta.clone();
        let start = self.meta.live.start.min(self.size);
        let end = self.meta.live.begin + (self.size - start);
        if end >= known_end(&self.meta, &self.names) && start == self.meta.live.start {
            return Ok(());
        }
        times::forget_after(&self.names.times(), end).map_err(|err| self.refused("writing times", err))?;
        self.meta.live.start = start;
        self.meta.seen = end;
        self.store_or(before)
    }

    /// A draft that meta lists is whole, and only lacks its number. Any other is none.
    pub(super) fn finish_draft(&mut self) -> Result<(), LogError> {
        let found = self.names.archives(0).map_err(|err| self.refused("listing archives", err))?;
        let Some(draft) = found.iter().find(|found| found.number == 0) else { return Ok(()) };
        if self.meta.archives.iter().any(|a| (a.inode, a.length) == (draft.inode, draft.length)) {
            return self.shift();
        }
        chain::remove(&self.names, 0).map_err(|err| self.refused("removing a draft", err))
    }

    /// Frees what is hidden, if that was not done any more; unless the file was truncated and has grown past
    /// it again while nobody looked.
    fn free_or_notice(&mut self, file: &File) -> Result<(), LogError> {
        let start = self.meta.live.start;
        let held = start.min(self.size);
        let data = cut::next_data(file, 0).unwrap_or(held);
        if self.size <= start {
            return Ok(());
        }
        if data >= held || self.is_archived(file, start) {
            self.free_hidden();
            return Ok(());
        }
        let lost = self.meta.seen.saturating_sub(self.meta.live.begin);
        let before = self.meta.clone();
        let begin = self.meta.live.begin.max(self.meta.seen);
        self.meta.begin_again(Live { start: 0, begin, ..self.meta.live });
        self.store_or(before)?;
        self.finding = Some(Finding::Truncated(lost));
        Ok(())
    }

    /// Whether what lies before `start` is the end of the newest archive. If there is none, it was dropped.
    fn is_archived(&self, file: &File, start: u64) -> bool {
        let Some(newest) = self.meta.archives.last() else { return true };
        let found = self.names.archives(0).unwrap_or_default();
        let Some(archive) = found.iter().find(|f| f.inode == newest.inode) else { return true };
        let Ok(archive) = File::open(self.names.archive(archive.number)) else { return true };
        let length = newest.length.min(SAMPLE).min(start);
        let mut theirs = vec![0; length as usize];
        let mut ours = theirs.clone();
        let read = archive
            .read_exact_at(&mut theirs, newest.length - length)
            .and_then(|()| file.read_exact_at(&mut ours, start - length));
        read.is_ok() && (ours == theirs || ours.iter().all(|byte| *byte == 0))
    }
}

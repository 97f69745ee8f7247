//! Rotation underneath a running writer, and putting right what an interrupted one has left.

mod found;
mod free;
mod open;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::chain;
use crate::cut;
use crate::error::{LogError, is_full};
use crate::meta::{Archive, Meta};
use crate::names::{HIGHEST, Names};
use crate::view::match_archives;

/// Bytes that a rotation leaves to the component on a disk that is nearly full, if it has not been told to leave more.
pub(crate) const HEADROOM: u64 = 256 * 1024;

/// How one log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A live file of more bytes than this is due. Archives have at most as many, in whole blocks of the
    /// file system; a block (mostly 4096) is the least that can be rotated.
    pub max_size: u64,
    /// Files that are kept, the live one counted; at least 1. With 1, what is rotated is dropped.
    pub max_files: u32,
    /// What to do where there is no room for an archive.
    pub on_disk_full: OnDiskFull,
    /// Whether archives and meta are on the disk before the bytes leave the live file. Without, nothing is
    /// lost when processes die, however they die; when the machine dies, up to about 30 s of archives
    /// may be missing, and the live file may be found hidden or shown once too often.
    pub sync: bool,
}

impl Default for Settings {
    /// `maxSize: 50Mi`, `maxFiles: 5`, kept on a full disk, synced.
    fn default() -> Self {
        Self { max_size: 50 * 1024 * 1024, max_files: 5, on_disk_full: OnDiskFull::Keep, sync: true }
    }
}

/// What to do where there is no room for an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDiskFull {
    /// The live file grows on until there is room again. Nothing is lost.
    #[default]
    Keep,
    /// The oldest archives go; if there are none, what should have been archived goes itself.
    DropOldest,
}

/// What a look at the live file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Bytes ever written: the logical offset of the end.
    pub end: u64,
    /// Bytes in the live file; what is hidden of it is not counted.
    pub size: u64,
    /// Whether it is to be rotated.
    pub due: bool,
    /// Something that somebody ought to be told. Told once.
    pub finding: Option<Finding>,
}

/// What somebody else has done to a log. It is put right: the log goes on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The live file was truncated. This many bytes are gone, as far as is known.
    Truncated(u64),
    /// The live file was removed, or replaced by another. This many bytes are gone, as far as is known.
    Replaced(u64),
    /// The component writes at an offset of its own instead of appending. Its log is punched instead of
    /// collapsed from now on; the hole of this many bytes that it has left is skipped.
    OwnOffset(u64),
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Bytes that are in an archive now.
    pub archived: u64,
    /// Bytes that were dropped instead, and with archives for want of room. Archives that go because there
    /// are `max_files` newer ones do not count.
    pub dropped: u64,
}

/// Moments within a rotation, for tests that interrupt it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Created,
    Copied,
    Listed,
    Marked,
    Journalled,
    Collapsed,
    Cleared,
    Punched,
    Renamed,
    Done,
}

/// A log as the one process has it that rotates it.
pub struct RotatingLog {
    names: Names,
    settings: Settings,
    meta: Meta,
    file: Option<File>,
    /// Size of the file when it was last looked at, hidden part and all.
    size: u64,
    /// Up to where it was then known to have no holes, but for those that are hidden.
    dense: u64,
    block: u64,
    can_collapse: bool,
    can_punch: bool,
    /// Bytes that a rotation leaves to the component.
    headroom: u64,
    /// What was found and has not been told.
    finding: Option<Finding>,
    hook: Option<Box<dyn FnMut(Step) + Send>>,
}

impl RotatingLog {
    /// Other settings, from now on.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How it is rotated.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Logical offset of the oldest byte that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.meta.archives.first().map_or(self.meta.live.begin, |archive| archive.begin)
    }

    /// From now on a rotation leaves so many bytes to the component, which may write them while it goes on; at
    /// least [`HEADROOM`].
    pub(crate) fn leave(&mut self, headroom: u64) {
        self.headroom = headroom.max(HEADROOM);
    }

    /// Whether there are archives.
    #[must_use]
    pub fn has_archives(&self) -> bool {
        !self.meta.archives.is_empty()
    }

    pub(crate) fn size_seen(&self) -> u64 {
        self.size
    }

    pub(crate) fn size_now(&self) -> Option<u64> {
        fs::metadata(self.names.live()).ok().map(|data| data.len())
    }

    /// The live file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.names.live()
    }

    /// Called at each step of a rotation.
    #[doc(hidden)]
    pub fn on_step(&mut self, hook: impl FnMut(Step) + Send + 'static) {
        self.hook = Some(Box::new(hook));
    }

    /// Rotates once if the log is due; afterwards it may still be, if it grew faster than `max_size`. Blocks
    /// for as long as copying `max_size` bytes takes; the writer waits only for the moment of the
    /// collapse.
    ///
    /// # Errors
    /// [`LogError::NoSpace`] under [`OnDiskFull::Keep`]; whatever the system refuses. The log is as it was
    /// then, and it can be tried again.
    pub fn rotate(&mut self) -> Result<Rotated, LogError> {
        if !self.look()?.due {
            return Ok(Rotated::default());
        }
        if !self.can_collapse && !self.can_punch {
            return Err(LogError::Unsupported { path: self.names.live().to_owned() });
        }
        let start = self.meta.live.start;
        let Some(end) = self.cut_at() else { return Ok(Rotated::default()) };
        self.take_out(start..end, end)
    }

    /// Removes the oldest archive; gives its bytes. `None` if there is none.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn drop_oldest(&mut self) -> Result<Option<u64>, LogError> {
        self.forget_missing()?;
        let Some(oldest) = self.meta.archives.first().copied() else { return Ok(None) };
        // Forgotten first: a new file may get the same inode.
        let with = self.meta.clone();
        self.meta.archives.remove(0);
        self.store_or(with)?;
        let found = self.names.archives(0).map_err(|err| self.refused("listing archives", err))?;
        for found in found.iter().filter(|found| found.inode == oldest.inode) {
            chain::remove(&self.names, found.number)
                .map_err(|err| self.refused("removing an archive", err))?;
        }
        Ok(Some(oldest.length))
    }

    /// Where a rotation ends: at a block, before the last byte, `max_size` from the beginning at most.
    fn cut_at(&self) -> Option<u64> {
        let start = self.meta.live.start;
        let limit =
            start.saturating_add(self.settings.max_size.max(self.block)).min(self.size.saturating_sub(1));
        let end = limit - limit % self.block;
        (end > start).then_some(end)
    }

    /// Takes a range out of the live file, which begins at `next` then.
    fn take_out(&mut self, range: Range<u64>, next: u64) -> Result<Rotated, LogError> {
        let mut done = Rotated::default();
        let length = range.end - range.start;
        let mut archive = None;
        if self.settings.max_files > 1 && length > 0 {
            // The archive before may have got no number: what is a draft is overwritten.
            self.finish_draft()?;
            self.forget_missing()?;
            archive = loop {
                match self.make_archive(range.clone()) {
                    Ok(archive) => break Some(archive),
                    Err(LogError::NoSpace { .. }) if self.settings.on_disk_full == OnDiskFull::DropOldest => {
                        match self.drop_oldest()? {
                            Some(bytes) => done.dropped += bytes,
                            None => break None,
                        }
                    }
                    Err(err) => return Err(err),
                }
            };
        }
        match archive {
            Some(_) => done.archived = length,
            None => done.dropped += length,
        }
        let before = self.meta.clone();
        self.meta.archives.extend(archive);
        let surplus = self.meta.archives.len().saturating_sub(self.keep() as usize);
        self.meta.archives.drain(..surplus);
        self.meta.live.start = next;
        self.meta.live.begin += length;
        if let Err(err) = self.store_or(before) {
            // The room that it takes is the component's.
            let _ = chain::remove(&self.names, 0);
            return Err(err);
        }
        self.step(Step::Listed);
        self.free_hidden();
        self.shift()?;
        self.step(Step::Done);
        Ok(done)
    }

    /// Copies a range into the draft, which is whole when this returns.
    fn make_archive(&mut self, range: Range<u64>) -> Result<Archive, LogError> {
        let draft = self.names.draft();
        let length = range.end - range.start;
        let made = self.copy_to(&draft, range);
        let problem = match made {
            Ok((inode, copied)) if copied == length => {
                return Ok(Archive { begin: self.meta.live.begin, length, inode });
            }
            Ok(_) => self.refused("copying", io::Error::other("truncated meanwhile")),
            Err(err) if is_full(&err) => {
                LogError::NoSpace { path: self.names.live().to_owned(), needed: length }
            }
            Err(err) => self.refused("copying to an archive", err),
        };
        // If this fails, too, the draft is removed when it is next tried.
        let _ = fs::remove_file(&draft);
        Err(problem)
    }

    fn copy_to(&mut self, draft: &Path, range: Range<u64>) -> io::Result<(u64, u64)> {
        chain::remove(&self.names, 0)?;
        let Some(from) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        // Room for all of it, or it is not begun: half an archive would take it from the component.
        if cut::room(from)? < (range.end - range.start).saturating_add(self.headroom) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        self.step(Step::Created);
        let Some(from) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let copied = cut::copy(from, range, &to)?;
        if self.settings.sync {
            to.sync_data()?;
        }
        let inode = to.metadata()?.ino();
        self.step(Step::Copied);
        Ok((inode, copied))
    }

    /// How many archives are kept.
    fn keep(&self) -> u32 {
        self.settings.max_files.saturating_sub(1).min(HIGHEST)
    }

    fn shift(&mut self) -> Result<(), LogError> {
        let (names, keep) = (self.names.clone(), self.keep());
        chain::shift(&names, keep, || self.step(Step::Renamed))
            .map_err(|err| self.refused("renaming archives", err))
    }

    /// Forgets archives that somebody has removed, before a new file gets the inode of one.
    fn forget_missing(&mut self) -> Result<(), LogError> {
        let there = match_archives(&self.names, &self.meta.archives)
            .map_err(|err| self.refused("listing archives", err))?;
        if there != self.meta.archives {
            let before = self.meta.clone();
            self.meta.archives = there;
            self.store_or(before)?;
        }
        Ok(())
    }

    /// Stores meta; if that fails, it is again what it was `before`.
    fn store_or(&mut self, before: Meta) -> Result<(), LogError> {
        let size = self.size.saturating_sub(self.meta.live.start);
        self.meta.seen = self.meta.seen.max(self.meta.live.begin + size);
        match self.meta.store(&self.names, self.settings.sync) {
            Ok(()) => Ok(()),
            Err(err) => {
                self.meta = before;
                Err(match is_full(&err) {
                    true => LogError::NoSpace { path: self.names.live().to_owned(), needed: 0 },
                    false => self.refused("writing meta", err),
                })
            }
        }
    }

    fn step(&mut self, step: Step) {
        if let Some(hook) = &mut self.hook {
            hook(step);
        }
    }

    fn refused(&self, doing: &'static str, source: io::Error) -> LogError {
        LogError::System { path: self.names.live().to_owned(), doing, source }
    }
}

//! What a log's files hold at one moment, as a reader finds it: without a lock, and checked afterwards.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::cut;
use crate::meta::{Archive, Live, Loaded, Meta};
use crate::names::Names;
use crate::times;

/// How often to look again when a rotation comes between: each of them takes milliseconds.
const TRIES: usize = 1000;

/// Where everything is. True as long as [`View::is_current`].
#[derive(Debug)]
pub(crate) struct View {
    names: Names,
    loaded: Loaded,
    pub(crate) epoch: u64,
    /// The archives that are there, oldest first.
    pub(crate) archives: Vec<Archive>,
    /// Where the live file begins to count, as it is at this moment.
    pub(crate) live: Live,
    /// The same as meta has it.
    told: Live,
    /// What it was when the epoch began.
    pub(crate) began: Live,
    file: Option<File>,
    /// The mark, and whether it stood at the beginning of the live file.
    mark: Option<(String, bool)>,
    /// The live file is another one than meta speaks of: nobody who keeps the log has noticed yet.
    pub(crate) replaced: bool,
}

/// What reading the live file gave.
pub(crate) enum LiveRead {
    Bytes(usize),
    /// Nothing more at present.
    End,
    /// The view is not true any more: take another.
    Stale,
    /// Somebody has truncated the file.
    Truncated,
    /// There is another file by that name.
    Replaced,
}

impl View {
    /// Looks.
    ///
    /// # Errors
    /// Files that cannot be read. A log that does not exist yet is empty.
    pub(crate) fn load(names: &Names) -> io::Result<Self> {
        for _ in 0..TRIES {
            let view = Self::look(names)?;
            if view.is_current() {
                return Ok(view);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "rotated all the time"))
    }

    fn look(names: &Names) -> io::Result<Self> {
        let loaded = Meta::load(names)?;
        let file = names.open_live()?;
        let data = file.as_ref().map(File::metadata).transpose()?;
        let meta = match &loaded.meta {
            Some(meta) => meta.clone(),
            None => Meta::reconstruct(names, file.as_ref(), times::last_offset(&names.times()))?,
        };
        let mut live = meta.live;
        let mut mark = None;
        let mut told = live;
        let inode = data.as_ref().map_or(0, MetadataExt::ino);
        let replaced = live.inode != 0 && inode != live.inode;
        if replaced {
            live = Live { inode, start: 0, begin: known_end(&meta, names) };
        } else if live.inode == 0 {
            live.inode = inode;
            told = live;
        } else if let (Some(text), Some(file)) = (meta.collapse, &file) {
            let stands = has_mark(file, &text);
            if !stands {
                live.start = 0;
            }
            told = live;
            mark = Some((text, stands));
        }
        let archives = match_archives(names, &meta.archives)?;
        Ok(Self {
            names: names.clone(),
            loaded,
            epoch: meta.epoch,
            archives,
            live,
            told,
            began: meta.began.unwrap_or(told),
            file,
            mark,
            replaced,
        })
    }

    /// Whether what was found is still so. What was read before this was asked was then read right.
    pub(crate) fn is_current(&self) -> bool {
        let mark_is =
            |file: &File| self.mark.as_ref().is_none_or(|(text, stood)| has_mark(file, text) == *stood);
        self.loaded.is_current(&self.names) && self.file.as_ref().is_none_or(mark_is)
    }

    /// Logical offset of the oldest byte there is.
    pub(crate) fn oldest(&self) -> u64 {
        self.archives.first().map_or(self.live.begin, |archive| archive.begin)
    }

    /// Logical offset up to which the log has been archived, as far as whoever keeps it has told.
    pub(crate) fn archived(&self) -> u64 {
        self.told.begin
    }

    /// Logical offset of the end. `None`: look again.
    pub(crate) fn end(&self) -> io::Result<Option<u64>> {
        let length = self.file.as_ref().map(File::metadata).transpose()?.map_or(0, |data| data.len());
        let end = self.live.begin + length.saturating_sub(self.live.start);
        Ok(self.is_current().then_some(end))
    }

    /// Reads from the live file at a logical offset.
    pub(crate) fn read_live(&self, offset: u64, into: &mut [u8]) -> io::Result<LiveRead> {
        let Some(file) = &self.file else {
            let appeared = fs::metadata(self.names.live()).is_ok();
            return Ok(if appeared || !self.is_current() { LiveRead::Stale } else { LiveRead::End });
        };
        let at = offset - self.live.begin + self.live.start;
        let mut length = file.read_at(into, at)?;
        if into[..length].contains(&0) {
            length = length.min(before_hole(file, at));
        }
        if !self.is_current() {
            return Ok(LiveRead::Stale);
        }
        if length > 0 {
            return Ok(LiveRead::Bytes(length));
        }
        let size = file.metadata()?.len();
        if size < at || (size == 0 && self.live.start > 0) {
            return Ok(if self.is_current() { LiveRead::Truncated } else { LiveRead::Stale });
        }
        let named = fs::metadata(self.names.live()).ok().map(|data| data.ino());
        Ok(if named.is_some_and(|inode| inode != self.live.inode) {
            LiveRead::Replaced
        } else {
            LiveRead::End
        })
    }

    /// Opens an archive. `None` if it has gone.
    pub(crate) fn open_archive(&self, archive: &Archive) -> io::Result<Option<File>> {
        for found in self.names.archives(self.archives.len())? {
            if found.inode != archive.inode {
                continue;
            }
            // Between looking and opening it may have got the next number.
            for number in found.number..found.number + 3 {
                let Ok(file) = File::open(self.names.archive(number)) else { continue };
                if file.metadata()?.ino() == archive.inode {
                    return Ok(Some(file));
                }
            }
        }
        Ok(None)
    }

    /// If whoever keeps the log has rotated it since the `old` view, not having noticed that the file was truncated:
    /// what this one calls the place in the file at which the reader stands.
    pub(crate) fn as_told(&self, old: &Self, offset: u64) -> Option<u64> {
        if self.told == old.told { None } else { old.told_offset(offset) }
    }

    /// What whoever keeps the log, not having noticed that the file was truncated, calls the place in it of what is
    /// a logical offset here. `None` if it is another file.
    pub(crate) fn told_offset(&self, offset: u64) -> Option<u64> {
        let same = self.told.inode == self.live.inode;
        same.then(|| self.told.begin + self.place(offset).saturating_sub(self.told.start))
    }

    /// The place in the live file of a logical offset in it.
    pub(crate) fn place(&self, offset: u64) -> u64 {
        offset.saturating_sub(self.live.begin) + self.live.start
    }

    /// Somebody has truncated or replaced the file, and nobody who keeps the log has said so yet: what is in
    /// it now is what comes after `offset`.
    pub(crate) fn begin_again(&mut self, offset: u64) {
        self.live = Live { inode: self.live.inode, start: 0, begin: offset };
        self.replaced = true;
    }

    /// The logical offsets of the archive that holds `offset`, or of the gap there.
    pub(crate) fn archive_at(&self, offset: u64) -> Result<Archive, Range<u64>> {
        match self.archives.iter().find(|archive| offset < archive.end()) {
            Some(archive) if archive.begin <= offset => Ok(*archive),
            Some(archive) => Err(offset..archive.begin),
            None => Err(offset..self.live.begin),
        }
    }
}

/// How far the log is known to have come when its live file has gone.
pub(crate) fn known_end(meta: &Meta, names: &Names) -> u64 {
    meta.seen.max(meta.live.begin).max(times::last_offset(&names.times()))
}

/// How many bytes from `at` are no hole. An append-only file has none: it was made by a component that
/// writes at an offset of its own, and ends when the log is next looked at by who keeps it.
fn before_hole(file: &File, at: u64) -> usize {
    let hole = cut::next_hole(file, at).unwrap_or(u64::MAX);
    usize::try_from(hole - at).unwrap_or(usize::MAX)
}

pub(crate) fn has_mark(file: &File, mark: &str) -> bool {
    let mut bytes = vec![0; mark.len()];
    file.read_exact_at(&mut bytes, 0).is_ok() && bytes == mark.as_bytes()
}

/// Those archives that are there. Files that were copied to another place have other inodes: they are
/// known by their order and length then.
pub(crate) fn match_archives(names: &Names, listed: &[Archive]) -> io::Result<Vec<Archive>> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let found = names.archives(listed.len())?;
    let is_there = |a: &Archive| found.iter().any(|f| f.inode == a.inode && f.length == a.length);
    if listed.iter().any(is_there) {
        return Ok(listed.iter().filter(|archive| is_there(archive)).copied().collect());
    }
    let mut unnamed = found.iter().filter(|found| found.number > 0);
    let mut matched = Vec::new();
    for archive in listed.iter().rev() {
        let mut rest = unnamed.clone();
        if let Some(found) = rest.find(|found| found.length == archive.length) {
            matched.push(Archive { inode: found.inode, ..*archive });
            unnamed = rest;
        }
    }
    matched.reverse();
    Ok(matched)
}

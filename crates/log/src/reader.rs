//! Reading a log from a logical offset, over archives and the live file, while it is written and rotated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::append::Extent;
use crate::meta::Archive;
use crate::names::Names;
use crate::view::{LiveRead, View};

/// What reading gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were read.
    Bytes(usize),
    /// So many bytes that would have come next are not there any more: their archive has been removed, or they
    /// were dropped. Reading goes on after them.
    Gone(u64),
    /// Somebody has truncated or replaced the live file. What comes next is what was written afterwards; how
    /// much was lost that had not been read nobody knows.
    Restarted,
    /// Nothing more at present. There may be later: see [`crate::FolderWatch`].
    End,
}

/// A place in a log. Every byte from there on is read once and in order, whoever writes and rotates meanwhile,
/// in this process or in another. Needs no more memory than the caller's buffer; takes no lock.
#[derive(Debug)]
pub struct LogReader {
    names: Names,
    view: View,
    offset: u64,
    /// The archive that is being read: it stays readable when it is renamed or removed.
    open: Option<(Archive, File)>,
    /// The end of what was read of a live file that began again before whoever keeps the log had said so.
    unsaid: Vec<u8>,
}

/// By so many bytes before its place a reader knows what it has read again. Log lines differ in their time.
const KNOWN_BY: usize = 256;

impl LogReader {
    /// Stands at the oldest byte of the log with this live file. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn open(log: &Path) -> io::Result<Self> {
        let names = Names::new(log);
        let view = View::load(&names)?;
        let offset = view.oldest();
        Ok(Self { names, view, offset, open: None, unsaid: Vec::new() })
    }

    /// Logical offset of the next byte to be read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to a logical offset. One that lies before the oldest byte gives [`Read::Gone`] first; one after the
    /// end, the end.
    ///
    /// # Errors
    /// The log's files cannot be read.
    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        let extent = self.extent()?;
        self.offset = offset.min(extent.end);
        self.unsaid.clear();
        Ok(())
    }

    /// Which part of the log there is at present.
    ///
    /// # Errors
    /// The log's files cannot be read.
    pub fn extent(&mut self) -> io::Result<Extent> {
        loop {
            let end = self.view.end()?;
            match end {
                Some(end) if !self.is_replaced()? => {
                    let end = end.max(if self.view.replaced { self.offset } else { 0 });
                    return Ok(Extent { oldest: self.view.oldest(), live: self.view.live.begin, end });
                }
                _ => {
                    self.look_again(false)?;
                }
            }
        }
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// The log's files cannot be read. It can be tried again.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Read> {
        let read = self.read_here(into)?;
        match read {
            Read::Bytes(length) => {
                if self.view.replaced && self.offset >= self.view.live.begin {
                    self.remember(&into[..length]);
                }
                self.offset += length as u64;
            }
            Read::Gone(bytes) => self.offset += bytes,
            Read::Restarted | Read::End => {}
        }
        Ok(read)
    }

    /// Reads what comes next, up to a logical offset: a run's end.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn read_until(&mut self, end: u64, into: &mut [u8]) -> io::Result<Read> {
        let rest = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(into.len());
        if rest == 0 {
            return Ok(Read::End);
        }
        let before = self.offset;
        let read = self.read(&mut into[..rest])?;
        if let Read::Gone(bytes) = read
            && before + bytes > end
        {
            self.offset = end;
            return Ok(Read::Gone(end - before));
        }
        Ok(read)
    }

    fn read_here(&mut self, into: &mut [u8]) -> io::Result<Read> {
        if into.is_empty() {
            return Ok(Read::Bytes(0));
        }
        loop {
            if self.offset < self.view.live.begin {
                if let Some(read) = self.read_archive(into)? {
                    return Ok(read);
                }
                continue;
            }
            self.open = None;
            match self.view.read_live(self.offset, into)? {
                LiveRead::Bytes(length) => return Ok(Read::Bytes(length)),
                LiveRead::End => return Ok(Read::End),
                LiveRead::Truncated => {
                    self.begin_again();
                    return Ok(Read::Restarted);
                }
                LiveRead::Stale => {
                    if self.look_again(false)? {
                        return Ok(Read::Restarted);
                    }
                }
                LiveRead::Replaced => {
                    // What the old file still got is read by now.
                    if self.look_again(true)? {
                        return Ok(Read::Restarted);
                    }
                }
            }
        }
    }

    /// `None`: the view was not true any more, and another has been taken.
    fn read_archive(&mut self, into: &mut [u8]) -> io::Result<Option<Read>> {
        let archive = match (&self.open, self.view.archive_at(self.offset)) {
            (Some((open, _)), _) if open.begin <= self.offset && self.offset < open.end() => *open,
            (_, Ok(archive)) => archive,
            (_, Err(gap)) => {
                if self.view.is_current() {
                    return Ok(Some(Read::Gone(gap.end - gap.start)));
                }
                self.look_again(false)?;
                return Ok(None);
            }
        };
        if self.open.as_ref().is_none_or(|(open, _)| *open != archive) {
            let opened = self.view.open_archive(&archive)?;
            // Only what meta says now is said of the file that has this name now.
            let is_current = self.view.is_current();
            match opened {
                Some(file) if is_current => self.open = Some((archive, file)),
                _ if is_current => {
                    // Removed by hand: nobody has told meta.
                    self.look_again(false)?;
                    let there = matches!(self.view.archive_at(self.offset), Ok(still) if still == archive);
                    return Ok(match there {
                        true => None,
                        false => self.gone(),
                    });
                }
                _ => {
                    self.look_again(false)?;
                    return Ok(None);
                }
            }
        }
        let Some((archive, file)) = &self.open else { return Ok(None) };
        let rest = usize::try_from(archive.end() - self.offset).unwrap_or(usize::MAX).min(into.len());
        let length = file.read_at(&mut into[..rest], self.offset - archive.begin)?;
        if length == 0 {
            // Somebody has truncated an archive.
            let rest = archive.end() - self.offset;
            return Ok(Some(Read::Gone(rest)));
        }
        Ok(Some(Read::Bytes(length)))
    }

    fn gone(&self) -> Option<Read> {
        let gap = self.view.archive_at(self.offset).err()?;
        (!gap.is_empty()).then_some(Read::Gone(gap.end - gap.start))
    }

    /// Whether the live file has been replaced, and nobody who keeps the log has noticed.
    fn is_replaced(&self) -> io::Result<bool> {
        Ok(matches!(
            self.view.read_live(self.view.live.begin.max(self.offset), &mut [0])?,
            LiveRead::Replaced | LiveRead::Stale
        ))
    }

    /// Takes another view, and finds its place in it. Says whether the log has begun again meanwhile.
    fn look_again(&mut self, replaced: bool) -> io::Result<bool> {
        let new = View::load(&self.names)?;
        let old = std::mem::replace(&mut self.view, new);
        let same_file = old.live.inode == self.view.live.inode;
        let was_live = self.offset >= old.live.begin;
        if old.epoch == self.view.epoch && same_file && !replaced {
            if let (true, Some(offset)) = (old.replaced, self.view.as_told(&old, self.offset)) {
                self.offset = offset;
            } else if old.replaced {
                // Still nobody has told meta: what we know ourselves stays.
                let place = old.place(self.offset);
                self.view.begin_again(self.offset - place.min(self.offset));
            }
            return Ok(false);
        }
        if !was_live {
            return Ok(false);
        }
        if self.view.replaced {
            self.begin_again();
            return Ok(true);
        }
        let began = self.view.began;
        if old.replaced {
            let once = self.view.epoch == old.epoch + 1;
            let ours = began.begin + old.place(self.offset).saturating_sub(began.start);
            if once && same_file && self.has_read_up_to(ours)? {
                // We noticed first, and have read on from where the file began again.
                self.offset = ours;
                return Ok(false);
            }
            // It began once more since, and that is what was noticed.
            let told = once.then(|| old.told_offset(self.offset)).flatten();
            self.offset = told.unwrap_or(began.begin).min(began.begin);
            return Ok(true);
        }
        let skipped = self.offset > began.begin || old.epoch != self.view.epoch;
        self.offset = self.offset.min(began.begin);
        Ok(skipped)
    }

    fn begin_again(&mut self) {
        self.view.begin_again(self.offset);
        self.unsaid.clear();
    }

    fn remember(&mut self, read: &[u8]) {
        self.unsaid.extend_from_slice(&read[read.len().saturating_sub(KNOWN_BY)..]);
        let surplus = self.unsaid.len().saturating_sub(KNOWN_BY);
        self.unsaid.drain(..surplus);
    }

    /// Whether what was read last is what the log has before this offset now.
    fn has_read_up_to(&self, offset: u64) -> io::Result<bool> {
        let view = View::load(&self.names)?;
        let Some(begin) = offset.checked_sub(self.unsaid.len() as u64) else { return Ok(false) };
        if (view.epoch, view.replaced) != (self.view.epoch, false) {
            return Ok(false);
        }
        let mut there =
            Self { names: self.names.clone(), view, offset: begin, open: None, unsaid: Vec::new() };
        let mut bytes = [0; KNOWN_BY];
        let mut rest = self.unsaid.as_slice();
        while !rest.is_empty() {
            match there.read(&mut bytes[..rest.len()])? {
                Read::Bytes(length) if rest.starts_with(&bytes[..length]) => rest = &rest[length..],
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

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
            if !old.replaced {
                return Ok(false);
            }
            match self.view.as_told(&old, self.offset) {
                Some(offset) if was_live => self.offset = offset,
                Some(_) => {}
                // Still nobody has told meta: what we know ourselves stays.
                None => self.view.begin_again(old.live.begin),
            }
            return Ok(false);
        }
        if !was_live {
            return Ok(false);
        }
        let (offset, skipped) = self.found_again(&old)?;
        if self.view.replaced && offset >= self.view.archived() {
            self.begin_again();
            return Ok(true);
        }
        self.offset = offset;
        Ok(skipped)
    }

    /// What whoever keeps the log calls the place in it at which this reader stood in an old view of its live file, and
    /// whether that has begun again since. What has been archived meanwhile comes after it.
    fn found_again(&self, old: &View) -> io::Result<(u64, bool)> {
        let began = self.view.began;
        let told = old.told_offset(self.offset);
        if self.view.replaced && self.view.epoch == old.epoch {
            return Ok((told.unwrap_or(u64::MAX), true));
        }
        if !old.replaced {
            let skipped = self.offset > began.begin || old.epoch != self.view.epoch;
            return Ok((self.offset.min(began.begin), skipped));
        }
        // We noticed first, and have read on from where the file began again. What was archived before it began once
        // more begins there, too.
        let place = old.place(self.offset);
        let since = old.archived()..began.begin;
        let mut archived =
            self.view.archives.iter().map(|archive| archive.begin).filter(|begin| since.contains(begin));
        let all = archived.clone().map(|begin| begin + place);
        for ours in all.chain([began.begin + place.saturating_sub(began.start)]) {
            if self.has_read_up_to(ours)? {
                return Ok((ours, false));
            }
        }
        // It began once more since, and that is what was noticed; or more than once, and what we have read has gone.
        let once = self.view.epoch == old.epoch + 1;
        let offset = if once { told } else { archived.next() };
        Ok((offset.unwrap_or(began.begin).min(began.begin), true))
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

    /// Whether what was read last is what the log has before this offset now, as far as it still has that.
    fn has_read_up_to(&self, offset: u64) -> io::Result<bool> {
        let view = View::load(&self.names)?;
        let Some(begin) = offset.checked_sub(self.unsaid.len() as u64) else { return Ok(false) };
        if view.epoch != self.view.epoch {
            return Ok(false);
        }
        // Of a file that has been replaced only what is in archives can be looked at.
        let end = if view.replaced { view.archived() } else { u64::MAX };
        let mut there =
            Self { names: self.names.clone(), view, offset: begin, open: None, unsaid: Vec::new() };
        let mut bytes = [0; KNOWN_BY];
        let mut rest = self.unsaid.as_slice();
        while !rest.is_empty() && there.offset < end {
            match there.read(&mut bytes[..rest.len()])? {
                Read::Bytes(length) if rest.starts_with(&bytes[..length]) => rest = &rest[length..],
                Read::Gone(length) => {
                    rest = &rest[rest.len().min(usize::try_from(length).unwrap_or(rest.len()))..]
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

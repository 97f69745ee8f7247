//! One log that is kept: when to look at it, and what a look leads to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::Notice;
use crate::cut;
use crate::error::LogError;
use crate::names::Names;
use crate::rotate::{HEADROOM, OnDiskFull, RotatingLog, Settings};
use crate::times::{Moment, Note, TimesWriter};

/// Between two looks at a log that grows.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Between two notes of times.
const BETWEEN_NOTES: Duration = Duration::from_millis(900);

/// Before something that has failed is tried again, at first and at most.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// For so long the component is to have room to write, where archives go for that: as long as a look may be late on a
/// busy machine, or a rotation take.
const AHEAD: Duration = Duration::from_millis(250);

/// How often the room is looked at while there is none to rotate. Nothing tells when there is.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

/// There was no room to rotate.
struct Full {
    /// Not tried again before there is so much.
    wanted: u64,
    /// Or before this: what counts may be a quota, of which the file system as a whole says nothing.
    again: Instant,
}

pub(super) struct Kept {
    pub(super) name: String,
    pub(super) log: RotatingLog,
    times: TimesWriter,
    noted: Option<Instant>,
    /// inotify's number for the watch that ends the quiet. `None`: it is looked at by time.
    pub(super) watch: Option<i32>,
    pub(super) next_look: Option<Instant>,
    end: u64,
    looked: Instant,
    /// Bytes a second that it has grown by lately.
    rate: f64,
    retry: Duration,
    full: Option<Full>,
    has_failed: bool,
}

impl Kept {
    pub(super) fn new(name: String, log: RotatingLog) -> Self {
        let times = TimesWriter::open(&Names::new(log.path()));
        let now = Instant::now();
        Self {
            name,
            log,
            times,
            noted: None,
            watch: None,
            next_look: Some(now),
            end: 0,
            looked: now,
            rate: 0.0,
            retry: RETRY,
            full: None,
            has_failed: false,
        }
    }

    /// Other settings, from now on: what was in vain may not be any more.
    pub(super) fn set(&mut self, settings: Settings) {
        self.log.set(settings);
        let now = Instant::now();
        self.next_look = Some(now);
        if let Some(full) = &mut self.full {
            full.again = now;
        }
    }

    /// Looks, rotates if it is due, and says whether the log has grown and whether it was rotated.
    pub(super) fn look(&mut self, tell: &mut dyn FnMut(Notice)) -> (bool, bool) {
        let now = Instant::now();
        if self.full.as_ref().is_some_and(|full| now < full.again && self.room() < full.wanted) {
            self.next_look = Some(now + LOOK_FOR_ROOM);
            return (true, false);
        }
        match self.try_look(tell) {
            Ok(done) => {
                self.has_failed = false;
                self.retry = RETRY;
                if self.full.take().is_some() {
                    tell(Notice::RoomAgain { name: self.name.clone() });
                }
                done
            }
            Err(error) => {
                let again = Instant::now() + self.retry;
                self.next_look = Some(again);
                self.retry = (self.retry * 2).min(RETRY_AT_MOST);
                match error {
                    LogError::NoSpace { needed, .. } => {
                        let (enough, room) = (needed.saturating_add(HEADROOM), self.room());
                        // Where that was there, something else than room was missing.
                        let wanted = if room < enough { enough } else { room.saturating_add(enough) };
                        self.next_look = Some(Instant::now() + LOOK_FOR_ROOM);
                        if self.full.replace(Full { wanted, again }).is_none() {
                            tell(Notice::DiskFull { name: self.name.clone(), needed });
                        }
                    }
                    error => {
                        if !std::mem::replace(&mut self.has_failed, true) {
                            tell(Notice::Failed { name: self.name.clone(), error });
                        }
                    }
                }
                (true, false)
            }
        }
    }

    /// Whether archives of it go when the disk is full, and there are any.
    pub(super) fn gives_room(&self) -> bool {
        self.log.has_archives() && self.log.settings().on_disk_full == OnDiskFull::DropOldest
    }

    /// Bytes that the component may write before it is looked at again; not more than a file may have.
    pub(super) fn ahead(&self) -> u64 {
        ((self.rate * AHEAD.as_secs_f64()) as u64).min(self.log.settings().max_size)
    }

    fn room(&self) -> u64 {
        self.log.path().parent().and_then(|folder| cut::room_in(folder).ok()).unwrap_or(u64::MAX)
    }

    /// Whether there is more than the last look found.
    pub(super) fn has_grown(&mut self) -> bool {
        // What else it finds, the next look finds, too: it is told only then.
        self.log.size_now() != Some(self.log.size_seen())
    }

    fn try_look(&mut self, tell: &mut dyn FnMut(Notice)) -> Result<(bool, bool), LogError> {
        let look = self.log.look()?;
        let now = Instant::now();
        if let Some(finding) = look.finding {
            tell(Notice::Found { name: self.name.clone(), finding });
        }
        let grew = look.end.saturating_sub(self.end);
        self.note(look.end, grew > 0, now);
        let passed = now.duration_since(self.looked).max(Duration::from_millis(1));
        self.looked = now;
        self.end = look.end;
        let rate = grew as f64 / passed.as_secs_f64();
        self.rate = rate.max(self.rate / 2.0);
        if look.due {
            if self.log.settings().on_disk_full == OnDiskFull::DropOldest {
                self.log.leave(self.ahead());
            }
            let rotated = self.log.rotate()?;
            // Once: one that is due again at once must not keep the others waiting.
            self.next_look = Some(Instant::now());
            tell(Notice::Rotated { name: self.name.clone(), rotated });
            return Ok((true, true));
        }
        let rest = self.log.settings().max_size.saturating_sub(look.size) as f64;
        let due_in = if rate > 0.0 { rest / rate } else { f64::INFINITY };
        let pause = Duration::try_from_secs_f64(due_in).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        self.next_look = Some(now + pause);
        Ok((grew > 0, false))
    }

    /// Notes how far the log has come in the end.
    pub(super) fn last_look(&mut self) {
        if let Ok(look) = self.log.look() {
            self.note(look.end, false, Instant::now());
        }
    }

    /// Notes how far the log has come, once a second at most while it grows, and when it is quiet again.
    fn note(&mut self, end: u64, grew: bool, now: Instant) {
        let recently = self.noted.is_some_and(|noted| now.duration_since(noted) < BETWEEN_NOTES);
        if self.times.last().is_some_and(|last| last.offset == end) || (grew && recently) {
            self.noted = self.noted.or(Some(now));
            return;
        }
        let watched = self.noted.is_some();
        let at = if watched { Moment::now() } else { self.last_written() };
        // Without a note, times are less exact; nothing else.
        let _ = self.times.note(Note { offset: end, at, watched }, self.log.oldest());
        self.noted = Some(now);
    }

    /// When the file was last written to, for what came while nobody watched.
    fn last_written(&self) -> Moment {
        let now = Moment::now();
        let written = fs::metadata(self.log.path())
            .map_or(0, |data| data.mtime() * 1000 + data.mtime_nsec() / 1_000_000);
        let age = now.wall.saturating_sub(u64::try_from(written).unwrap_or(0));
        match now.boot.checked_sub(age) {
            Some(boot) => Moment { wall: now.wall - age, boot, boot_tag: now.boot_tag },
            // In an earlier boot: only the wall clock counts.
            None => Moment { wall: now.wall - age, boot: 0, boot_tag: 0 },
        }
    }
}

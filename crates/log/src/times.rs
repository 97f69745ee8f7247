//! `NAME.log.times`: when a log had grown how far. Notes of 32 bytes, one a second at most while it grows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::ClockId;

use crate::names::Names;

/// Bytes of a note.
const NOTE: usize = 32;

/// Notes in a file at most: 512 KiB. Then it is thinned.
const MOST: usize = 16 * 1024;

/// Thinning keeps notes as far apart as this part of their age: 0.1 %, a second for the last quarter of an
/// hour, a minute and a half for yesterday.
const FINENESS: u64 = 1000;

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970. May jump.
    pub wall: u64,
    /// Milliseconds since the machine was started, sleep included: CLOCK_BOOTTIME.
    pub boot: u64,
    /// Tells boots apart.
    pub boot_tag: u32,
}

/// At this moment the log had this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) offset: u64,
    pub(crate) at: Moment,
    /// Somebody looked all the time since the note before: what was written since, was so in the last second.
    pub(crate) watched: bool,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = rustix::time::clock_gettime(ClockId::Boottime);
        let boot = u64::try_from(boot.tv_sec).unwrap_or(0) * 1000
            + u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000_000;
        Self { wall: millis(wall), boot, boot_tag: boot_tag() }
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        let age = millis(age);
        Self { wall: self.wall.saturating_sub(age), boot: self.boot.saturating_sub(age), ..self }
    }

    /// Milliseconds from `earlier` to here. Within a boot the clock that does not jump counts; a moment before
    /// this boot is on the wall clock.
    fn since(self, earlier: Self) -> i128 {
        match self.boot_tag == earlier.boot_tag {
            true => i128::from(self.boot) - i128::from(earlier.boot),
            false => i128::from(self.wall) - i128::from(earlier.wall),
        }
    }
}

/// Writes notes. One process does, the one that keeps the log.
#[derive(Debug)]
pub(crate) struct TimesWriter {
    path: PathBuf,
    last: Option<Note>,
    /// Written by us from its beginning, and how many notes there are in it. `None`: not yet, or not whole.
    file: Option<(File, usize)>,
}

impl TimesWriter {
    /// Goes on with the notes that there are.
    pub(crate) fn open(names: &Names) -> Self {
        let path = names.times();
        let last = read(&path).pop();
        Self { path, last, file: None }
    }

    pub(crate) fn last(&self) -> Option<&Note> {
        self.last.as_ref()
    }

    /// Notes that the log ended at `offset` at a moment; nothing if it had not grown. `oldest` is what is left
    /// of it: notes on what has gone go, too, sooner or later.
    ///
    /// # Errors
    /// It cannot be written. Then it is as if nobody had looked.
    pub(crate) fn note(&mut self, note: Note, oldest: u64) -> io::Result<()> {
        if self.last.is_some_and(|last| last.offset >= note.offset) {
            return Ok(());
        }
        self.last = Some(note);
        let file = match self.file.take() {
            Some((file, count)) if count < MOST => {
                file.write_all_at(&encode(&note), (count * NOTE) as u64)?;
                (file, count + 1)
            }
            _ => self.rewrite(note, oldest)?,
        };
        self.file = Some(file);
        Ok(())
    }

    fn rewrite(&self, note: Note, oldest: u64) -> io::Result<(File, usize)> {
        let mut notes = read(&self.path);
        notes.push(note);
        let gone = notes.partition_point(|note| note.offset <= oldest).saturating_sub(1);
        notes.drain(..gone);
        let notes = thin(notes, note.at);
        Ok((write(&self.path, &notes)?, notes.len()))
    }
}

/// Reads notes: where a moment is in a log, and when a place in it was written.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    notes: Vec<Note>,
}

impl Timeline {
    /// Of the log with this live file. Empty where nobody has ever watched it.
    #[must_use]
    pub fn open(log: &Path) -> Self {
        Self { notes: read(&Names::new(log).times()) }
    }

    #[cfg(test)]
    pub(crate) fn of(notes: Vec<Note>) -> Self {
        Self { notes }
    }

    /// Where to begin to see all that was written since a moment: a logical offset. About a second too early at
    /// most while the log was watched (0.1 % of the age for what is old); where nobody watched, as
    /// early as it may have been.
    #[must_use]
    pub fn since(&self, moment: Moment) -> u64 {
        // Of the very millisecond: nobody knows which was first.
        let before = self.notes.iter().rev().find(|note| moment.since(note.at) > 0);
        before.map_or(0, |note| note.offset)
    }

    /// When the byte at a logical offset was written, in milliseconds since 1970: at about the moment of the
    /// note after it. Where nobody watched, in proportion between the notes around it. `None` after the last
    /// note, that is: lately, if the log is watched.
    #[must_use]
    pub fn written(&self, offset: u64) -> Option<u64> {
        let at = self.notes.partition_point(|note| note.offset <= offset);
        let after = self.notes.get(at)?;
        let before = at.checked_sub(1).and_then(|at| self.notes.get(at));
        match before {
            Some(before) if !after.watched && before.at.wall < after.at.wall => {
                let part = u128::from(offset - before.offset);
                let whole = u128::from(after.offset - before.offset).max(1);
                let time = u128::from(after.at.wall - before.at.wall);
                Some(before.at.wall + u64::try_from(part * time / whole).unwrap_or(0))
            }
            _ => Some(after.at.wall),
        }
    }

    /// How much earlier than `now` the byte at a logical offset had been written: by the moment of the note after
    /// it, or earlier. `None` after the last note, that is: lately, if the log is watched.
    #[must_use]
    pub fn age(&self, offset: u64, now: Moment) -> Option<Duration> {
        let after = self.notes.get(self.notes.partition_point(|note| note.offset <= offset))?;
        Some(Duration::from_millis(u64::try_from(now.since(after.at)).unwrap_or(0)))
    }

    /// The logical offset of the next note after `offset`: up to there nothing is known of times in between.
    #[must_use]
    pub fn next_note(&self, offset: u64) -> Option<u64> {
        let at = self.notes.partition_point(|note| note.offset <= offset);
        self.notes.get(at).map(|note| note.offset)
    }
}

pub(crate) fn last_note(times: &Path) -> Option<Note> {
    read(times).pop()
}

/// How far a log had come when it was last noted; 0 where it never was.
pub(crate) fn last_offset(times: &Path) -> u64 {
    last_note(times).map_or(0, |note| note.offset)
}

/// Forgets what was noted of bytes after `end`.
pub(crate) fn forget_after(times: &Path, end: u64) -> io::Result<()> {
    let mut notes = read(times);
    let known = notes.len();
    notes.retain(|note| note.offset <= end);
    if notes.len() < known { write(times, &notes).map(drop) } else { Ok(()) }
}

fn write(times: &Path, notes: &[Note]) -> io::Result<File> {
    let mut new = times.to_owned().into_os_string();
    new.push(".next");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let bytes: Vec<u8> = notes.iter().flat_map(encode).collect();
    file.write_all_at(&bytes, 0)?;
    fs::rename(&new, times)?;
    Ok(file)
}

/// Notes that do not ascend, or are damaged, are passed over.
fn read(path: &Path) -> Vec<Note> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut notes: Vec<Note> = Vec::with_capacity(bytes.len() / NOTE);
    for note in bytes.chunks_exact(NOTE).filter_map(decode) {
        if notes.last().is_none_or(|last| last.offset < note.offset) {
            notes.push(note);
        }
    }
    notes
}

fn thin(notes: Vec<Note>, now: Moment) -> Vec<Note> {
    let mut kept: Vec<Note> = Vec::with_capacity(notes.len());
    for note in notes {
        // The later of two that are too near replaces the earlier: it says less, and that is right.
        while let [.., before, last] = kept.as_slice() {
            let near = note.at.since(before.at) < now.since(before.at) / i128::from(FINENESS);
            if !near || !last.watched {
                break;
            }
            kept.pop();
        }
        kept.push(note);
    }
    let excess = kept.len().saturating_sub(MOST * 3 / 4);
    kept.drain(..excess);
    kept
}

fn encode(note: &Note) -> [u8; NOTE] {
    let mut bytes = [0; NOTE];
    bytes[..8].copy_from_slice(&note.offset.to_le_bytes());
    bytes[8..16].copy_from_slice(&((note.at.wall << 1) | u64::from(note.watched)).to_le_bytes());
    bytes[16..24].copy_from_slice(&note.at.boot.to_le_bytes());
    bytes[24..28].copy_from_slice(&note.at.boot_tag.to_le_bytes());
    let sum = hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Note> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let wall = number(8)?;
    let at = Moment { wall: wall >> 1, boot: number(16)?, boot_tag: half(24)? };
    (hash(bytes.get(..28)?) == half(28)?).then_some(Note { offset: number(0)?, at, watched: wall & 1 == 1 })
}

/// Tells boots of the machine apart.
pub(crate) fn boot_tag() -> u32 {
    static TAG: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *TAG.get_or_init(|| hash(&fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default()))
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { wall: 1_000_000_000 + seconds * 1000, boot: seconds * 1000, boot_tag: 1 }
    }

    fn note(offset: u64, seconds: u64, watched: bool) -> Note {
        Note { offset, at: at(seconds), watched }
    }

    #[test]
    fn since_is_never_too_late() {
        let times = Timeline::of(vec![note(100, 10, true), note(150, 3600, true), note(900, 7200, false)]);
        assert_eq!(times.since(at(5)), 0);
        assert_eq!(times.since(at(10)), 0);
        assert_eq!(times.since(at(11)), 100);
        assert_eq!(times.since(at(1800)), 100);
        assert_eq!(times.since(at(3601)), 150);
        assert_eq!(times.since(at(7000)), 150, "nobody watched: it may all have been written after");
        assert_eq!(times.since(at(7201)), 900);
    }

    #[test]
    fn a_wall_clock_that_jumps_confuses_nobody_within_a_boot() {
        let mut late = note(200, 20, true);
        late.at.wall -= 3_600_000;
        let times = Timeline::of(vec![note(100, 10, true), late]);
        assert_eq!(times.since(at(15)), 100);
        assert_eq!(times.since(at(25)), 200);
        let next_boot = Moment { wall: 1_000_012_000, boot: 2000, boot_tag: 2 };
        assert_eq!(Timeline::of(vec![note(100, 10, true), note(200, 20, true)]).since(next_boot), 100);
    }

    #[test]
    fn what_nobody_watched_is_spread_evenly() {
        let times = Timeline::of(vec![note(100, 10, true), note(200, 20, true), note(300, 30, false)]);
        assert_eq!(times.written(150), Some(at(20).wall));
        assert_eq!(times.written(250), Some(at(25).wall));
        assert_eq!(times.written(0), Some(at(10).wall));
        assert_eq!(times.written(300), None);
        assert_eq!(
            (times.next_note(99), times.next_note(100), times.next_note(300)),
            (Some(100), Some(200), None)
        );
    }

    #[test]
    fn an_age_is_told_by_the_clock_that_does_not_jump() {
        let times = Timeline::of(vec![note(100, 10, true), note(200, 20, true)]);
        let now = Moment { wall: 5, ..at(50) };
        let age = |offset| times.age(offset, now);
        assert_eq!((age(0), age(99)), (Some(Duration::from_secs(40)), Some(Duration::from_secs(40))));
        assert_eq!((age(100), age(199)), (Some(Duration::from_secs(30)), Some(Duration::from_secs(30))));
        assert_eq!(age(200), None);
        assert_eq!(times.age(0, at(5)), Some(Duration::ZERO), "noted after this was asked");
    }

    #[test]
    fn notes_are_kept_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(&dir.path().join("web.log"));
        let mut writer = TimesWriter::open(&names);
        let week = 7 * 24 * 3600;
        for second in 1..=week {
            writer.note(note(second * 10, second, true), 0).unwrap();
        }
        drop(writer);
        let length = fs::metadata(names.times()).unwrap().len();
        assert!(length <= (MOST * NOTE) as u64, "{length} bytes");
        let times = Timeline::open(names.live());
        for age in [1, 60, 900, 86_400, 6 * 86_400] {
            let since = times.since(at(week - age));
            let error = (week - age) - since / 10;
            assert!(error <= 2 + age / 400, "{age} s ago: {error} s too early");
        }
        assert_eq!(last_offset(&names.times()), week * 10);
    }

    #[test]
    fn damage_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(&dir.path().join("web.log"));
        let mut writer = TimesWriter::open(&names);
        for second in 1..=3 {
            writer.note(note(second, second, true), 0).unwrap();
        }
        let mut bytes = fs::read(names.times()).unwrap();
        bytes[NOTE + 3] ^= 1;
        bytes.extend(b"half a note");
        fs::write(names.times(), bytes).unwrap();
        let offsets: Vec<u64> = read(&names.times()).iter().map(|note| note.offset).collect();
        assert_eq!(offsets, [1, 3]);
    }
}

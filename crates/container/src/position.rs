//! How far a container's output has been copied into the log, on record.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes of the record; always as many, so that one write covers the one before.
const SIZE: usize = 1024;

/// Where the copy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Position {
    /// Whose output it is.
    pub(crate) container: String,
    /// Where the engine is that has it.
    #[serde(default)]
    pub(crate) engine: String,
    /// The end of the log, as a logical offset, when the marks were these. What the log holds beyond it was
    /// copied later, and is what comes next of the container's output.
    pub(crate) end: u64,
    /// The last message of stdout that was copied.
    pub(crate) stdout: Option<Mark>,
    /// The last one of stderr.
    pub(crate) stderr: Option<Mark>,
}

/// A message of one stream. Several may have the same time, as the pieces of one long line do, and where the clock
/// was set back, later ones have earlier times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The latest time so far, in nanoseconds since the epoch.
    pub(crate) time: i64,
    /// How many messages there were from the first with that time on, up to this one.
    pub(crate) count: u32,
    /// The earliest time of these. Without it, all there is must be told again.
    #[serde(default)]
    pub(crate) earliest: i64,
    /// Whether that one did not end its line.
    #[serde(default)]
    pub(crate) open: bool,
}

impl Mark {
    /// The mark after one more message, and whether a line must be ended first: pieces of one line have the same
    /// time, and some engines lose the end of a line that came in pieces.
    pub(crate) fn after(mark: Option<Self>, time: i64, text: &[u8]) -> (Self, bool) {
        let open = !text.ends_with(b"\n");
        match mark {
            Some(mark) if time <= mark.time => {
                let earliest = mark.earliest.min(time);
                let after = Self { count: mark.count.saturating_add(1), earliest, open, ..mark };
                (after, mark.open && time < mark.time)
            }
            Some(mark) => (Self { time, count: 1, earliest: time, open }, mark.open),
            None => (Self { time, count: 1, earliest: time, open }, false),
        }
    }

    /// Since when messages must be told again, if not only the latest: a line that has not ended goes on with the
    /// time at which it began, and where the clock was set back, what came after is counted with what came before.
    fn again_from(self) -> Option<i64> {
        (self.open || self.earliest < self.time).then_some(self.earliest)
    }
}

impl Position {
    /// Where a copy of this container's output begins, if none has begun yet.
    pub(crate) fn beginning(engine: &str, container: &str, end: u64) -> Self {
        Self { container: container.to_owned(), engine: engine.to_owned(), end, ..Self::default() }
    }

    /// Since when the engine is to tell, in nanoseconds since the epoch, where stdout and stderr may be this far out
    /// of order among each other. `now` may be earlier than what was told before: the clock was set back.
    pub(crate) fn since(&self, slack: i64, now: i64) -> Option<i64> {
        let marks = || [self.stdout, self.stderr].into_iter().flatten();
        let latest = marks().map(|mark| mark.time).max()?;
        marks().filter_map(Mark::again_from).chain([latest.min(now) - slack]).min()
    }
}

/// The file that a position is noted in.
#[derive(Debug)]
pub(crate) struct Notes(File);

impl Notes {
    /// Beside a component's lock.
    pub(crate) fn path(lock: &Path) -> PathBuf {
        lock.with_extension("position")
    }

    /// Opens it, and makes it where it is missing.
    pub(crate) fn open(lock: &Path) -> io::Result<Self> {
        let path = Self::path(lock);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map(Self)
    }

    /// Removes it: there is nothing that it is about.
    pub(crate) fn remove(lock: &Path) {
        // What stays is about a container that is no more.
        let _ = std::fs::remove_file(Self::path(lock));
    }

    /// What is noted. Nothing, where it cannot be read: the copy then begins anew.
    pub(crate) fn read(&self) -> Option<Position> {
        let mut text = vec![0; SIZE];
        let length = self.0.read_at(&mut text, 0).ok()?;
        serde_json::from_slice(&text[..length]).ok()
    }

    /// Notes it, over the one before.
    pub(crate) fn write(&self, position: &Position) -> io::Result<()> {
        let mut text = serde_json::to_vec(position)?;
        text.resize(SIZE.max(text.len() + 1) - 1, b' ');
        text.push(b'\n');
        self.0.write_all_at(&text, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_by_the_next() {
        let temp = tempfile::tempdir().unwrap();
        let lock = temp.path().join("web.lock");
        assert_eq!(Notes::open(&lock).unwrap().read(), None);
        let mark = Some(Mark { time: i64::MAX, count: u32::MAX, earliest: i64::MAX, open: false });
        let (container, engine) = ("c".repeat(64), format!("unix://{}", "e".repeat(108)));
        let long = Position { container, engine, end: u64::MAX, stdout: mark, stderr: mark };
        let notes = Notes::open(&lock).unwrap();
        for position in [long, Position::beginning("e", "short", 7)] {
            notes.write(&position).unwrap();
            assert_eq!(Notes::open(&lock).unwrap().read(), Some(position));
        }
        assert_eq!(std::fs::metadata(Notes::path(&lock)).unwrap().len(), SIZE as u64);
    }
}

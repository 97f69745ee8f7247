//! Parts of logs, by logical offsets, and the lines of several components in one stream. Bytes stay bytes.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use vitald_core::status::RunLog;
use vitald_log::{LogReader, Moment, Read, Timeline};

use crate::account::component_style;
use crate::cli::Since;
use crate::format::{plain, size};
use crate::output;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// A line longer than this is passed on in pieces rather than kept.
const LONGEST_LINE: usize = 1024 * 1024;

/// What reading a log brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News<'a> {
    Bytes(&'a [u8]),
    /// So many bytes that would have come next have been removed before they were read.
    Gone(u64),
    /// Somebody has truncated or replaced the log.
    Restarted,
}

/// Reads what comes next, up to a logical offset, and about `most` bytes. Says whether there may be more.
///
/// # Errors
/// The log cannot be read, or `take` fails.
pub(crate) fn read<E: From<io::Error>>(
    reader: &mut LogReader,
    end: u64,
    most: u64,
    mut take: impl FnMut(News<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let mut block = vec![0; BLOCK];
    let mut taken = 0;
    while taken < most {
        match reader.read_until(end, &mut block)? {
            Read::Bytes(length) => {
                taken += length as u64;
                take(News::Bytes(&block[..length]))?;
            }
            Read::Gone(bytes) => take(News::Gone(bytes))?,
            Read::Restarted => take(News::Restarted)?,
            Read::End => return Ok(false),
        }
    }
    Ok(true)
}

/// What the run before the latest wrote, in a log that has come to `end`; `None` if there was none.
pub(crate) fn previous_run(runs: &[RunLog], end: u64) -> Option<Range<u64>> {
    let [.., previous, latest] = runs else { return None };
    let until = latest.log_offset.min(end);
    Some(previous.log_offset.min(until)..until)
}

/// Where the line begins in which the first byte is that was written since, or a little before.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn since_start(
    log: &Path,
    reader: &mut LogReader,
    times: &Timeline,
    since: Since,
) -> io::Result<u64> {
    let now = Moment::now();
    let moment = match since {
        Since::Age(age) => now.before(age),
        // What the clock on the wall has shown, whatever it was set to afterwards: not of this boot.
        Since::Time(wall) => Moment { wall, boot: 0, boot_tag: 0 },
    };
    let extent = reader.extent()?;
    let start = times.since(moment).min(extent.end);
    let is_noted = times.next_note(start).is_some();
    if moment.wall > now.wall || (!is_noted && is_older(log, moment.wall)) {
        return Ok(extent.end);
    }
    // Notes are taken anywhere in a line.
    if start <= extent.oldest { Ok(start) } else { line_start(reader, start) }
}

/// Whether a file has not changed since: where nobody has noted anything that is all there is to know.
fn is_older(log: &Path, wall: u64) -> bool {
    let changed = std::fs::metadata(log).and_then(|data| data.modified());
    changed.is_ok_and(|changed| changed + Duration::from_secs(1) < UNIX_EPOCH + Duration::from_millis(wall))
}

/// Where the line begins in which a logical offset is.
fn line_start(reader: &mut LogReader, at: u64) -> io::Result<u64> {
    let stood = reader.offset();
    let mut last = [0];
    reader.seek(at.saturating_sub(1))?;
    let read = reader.read_until(at, &mut last)?;
    reader.seek(stood)?;
    match read {
        Read::Bytes(1) if last != *b"\n" => reader.tail_start(0..at, 1),
        _ => Ok(at),
    }
}

/// The last `lines` lines of a part of a log, for people; before them, how much of it is gone.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn excerpt(log: &Path, range: Range<u64>, lines: usize) -> io::Result<Vec<String>> {
    let mut reader = LogReader::open(log)?;
    let extent = reader.extent()?;
    let end = range.end.min(extent.end);
    let begin = range.start.min(end);
    let start = reader.tail_start(begin..end, lines)?;
    let mut shown = Vec::new();
    let gone = extent.oldest.min(end).saturating_sub(begin);
    match start <= extent.oldest {
        true if gone > 0 && gone == end - begin => {
            shown.push(format!("({}, all of it, rotated away since)", size(gone)));
        }
        true if gone > 0 => shown.push(format!("({} before this rotated away)", size(gone))),
        _ => {}
    }
    let mut bytes = Vec::new();
    // One screen at the most, however long the lines are.
    reader.seek(start.max(end.saturating_sub(BLOCK as u64)))?;
    read(&mut reader, end, u64::MAX, |news| {
        if let News::Bytes(block) = news {
            bytes.extend_from_slice(block);
        }
        Ok::<_, io::Error>(())
    })?;
    shown.extend(String::from_utf8_lossy(&bytes).lines().map(plain));
    Ok(shown)
}

/// The lines of several components in one stream: whole lines, each with the component's name before it.
pub(crate) struct Merger {
    /// One a component; empty if there is only one, whose bytes pass through untouched.
    prefixes: Vec<Vec<u8>>,
    /// What has come of a line that has not ended.
    partial: Vec<Vec<u8>>,
    /// Whose line is begun on the output and not ended.
    open: Option<usize>,
}

impl Merger {
    /// Of these components.
    pub(crate) fn new(names: &[String], colour: bool) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or_default();
        let prefix = |(number, name): (usize, &String)| {
            let style = output::paint(component_style(Some(number)), colour);
            format!("{style}{name:width$} |{style:#} ").into_bytes()
        };
        let prefixes =
            if names.len() > 1 { names.iter().enumerate().map(prefix).collect() } else { Vec::new() };
        Self { prefixes, partial: vec![Vec::new(); names.len()], open: None }
    }

    /// Takes what component number `of` wrote; gives what can be shown of it.
    pub(crate) fn take(&mut self, of: usize, bytes: &[u8]) -> Vec<u8> {
        if self.prefixes.is_empty() {
            return bytes.to_vec();
        }
        let mut shown = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial[of].extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial[of].len() > LONGEST_LINE {
                self.show(of, &mut shown);
            }
        }
        shown
    }

    /// What has come of a line of component number `of` whose rest will not come.
    pub(crate) fn cut(&mut self, of: usize) -> Vec<u8> {
        let mut shown = Vec::new();
        if !self.partial[of].is_empty() {
            self.show(of, &mut shown);
        }
        if self.open == Some(of) {
            self.open = None;
            shown.push(b'\n');
        }
        shown
    }

    /// What is left of lines that will not end.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        for of in 0..self.partial.len() {
            if !self.partial[of].is_empty() {
                self.show(of, &mut shown);
            }
        }
        if self.open.take().is_some() {
            shown.push(b'\n');
        }
        shown
    }

    fn show(&mut self, of: usize, shown: &mut Vec<u8>) {
        if self.open != Some(of) {
            if self.open.is_some() {
                shown.push(b'\n');
            }
            shown.extend_from_slice(&self.prefixes[of]);
        }
        let piece = std::mem::take(&mut self.partial[of]);
        self.open = (!piece.ends_with(b"\n")).then_some(of);
        shown.extend_from_slice(&piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;

    use vitald_log::{Keeper, Policy, RotatingLog, Settings};

    /// A log of a folder of its own, which is written to as a component does.
    struct Written {
        folder: tempfile::TempDir,
        file: File,
    }

    impl Written {
        fn new(bytes: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (file, _) = vitald_log::append(&folder.path().join("web.log")).unwrap();
            let mut written = Self { folder, file };
            written.write(bytes);
            written
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("web.log")
        }

        fn write(&mut self, bytes: &[u8]) {
            self.file.write_all(bytes).unwrap();
        }

        /// Archives all but less than a block, and keeps one archive: of two blocks.
        fn rotate(&self) {
            let settings = Settings { max_size: 8192, max_files: 2, sync: false, ..Settings::default() };
            let mut log = RotatingLog::open(&self.path(), settings).unwrap();
            while log.rotate().unwrap().archived > 0 {}
        }

        fn reader(&self) -> LogReader {
            LogReader::open(&self.path()).unwrap()
        }
    }

    fn numbered(lines: Range<u32>) -> Vec<u8> {
        lines.flat_map(|line| format!("{line:07}\n").into_bytes()).collect()
    }

    fn all(reader: &mut LogReader, end: u64) -> (Vec<u8>, u64) {
        let (mut bytes, mut gone) = (Vec::new(), 0);
        let more = read(reader, end, u64::MAX, |news| {
            match news {
                News::Bytes(block) => bytes.extend_from_slice(block),
                News::Gone(missing) => gone += missing,
                News::Restarted => panic!("nobody has truncated it"),
            }
            Ok::<_, io::Error>(())
        });
        assert!(!more.unwrap());
        (bytes, gone)
    }

    #[test]
    fn a_run_is_shown_as_far_as_it_has_not_been_rotated_away() {
        let mut log = Written::new(b"");
        let runs = [1, 2, 3].map(|run| {
            let begin = vitald_log::extent(&log.path()).unwrap().end;
            log.write(&numbered(run * 1_000_000..run * 1_000_000 + 3000));
            RunLog { run: run.into(), log_offset: begin }
        });
        log.rotate();
        let mut reader = log.reader();
        let extent = reader.extent().unwrap();
        assert!((24_000 + 1..72_000).contains(&extent.oldest), "{extent:?}");
        let range = previous_run(&runs[..], extent.end).unwrap();
        assert_eq!(range, 24_000..48_000);

        reader.seek(range.start).unwrap();
        let (bytes, gone) = all(&mut reader, range.end);
        assert_eq!(gone + bytes.len() as u64, 24_000);
        assert!(gone > 0);
        let latest = excerpt(&log.path(), 48_000..u64::MAX, 2).unwrap();
        assert_eq!(latest, ["3002998", "3002999"]);
        let first = excerpt(&log.path(), 0..24_000, 2).unwrap();
        assert_eq!(first, ["(23.44 KiB, all of it, rotated away since)"]);
    }

    #[test]
    fn an_excerpt_is_one_screen_of_harmless_text() {
        let log = Written::new(&[vec![b'x'; 3 * BLOCK], b"\xff\x1b[2J\nend".to_vec()].concat());
        let shown = excerpt(&log.path(), 0..u64::MAX, 2).unwrap();
        assert!(shown[0].ends_with("x\u{fffd} [2J") && shown[0].len() <= BLOCK, "{}", shown[0].len());
        assert_eq!(shown[1..], ["end"]);
        let none = log.folder.path().join("none.log");
        assert!(excerpt(&none, 0..u64::MAX, 2).unwrap().is_empty());
    }

    #[test]
    fn since_begins_with_the_line_of_that_second() {
        let mut log = Written::new(b"");
        let folder = log.folder.path().to_owned();
        let keeper = Keeper::start(&folder, Policy::default(), |_| {}).unwrap();
        keeper.keep("web", Settings::default());
        log.write(b"old\nhalf");
        wait_for_note(&log, 8);
        std::thread::sleep(Duration::from_millis(1200));
        log.write(b" a line\nnew\n");
        wait_for_note(&log, 20);
        let times = Timeline::open(&log.path());
        let start = |since| since_start(&log.path(), &mut log.reader(), &times, since).unwrap();
        assert_eq!(start(Since::Age(Duration::from_secs(3600))), 0);
        assert_eq!(start(Since::Age(Duration::from_millis(600))), 4);
        assert_eq!(start(Since::Time(Moment::now().before(Duration::from_millis(600)).wall)), 4);
        assert_eq!(start(Since::Time(Moment::now().wall + 60_000)), 20);
        std::thread::sleep(Duration::from_millis(1200));
        assert_eq!(start(Since::Age(Duration::from_millis(100))), 20);
    }

    fn wait_for_note(log: &Written, offset: u64) {
        for _ in 0..500 {
            if Timeline::open(&log.path()).next_note(offset - 1).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{offset} was not noted");
    }

    #[test]
    fn since_without_notes_asks_the_file_itself() {
        let log = Written::new(b"old\n");
        log.file.set_modified(std::time::SystemTime::now() - Duration::from_secs(600)).unwrap();
        let none = Timeline::default();
        let start = |seconds| {
            since_start(&log.path(), &mut log.reader(), &none, Since::Age(Duration::from_secs(seconds)))
        };
        assert_eq!(start(300).unwrap(), 4);
        assert_eq!(start(900).unwrap(), 0);
    }

    #[test]
    fn the_run_before() {
        let runs = [0, 10, 30].map(|log_offset| RunLog { run: 1, log_offset });
        assert_eq!(previous_run(&runs, 40), Some(10..30));
        assert_eq!(previous_run(&runs, 20), Some(10..20));
        assert_eq!(previous_run(&runs, 5), Some(5..5), "somebody has truncated it");
        assert_eq!(previous_run(&runs[..1], 40), None);
    }

    #[test]
    fn one_component_passes_through_untouched() {
        let mut merger = Merger::new(&["web".into()], true);
        assert_eq!(merger.take(0, b"\xff\0half"), b"\xff\0half");
        assert_eq!(merger.end(), b"");
    }

    #[test]
    fn several_keep_their_lines_whole() {
        let mut merger = Merger::new(&["a".into(), "bcd".into()], false);
        assert_eq!(merger.take(0, b"one\ntw"), b"a   | one\n");
        assert_eq!(merger.take(1, b"\xff\nlast"), b"bcd | \xff\n");
        assert_eq!(merger.take(0, b"o\n"), b"a   | two\n");
        assert_eq!(merger.end(), b"bcd | last\n");
    }

    #[test]
    fn a_line_whose_rest_is_gone_is_ended() {
        let mut merger = Merger::new(&["a".into(), "b".into()], false);
        assert_eq!(merger.take(0, b"one\nha"), b"a | one\n");
        assert_eq!(merger.cut(0), b"a | ha\n");
        assert_eq!(merger.cut(0), b"");
        assert_eq!(merger.take(0, b"two\n"), b"a | two\n");
    }

    #[test]
    fn a_line_too_long_to_keep_is_ended_before_another() {
        let mut merger = Merger::new(&["a".into(), "b".into()], false);
        assert!(merger.take(0, &vec![b'x'; LONGEST_LINE + 1]).starts_with(b"a | xxx"));
        assert_eq!(merger.take(1, b"line\n"), b"\nb | line\n");
        assert_eq!(merger.end(), b"");
    }
}

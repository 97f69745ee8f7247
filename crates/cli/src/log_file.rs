//! Reading logs: ranges, last lines, and the lines of several components in one stream. Bytes stay bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vitald_core::status::RunLog;

use crate::account::component_style;
use crate::output;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// A line longer than this is passed on in pieces rather than kept.
const LONGEST_LINE: usize = 1024 * 1024;

/// Reads the part of a file, in blocks.
///
/// # Errors
/// The file cannot be read, or `take` fails.
pub(crate) fn read_range<E: From<io::Error>>(
    file: &mut File,
    range: Range<u64>,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut rest = file.take(range.end.saturating_sub(range.start));
    let mut block = vec![0; BLOCK];
    loop {
        match rest.read(&mut block)? {
            0 => return Ok(()),
            length => take(&block[..length])?,
        }
    }
}

/// Where the last `lines` lines of a part of a file begin. A last line without an end counts as one.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn tail_start(file: &File, range: Range<u64>, lines: usize) -> io::Result<u64> {
    if lines == 0 {
        return Ok(range.end);
    }
    let mut block = vec![0; BLOCK];
    let mut end = range.end;
    let mut ends_seen = 0;
    while end > range.start {
        let start = end.saturating_sub(BLOCK as u64).max(range.start);
        let part = &mut block[..(end - start) as usize];
        file.read_exact_at(part, start)?;
        for (at, byte) in part.iter().enumerate().rev() {
            // The very last newline ends the last line, and begins none.
            if *byte == b'\n' && start + (at as u64) + 1 < range.end {
                ends_seen += 1;
                if ends_seen == lines {
                    return Ok(start + at as u64 + 1);
                }
            }
        }
        end = start;
    }
    Ok(range.start)
}

/// What the run before the latest wrote; `None` if there was none.
pub(crate) fn previous_run(runs: &[RunLog], length: u64) -> Option<Range<u64>> {
    let [.., previous, latest] = runs else { return None };
    Some(previous.log_offset.min(length)..latest.log_offset.min(length))
}

/// The last `lines` lines of a part of a log, for people.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn excerpt(log: &Path, range: Range<u64>, lines: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let end = range.end.min(file.metadata()?.len());
    let start = tail_start(&file, range.start.min(end)..end, lines)?;
    let mut bytes = Vec::new();
    // One screen at the most, however long the lines are.
    let start = start.max(end.saturating_sub(BLOCK as u64));
    read_range(&mut file, start..end, |block| {
        bytes.extend_from_slice(block);
        Ok::<_, io::Error>(())
    })?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(crate::format::plain).collect())
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
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn tail(bytes: &[u8], lines: usize) -> &[u8] {
        let start = tail_start(&file(bytes), 0..bytes.len() as u64, lines).unwrap();
        &bytes[start as usize..]
    }

    #[test]
    fn the_last_lines() {
        assert_eq!(tail(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(tail(b"a\nb\nc", 2), b"b\nc");
        assert_eq!(tail(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(tail(b"a\n\n\n", 2), b"\n\n");
        assert_eq!(tail(b"a\n", 0), b"");
        assert_eq!(tail(b"", 3), b"");
        let long = [vec![b'x'; 3 * BLOCK], b"\nend\n".to_vec()].concat();
        assert_eq!(tail(&long, 1), b"end\n");
        assert_eq!(tail(&long, 2).len(), long.len());
    }

    #[test]
    fn the_run_before() {
        let runs = [0, 10, 30].map(|log_offset| RunLog { run: 1, log_offset });
        assert_eq!(previous_run(&runs, 40), Some(10..30));
        assert_eq!(previous_run(&runs, 20), Some(10..20));
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
    fn a_line_too_long_to_keep_is_ended_before_another() {
        let mut merger = Merger::new(&["a".into(), "b".into()], false);
        assert!(merger.take(0, &vec![b'x'; LONGEST_LINE + 1]).starts_with(b"a | xxx"));
        assert_eq!(merger.take(1, b"line\n"), b"\nb | line\n");
        assert_eq!(merger.end(), b"");
    }
}

//! Lines out of bytes as they come, in bounded memory, and without the colours that some have.

use std::ops::Range;

use regex::bytes::Regex;
use vitald_core::wording::without_sequences;

/// A line is judged whole up to this length, and in pieces beyond it.
const MOST: usize = 64 << 10;
/// What two pieces of a line have in common: a match that is no longer than this lies in one of them.
const OVERLAP: usize = 8 << 10;

/// The line that is being read.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// It begins in the middle of a line whose beginning has been judged.
    within: bool,
    /// It has been judged as it stands, though it may not be over.
    judged: bool,
}

/// A line to be judged, or a piece of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    text: &'a [u8],
    /// 1 where a byte of the line comes before: `^` is not here then.
    from: usize,
    /// Whether `$` may be at its end.
    ended: bool,
}

impl Lines {
    /// Takes what was read, and judges every line that has ended, or is too long to be kept.
    pub(crate) fn take(&mut self, bytes: &[u8], judge: &mut impl FnMut(Judge<'_>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            self.judged = false;
            if part.ends_with(b"\n") {
                self.end(judge);
            } else if self.line.len() > MOST {
                self.judge(false, judge);
                self.line.drain(..self.line.len() - OVERLAP);
                self.within = true;
            }
        }
    }

    /// Judges a line without an end, once, as if it had ended. What may still come of it is added to it.
    pub(crate) fn rest(&mut self, judge: &mut impl FnMut(Judge<'_>)) {
        if !self.line.is_empty() && !self.judged {
            self.judge(true, judge);
            self.judged = true;
        }
    }

    /// What comes next does not belong to the line that was being read.
    pub(crate) fn interrupt(&mut self, judge: &mut impl FnMut(Judge<'_>)) {
        if !self.line.is_empty() {
            self.end(judge);
        }
    }

    fn end(&mut self, judge: &mut impl FnMut(Judge<'_>)) {
        self.judge(true, judge);
        self.line.clear();
        self.line.shrink_to(MOST);
        self.within = false;
    }

    fn judge(&self, ended: bool, judge: &mut impl FnMut(Judge<'_>)) {
        let text = match ended {
            true => self
                .line
                .strip_suffix(b"\n")
                .map_or(&self.line[..], |line| line.strip_suffix(b"\r").unwrap_or(line)),
            false => &self.line[..],
        };
        // `^panic` is meant for a line that begins with a colour, too.
        let text = &without_sequences(text);
        judge(Judge { text, from: usize::from(self.within).min(text.len()), ended });
    }
}

impl<'a> Judge<'a> {
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where a pattern matches. In a piece, not at its very end, where there is more to come: what matches there
    /// is found in the next piece.
    pub(crate) fn find(&self, regex: &Regex) -> Option<Range<usize>> {
        let found = regex.find_at(self.text, self.from)?;
        (self.ended || found.end() < self.text.len()).then(|| found.range())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that match, as they were judged; `|` says that nothing comes for a while.
    fn matching(pattern: &str, parts: &[&[u8]]) -> Vec<String> {
        let regex = Regex::new(pattern).unwrap();
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut judge = |line: Judge<'_>| {
            if line.find(&regex).is_some() {
                found.push(String::from_utf8_lossy(line.text()).into_owned());
            }
        };
        for part in parts {
            match *part {
                b"|" => lines.rest(&mut judge),
                part => lines.take(part, &mut judge),
            }
            assert!(lines.line.len() <= MOST + part.len());
        }
        found
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        for parts in [
            &[&b"one\ntwo\r\nthree\n"[..]][..],
            &[b"o", b"ne\ntw", b"o\r", b"\nthr", b"ee", b"\n"],
            &[b"one\n", b"two\r\n", b"three", b"|", b"|"],
        ] {
            assert_eq!(matching("^two$", parts), ["two"]);
            assert_eq!(matching("e$", parts), ["one", "three"]);
            assert_eq!(matching("net", parts), Vec::<String>::new());
        }
    }

    #[test]
    fn colours_are_no_part_of_a_line() {
        let line = b"\x1b[1;31mpanic\x1b[0m: gone\x1b[0m\r\n";
        assert_eq!(matching("^panic: gone$", &[line]), ["panic: gone"]);
        let (first, second) = line.split_at(3);
        assert_eq!(matching("^panic: gone$", &[first, second]), ["panic: gone"]);
        assert_eq!(matching("^panic", &[b"a\x1b[31mpanic\n"]), Vec::<String>::new());
    }

    #[test]
    fn an_unfinished_line_waits_until_nothing_more_comes() {
        assert_eq!(matching("ready$", &[b"ready"]), Vec::<String>::new());
        assert_eq!(matching("ready$", &[b"ready", b" soon\n"]), Vec::<String>::new());
        assert_eq!(matching("ready", &[b"rea", b"|", b"dy", b"|", b"|"]), ["ready"]);
        assert_eq!(matching("ready", &[b"rea", b"|", b"dy\n"]), ["ready"]);
        assert_eq!(matching("x", &[b"", b"|"]), Vec::<String>::new());
    }

    #[test]
    fn a_line_of_any_length_is_searched_whole() {
        // Where the first piece ends, and the second begins, if it comes in parts of 4096.
        let (end, begin) = (MOST + 4096, MOST + 4096 - OVERLAP);
        for at in [0, 100, begin, end - 5, end - 3, end, 2 * MOST - 4, (1 << 20) - 5] {
            let mut line = vec![b'x'; 1 << 20];
            line[at..at + 5].copy_from_slice(b"panic");
            line.extend_from_slice(b"\nnext\n");
            for size in [4096, 100_000, 2 << 20] {
                let parts: Vec<&[u8]> = line.chunks(size).collect();
                assert!(!matching("panic", &parts).is_empty(), "at {at}, in parts of {size}");
                let at_start = matching("^panic", &parts);
                assert_eq!(at_start.is_empty(), at != 0, "at {at}, in parts of {size}");
                let at_end = matching("panic$", &parts);
                assert_eq!(at_end.is_empty(), at + 5 != 1 << 20, "at {at}, in parts of {size}");
                assert!(matching("x^|$x", &parts).is_empty());
                assert_eq!(matching("^next$", &parts), ["next"]);
            }
        }
    }
}

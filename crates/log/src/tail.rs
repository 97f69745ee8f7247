//! Finding the beginning of the last lines.

use std::io;
use std::ops::Range;

use crate::reader::{LogReader, Read};

/// How much is read at once.
const BLOCK: u64 = 64 * 1024;

impl LogReader {
    /// Where the last `lines` lines of a range of logical offsets begin. A last line without an end counts as
    /// one. Bytes that are gone end the search. The reader stays where it is, unless the log has begun
    /// again meanwhile.
    ///
    /// # Errors
    /// The log's files cannot be read.
    pub fn tail_start(&mut self, range: Range<u64>, lines: usize) -> io::Result<u64> {
        let stood = self.offset();
        let found = self.find_tail(range, lines);
        self.seek(stood)?;
        found
    }

    fn find_tail(&mut self, range: Range<u64>, lines: usize) -> io::Result<u64> {
        let extent = self.extent()?;
        let end = range.end.min(extent.end);
        let first = range.start.max(extent.oldest).min(end);
        if lines == 0 {
            return Ok(end);
        }
        let mut block = vec![0; BLOCK as usize];
        let mut until = end;
        let mut ends = 0;
        while until > first {
            let start = until.saturating_sub(BLOCK).max(first);
            let from = self.fill(start..until, &mut block)?;
            let part = &block[..(until - from) as usize];
            for (at, byte) in part.iter().enumerate().rev() {
                // The very last newline ends the last line, and begins none.
                if *byte == b'\n' && from + (at as u64) + 1 < end {
                    ends += 1;
                    if ends == lines {
                        return Ok(from + at as u64 + 1);
                    }
                }
            }
            if from > start {
                return Ok(from);
            }
            until = start;
        }
        Ok(first)
    }

    /// Reads a range to the beginning of `into`; if part of it is gone, what comes after. Gives where it begins.
    fn fill(&mut self, range: Range<u64>, into: &mut [u8]) -> io::Result<u64> {
        self.seek(range.start)?;
        let (mut from, mut length) = (range.start, 0);
        loop {
            let rest = range.end - from - length as u64;
            if rest == 0 {
                return Ok(from);
            }
            match self.read_until(range.end, &mut into[length..])? {
                Read::Bytes(bytes) => length += bytes,
                Read::Gone(_) => (from, length) = (self.offset(), 0),
                Read::Restarted | Read::End => return Ok(range.end),
            }
        }
    }
}

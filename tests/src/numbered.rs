//! Lines that tell whether any is missing, doubled or out of place: made by the writers of logs, and made again by
//! who checks what they wrote.

use std::io::{ErrorKind, Read};
use std::ops::Range;

/// Of each line, with its end. No block of a file ends where a line does.
const LENGTH: usize = 97;

/// How much is compared at once.
const BLOCK: usize = 1 << 20;

/// The lines of one writer, without end: its name, and their number from 0 on.
#[derive(Debug, Clone)]
pub struct Numbered {
    line: Vec<u8>,
    /// Bytes of the line that have been given.
    given: usize,
}

impl Numbered {
    /// Of a writer with this name, from the first line on.
    pub fn new(name: &str) -> Self {
        let digits = LENGTH - name.len() - 2;
        Self { line: format!("{name} {:0digits$}\n", 0).into_bytes(), given: 0 }
    }

    /// What comes after so many bytes of it.
    pub fn after(name: &str, bytes: u64) -> Self {
        let mut lines = Self::new(name);
        let number = format!("{:0width$}", bytes / LENGTH as u64, width = LENGTH - name.len() - 2);
        lines.line[name.len() + 1..LENGTH - 1].copy_from_slice(number.as_bytes());
        lines.given = usize::try_from(bytes % LENGTH as u64).expect("less than a line");
        lines
    }

    /// How many bytes whole lines have that are at least so many.
    pub fn whole(bytes: u64) -> u64 {
        bytes.next_multiple_of(LENGTH as u64)
    }

    /// How many lines so many bytes are.
    pub fn lines(bytes: u64) -> u64 {
        bytes / LENGTH as u64
    }

    /// The bytes that come next.
    pub fn fill(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            let length = into.len().min(LENGTH - self.given);
            let (now, rest) = into.split_at_mut(length);
            now.copy_from_slice(&self.line[self.given..self.given + length]);
            into = rest;
            self.given += length;
            if self.given == LENGTH {
                self.given = 0;
                self.count();
            }
        }
    }

    fn count(&mut self) {
        for digit in self.line[..LENGTH - 1].iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// Panics unless this is the first `bytes` of a writer's lines: each once, in order, whole, and nothing else.
/// `of` says what is read.
#[track_caller]
pub fn assert_numbered(of: &str, name: &str, bytes: u64, log: impl Read) {
    assert_part(of, name, 0..bytes, log);
}

/// The same of a part of them.
#[track_caller]
pub fn assert_part(of: &str, name: &str, range: Range<u64>, mut log: impl Read) {
    let mut expected = Numbered::after(name, range.start);
    let (mut theirs, mut ours) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = range.start;
    loop {
        let length = match log.read(&mut theirs) {
            Ok(length) => length,
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(err) => panic!("{of}: {err}"),
        };
        if length == 0 {
            break;
        }
        let (theirs, ours) = (&theirs[..length], &mut ours[..length]);
        expected.fill(ours);
        if theirs != ours {
            let same = theirs.iter().zip(ours.iter()).take_while(|(theirs, ours)| theirs == ours).count();
            let shown =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[same..length.min(same + 300)]).into_owned();
            let place = at + same as u64;
            panic!(
                "{of}: wrong at byte {place} of {range:?}:\n{:?}\ninstead of\n{:?}",
                shown(theirs),
                shown(ours)
            );
        }
        at += length as u64;
    }
    assert_eq!(at, range.end, "{of}: so many bytes are right, and there are no more or too many");
}

/// A line of any bytes, its end counted: no UTF-8, zeros among them, and for each `number` another.
pub fn odd_line(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut line = Vec::with_capacity(length + 8);
    while line.len() + 1 < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        line.extend(state.to_le_bytes().map(|byte| if byte == b'\n' { 0xff } else { byte }));
    }
    line.truncate(length.saturating_sub(1));
    // What a file system might take for a hole.
    if let Some(middle) = line.get_mut(length / 4..length / 2) {
        middle.fill(0);
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn lines(bytes: usize) -> Vec<u8> {
        let mut made = vec![0; bytes];
        // In pieces of any length.
        let (first, second) = made.split_at_mut(bytes / 3);
        let mut numbered = Numbered::new("web");
        numbered.fill(first);
        numbered.fill(second);
        made
    }

    #[test]
    fn counts() {
        let made = String::from_utf8(lines(LENGTH * 1200)).unwrap();
        let numbers: Vec<u32> =
            made.lines().map(|line| line.strip_prefix("web ").unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..1200).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let bytes = LENGTH * 30;
        let right = lines(bytes);
        assert_numbered("right", "web", bytes as u64, &right[..]);
        assert_part("right", "web", 1000..bytes as u64, &right[1000..]);
        let line = |number: usize| right[number * LENGTH..(number + 1) * LENGTH].to_vec();
        let before = right[..10 * LENGTH].to_vec();
        for wrong in [
            [before.clone(), right[11 * LENGTH..].to_vec()].concat(),
            [before.clone(), line(9), right[10 * LENGTH..].to_vec()].concat(),
            [before.clone(), line(11), line(10), right[12 * LENGTH..].to_vec()].concat(),
            [before, vec![0], right[10 * LENGTH..].to_vec()].concat(),
            right[..bytes - 1].to_vec(),
            lines(bytes + LENGTH),
        ] {
            assert!(catch_unwind(|| assert_numbered("wrong", "web", bytes as u64, &wrong[..])).is_err());
        }
    }

    #[test]
    fn odd_lines_are_lines() {
        for length in [1, 2, 9, 64, 5000] {
            let line = odd_line(7, length);
            assert_eq!(line.len(), length);
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(length - 1));
        }
        assert!(String::from_utf8(odd_line(1, 5000)).is_err());
        assert!(odd_line(1, 5000) != odd_line(2, 5000));
    }
}

//! Several logs in the order of time.

use std::ops::Range;

use crate::times::Timeline;

/// Part of one of several logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which log: its place among the arguments.
    pub log: usize,
    /// Logical offsets.
    pub range: Range<u64>,
}

/// In which order to show parts of several logs, so that they are in the order of time, to about a second. Within
/// a log the order is always that of its bytes; what nobody knows the time of comes last. Pieces end
/// anywhere in a line: hold back a line's beginning until the rest has come.
#[must_use]
pub fn merge(logs: &[(Timeline, Range<u64>)]) -> Vec<Piece> {
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (log, (times, range)) in logs.iter().enumerate() {
        let mut from = range.start;
        // A wall clock set back must not turn a log around.
        let mut latest = 0;
        while from < range.end {
            let to = times.next_note(from).unwrap_or(u64::MAX).min(range.end);
            latest = times.written(from).unwrap_or(u64::MAX).max(latest);
            pieces.push((latest, Piece { log, range: from..to }));
            from = to;
        }
    }
    // Stable: what is of one moment stays in the order of the arguments.
    pieces.sort_by_key(|(time, _)| *time);
    let mut merged: Vec<Piece> = Vec::with_capacity(pieces.len());
    for (_, piece) in pieces {
        match merged.last_mut() {
            Some(last) if last.log == piece.log && last.range.end == piece.range.start => {
                last.range.end = piece.range.end;
            }
            _ => merged.push(piece),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::{Moment, Note};

    fn times(notes: &[(u64, u64)]) -> Timeline {
        let note = |&(offset, seconds): &(u64, u64)| Note {
            offset,
            at: Moment { wall: seconds * 1000, boot: seconds * 1000, boot_tag: 1 },
            watched: true,
        };
        Timeline::of(notes.iter().map(note).collect())
    }

    #[test]
    fn in_the_order_of_time() {
        let a = times(&[(10, 1), (20, 5), (30, 6)]);
        let b = times(&[(100, 3), (200, 9)]);
        let merged: Vec<_> = merge(&[(a, 5..40), (b, 0..200)])
            .into_iter()
            .map(|p| (p.log, p.range.start, p.range.end))
            .collect();
        assert_eq!(merged, [(0, 5, 10), (1, 0, 100), (0, 10, 30), (1, 100, 200), (0, 30, 40)]);
    }

    #[test]
    fn a_clock_set_back_turns_no_log_around() {
        let merged = merge(&[(times(&[(10, 50), (20, 4), (30, 60)]), 0..30)]);
        assert_eq!(merged, [Piece { log: 0, range: 0..30 }]);
    }
}

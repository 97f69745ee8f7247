//! What the process of a library prints: told to people, within reason.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use vitald_core::wording::{excerpt, without_sequences};

use crate::host_client::Place;
use crate::model::NoticeKind;

/// Most bytes of a line that are kept.
const LONGEST: usize = 1000;
/// Bytes that are read at a time.
const AT_ONCE: usize = 64 * 1024;
/// How long who prints that much has to wait.
const REST: Duration = Duration::from_millis(10);
/// Lines that are told at once.
const BURST: u32 = 20;
/// One more line is told in such a time.
const A_LINE_EVERY: Duration = Duration::from_secs(1);
/// What was printed longer ago than this does not say why a process ended.
const STALE: Duration = Duration::from_secs(2);

/// What Rust adds to what it has said in the line before.
const NOTHING_NEW: [&str; 5] = [
    "note: run with `RUST_BACKTRACE",
    "note: Some details are omitted, run with `RUST_BACKTRACE",
    "fatal runtime error: stack overflow",
    "skipping backtrace printing",
    BACKTRACE,
];
/// The frames of a stack follow, where RUST_BACKTRACE asks for them.
const BACKTRACE: &str = "stack backtrace:";

/// The last line that was printed.
#[derive(Default)]
pub(super) struct Words {
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    last: Option<(Instant, String)>,
    in_backtrace: bool,
}

impl Words {
    /// What was printed just now, if it says anything.
    pub(super) fn last(&self) -> Option<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.as_ref().filter(|(at, _)| at.elapsed() < STALE).map(|(_, line)| excerpt(line))
    }

    fn heard(&self, line: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.in_backtrace && is_frame(line) {
            return;
        }
        heard.in_backtrace = line == BACKTRACE;
        if !NOTHING_NEW.iter().any(|beginning| line.starts_with(beginning)) {
            heard.last = Some((Instant::now(), line.to_owned()));
        }
    }
}

/// Whether this is of a backtrace: `   3: probe::check`, and where that is, `             at src/lib.rs:7:5`.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let numbered = text.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    numbered || (text.len() < line.len() && text.starts_with("at "))
}

/// Reads until the last process that may print has ended.
pub(super) async fn read(mut output: pipe::Receiver, place: Arc<Place>, words: Arc<Words>) {
    let mut teller = Teller { left: BURST, since: Instant::now(), untold: 0 };
    let mut buffer = vec![0; 4096];
    let mut line = Vec::new();
    let mut read_lately = 0;
    loop {
        let read = output.read(&mut buffer).await.unwrap_or(0);
        for &byte in &buffer[..read] {
            if byte == b'\n' {
                end_of(&mut line, &place, &words, &mut teller);
            } else if line.len() < LONGEST {
                line.push(byte);
            }
        }
        if read == 0 {
            return end_of(&mut line, &place, &words, &mut teller);
        }
        read_lately += read;
        if read_lately >= AT_ONCE {
            read_lately = 0;
            tokio::time::sleep(REST).await;
        }
    }
}

fn end_of(line: &mut Vec<u8>, place: &Place, words: &Words, teller: &mut Teller) {
    let text = without_sequences(line);
    let text = String::from_utf8_lossy(&text);
    let text: String = text.trim_end().chars().filter(|c| !c.is_control() || *c == '\t').collect();
    let text = text.trim_end().to_owned();
    line.clear();
    if text.is_empty() {
        return;
    }
    words.heard(&text);
    if let Some(before) = teller.may_tell(Instant::now()) {
        if before > 0 {
            place.tell(NoticeKind::Output, format!("({before} more lines)"));
        }
        place.tell(NoticeKind::Output, text);
    }
}

/// How many lines may still be told.
struct Teller {
    left: u32,
    since: Instant,
    untold: u64,
}

impl Teller {
    /// How many lines were not told before this one, if this one may be.
    fn may_tell(&mut self, now: Instant) -> Option<u64> {
        let earned = (now - self.since).as_secs() / A_LINE_EVERY.as_secs();
        if earned > 0 {
            self.left = self.left.saturating_add(earned.try_into().unwrap_or(u32::MAX)).min(BURST);
            self.since = now;
        }
        if self.left == 0 {
            self.untold += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_not_those_of_a_backtrace() {
        let panic = "thread 'probe' (7) panicked at src/lib.rs:121:24:\nodd as ever\n";
        let brief = "stack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/1/panicking.rs:689:5\n  \
                     12: odd::check\nnote: Some details are omitted, run with `RUST_BACKTRACE=full` for more.\n";
        let full = "stack backtrace:\n   0:     0x55d0c0ffee - std::panicking::begin\n  10:                0x0 - <unknown>\n";
        let memory =
            "memory allocation of 8 bytes failed\nskipping backtrace printing to avoid potential recursion\n";
        for (printed, last) in [
            (panic.to_owned(), "odd as ever"),
            (panic.to_owned() + "note: run with `RUST_BACKTRACE=1` environment variable\n", "odd as ever"),
            (panic.to_owned() + brief, "odd as ever"),
            (panic.to_owned() + full, "odd as ever"),
            (panic.to_owned() + brief + "3: not of a stack\n", "3: not of a stack"),
            (panic.to_owned() + full + "giving up\n7: for good\n", "7: for good"),
            (memory.to_owned() + brief, "memory allocation of 8 bytes failed"),
        ] {
            let words = Words::default();
            printed.lines().for_each(|line| words.heard(line));
            assert_eq!(words.last().as_deref(), Some(last), "{printed}");
        }
    }

    #[test]
    fn a_flood_is_told_a_line_a_second() {
        let start = Instant::now();
        let mut teller = Teller { left: BURST, since: start, untold: 0 };
        let told = (0..1000).filter(|_| teller.may_tell(start).is_some()).count();
        assert_eq!(told, 20);
        assert_eq!(teller.may_tell(start + Duration::from_secs(1)), Some(980));
        assert_eq!(teller.may_tell(start + Duration::from_secs(1)), None);
    }
}

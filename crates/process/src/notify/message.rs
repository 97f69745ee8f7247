//! A message of sd_notify(3): `NAME=value` lines.

use std::time::Duration;

use nix::errno::Errno;

/// Most bytes of a message, as systemd has it; a longer one is not taken.
pub(super) const MAX_MESSAGE: usize = 4096;

/// Most characters of a text that people see.
const MAX_TEXT: usize = 200;

/// More time than this is not given at once; it can be asked for again.
const MOST_TIME: Duration = Duration::from_secs(24 * 3600);

/// One line, as far as it means anything here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Ready,
    Reloading,
    Stopping,
    Status(String),
    /// `ERRNO=` or `BUSERROR=`.
    Error(String),
    MainPid(i32),
    Alive,
    GaveUp,
    /// How long it may be silent; zero: for ever.
    Watchdog(Duration),
    MoreTime(Duration),
}

/// What a message says. What is not known, or makes no sense, says nothing: `BARRIER=1`, `FDSTORE=1` and such.
pub(super) fn read(message: &[u8]) -> Vec<Word> {
    // As systemd: one NUL at its end is forgiven.
    let message = message.strip_suffix(b"\0").unwrap_or(message);
    if message.contains(&0) {
        return Vec::new();
    }
    String::from_utf8_lossy(message).lines().filter_map(word).collect()
}

fn word(line: &str) -> Option<Word> {
    let (name, value) = line.split_once('=')?;
    let micros = || value.parse().ok().map(Duration::from_micros);
    Some(match (name, value) {
        ("READY", "1") => Word::Ready,
        ("RELOADING", "1") => Word::Reloading,
        ("STOPPING", "1") => Word::Stopping,
        ("STATUS", text) => Word::Status(plain(text)),
        ("ERRNO", number) => {
            let errno = Errno::from_raw(number.parse::<u16>().ok()?.into());
            Word::Error(format!("ERRNO={number} ({})", errno.desc()))
        }
        ("BUSERROR", text) => Word::Error(format!("BUSERROR={}", plain(text))),
        ("MAINPID", pid) => Word::MainPid(pid.parse().ok().filter(|pid| *pid > 1)?),
        ("WATCHDOG", "1") => Word::Alive,
        ("WATCHDOG", "trigger") => Word::GaveUp,
        ("WATCHDOG_USEC", _) => Word::Watchdog(micros()?),
        ("EXTEND_TIMEOUT_USEC", _) => Word::MoreTime(micros()?.min(MOST_TIME)),
        _ => return None,
    })
}

/// One short line that does nothing to a terminal.
fn plain(text: &str) -> String {
    // Those that turn the direction of writing are no control characters, and do as much harm.
    let turns =
        |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean: String = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    let clean = clean.trim();
    match clean.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn lines_are_read_and_what_is_not_known_is_passed_over() {
        let message =
            b"READY=1\nSTATUS=Serves 3 clients\nMAINPID=4242\nX_OWN=1\nFDSTORE=1\nBARRIER=1\nWATCHDOG=1";
        assert_eq!(
            read(message),
            [Word::Ready, Word::Status("Serves 3 clients".into()), Word::MainPid(4242), Word::Alive]
        );
        assert_eq!(read(b"STOPPING=1\nRELOADING=1"), [Word::Stopping, Word::Reloading]);
        assert_eq!(
            read(b"WATCHDOG=trigger\nWATCHDOG_USEC=2000000"),
            [Word::GaveUp, Word::Watchdog(seconds(2))]
        );
        assert_eq!(read(b"EXTEND_TIMEOUT_USEC=5000000\0"), [Word::MoreTime(seconds(5))]);
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        for message in [
            &b""[..],
            b"READY",
            b"READY=0",
            b"READY=1\0STATUS=x",
            b"MAINPID=1",
            b"MAINPID=-7",
            b"MAINPID=99999999999",
            b"WATCHDOG_USEC=soon",
            b"EXTEND_TIMEOUT_USEC=-1",
            b"ERRNO=x",
        ] {
            assert_eq!(read(message), [], "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn errors_are_told_in_words() {
        assert_eq!(read(b"ERRNO=2"), [Word::Error("ERRNO=2 (No such file or directory)".into())]);
        assert_eq!(read(b"BUSERROR=org.x.Y"), [Word::Error("BUSERROR=org.x.Y".into())]);
    }

    #[test]
    fn more_time_than_a_day_is_a_day() {
        assert_eq!(read(b"EXTEND_TIMEOUT_USEC=18446744073709551615"), [Word::MoreTime(MOST_TIME)]);
    }

    #[test]
    fn a_text_is_one_short_line_that_does_nothing_to_a_terminal() {
        assert_eq!(plain(" a\x1b[2Jb\tc\r\u{202e}d\u{9b}e "), "a [2Jb c  d e");
        let long = plain(&"ä".repeat(4000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_TEXT + 1, true));
        assert_eq!(read(b"STATUS=\xff\xfe"), [Word::Status("\u{fffd}\u{fffd}".into())]);
    }
}

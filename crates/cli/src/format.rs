//! Numbers and words as people read them.

use vitald_core::status::{ComponentStatus, LastExit};

/// `12s`, `3m4s`, `2h5m`, `4d3h`: the two units that matter.
pub(crate) fn span(seconds: f64) -> String {
    // Truncation is what a clock shows.
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// `512 MiB`, `1.5 GiB`, `700 bytes`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        // To two places, without zeros at the end.
        Some((name, unit)) => format!("{} {name}", (bytes as f64 / *unit as f64 * 100.0).round() / 100.0),
        None => count(usize::try_from(bytes).unwrap_or(usize::MAX), "byte"),
    }
}

/// `0.8 ms`, `2.31 s`.
pub(crate) fn latency(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms < 1000.0 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

/// `3s`, or `-` where there is none.
pub(crate) fn uptime(component: &ComponentStatus) -> String {
    component.uptime_seconds.map_or_else(|| "-".into(), span)
}

/// `2/10`: how many of the automatic restarts are used up.
pub(crate) fn restarts(component: &ComponentStatus) -> String {
    format!("{}/{}", component.restarts_in_window, component.max_restarts)
}

/// Reason and message: `CrashLoopBackOff: again in 4s`.
pub(crate) fn message(component: &ComponentStatus) -> String {
    match (component.reason.as_str(), component.message.as_str()) {
        (reason, "") => reason.to_owned(),
        ("", message) => plain(message),
        (reason, message) => format!("{reason}: {}", plain(message)),
    }
}

/// `SIGKILL, Error, after 44s`.
pub(crate) fn last_exit(exit: &LastExit) -> String {
    let how = match (&exit.signal, exit.code) {
        (Some(signal), _) => signal.clone(),
        (None, Some(code)) => format!("status {code}"),
        (None, None) => "no status".into(),
    };
    format!("{how}, {}, after {}", exit.reason, span(exit.uptime_seconds))
}

/// `1 component`, `3 components`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Text of somebody else's on one line, without what would steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    // Those that turn the direction of writing are no control characters, and do as much harm.
    let turns =
        |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.trim_end().chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect()
}

/// A command as it would be typed.
pub(crate) fn command(words: &[String]) -> String {
    let quoted = |word: &String| {
        let harmless = |c: char| c.is_alphanumeric() || "_-+=:,./@%$()".contains(c);
        match !word.is_empty() && word.chars().all(harmless) {
            true => word.clone(),
            false => format!("'{}'", plain(word).replace('\'', r"'\''")),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A UTC time of the API in the local zone: `2026-01-22 11:00:00`; as it is if it is none.
pub(crate) fn local_time(time: &str, pattern: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(
        |_| time.to_owned(),
        |at| at.to_zoned(jiff::tz::TimeZone::system()).strftime(pattern).to_string(),
    )
}

/// How long ago a UTC time of the API was: `3m4s ago`.
pub(crate) fn ago(time: &str, now: jiff::Timestamp) -> String {
    time.parse::<jiff::Timestamp>()
        .map_or_else(|_| time.to_owned(), |at| format!("{} ago", span(now.duration_since(at).as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        let table = [
            (-3.0, "0s"),
            (0.9, "0s"),
            (59.9, "59s"),
            (60.0, "1m0s"),
            (184.0, "3m4s"),
            (7500.0, "2h5m"),
            (356_400.0, "4d3h"),
        ];
        for (seconds, shown) in table {
            assert_eq!(span(seconds), shown);
        }
    }

    #[test]
    fn sizes() {
        let table = [(1, "1 byte"), (700, "700 bytes"), (512 << 20, "512 MiB"), (3 << 29, "1.5 GiB")];
        for (bytes, shown) in table {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn latencies() {
        assert_eq!(latency(0.83), "0.8 ms");
        assert_eq!(latency(2312.0), "2.31 s");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc\u{202e}d\n"), "a [2Jb c d");
    }

    #[test]
    fn commands_can_be_pasted() {
        let words = ["sh", "-c", "echo 'hi' > x", "", "$(PORT)"].map(str::to_owned);
        assert_eq!(command(&words), r"sh -c 'echo '\''hi'\'' > x' '' $(PORT)");
    }

    #[test]
    fn ages() {
        let now = "2026-01-22T10:03:04Z".parse().unwrap();
        assert_eq!(ago("2026-01-22T10:00:00.000Z", now), "3m4s ago");
        assert_eq!(ago("never", now), "never");
    }
}

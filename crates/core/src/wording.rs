//! Words that the probes share, so that the same trouble reads the same everywhere.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::probe::ProbeResult;

/// What `localhost` stands for, whatever the machine's hosts file says: a server may be bound to either.
pub const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// `host:port`, with brackets around an IPv6 address.
///
/// ```
/// use vitald_core::wording::host_port;
///
/// assert_eq!(host_port("localhost", 80), "localhost:80");
/// assert_eq!(host_port("fe80::1%eth0", 80), "[fe80::1%eth0]:80");
/// ```
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why no connection to `host:port` came about. `tried` are the addresses that the host stood for, as far
/// as known; `err` is what the first of them said.
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use vitald_core::wording::{LOCALHOST, connect_failure};
///
/// let refused = Error::from(ErrorKind::ConnectionRefused);
/// assert_eq!(
///     connect_failure(&refused, "localhost", 50051, &LOCALHOST),
///     "connection refused by localhost:50051 (127.0.0.1 and ::1): nothing listens there",
/// );
/// ```
pub fn connect_failure(err: &io::Error, host: &str, port: u16, tried: &[IpAddr]) -> String {
    let mut peer = host_port(host, port);
    if host.parse::<IpAddr>().is_err() && !tried.is_empty() {
        let tried: Vec<_> = tried.iter().map(IpAddr::to_string).collect();
        peer = format!("{peer} ({})", tried.join(" and "));
    }
    match err.kind() {
        ErrorKind::ConnectionRefused => format!("connection refused by {peer}: nothing listens there"),
        ErrorKind::ConnectionReset => format!("connection reset by {peer}"),
        ErrorKind::TimedOut => format!("no answer from {peer}: the system gave up connecting"),
        ErrorKind::HostUnreachable => format!("{peer} cannot be reached: no route to that host"),
        ErrorKind::NetworkUnreachable => format!("{peer} cannot be reached: no route to that network"),
        ErrorKind::PermissionDenied => format!("not allowed to connect to {peer}: permission denied"),
        _ => format!("cannot connect to {peer}: {}", system_error(err)),
    }
}

/// Whether `err` is the supervisor's own shortage, in which the component has no part: too many open files,
/// no memory, or no local port left to connect from.
pub fn is_ours(err: &io::Error) -> bool {
    // Linux's numbers, the same on x86, Arm and RISC-V; `ErrorKind` does not tell them all apart.
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EADDRNOTAVAIL: i32 = 99;
    const ENOBUFS: i32 = 105;
    matches!(err.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS))
}

/// What it means for the component that `err` left a check without an answer: a failure, unless the shortage
/// [`is_ours`].
pub fn unanswered(err: &io::Error, reason: String) -> ProbeResult {
    if is_ours(err) { ProbeResult::Unknown(reason) } else { ProbeResult::Failure(reason) }
}

/// Why a host's addresses were not found.
pub fn resolve_failure(err: &io::Error, host: &str) -> String {
    let reason = system_error(err);
    let reason = reason.strip_prefix("failed to lookup address information: ").unwrap_or(&reason);
    format!("host `{host}` cannot be resolved: {reason}")
}

/// A system error for the middle of a sentence: no number, lower case.
pub fn system_error(err: &io::Error) -> String {
    let text = err.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // `No such file` becomes `no such file`; `I/O error` stays.
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// What a program wrote, without the sequences that are meant for a terminal: colours, cursor movements, titles.
///
/// ```
/// use vitald_core::wording::without_sequences;
///
/// assert_eq!(without_sequences(b"\x1b[1;31mpanic\x1b[0m: out of range")[..], *b"panic: out of range");
/// ```
pub fn without_sequences(text: &[u8]) -> Cow<'_, [u8]> {
    const ESCAPE: u8 = 0x1b;
    let is_escape = |byte: &u8| *byte == ESCAPE;
    if !text.contains(&ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(is_escape) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + sequence(&rest[at..])..];
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// The length of the sequence that a text begins with, by ECMA-48. Only its first byte where it is none.
fn sequence(text: &[u8]) -> usize {
    let after = |from: usize, is_end: fn(&u8) -> bool| {
        text.iter().skip(from).position(is_end).map(|end| from + end + 1)
    };
    let length = match text.get(1) {
        // Parameters, then one letter or sign.
        Some(b'[') => after(2, |byte| !(b' '..=b'?').contains(byte))
            .filter(|length| (b'@'..=b'~').contains(&text[length - 1])),
        // A title or a link, which a bell ends, or `ESC \`.
        Some(b']') => after(2, |byte| matches!(byte, 0x07 | 0x1b)).map(|length| match text.get(length) {
            Some(b'\\') if text[length - 1] == 0x1b => length + 1,
            _ => length,
        }),
        _ => None,
    };
    length.unwrap_or(1)
}

/// The beginning of what a program or server said, as one line that is safe to show.
pub fn excerpt(text: &str) -> String {
    const MAX: usize = 200;
    let plain = without_sequences(text.as_bytes());
    let text = String::from_utf8_lossy(&plain);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = line.chars().filter(|c| !c.is_control()).take(MAX + 1).collect();
    if let Some((end, _)) = shown.char_indices().nth(MAX) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_once() {
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(
            connect_failure(&refused, "127.0.0.1", 50051, &[LOCALHOST[0]]),
            "connection refused by 127.0.0.1:50051: nothing listens there"
        );
        assert_eq!(
            connect_failure(&refused, "::1", 80, &[LOCALHOST[1]]),
            "connection refused by [::1]:80: nothing listens there"
        );
    }

    #[test]
    fn system_errors_lose_their_number() {
        let err = io::Error::from_raw_os_error(24);
        assert_eq!(connect_failure(&err, "db", 5432, &[]), "cannot connect to db:5432: too many open files");
        assert_eq!(system_error(&io::Error::from_raw_os_error(5)), "input/output error");
    }

    #[test]
    fn a_shortage_of_our_own_is_no_failure() {
        for ours in [12, 23, 24, 99, 105] {
            let err = io::Error::from_raw_os_error(ours);
            assert!(is_ours(&err), "{err}");
            assert_eq!(unanswered(&err, "why".into()), ProbeResult::unknown("why"));
        }
        // Refused, reset, timed out, unreachable, forbidden.
        for theirs in [111, 104, 110, 113, 101, 13] {
            let err = io::Error::from_raw_os_error(theirs);
            assert!(!is_ours(&err), "{err}");
            assert_eq!(unanswered(&err, "why".into()), ProbeResult::failure("why"));
        }
        assert!(!is_ours(&io::Error::other("no number")));
    }

    #[test]
    fn sequences_for_a_terminal_are_left_out() {
        for (text, plain) in [
            ("none", "none"),
            ("\x1b[31mred\x1b[0m é\x1b[K", "red é"),
            ("\x1b[38;5;196m\x1b[1mbold", "bold"),
            ("\x1b[?25lhidden", "hidden"),
            ("\x1b]0;a title\x07text", "text"),
            ("\x1b]8;;http://a/\x1b\\link\x1b]8;;\x1b\\ more", "link more"),
            // What is none is left as it is, but for the byte that it begins with.
            ("a\x1b", "a"),
            ("\x1b[31", "[31"),
            ("\x1b[3é1m", "[3é1m"),
            ("\x1b]no end", "]no end"),
            ("\x1bMup", "Mup"),
        ] {
            let found = without_sequences(text.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), plain, "{text:?}");
        }
    }

    #[test]
    fn an_excerpt_is_one_safe_line() {
        assert_eq!(excerpt("  a\n\tb\r\n \x1b[31mred\0 "), "a b red");
        assert_eq!(excerpt(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(excerpt(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}

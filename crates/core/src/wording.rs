//! Words that the probes share, so that the same trouble reads the same everywhere.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::probe::ProbeResult;

/// What `localhost` stands for, whatever the machine's hosts file says: a server may be bound to either.
pub const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// `host:port`, with brackets around an IPv6 address.
pub fn host_port(host: &str, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
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

/// The beginning of what a program or server said, as one line that is safe to show.
pub fn excerpt(text: &str) -> String {
    const MAX: usize = 200;
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
    fn an_excerpt_is_one_safe_line() {
        assert_eq!(excerpt("  a\n\tb\r\n \x1b[31mred\0 "), "a b [31mred");
        assert_eq!(excerpt(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(excerpt(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}

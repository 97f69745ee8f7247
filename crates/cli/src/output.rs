//! The one place that writes to the terminal, a pipe or a file.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::Serialize;

use crate::exit::Failure;

/// How often a command that waits for news looks whether anybody still reads them.
const UNREAD_LOOK: Duration = Duration::from_millis(500);

/// Writes a line to stdout.
///
/// # Errors
/// A reader that has gone away (`vitald logs | head`) ends the command quietly.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes to stdout, as they are, now.
///
/// # Errors
/// As for [`line()`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|err| match err.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(),
        _ => Failure::not(format!("cannot write to stdout: {err}")),
    })
}

/// Writes a line to stdout, for a command that has more to do, or a verdict to give, if nobody reads it.
///
/// # Errors
/// Stdout cannot be written to, for another reason.
pub(crate) fn say(text: impl Display) -> Result<(), Failure> {
    even_unread(line(text))
}

/// Makes nothing of it if the reader has gone away: whoever asks only for the exit status gets it.
///
/// # Errors
/// Stdout could not be written to, for another reason.
pub(crate) fn even_unread(written: Result<(), Failure>) -> Result<(), Failure> {
    written.or_else(|failure| if failure.is_quiet() { Ok(()) } else { Err(failure) })
}

/// Whether stdout is a pipe or a terminal at whose other end nobody is any more.
pub(crate) fn is_unread() -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&now)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Waits until [`is_unread`].
pub(crate) async fn unread() {
    while !is_unread() {
        tokio::time::sleep(UNREAD_LOOK).await;
    }
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As for [`line()`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).map_err(|err| Failure::not(format!("not JSON: {err}")))?)
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As for [`line()`].
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value).map_err(|err| Failure::not(format!("not JSON: {err}")))?)
}

/// Writes a value as YAML.
///
/// # Errors
/// As for [`line()`].
pub(crate) fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_yaml::to_string(value).map_err(|err| Failure::not(format!("not YAML: {err}")))?;
    bytes(text.as_bytes())
}

/// Says on stderr why something failed. Nobody is left to be told if that fails.
pub(crate) fn complain(text: &str) {
    if !text.is_empty() {
        let red = paint(anstyle::AnsiColor::Red.on_default().bold(), colour_on_stderr());
        note(&format!("{red}error:{red:#} {text}"));
    }
}

/// Says something on stderr.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

/// Whether colour is welcome on stdout: a terminal, and no `NO_COLOR`.
pub(crate) fn colour() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Whether colour is welcome on stderr.
pub(crate) fn colour_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether a person looks at stdout.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How many columns the terminal at stdout has; none where there is none, or where it does not tell.
pub(crate) fn width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col).filter(|width| *width > 0)
}

/// The style, or none where colour is not welcome.
pub(crate) fn paint(style: Style, colour: bool) -> Style {
    if colour { style } else { Style::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_has_gone_is_overlooked() {
        assert!(even_unread(Ok(())).is_ok());
        assert!(even_unread(Err(Failure::quiet())).is_ok());
        assert!(even_unread(Err(Failure::not("cannot write to stdout: disk full"))).is_err());
    }
}

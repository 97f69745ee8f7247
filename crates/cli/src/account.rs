//! What happens, told line by line, by somebody who never holds up the supervisor.

use std::io::Write;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use vitald_core::status::{EventRecord, EventType};

use crate::format::{local_time, plain};
use crate::output::paint;

/// How long the last lines may take to be written: a terminal can be stopped (Ctrl-S), a pipe full.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Writes lines to stdout on a thread of its own. That stdout is closed or stuck is no reason to stop.
pub(crate) struct Account {
    lines: mpsc::Sender<String>,
    written: mpsc::Receiver<()>,
    _thread: JoinHandle<()>,
}

impl Account {
    pub(crate) fn begin() -> Self {
        let (lines, read) = mpsc::channel::<String>();
        let (done, written) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for line in read {
                let mut stdout = std::io::stdout().lock();
                let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
            }
            let _ = done.send(());
        });
        Self { lines, written, _thread: thread }
    }

    pub(crate) fn say(&self, line: impl Into<String>) {
        let _ = self.lines.send(line.into());
    }

    /// Waits, but not for long, until all is written.
    pub(crate) fn end(self) {
        drop(self.lines);
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// How lines look.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Width of the component's column.
    width: usize,
    colour: bool,
    /// `%H:%M:%S`, with the date where the account is kept.
    time: &'static str,
    /// Decide the colour of a component.
    names: Vec<String>,
}

impl Look {
    pub(crate) fn new(names: Vec<String>, colour: bool, kept: bool) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or_default().max("vitald".len());
        let time = if kept { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" };
        Self { width, colour, time, names }
    }

    /// One event as one line.
    pub(crate) fn event(&self, event: &EventRecord) -> String {
        let style = match event.kind {
            EventType::Normal => Style::new(),
            EventType::Warning => AnsiColor::Yellow.on_default(),
        };
        let again = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
        self.line(&event.time, &event.component, &format!("{}{again}", plain(&event.message)), style)
    }

    /// Something that the supervisor itself has to say.
    pub(crate) fn own(&self, text: &str) -> String {
        self.line(&jiff::Timestamp::now().to_string(), "", text, Style::new())
    }

    fn line(&self, time: &str, component: &str, text: &str, style: Style) -> String {
        let (dim, style) = (paint(Style::new().dimmed(), self.colour), paint(style, self.colour));
        let name_style =
            paint(component_style(self.names.iter().position(|name| name == component)), self.colour);
        let (time, width) = (local_time(time, self.time), self.width);
        let name = if component.is_empty() { "vitald" } else { component };
        format!("{dim}{time}{dim:#}  {name_style}{name:width$}{name_style:#}  {style}{text}{style:#}")
    }
}

/// The colour of the component with this number, the same wherever its name stands.
pub(crate) fn component_style(number: Option<usize>) -> Style {
    const COLOURS: [AnsiColor; 6] = [
        AnsiColor::Cyan,
        AnsiColor::Green,
        AnsiColor::Magenta,
        AnsiColor::Blue,
        AnsiColor::BrightCyan,
        AnsiColor::BrightMagenta,
    ];
    number
        .and_then(|number| COLOURS.get(number % COLOURS.len()))
        .map_or(Style::new().bold(), |c| c.on_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(component: &str, count: u64) -> EventRecord {
        EventRecord {
            time: "not a time".into(),
            component: component.into(),
            kind: EventType::Warning,
            reason: "Unhealthy".into(),
            message: "liveness probe failed:\x1b[2J no".into(),
            count,
        }
    }

    #[test]
    fn names_stand_in_a_column() {
        let look = Look::new(vec!["web".into(), "workflow-runner".into()], false, false);
        assert_eq!(
            look.event(&event("web", 1)),
            "not a time  web              liveness probe failed: [2J no"
        );
        assert_eq!(
            look.event(&event("", 3)),
            "not a time  vitald           liveness probe failed: [2J no (x3)"
        );
    }

    #[test]
    fn colour_is_asked_for() {
        let look = Look::new(vec!["web".into()], true, false);
        assert!(look.event(&event("web", 1)).contains("\x1b[36mweb"));
    }
}

//! What happens, told line by line, by somebody who never holds up the supervisor.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde_json::json;
use vitald_core::status::{EventRecord, EventType};
use vitald_log::{Level, RotatingWriter};

use crate::cli::LogFormat;
use crate::format::{local_time, plain};
use crate::output::paint;

/// How long the last lines may take to be written: a terminal can be stopped (Ctrl-S), a pipe full.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The supervisor's own log has files of so many bytes, and so many of them.
const MAX_SIZE: u64 = 10 << 20;
const MAX_FILES: u32 = 5;

/// Writes lines to stdout, or to a file that is kept, on a thread of its own. That stdout is closed or stuck, or the
/// disk full, is no reason to stop.
pub(crate) struct Account {
    lines: mpsc::Sender<String>,
    written: mpsc::Receiver<()>,
    _thread: JoinHandle<()>,
}

impl Account {
    /// Begins one to stdout, or to the log that our stdout and stderr are, too, and go on to be when it is rotated.
    pub(crate) fn begin(log: Option<PathBuf>) -> Self {
        let (lines, read) = mpsc::channel::<String>();
        let (done, written) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let open = |log: &Path| RotatingWriter::open(log, MAX_SIZE, MAX_FILES, vitald_log::Format::Text);
            let kept = log.and_then(|log| Some((open(&log).ok()?, log)));
            for line in read {
                match &kept {
                    Some((writer, log)) => {
                        writer.lines(format!("{line}\n").as_bytes());
                        let _ = follow(log);
                    }
                    None => {
                        let mut stdout = std::io::stdout().lock();
                        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
                    }
                }
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

/// What is still written to stdout and stderr, such as the words of a panic, goes to the live file.
fn follow(log: &Path) -> io::Result<()> {
    let (there, ours) = (std::fs::metadata(log)?, rustix::fs::fstat(io::stderr())?);
    if (there.dev(), there.ino()) != (ours.st_dev, ours.st_ino) {
        let live = File::options().append(true).open(log)?;
        rustix::stdio::dup2_stdout(&live)?;
        rustix::stdio::dup2_stderr(&live)?;
    }
    Ok(())
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
    format: LogFormat,
}

impl Look {
    pub(crate) fn new(names: Vec<String>, colour: bool, kept: bool, format: LogFormat) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or_default().max("vitald".len());
        let time = if kept { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" };
        Self { width, colour, time, names, format }
    }

    /// One event as one line.
    pub(crate) fn event(&self, event: &EventRecord) -> String {
        if self.format == LogFormat::Json {
            let level = match event.kind {
                EventType::Normal => Level::Info,
                EventType::Warning => Level::Warn,
            };
            let EventRecord { time, component, reason, message, count, .. } = event;
            let mut line = json!({"time": time, "level": level});
            if !component.is_empty() {
                line["component"] = component.as_str().into();
            }
            line["message"] = message.as_str().into();
            line["reason"] = reason.as_str().into();
            line["count"] = (*count).into();
            return line.to_string();
        }
        let style = match event.kind {
            EventType::Normal => Style::new(),
            EventType::Warning => AnsiColor::Yellow.on_default(),
        };
        let again = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
        self.line(&event.time, &event.component, &format!("{}{again}", plain(&event.message)), style)
    }

    /// Something that the supervisor itself has to say.
    pub(crate) fn own(&self, text: &str) -> String {
        let now = jiff::Timestamp::now();
        match self.format {
            LogFormat::Text => self.line(&now.to_string(), "", text, Style::new()),
            LogFormat::Json => {
                json!({"time": format!("{now:.3}"), "level": Level::Info, "message": text}).to_string()
            }
        }
    }

    /// A line that a library of custom probes has printed.
    pub(crate) fn output(&self, library: &str, line: &str) -> String {
        let now = jiff::Timestamp::now();
        match self.format {
            LogFormat::Text => self.line(&now.to_string(), library, line, Style::new()),
            LogFormat::Json => {
                let level = Level::Info;
                json!({"time": format!("{now:.3}"), "level": level, "plugin": library, "message": line})
                    .to_string()
            }
        }
    }

    /// Several lines that are laid out already.
    pub(crate) fn as_it_is(&self, text: String) -> String {
        match self.format {
            LogFormat::Text => text,
            LogFormat::Json => self.own(&text),
        }
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
        let look = Look::new(vec!["web".into(), "workflow-runner".into()], false, false, LogFormat::Text);
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
        let look = Look::new(vec!["web".into()], true, false, LogFormat::Text);
        assert!(look.event(&event("web", 1)).contains("\x1b[36mweb"));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let look = Look::new(vec![], true, true, LogFormat::Json);
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let line = parse(&look.event(&event("web", 2)));
        assert_eq!(
            (&line["level"], &line["component"], &line["count"]),
            (&json!("warn"), &json!("web"), &json!(2))
        );
        assert_eq!(parse(&look.as_it_is("a\nb".into()))["message"], "a\nb");
    }
}

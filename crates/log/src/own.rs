//! The supervisor's own log: written by us, so that it can simply be renamed and begun again.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::chain;
use crate::names::Names;

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `2026-11-22T09:13:36.123Z INFO  web: started pid=17`
    #[default]
    Text,
    /// One object a line: `time`, `level`, `component`, `message`, and the fields.
    Json,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For who looks for a mistake.
    Debug,
    /// As it should be.
    Info,
    /// Somebody may want to look.
    Warn,
    /// Something did not work.
    Error,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// When.
    pub time: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// What it is about, if about one.
    pub component: Option<&'a str>,
    /// One sentence.
    pub message: &'a str,
    /// More, by name.
    pub fields: Map<String, Value>,
}

/// Writes whole records to one file, which is renamed when it is full. Clones write to the same; a disk that is full
/// stops nobody: what could not be written is counted, and said when there is room again.
#[derive(Debug, Clone)]
pub struct RotatingWriter {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    names: Names,
    file: File,
    size: u64,
    max_size: u64,
    max_files: u32,
    format: Format,
    lost: u64,
}

impl RotatingWriter {
    /// Goes on with a file (0600), or makes it and its folder (0700). `max_files` counts the live one.
    ///
    /// # Errors
    /// They cannot be made or opened.
    pub fn open(path: &Path, max_size: u64, max_files: u32, format: Format) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let names = Names::new(path);
        let (file, size) = begin(&names, max_files.saturating_sub(1))?;
        let shared = Shared { names, file, size, max_size, max_files, format, lost: 0 };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    /// Writes a record.
    pub fn record(&self, record: &Record<'_>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let line = render(record, shared.format);
        shared.write(line.as_bytes());
    }

    /// Writes lines as they are; they are kept in one file.
    pub fn lines(&self, lines: &[u8]) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).write(lines);
    }
}

/// For whoever wants a writer: each call is one or more whole lines, and never fails.
impl Write for RotatingWriter {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.lines(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn write(&mut self, lines: &[u8]) {
        // Our stderr may be the same file.
        self.size = self.file.metadata().map_or(self.size, |data| data.len());
        if self.size > 0 && self.size + lines.len() as u64 > self.max_size {
            // It grows on if it cannot be rotated.
            let _ = self.rotate();
        }
        if self.lost > 0 {
            let message = format!("{} lines before this could not be written", self.lost);
            let record = Record {
                time: Timestamp::now(),
                level: Level::Warn,
                component: None,
                message: &message,
                fields: Map::new(),
            };
            if !self.put(render(&record, self.format).as_bytes()) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.put(lines) {
            self.lost += 1;
        }
    }

    /// All or nothing: half a line is taken back.
    fn put(&mut self, lines: &[u8]) -> bool {
        if self.file.write_all(lines).is_ok() {
            self.size += lines.len() as u64;
            return true;
        }
        let _ = self.file.set_len(self.size);
        false
    }

    fn rotate(&mut self) -> io::Result<()> {
        let keep = self.max_files.saturating_sub(1);
        let moved = match keep {
            0 => fs::remove_file(self.names.live()),
            // Under the name of a draft it is found again if we die here: see `begin`.
            _ => fs::rename(self.names.live(), self.names.draft()),
        };
        match moved {
            // Removed by hand, or by us when a new one could not be made.
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
        chain::shift(&self.names, keep, || {})?;
        (self.file, self.size) = begin(&self.names, keep)?;
        Ok(())
    }
}

/// Finishes what somebody who died has begun, and opens the live file.
fn begin(names: &Names, keep: u32) -> io::Result<(File, u64)> {
    if names.draft().exists() {
        chain::shift(names, keep, || {})?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(names.live())?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn render(record: &Record<'_>, format: Format) -> String {
    let time = format!("{:.3}", record.time);
    let mut line = String::new();
    match format {
        Format::Json => {
            let mut object = Map::new();
            object.insert("time".into(), time.into());
            object.insert("level".into(), serde_json::to_value(record.level).unwrap_or_default());
            if let Some(component) = record.component {
                object.insert("component".into(), component.into());
            }
            object.insert("message".into(), record.message.into());
            for (name, value) in &record.fields {
                object.entry(name.clone()).or_insert_with(|| value.clone());
            }
            line = Value::Object(object).to_string();
        }
        Format::Text => {
            let level = match record.level {
                Level::Debug => "DEBUG",
                Level::Info => "INFO ",
                Level::Warn => "WARN ",
                Level::Error => "ERROR",
            };
            let about = record.component.map_or(String::new(), |component| format!("{component}: "));
            // One line is one record, whatever is in it.
            let message = record.message.replace('\n', "\\n").replace('\r', "\\r");
            let _ = write!(line, "{time} {level} {about}{message}");
            for (name, value) in &record.fields {
                let _ = write!(line, " {name}={value}");
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record(message: &str) -> Record<'_> {
        let time = "2026-11-22T09:13:36.123456Z".parse().unwrap();
        let fields = Map::from_iter([("pid".to_owned(), Value::from(17))]);
        Record { time, level: Level::Info, component: Some("web"), message, fields }
    }

    #[test]
    fn text_and_json() {
        assert_eq!(
            render(&record("said\n\"hi\""), Format::Text),
            "2026-11-22T09:13:36.123Z INFO  web: said\\n\"hi\" pid=17\n"
        );
        let json: Value = serde_json::from_str(&render(&record("said\n"), Format::Json)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "time": "2026-11-22T09:13:36.123Z", "level": "info", "component": "web", "message": "said\n", "pid": 17
            })
        );
    }

    #[test]
    fn lines_stay_whole_and_files_few() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own/vitald.log");
        let writer = RotatingWriter::open(&path, 100, 3, Format::Text).unwrap();
        for number in 0..20 {
            writer.lines(format!("line {number:02} {}\n", "x".repeat(21)).as_bytes());
        }
        let text = |number: u32| fs::read_to_string(Names::new(&path).archive(number)).unwrap();
        let live = fs::read_to_string(&path).unwrap();
        let all = text(2) + &text(1) + &live;
        let numbers: Vec<u32> = all.lines().map(|line| line[5..7].parse().unwrap()).collect();
        assert_eq!(numbers, (20 - numbers.len() as u32..20).collect::<Vec<_>>());
        assert_eq!(
            (text(1).len(), text(2).len(), fs::read_dir(path.parent().unwrap()).unwrap().count()),
            (90, 90, 3)
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        // It died after the first renaming.
        let newest = text(1);
        fs::remove_file(Names::new(&path).archive(2)).unwrap();
        fs::rename(&path, Names::new(&path).draft()).unwrap();
        drop(RotatingWriter::open(&path, 100, 3, Format::Text).unwrap());
        assert_eq!((text(1), text(2)), (live, newest));
    }
}

//! Which files are meant, and what stands in them.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::mistake::{Code, Mistake};
use crate::source::Source;

/// Nobody writes a longer manifest by hand.
const LARGEST: u64 = 1 << 20;

/// A manifest file.
pub(crate) struct File {
    /// As it was given, or found in a directory that was.
    pub(crate) name: PathBuf,
    /// The folder it is in, absolute.
    pub(crate) dir: PathBuf,
    pub(crate) source: Arc<Source>,
    /// What is wrong with the file as such.
    pub(crate) mistake: Option<Mistake>,
}

/// Reads files, and directories recursively in the order of names. A file that is meant twice is read once.
pub(crate) fn read(paths: &[PathBuf]) -> Vec<File> {
    let mut found = Found::default();
    for path in paths {
        if path == Path::new("-") {
            found.standard_input();
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = found.files.len();
                found.directory(path);
                if found.files.len() == before && !found.seen_any_in(path) {
                    let message = "no manifest in this directory: no *.yaml, no *.yml";
                    found.fail(path, Code::Empty, message.to_owned());
                }
            }
            Ok(metadata) => match special(metadata.file_type()).filter(|_| !is_inherited(path)) {
                Some(what) => {
                    let mistake =
                        Mistake::new(Code::Unreadable, String::new(), format!("is {what}, no file"));
                    found.refuse(path, mistake.help("`-f -` reads from standard input"));
                }
                None => found.file(path),
            },
            Err(err) => found.fail(path, Code::Unreadable, format!("cannot be read: {}", reason(&err))),
        }
    }
    found.files
}

#[derive(Default)]
struct Found {
    files: Vec<File>,
    seen: HashSet<PathBuf>,
}

impl Found {
    fn directory(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(err) => {
                let message = format!("cannot be read: {}", reason(&err));
                return self.fail(path, Code::Unreadable, message);
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = path.join(&name);
            let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.directory(&path),
                Ok(metadata) if yaml && metadata.is_file() => self.file(&path),
                Err(err) if yaml => {
                    self.fail(&path, Code::Unreadable, format!("cannot be read: {}", reason(&err)));
                }
                _ => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        match fs::File::open(path) {
            Ok(file) => self.read(path, file),
            Err(err) => self.fail(path, Code::Unreadable, format!("cannot be read: {}", reason(&err))),
        }
    }

    /// `-`, as in kubectl.
    fn standard_input(&mut self) {
        if self.seen.insert(PathBuf::from("-")) {
            self.read(Path::new("-"), io::stdin().lock());
        }
    }

    fn read(&mut self, path: &Path, input: impl Read) {
        match contents(input) {
            Ok(text) => self.push(path, text, None),
            Err(failed) => {
                let (mistake, shown) = *failed;
                self.push(path, shown, Some(mistake));
            }
        }
    }

    fn fail(&mut self, path: &Path, code: Code, message: String) {
        self.refuse(path, Mistake::new(code, String::new(), message));
    }

    fn refuse(&mut self, path: &Path, mistake: Mistake) {
        self.push(path, String::new(), Some(mistake));
    }

    fn push(&mut self, path: &Path, text: String, mistake: Option<Mistake>) {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // What comes through a pipe has no folder: its paths begin where we are.
        let dir = match absolute.parent() {
            // One folder has one name, whatever way leads there: paths of two readings are compared.
            Some(dir) if !is_inherited(path) => dir.canonicalize().unwrap_or_else(|_| dir.to_owned()),
            Some(_) => std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            None => PathBuf::from("/"),
        };
        self.files.push(File { name: path.to_owned(), dir, source: Arc::new(Source::new(text)), mistake });
    }

    /// Directories, too: symbolic links may lead in circles.
    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }

    /// Whether a file in it was read for another path. Folders alone are no manifests.
    fn seen_any_in(&self, path: &Path) -> bool {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.seen.iter().any(|seen| seen.starts_with(&path) && !seen.is_dir())
    }
}

/// What is no file and still has a manifest in it: what the shell or the caller has opened.
fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"].iter().any(|dir| path.parent() == Some(Path::new(dir)))
}

/// What something is that is neither a file nor a directory: opening it may take for ever.
fn special(kind: fs::FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_fifo() => Some("a FIFO"),
        kind if kind.is_socket() => Some("a socket"),
        kind if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        _ => None,
    }
}

/// The text, or what is wrong with it and the part of it where that is.
fn contents(input: impl Read) -> Result<String, Box<(Mistake, String)>> {
    let fail = |code, message| Box::new((Mistake::new(code, String::new(), message), String::new()));
    let mut bytes = Vec::new();
    input
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| fail(Code::Unreadable, format!("cannot be read: {}", reason(&err))))?;
    if bytes.len() as u64 > LARGEST {
        return Err(fail(Code::Limit, format!("too large: a manifest has at most {} MiB", LARGEST >> 20)));
    }
    let (text, invalid) = match String::from_utf8(bytes) {
        Ok(text) => (text, Vec::new()),
        Err(err) => {
            let valid = err.utf8_error().valid_up_to();
            let mut bytes = err.into_bytes();
            let invalid = bytes.split_off(valid);
            (String::from_utf8(bytes).unwrap_or_default(), invalid)
        }
    };
    let rubbish = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    let Some(at) = text.find(rubbish).or((!invalid.is_empty()).then_some(text.len())) else {
        return Ok(text);
    };
    let what = match text[at..].chars().next() {
        Some(control) => format!("the control character {control:?}"),
        None => "bytes that are not UTF-8".to_owned(),
    };
    let line = text[..at].matches('\n').count() + 1;
    let message = format!("is no text: line {line} has {what}");
    let (shown, length) = escaped(&text[..at], &[&text.as_bytes()[at..], &invalid].concat());
    let mut mistake = Mistake::new(Code::Unreadable, String::new(), message)
        .at(at..at + length)
        .label("shown as an escape");
    if at == text.len() {
        mistake = mistake.help("save the file as UTF-8");
    }
    Err(Box::new((mistake, shown)))
}

/// `good`, and the rest of its line with what cannot be shown as escapes; and how long the first of them is.
fn escaped(good: &str, rest: &[u8]) -> (String, usize) {
    /// More of a line is not shown.
    const LONGEST: usize = 100;
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut shown = good.to_owned();
    let mut first = 0;
    for chunk in line[..line.len().min(LONGEST)].utf8_chunks() {
        let escape = |shown: &mut String, byte: u8| shown.push_str(&format!("\\x{byte:02X}"));
        for c in chunk.valid().chars() {
            match u8::try_from(c) {
                Ok(byte) if c.is_control() && !matches!(c, '\t' | '\r') => escape(&mut shown, byte),
                _ => shown.push(c),
            }
            first = if first == 0 { shown.len() - good.len() } else { first };
        }
        for byte in chunk.invalid() {
            escape(&mut shown, *byte);
            first = if first == 0 { shown.len() - good.len() } else { first };
        }
    }
    (shown, first)
}

fn reason(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => err.to_string(),
    }
}

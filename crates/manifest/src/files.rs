//! Which files are meant, and what stands in them.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
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
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = found.files.len();
                found.directory(path);
                if found.files.len() == before && !found.seen_any_in(path) {
                    let message = "no manifest in this directory: no *.yaml, no *.yml";
                    found.fail(path, Code::Empty, message.to_owned());
                }
            }
            Ok(_) => found.file(path),
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
        match contents(path) {
            Ok(text) => self.push(path, text, None),
            Err(mistake) => self.push(path, String::new(), Some(*mistake)),
        }
    }

    fn fail(&mut self, path: &Path, code: Code, message: String) {
        self.push(path, String::new(), Some(Mistake::new(code, String::new(), message)));
    }

    fn push(&mut self, path: &Path, text: String, mistake: Option<Mistake>) {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let dir = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        self.files.push(File { name: path.to_owned(), dir, source: Arc::new(Source::new(text)), mistake });
    }

    /// Directories, too: symbolic links may lead in circles.
    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }

    fn seen_any_in(&self, path: &Path) -> bool {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.seen.iter().any(|seen| *seen != path && seen.starts_with(&path))
    }
}

fn contents(path: &Path) -> Result<String, Box<Mistake>> {
    let fail = |code, message: String| Box::new(Mistake::new(code, String::new(), message));
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|err| fail(Code::Unreadable, format!("cannot be read: {}", reason(&err))))?;
    if bytes.len() as u64 > LARGEST {
        return Err(fail(Code::Limit, format!("too large: a manifest has at most {} MiB", LARGEST >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        let valid = &err.as_bytes()[..err.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("is no text: line {line} has bytes that are not UTF-8");
        fail(Code::Unreadable, message)
    })?;
    let rubbish = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    if let Some(control) = text.chars().find(rubbish) {
        let line = text.split(control).next().unwrap_or_default().matches('\n').count() + 1;
        let message = format!("is no text: line {line} has the control character {:?}", control);
        return Err(fail(Code::Unreadable, message));
    }
    Ok(text)
}

fn reason(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => err.to_string(),
    }
}

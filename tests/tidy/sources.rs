//! Reads the sources as a person would: code apart from comments, the product apart from its tests.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Source {
    /// Relative to the root.
    pub(crate) path: String,
    text: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file under a folder of the root.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            // What somebody has built there.
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            found.push(Source { path, text });
        }
    }
}

impl Source {
    /// The lines of the product, numbered from 1, without comments: up to the tests at a file's end, and
    /// nothing of a file or folder that is all tests or examples.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let folders = ["/tests/", "/examples/"];
        let all_tests =
            self.path.ends_with("tests.rs") || folders.iter().any(|folder| self.path.contains(folder));
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let text = if all_tests { "" } else { &self.text[..end] };
        text.lines().map(without_comment).zip(1..).map(|(line, number)| (number, line))
    }

    /// Where the product's code has one of these words, as `path:line: text`.
    pub(crate) fn mentions(&self, words: &[&str]) -> Vec<String> {
        self.found(self.code(), words)
    }

    /// The same in tests, too; still without comments and strings of one line.
    pub(crate) fn mentions_anywhere(&self, words: &[&str]) -> Vec<String> {
        let lines = self.text.lines().map(without_comment).zip(1..);
        let quoted = |line: &str| words.iter().any(|word| line.contains(&format!("\"{word}")));
        self.found(lines.filter(|(line, _)| !quoted(line)).map(|(line, number)| (number, line)), words)
    }

    /// The same in all there is, comments too.
    pub(crate) fn lines_with(&self, words: &[&str]) -> Vec<String> {
        self.found(self.text.lines().zip(1..).map(|(line, number)| (number, line)), words)
    }

    fn found<'a>(&self, lines: impl Iterator<Item = (usize, &'a str)>, words: &[&str]) -> Vec<String> {
        lines
            .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
            .map(|(number, line)| format!("  {}:{number}: {}", self.path, line.trim()))
            .collect()
    }
}

/// Without a `//` comment. One inside a string, as in a URL, is none.
fn without_comment(line: &str) -> &str {
    let mut in_string = false;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' if !escaped => in_string = !in_string,
            '/' if !in_string && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    line
}

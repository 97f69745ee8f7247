//! What cargo's words of tests add up to.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::say;

/// Lines of a failed test that are told again at the end.
const MOST_LINES: usize = 12;

#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    failures: Vec<Failure>,
    /// Before every line that is passed on.
    prefix: String,
    /// What has been said since the first `failures:` of a test binary.
    section: Vec<String>,
}

/// A test that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failure {
    /// Before its lines.
    prefix: String,
    name: String,
    /// How it panicked, or else how it began, as far as it was captured.
    said: Vec<String>,
}

impl Tally {
    pub(crate) fn with_prefix(prefix: String) -> Self {
        Self { prefix, ..Self::default() }
    }

    pub(crate) fn sum(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.failures.extend_from_slice(&other.failures);
    }

    /// Runs a test command, passing its words on and counting.
    pub(crate) fn count(&mut self, mut command: Command) -> Result<()> {
        say(&command);
        self.section.clear();
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
        let stdout = child.stdout.take().context("no pipe from cargo")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{}{line}", self.prefix);
            self.add(&line);
        }
        if !child.wait()?.success() {
            bail!("cargo test failed");
        }
        Ok(())
    }

    /// The failed tests once more, as they stand among thousands of lines of several parts.
    pub(crate) fn tell_failures(&self) {
        for failure in &self.failures {
            println!("test {} ... FAILED", failure.name);
            for line in &failure.said {
                println!("    {}{line}", failure.prefix);
            }
        }
    }

    fn add(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.add_result(counts);
            self.failures.extend(failures(&std::mem::take(&mut self.section), &self.prefix));
        } else if line == "failures:" || !self.section.is_empty() {
            self.section.push(line.to_owned());
        }
    }

    /// `ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s`
    fn add_result(&mut self, counts: &str) {
        let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        let number = |what: &str| {
            let at = words.iter().position(|word| *word == what)?;
            words.get(at.checked_sub(1)?)?.parse::<u64>().ok()
        };
        self.passed += number("passed").unwrap_or(0);
        self.failed += number("failed").unwrap_or(0);
        self.ignored += number("ignored").unwrap_or(0);
    }
}

/// Out of what each said, and the list of their names after it.
fn failures(section: &[String], prefix: &str) -> Vec<Failure> {
    let names = section.iter().rposition(|line| line == "failures:").unwrap_or(section.len());
    let (said, names) = section.split_at(names);
    let names = names.iter().skip(1).map_while(|line| line.strip_prefix("    "));
    let failure = |name: &str| Failure { prefix: prefix.into(), name: name.into(), said: words(name, said) };
    names.map(failure).collect()
}

/// What matters of what a test said.
fn words(name: &str, said: &[String]) -> Vec<String> {
    let header = format!("---- {name} stdout ----");
    let is_header = |line: &str| line.starts_with("---- ") && line.ends_with(" stdout ----");
    let own = said.iter().skip_while(|line| **line != header).skip(1);
    let own: Vec<_> = own.take_while(|line| !is_header(line)).filter(|line| !line.is_empty()).collect();
    let thread = format!("thread '{name}'");
    let begins = own.iter().position(|line| line.starts_with(&thread)).unwrap_or_default();
    let words = own.into_iter().skip(begins).take_while(|line| *line != "stack backtrace:");
    words.take(MOST_LINES).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(words: &str) -> Tally {
        let mut tally = Tally::default();
        words.lines().for_each(|line| tally.add(line));
        tally
    }

    #[test]
    fn adds_up() {
        let tally = tally(
            "running 3 tests\n\
             test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1s\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!(tally, Tally { passed: 15, failed: 2, ignored: 1, ..Tally::default() });
    }

    #[test]
    fn failures_are_told_again_with_what_they_said() {
        let told = tally(
            "test a::two ... FAILED\n\
             \n\
             failures:\n\
             \n\
             ---- a::one stdout ----\n\
             Error: \"it said no\"\n\
             \n\
             ---- a::two stdout ----\n\
             thread 'of its own' (6) panicked at tests/a.rs:2:5:\n\
             caught\n\
             \n\
             thread 'a::two' (7) panicked at tests/a.rs:3:5:\n\
             assertion failed\n\
             stack backtrace:\n\
             \u{20}   0: begin\n\
             ---- a::three stdout ----\n\
             thread 'a::three' (8) panicked at tests/a.rs:9:5:\n\
             \n\
             failures:\n\
             \u{20}   a::one\n\
             \u{20}   a::two\n\
             \u{20}   a::three\n\
             \n\
             test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n\
             \n\
             running 0 tests\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        );
        let failure = |name: &str, said: &[&str]| Failure {
            name: name.into(),
            said: said.iter().map(|line| (*line).to_owned()).collect(),
            ..Failure::default()
        };
        let expected = [
            failure("a::one", &["Error: \"it said no\""]),
            failure("a::two", &["thread 'a::two' (7) panicked at tests/a.rs:3:5:", "assertion failed"]),
            failure("a::three", &["thread 'a::three' (8) panicked at tests/a.rs:9:5:"]),
        ];
        assert_eq!(told.failures, expected);
    }

    /// As by a test of tests.
    #[test]
    fn lines_of_a_test_are_not_taken_for_names() {
        let told = tally(
            "failures:\n\
             \n\
             ---- a::one stdout ----\n\
             thread 'a::one' (7) panicked at tests/a.rs:3:5:\n\
             \u{20}            at tests/a.rs:3\n\
             test result: FAILED. 0 passed; 1 failed\n\
             \n\
             failures:\n\
             \u{20}   a::one\n\
             \n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        );
        let names: Vec<&str> = told.failures.iter().map(|failure| failure.name.as_str()).collect();
        assert_eq!(names, ["a::one"]);
    }
}

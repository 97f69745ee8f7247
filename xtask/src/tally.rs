//! What cargo's words of tests add up to.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::say;

/// Lines of a failed test's panic that are told again at the end.
const LINES_OF_PANIC: usize = 12;

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
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    name: String,
    /// How it panicked, as far as it was captured.
    panic: Vec<String>,
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
            for line in &failure.panic {
                println!("    {line}");
            }
        }
    }

    fn add(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.add_result(counts);
            self.failures.extend(failures(&std::mem::take(&mut self.section)));
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
fn failures(section: &[String]) -> Vec<Failure> {
    let names = section.iter().rposition(|line| line == "failures:").unwrap_or(section.len());
    let (said, names) = section.split_at(names);
    let panic = |name: &str| {
        let own = said.iter().skip_while(|line| **line != format!("---- {name} stdout ----"));
        let panic = own.skip_while(|line| !line.contains(" panicked at "));
        panic.take_while(|line| *line != "stack backtrace:").take(LINES_OF_PANIC).cloned().collect()
    };
    let names = names.iter().filter_map(|line| line.strip_prefix("    "));
    names.map(|name| Failure { name: name.to_owned(), panic: panic(name) }).collect()
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
    fn failures_are_told_again_with_their_panics() {
        let told = tally(
            "test a::one ... ok\n\
             test a::two ... FAILED\n\
             \n\
             failures:\n\
             \n\
             ---- a::two stdout ----\n\
             what it printed\n\
             \n\
             thread 'a::two' (7) panicked at tests/a.rs:3:5:\n\
             assertion failed\n\
             stack backtrace:\n\
             0: begin\n\
             ---- a::three stdout ----\n\
             Error: \"it said no\"\n\
             \n\
             failures:\n\
             \u{20}   a::two\n\
             \u{20}   a::three\n\
             \n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n\
             \n\
             running 0 tests\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        );
        let panic = ["thread 'a::two' (7) panicked at tests/a.rs:3:5:", "assertion failed"];
        let two = Failure { name: "a::two".into(), panic: panic.map(str::to_owned).into() };
        let three = Failure { name: "a::three".into(), panic: vec![] };
        assert_eq!(told.failures, [two, three]);
    }
}

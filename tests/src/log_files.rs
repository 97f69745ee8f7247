//! A component's log as who has only its files finds it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{Whence, lseek};

use crate::{Place, eventually};

impl Place {
    /// The files of a log, the oldest first, the live one last.
    pub fn log_files(&self, name: &str) -> Vec<PathBuf> {
        let live = self.state_dir().join(format!("logs/{name}.log"));
        let archive = |number: usize| live.with_extension(format!("log.{number}"));
        let mut files: Vec<_> = (1..).map(archive).take_while(|path| path.exists()).collect();
        files.reverse();
        files.push(live);
        files
    }

    /// How many bytes each of them has; what was given back at the beginning of the live one is not counted.
    pub fn log_sizes(&self, name: &str) -> Vec<u64> {
        let size = |path: PathBuf| {
            let file = File::open(path).ok()?;
            let size = file.metadata().ok()?.len();
            Some(size - hole_at_start(&file, size))
        };
        self.log_files(name).into_iter().filter_map(size).collect()
    }

    /// All bytes, from the oldest file to the live one. For logs at rest.
    pub fn log_bytes(&self, name: &str) -> Box<dyn Read> {
        let mut all: Box<dyn Read> = Box::new(io::empty());
        let files = self.log_files(name);
        for path in &files {
            let file = File::open(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            if Some(path) == files.last() {
                let size = file.metadata().expect("a file's size").len();
                let start = i64::try_from(hole_at_start(&file, size)).expect("a place in a file");
                lseek(&file, start, Whence::SeekSet).expect("a place in a file");
            }
            all = Box::new(all.chain(file));
        }
        all
    }

    /// Polls until a log is at rest, when nobody writes to it: no file is larger than `max_size`, and no rotation under
    /// way.
    #[track_caller]
    pub fn wait_rotated(&self, name: &str, max_size: u64, within: Duration) {
        let is_at_rest = || {
            let all_small = self.log_sizes(name).iter().all(|size| *size <= max_size);
            // In this order: it is there until the last step.
            all_small && !self.draft(name).exists()
        };
        eventually(
            &format!("the last rotation of {name}"),
            within,
            || is_at_rest().then_some(()),
            || self.log_listing(),
        );
    }

    /// What is there only in the middle of a rotation.
    pub fn draft(&self, name: &str) -> PathBuf {
        self.state_dir().join(format!("logs/{name}.log.draft"))
    }

    /// All that is in the folder of logs, for people.
    pub fn log_listing(&self) -> String {
        let mut names: Vec<_> = fs::read_dir(self.state_dir().join("logs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| {
                let size = entry.metadata().map_or(0, |data| data.len());
                format!("{} {size}", entry.file_name().display())
            })
            .collect();
        names.sort();
        names.join("\n")
    }
}

/// Where tmpfs and others show zeros for what was rotated.
fn hole_at_start(file: &File, size: u64) -> u64 {
    let data = lseek(file, 0, Whence::SeekData).unwrap_or(0);
    lseek(file, 0, Whence::SeekSet).expect("the beginning of a file");
    u64::try_from(data).unwrap_or(0).min(size)
}

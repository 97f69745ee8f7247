//! The files of one log.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The names of a log's files, made from that of the live one.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    live: PathBuf,
}

/// An older file as it lies in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its number; 0 for the draft.
    pub(crate) number: u32,
    pub(crate) inode: u64,
    pub(crate) length: u64,
}

impl Names {
    pub(crate) fn new(live: &Path) -> Self {
        Self { live: live.to_owned() }
    }

    pub(crate) fn live(&self) -> &Path {
        &self.live
    }

    /// The older file with this number; 0 is the draft.
    pub(crate) fn archive(&self, number: u32) -> PathBuf {
        match number {
            0 => self.with(".draft"),
            _ => self.with(&format!(".{number}")),
        }
    }

    pub(crate) fn draft(&self) -> PathBuf {
        self.archive(0)
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.with(".meta")
    }

    pub(crate) fn next_meta(&self) -> PathBuf {
        self.with(".meta.next")
    }

    pub(crate) fn times(&self) -> PathBuf {
        self.with(".times")
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut name = self.live.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    /// The highest number in use; 0 if there is no older file.
    pub(crate) fn highest(&self) -> io::Result<u32> {
        let folder = match self.live.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let prefix = self.live.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let entries = match fs::read_dir(folder) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let number = |name: &str| name.strip_prefix(&prefix)?.parse::<u32>().ok();
        let numbers = entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?));
        Ok(numbers.max().unwrap_or(0))
    }

    /// The older files, the draft first, then from the newest.
    ///
    /// A rotation only ever renames a file to the next higher number, and this looks at the lowest first: a
    /// file that is renamed meanwhile may be found twice, but is not missed.
    pub(crate) fn archives(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for number in 0..=self.highest()?.saturating_add(1) {
            match fs::symlink_metadata(self.archive(number)) {
                Ok(data) if data.is_file() => {
                    found.push(Found { number, inode: data.ino(), length: data.len() });
                }
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        Ok(found)
    }
}

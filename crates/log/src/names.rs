//! The files of one log.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Up to which number an archive is looked for even where the folder does not list it.
const NUMBERS_TO_TRY: u32 = 4096;

/// The highest number that is ours: `web.log.20261122` is what somebody has put aside on a day.
pub(crate) const HIGHEST: u32 = 99_999;

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

    pub(crate) fn folder(&self) -> &Path {
        match self.live.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Opens the live file to read. `None` if there is none.
    pub(crate) fn open_live(&self) -> io::Result<Option<File>> {
        match fs::metadata(&self.live) {
            // Opening a pipe would wait for somebody to write to it.
            Ok(data) if !data.is_file() => return Err(io::Error::other("not a regular file")),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            looked => looked.map(drop)?,
        }
        match File::open(&self.live) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }

    /// The numbers in use, ascending, without the draft.
    pub(crate) fn numbers(&self) -> io::Result<Vec<u32>> {
        let prefix = self.live.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
        let entries = match fs::read_dir(self.folder()) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let number = |name: &str| number_of(name.strip_prefix(&prefix)?);
        let mut numbers: Vec<_> =
            entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The older files, the draft first, then from the newest.
    ///
    /// A rotation only ever renames a file to the next higher number, and this looks at the lowest first: a
    /// file that is renamed meanwhile may be found twice, but is not missed.
    ///
    /// `known` is how many there ought to be.
    pub(crate) fn archives(&self, known: usize) -> io::Result<Vec<Found>> {
        let numbers = self.numbers()?;
        // A folder that changes may not list all it has, and the oldest least of all, which are renamed first.
        // Somebody may have given a file any number.
        let known = u32::try_from(known).unwrap_or(NUMBERS_TO_TRY);
        let highest = numbers.last().copied().unwrap_or_default().max(known);
        let to_try = highest.saturating_add(1).min(NUMBERS_TO_TRY);
        let mut found = Vec::new();
        for number in (0..=to_try).chain(numbers.into_iter().filter(|number| *number > to_try)) {
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

/// The number of an older file, from what follows the live one's name and a dot.
pub(crate) fn number_of(suffix: &str) -> Option<u32> {
    let is_plain = suffix.starts_with(|first: char| ('1'..='9').contains(&first));
    suffix.parse().ok().filter(|number| is_plain && *number <= HIGHEST)
}

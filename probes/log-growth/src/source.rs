//! Where the bytes come from: the component's own log, which vitald keeps, or a file that others keep.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitald_log::{LogReader, Moment, Read, Timeline};

use crate::silence::{RunStart, age_of, without_sleep};

/// What reading gave.
pub(crate) enum Took {
    Bytes(usize),
    /// So many bytes had been removed before they could be read.
    Gone(u64),
    /// What comes next was written after somebody had truncated or replaced the file.
    Restarted,
    /// Nothing more at present.
    End,
}

pub(crate) enum Source {
    Own { path: PathBuf, reader: Box<LogReader>, begin: u64 },
    Other(Other),
}

/// A file that others write to and rotate.
pub(crate) struct Other {
    path: PathBuf,
    file: Option<File>,
    at: u64,
}

impl Source {
    /// A log that vitald keeps, from a logical offset on.
    pub(crate) fn own(path: &Path, begin: u64) -> io::Result<Self> {
        let mut reader = Box::new(LogReader::open(path)?);
        reader.seek(begin)?;
        Ok(Self::Own { path: path.to_owned(), reader, begin })
    }

    /// A file of others: what has been written to it since the run began, as far as that can be told. All of it
    /// where there is no run.
    pub(crate) fn other(path: &Path, run: Option<&RunStart>) -> io::Result<Self> {
        let mut other = Other { path: path.to_owned(), file: open(path)?, at: 0 };
        if let (Some(file), Some(run)) = (&other.file, run) {
            let data = file.metadata()?;
            let age = data.created().ok().map(age_of);
            // Of the run by the clock tick that its start is told in.
            let tick = Duration::from_millis(20);
            let is_of_run = age.zip(run.age()).is_some_and(|(age, run)| age <= run + tick);
            if !is_of_run {
                other.at = data.len();
            }
        }
        Ok(Self::Other(other))
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Took> {
        match self {
            Self::Own { reader, .. } => Ok(match reader.read(into)? {
                Read::Bytes(length) => Took::Bytes(length),
                Read::Gone(bytes) => Took::Gone(bytes),
                Read::Restarted => Took::Restarted,
                Read::End => Took::End,
            }),
            Self::Other(other) => other.read(into),
        }
    }

    /// Bytes that are there and have not been read.
    pub(crate) fn rest(&mut self) -> io::Result<u64> {
        match self {
            Self::Own { reader, .. } => Ok(reader.extent()?.end.saturating_sub(reader.offset())),
            Self::Other(other) => Ok(other.length()?.saturating_sub(other.at)),
        }
    }

    /// Passes over all that is there; says how much that was.
    pub(crate) fn skip(&mut self) -> io::Result<u64> {
        let rest = self.rest()?;
        match self {
            Self::Own { reader, .. } => reader.seek(reader.offset() + rest)?,
            Self::Other(other) => other.at += rest,
        }
        Ok(rest)
    }

    /// How long ago, at least, the last byte that was read was written, or the run began that has written none. To be
    /// asked when all has been read.
    ///
    /// A log that vitald keeps has its index of times; when its file was changed says nothing, since rotation
    /// changes it, too.
    pub(crate) fn age(&self, run: Option<&RunStart>) -> Duration {
        let of_run = run.map(|run| run.age().unwrap_or_default());
        let of_byte = match self {
            Self::Own { path, reader, begin } if reader.offset() > *begin => {
                let noted = Timeline::open(path).age(reader.offset() - 1, Moment::now());
                Some(noted.unwrap_or_default())
            }
            Self::Own { .. } => None,
            Self::Other(other) => {
                let data = other.file.as_ref().and_then(|file| file.metadata().ok());
                data.and_then(|data| data.modified().ok()).map(age_of)
            }
        };
        without_sleep([of_run, of_byte].into_iter().flatten().min().unwrap_or_default())
    }

    /// Whether there is no such file. A log that vitald keeps is only empty then.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Other(Other { file: None, .. }))
    }
}

impl Other {
    fn read(&mut self, into: &mut [u8]) -> io::Result<Took> {
        let Some(file) = &self.file else {
            self.file = open(&self.path)?;
            self.at = 0;
            return Ok(if self.file.is_some() { Took::Restarted } else { Took::End });
        };
        let (there, named) = (file.metadata()?, fs::metadata(&self.path).ok());
        if there.len() < self.at {
            self.at = 0;
            return Ok(Took::Restarted);
        }
        let length = file.read_at(into, self.at)?;
        self.at += length as u64;
        if length > 0 {
            return Ok(Took::Bytes(length));
        }
        // Rotated by rename. Who writes goes on with the old file for a while, and has left it once there is
        // something in the new one; what it wrote before that has been read by now.
        let is_other = |named: &fs::Metadata| (named.dev(), named.ino()) != (there.dev(), there.ino());
        if named.is_some_and(|named| is_other(&named) && named.len() > 0) {
            self.file = open(&self.path)?;
            self.at = 0;
            return Ok(Took::Restarted);
        }
        Ok(Took::End)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.as_ref().map(File::metadata).transpose()?.map_or(0, |data| data.len()))
    }
}

/// Opens a file to read. `None` if there is none.
fn open(path: &Path) -> io::Result<Option<File>> {
    let opened = fs::metadata(path).and_then(|data| match data.is_file() {
        true => File::open(path),
        // Opening a pipe would wait for somebody to write to it.
        false => Err(io::Error::other("not a regular file")),
    });
    match opened {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

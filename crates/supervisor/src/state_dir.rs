//! The files under the state dir, and the lock that makes a supervisor the only one there.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::replace::write_draft;

/// How long those who only look may keep a supervisor from its lock.
const LOOKERS_PATIENCE: Duration = Duration::from_millis(300);

/// A state dir: a private folder (mode 0700) with the lock, the socket, logs and records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Names it, and creates nothing. `path` must be absolute.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `vitald.sock`.
    pub fn socket(&self) -> PathBuf {
        self.0.join("vitald.sock")
    }

    /// `vitald.lock`.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("vitald.lock")
    }

    /// `vitald.log`: what a detached supervisor says.
    pub fn supervisor_log(&self) -> PathBuf {
        self.0.join("vitald.log")
    }

    /// `logs`.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// `logs/NAME.log`.
    pub fn log(&self, component: &str) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    /// How many bytes the files of a component's log take on the disk, and how many files those are: `NAME.log`,
    /// `NAME.log.1` …
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn log_files(&self, component: &str) -> std::io::Result<(u64, usize)> {
        let live = format!("{component}.log");
        let is_part = |file: &str| match file.strip_prefix(&live) {
            Some("") => true,
            Some(rest) => rest.strip_prefix('.').is_some_and(|number| number.parse::<u32>().is_ok()),
            None => false,
        };
        let (mut bytes, mut files) = (0, 0);
        for entry in std::fs::read_dir(self.logs())? {
            let entry = entry?;
            // What is rotated away meanwhile is not there.
            let Ok(file) = entry.metadata() else { continue };
            if file.is_file() && entry.file_name().to_str().is_some_and(is_part) {
                bytes += file.blocks() * 512;
                files += 1;
            }
        }
        Ok((bytes, files))
    }

    /// `components/NAME.json`.
    pub fn record(&self, component: &str) -> PathBuf {
        self.0.join("components").join(format!("{component}.json"))
    }

    /// `locks/NAME.lock`.
    pub fn component_lock(&self, component: &str) -> PathBuf {
        self.0.join("locks").join(format!("{component}.lock"))
    }

    /// `manifests.json`: the files and folders of the manifests that the last supervisor was given last, absolute.
    /// Empty where none has told.
    pub fn manifests(&self) -> Vec<String> {
        let text = std::fs::read(self.0.join("manifests.json")).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Writes them down.
    ///
    /// # Errors
    /// The file cannot be replaced.
    pub(crate) fn write_manifests(&self, manifests: &[PathBuf]) -> std::io::Result<()> {
        let manifests: Vec<_> = manifests.iter().map(|path| path.to_string_lossy()).collect();
        let draft = self.0.join("manifests.json.new");
        write_draft(&draft, &serde_json::to_vec(&manifests)?, false)?;
        std::fs::rename(&draft, self.0.join("manifests.json"))
    }

    /// Creates the folders and takes the supervisor's lock, which is held until the guard is dropped.
    ///
    /// # Errors
    /// Another supervisor holds it (its pid is told), or the folder cannot be used.
    pub fn lock(&self) -> Result<StateLock, StateDirError> {
        self.create()?;
        let path = self.lock_file();
        let io = |doing| {
            let path = path.clone();
            move |source| StateDirError::Io { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("cannot open"))?;
        let patience = Instant::now() + LOOKERS_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // Somebody may only be looking who holds it.
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StateDirError::Held { pid: read_pid(&file), dir: self.0.clone() });
                }
                Err(TryLockError::Error(source)) => return Err(io("cannot lock")(source)),
            }
        }
        // The pid is only told to people; the lock itself is what counts.
        file.set_len(0).map_err(io("cannot write"))?;
        file.rewind().map_err(io("cannot write"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("cannot write"))?;
        Ok(StateLock { _file: file })
    }

    /// The pid of the supervisor that holds the lock right now, if one does; 0 if it cannot be read.
    pub fn holder(&self) -> Option<u32> {
        // A shared lock for a moment: lookers do not disturb each other, and `lock` has the patience.
        let file = File::open(self.lock_file()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read_pid(&file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// Why nobody here can tell whether a supervisor runs, if that is so: it is another user's, and private.
    pub fn hidden(&self) -> Option<std::io::Error> {
        File::open(self.lock_file()).err().filter(|err| err.kind() == std::io::ErrorKind::PermissionDenied)
    }

    fn create(&self) -> Result<(), StateDirError> {
        for dir in [&self.0, &self.logs(), &self.0.join("components"), &self.0.join("locks")] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|source| StateDirError::Io { doing: "cannot create", path: dir.clone(), source })?;
        }
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700)).map_err(|source| {
            StateDirError::Io { doing: "cannot make private", path: self.0.clone(), source }
        })
    }
}

fn read_pid(mut file: &File) -> u32 {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text.trim().parse().unwrap_or_default()
}

/// The lock of a state dir. Dropped, it is free again.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why a state dir cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Another supervisor is at work there.
    #[error("another vitald (pid {pid}) supervises {}", dir.display())]
    Held {
        /// Its pid; 0 if it could not be read.
        pid: u32,
        /// The state dir.
        dir: PathBuf,
    },
    /// The system refused something.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// `cannot create`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's word for why.
        source: std::io::Error,
    },
}

//! `components/NAME.json`: what is needed to go on after the death of the supervisor.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vitald_core::lifecycle::LifecycleRecord;
use vitald_core::restarter::ProcessIdentity;
use vitald_core::status::RunLog;

/// The record of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The component.
    pub(crate) name: String,
    /// The boot in which its times and its process mean something.
    pub(crate) boot_id: String,
    /// Where it is in its life.
    pub(crate) lifecycle: LifecycleRecord,
    /// The main process of the current run.
    pub(crate) process: Option<ProcessIdentity>,
    /// The lock that the component holds; in a copied state dir it is another file.
    pub(crate) lock: Option<FileIdentity>,
    /// Where recent runs begin in the log.
    pub(crate) runs: Vec<RunLog>,
    /// What it got from the supervisor's environment, so that a restart under the next one gives the same.
    pub(crate) inherited_env: Option<BTreeMap<String, String>>,
}

/// A file that cannot be mistaken for another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self { device: file.dev(), inode: file.ino() })
    }
}

/// One component's record on disk.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    written: Option<Record>,
}

impl Store {
    /// Opens it, with what an earlier supervisor wrote. A record that cannot be read is as good as none.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<Record>) {
        let record = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        (Self { path, written: None }, record)
    }

    /// Replaces the record, if it changed. `durable`: it outlives a crash of the machine, too, as what a
    /// person asked for must; the rest only has to outlive this process, and the page cache does.
    pub(crate) fn write(&mut self, record: &Record, durable: bool) -> io::Result<()> {
        if self.written.as_ref() == Some(record) {
            return Ok(());
        }
        let text = serde_json::to_vec(record)?;
        let draft = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        if durable {
            file.sync_data()?;
        }
        drop(file);
        std::fs::rename(&draft, &self.path)?;
        if durable && let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.written = Some(record.clone());
        Ok(())
    }
}

//! `components/NAME.json`: what is needed to go on after the death of the supervisor.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vitald_core::lifecycle::LifecycleRecord;
use vitald_core::restarter::ProcessIdentity;
use vitald_core::spec::ComponentSpec;
use vitald_core::status::RunLog;

use crate::replace::{self, replace, set_room_aside};

/// The format of records; another one is not read.
pub(crate) const RECORD_VERSION: u32 = 2;

/// The record of one component.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Of this format.
    pub(crate) version: u32,
    /// The component.
    pub(crate) name: String,
    /// The boot in which its times and its process mean something.
    pub(crate) boot_id: String,
    /// What its run is made of, or is to be.
    pub(crate) spec: Arc<ComponentSpec>,
    /// Of that.
    pub(crate) spec_digest: String,
    /// Where it is in its life.
    pub(crate) lifecycle: LifecycleRecord,
    /// The main process of the current run.
    pub(crate) process: Option<ProcessIdentity>,
    /// The lock that the component holds; in a copied state dir it is another file.
    pub(crate) lock: Option<FileIdentity>,
    /// Where recent runs begin in the log.
    pub(crate) runs: Arc<Vec<RunLog>>,
    /// What it got from the supervisor's environment, so that a restart under the next one gives the same.
    pub(crate) inherited_env: Option<Arc<BTreeMap<String, String>>>,
    /// Whether that was all of it.
    pub(crate) inherits_all: bool,
}

impl Record {
    /// Whether something may be alive that is this component's, in the same boot: of a run, or what was left to be
    /// restarted.
    pub(crate) fn is_about_something(&self) -> bool {
        self.lifecycle.may_run() || self.process.is_some()
    }
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
    /// Opens it, with what an earlier supervisor wrote.
    ///
    /// A record that cannot be read is put aside as `NAME.json.bad`, and the second error says why: what it
    /// held is lost, and the component begins anew.
    pub(crate) fn open(path: PathBuf) -> (Self, Option<Record>, Option<String>) {
        let (record, trouble) = match std::fs::read(&path) {
            Ok(text) => match parse(&text) {
                Ok(record) => (Some(record), None),
                Err(why) => {
                    let aside = path.with_extension("json.bad");
                    // Where even that fails, the next write replaces it.
                    let _ = std::fs::rename(&path, &aside);
                    (None, Some(format!("{why}; kept as {}", aside.display())))
                }
            },
            Err(err) if err.kind() == io::ErrorKind::NotFound => (None, None),
            Err(err) => (None, Some(err.to_string())),
        };
        (Self { path, written: None }, record, trouble)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last, by us.
    pub(crate) fn written(&self) -> Option<&Record> {
        self.written.as_ref()
    }

    /// Replaces the record. `durable`: it outlives a crash of the machine, too, as what a
    /// person asked for must; the rest only has to outlive this process, and the page cache does.
    pub(crate) fn write(&mut self, record: Record, durable: bool) -> io::Result<()> {
        let text = serde_json::to_vec(&record)?;
        replace(&self.path, &text, durable)?;
        self.written = Some(record);
        set_room_aside(&self.path, &text);
        Ok(())
    }
}

/// The record of a component, for whoever only looks. `None` if there is none.
pub(crate) fn record(path: &Path) -> Result<Option<Record>, String> {
    match std::fs::read(path) {
        Ok(text) => parse(&text).map(Some),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err.to_string()),
    }
}

/// The records of a state dir that can be read, in name order. What is wrong with the others is told when they
/// are opened.
pub(crate) fn records(folder: &Path) -> Vec<Record> {
    let mut names = names(folder);
    names.sort();
    names.into_iter().filter_map(|path| parse(&std::fs::read(path).ok()?).ok()).collect()
}

/// Removes the records of all components but those named. One that cannot be read may name something that runs:
/// it is put aside as [`Store::open`] does, and given back is whose that was.
pub(crate) fn forget_all_but(folder: &Path, keep: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let mut put_aside = Vec::new();
    for path in names(folder) {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|name| !keep(name)) else {
            continue;
        };
        if parse(&std::fs::read(&path)?).is_ok() {
            replace::remove(&path)?;
        } else {
            std::fs::rename(&path, path.with_extension("json.bad"))?;
            put_aside.push(name.to_owned());
        }
    }
    Ok(put_aside)
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn parse(text: &[u8]) -> Result<Record, String> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|err| err.to_string())?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(RECORD_VERSION) => {}
        Some(version) => return Err(format!("it is of version {version}, and {RECORD_VERSION} is known")),
        None => return Err("it has no version".into()),
    }
    serde_json::from_value(value).map_err(|err| err.to_string())
}

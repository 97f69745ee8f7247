//! What a supervisor that died may have left running, as far as its files tell.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use vitald_core::restarter::ProcessIdentity;

use crate::clock::Clock;
use crate::replace::replace;
use crate::state_dir::{StateDir, StateLock};
use crate::store::{FileIdentity, RECORD_VERSION};

/// A component that has run on a state dir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredComponent {
    /// Its name.
    pub name: String,
    /// The main process that was recorded last, if the record speaks of this boot and this state dir.
    pub process: Option<ProcessIdentity>,
    /// Whether others start it, so that its process is not ours to end.
    pub is_external: bool,
    /// Its lock, which whatever runs of it holds.
    pub lock: PathBuf,
}

impl StoredComponent {
    /// Whether something holds its lock right now: a run of it, or what one left.
    pub fn is_locked(&self) -> bool {
        // A shared lock for a moment, for which a start of the component has the patience.
        let taken = File::open(&self.lock).map(|file| file.try_lock_shared());
        matches!(taken, Ok(Err(TryLockError::WouldBlock)))
    }
}

/// The part of a record that says what ran. Versions of which this is not true have another number.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    version: u32,
    boot_id: String,
    process: Option<ProcessIdentity>,
    lock: Option<FileIdentity>,
    #[serde(default)]
    spec: Value,
}

/// All components that have a record or a lock in the state dir, in name order. One whose record cannot be
/// read is among them: what runs of it can still be told by its lock.
///
/// # Errors
/// The state dir cannot be read.
pub fn stored(
    state_dir: &StateDir,
    _lock: &StateLock,
    clock: &dyn Clock,
) -> io::Result<Vec<StoredComponent>> {
    look(state_dir, clock)
}

/// The same without the lock, for whoever only tells what is there: it may be another thing by now.
///
/// # Errors
/// The state dir cannot be read.
pub fn look(state_dir: &StateDir, clock: &dyn Clock) -> io::Result<Vec<StoredComponent>> {
    let mut names = names(&state_dir.path().join("components"), ".json")?;
    names.append(&mut self::names(&state_dir.path().join("locks"), ".lock")?);
    let boot_id = clock.boot_id();
    let component = |name: String| {
        let lock = state_dir.component_lock(&name);
        let trace: Option<Trace> =
            std::fs::read(state_dir.record(&name)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let is_external =
            trace.as_ref().is_some_and(|trace| trace.spec.pointer("/workload/external").is_some());
        let process = trace
            .filter(|trace| trace.version == RECORD_VERSION && trace.boot_id == boot_id)
            // In a copied state dir the lock is another file, and the process somebody else's.
            .filter(|trace| trace.lock.is_some() && trace.lock == FileIdentity::of(&lock))
            .and_then(|trace| trace.process);
        StoredComponent { name, process, is_external, lock }
    };
    Ok(names.into_iter().map(component).collect())
}

/// Takes the process out of a component's record: it has been ended.
///
/// # Errors
/// The record cannot be written.
pub fn forget(state_dir: &StateDir, _lock: &StateLock, name: &str) -> io::Result<()> {
    let path = state_dir.record(name);
    let Ok(text) = std::fs::read(&path) else { return Ok(()) };
    // One that cannot be read names no process either, and is for the next supervisor to complain about.
    let Ok(Value::Object(mut record)) = serde_json::from_slice(&text) else { return Ok(()) };
    record.insert("process".into(), Value::Null);
    replace(&path, &serde_json::to_vec(&record)?, false)
}

fn names(folder: &Path, suffix: &str) -> io::Result<BTreeSet<String>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(suffix)?.to_owned()))
            .collect()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn only_a_record_of_this_boot_and_this_lock_names_a_process() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        let lock = dir.lock().unwrap();
        let boot = SystemClock.boot_id();
        let write = |name: &str, version: u32, boot: &str, other_lock: bool| {
            std::fs::write(dir.component_lock(name), "").unwrap();
            let of = if other_lock { dir.lock_file() } else { dir.component_lock(name) };
            let record = serde_json::json!({
                "version": version, "name": name, "bootId": boot, "lock": FileIdentity::of(&of), "more": [1],
                "process": {"pid": 4242, "startTime": 7, "bootId": boot},
            });
            std::fs::write(dir.record(name), record.to_string()).unwrap();
        };
        write("own", RECORD_VERSION, &boot, false);
        write("rebooted", RECORD_VERSION, "another", false);
        write("copied", RECORD_VERSION, &boot, true);
        write("newer", RECORD_VERSION + 1, &boot, false);
        std::fs::write(dir.component_lock("bare"), "").unwrap();
        std::fs::write(dir.record("torn"), "{").unwrap();

        let found = stored(&dir, &lock, &SystemClock).unwrap();
        let found: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.process.is_some())).collect();
        let none = |name| (name, false);
        let expected =
            [none("bare"), none("copied"), none("newer"), ("own", true), none("rebooted"), none("torn")];
        assert_eq!(found, expected);

        forget(&dir, &lock, "own").unwrap();
        assert!(stored(&dir, &lock, &SystemClock).unwrap().iter().all(|c| c.process.is_none()));
        let kept: Value = serde_json::from_slice(&std::fs::read(dir.record("own")).unwrap()).unwrap();
        assert_eq!(kept["more"][0], 1);
        forget(&dir, &lock, "torn").unwrap();
        forget(&dir, &lock, "bare").unwrap();
        assert!(!dir.record("bare").exists());
    }
}

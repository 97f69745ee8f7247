//! Who keeps the components' logs: the keeper of [`vitald_log`], as a supervisor knows it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use vitald_core::lifecycle::{EventReason, Notice};
use vitald_core::spec::{LogsSpec, OnDiskFull};
use vitald_core::status::EventType;
use vitald_log::{Finding, Keeper, Policy, Settings, Shortage};
use vitald_supervisor::{LogKeeper, TellOfLogs};

/// How soon what could not begin is tried again, at first and at most.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// Begins to keep the logs in a folder. Where that cannot be, it is told, and tried again: until then they only
/// grow.
pub(crate) fn begin(folder: &Path, max_total: Option<u64>, tell: TellOfLogs) -> Box<dyn LogKeeper> {
    let keeping = Arc::new(Keeping {
        folder: folder.to_owned(),
        policy: Policy { max_total },
        single: Singles::default(),
        tell: Arc::new(Mutex::new(tell)),
        state: Mutex::default(),
    });
    let retry = match keeping.try_to_begin() {
        Ok(()) => None,
        Err(err) => {
            let message = format!("logs cannot be kept, and only grow; it is tried again: {err}");
            let (kind, reason) = (EventType::Warning, EventReason::FailedRotation);
            lock(&keeping.tell)("", &Notice { kind, reason, message });
            Some(Retry::begin(Arc::clone(&keeping)))
        }
    };
    Box::new(Kept { keeping, retry })
}

/// Of which components only the live file is kept.
type Singles = Arc<Mutex<BTreeMap<String, bool>>>;

struct Keeping {
    folder: PathBuf,
    policy: Policy,
    single: Singles,
    tell: Arc<Mutex<TellOfLogs>>,
    state: Mutex<State>,
}

/// The keeper, or what it is to be told once there is one.
enum State {
    Waiting(BTreeMap<String, LogsSpec>),
    Begun(Keeper),
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(BTreeMap::new())
    }
}

impl Keeping {
    fn try_to_begin(&self) -> io::Result<()> {
        let (single, tell) = (Arc::clone(&self.single), Arc::clone(&self.tell));
        let keeper = Keeper::start(&self.folder, self.policy, move |notice| {
            let is_single = |name: &str| lock(&single).get(name).copied().unwrap_or_default();
            if let Some((of, notice)) = event(notice, is_single) {
                lock(&tell)(&of, &notice);
            }
        })?;
        let mut state = lock(&self.state);
        if let State::Waiting(logs) = &*state {
            logs.iter().for_each(|(name, logs)| keeper.keep(name, settings(logs)));
        }
        *state = State::Begun(keeper);
        Ok(())
    }
}

struct Kept {
    keeping: Arc<Keeping>,
    /// Dropped first: nothing begins any more then.
    retry: Option<Retry>,
}

impl LogKeeper for Kept {
    fn keep(&self, component: &str, logs: &LogsSpec) {
        lock(&self.keeping.single).insert(component.to_owned(), logs.max_files == 1);
        match &mut *lock(&self.keeping.state) {
            State::Waiting(waiting) => drop(waiting.insert(component.to_owned(), *logs)),
            State::Begun(keeper) => keeper.keep(component, settings(logs)),
        }
    }

    fn forget(&self, component: &str) {
        match &mut *lock(&self.keeping.state) {
            State::Waiting(waiting) => drop(waiting.remove(component)),
            State::Begun(keeper) => keeper.forget(component),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.retry.take());
        // Not while it is locked: the keeper's thread may have something to tell before it ends.
        let state = std::mem::take(&mut *lock(&self.keeping.state));
        drop(state);
    }
}

/// A thread that tries to begin until it can, or is dropped.
struct Retry {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Retry {
    fn begin(keeping: Arc<Keeping>) -> Self {
        let (stop, stopped) = channel::<()>();
        let run = move || {
            let mut pause = RETRY;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                if keeping.try_to_begin().is_ok() {
                    let message = "logs are kept from now on".to_owned();
                    let (kind, reason) = (EventType::Normal, EventReason::LogsKept);
                    lock(&keeping.tell)("", &Notice { kind, reason, message });
                    return;
                }
                pause = (pause * 2).min(RETRY_AT_MOST);
            }
        };
        // Without a thread they only grow, as has been told.
        let thread = std::thread::Builder::new().name("logs-retry".into()).spawn(run).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Retry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settings(logs: &LogsSpec) -> Settings {
    Settings {
        max_size: logs.max_size,
        max_files: logs.max_files,
        on_disk_full: match logs.on_disk_full {
            OnDiskFull::Keep => vitald_log::OnDiskFull::Keep,
            OnDiskFull::DropOldest => vitald_log::OnDiskFull::DropOldest,
        },
        sync: true,
    }
}

/// The component that a notice concerns, and what people are told; nothing where all is as it should be. The
/// words hold no numbers, so that what happens again and again is one event with a count.
fn event(notice: vitald_log::Notice, is_single: impl Fn(&str) -> bool) -> Option<(String, Notice)> {
    use vitald_log::Notice as Log;
    let (normal, warning) = (EventType::Normal, EventType::Warning);
    let (of, kind, reason, message) = match notice {
        Log::Rotated { name, rotated } if rotated.dropped > 0 && !is_single(&name) => {
            let message = "the disk is full: the oldest of its log was dropped to go on with it";
            (name, warning, EventReason::LogsDropped, message.into())
        }
        // As the manifest has it.
        Log::Rotated { .. } => return None,
        Log::Dropped { name, why: Shortage::Disk, .. } => {
            let message = "the disk is full: the oldest of its log was dropped";
            (name, warning, EventReason::LogsDropped, message.into())
        }
        Log::Dropped { name, why: Shortage::Total, .. } => {
            let message = "the oldest of its log was dropped: all logs together take no more than they may";
            (name, normal, EventReason::LogsDropped, message.into())
        }
        Log::DiskFull { name, .. } => {
            let message = "there is no room on the disk to rotate its log, which grows on until there is";
            (name, warning, EventReason::DiskFull, message.into())
        }
        Log::RoomAgain { name } => {
            (name, normal, EventReason::DiskFreed, "there is room again to rotate its log".into())
        }
        Log::FolderFull => {
            let message =
                "the disk of the logs is full: what components write to them is lost until there is room";
            (String::new(), warning, EventReason::DiskFull, message.into())
        }
        Log::FolderFreed => {
            let message = "there is room again on the disk of the logs";
            (String::new(), normal, EventReason::DiskFreed, message.into())
        }
        Log::Found { name, finding } => {
            let (kind, message) = match finding {
                Finding::Truncated(_) => (normal, "its log was truncated by somebody else"),
                Finding::Replaced(_) => {
                    (warning, "its log file was removed or replaced: what runs may write to one that is gone")
                }
                Finding::OwnOffset(_) => {
                    (warning, "it does not append to its log, but writes at an offset of its own")
                }
            };
            (name, kind, EventReason::LogsChanged, message.into())
        }
        Log::Failed { name, error } => {
            let what =
                if name.is_empty() { "what logs take cannot be limited" } else { "its log is not kept" };
            (name, warning, EventReason::FailedRotation, format!("{what}, which is tried again: {error}"))
        }
    };
    Some((of, Notice { kind, reason, message }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitald_log::{LogError, Rotated};

    #[test]
    fn only_what_is_not_as_it_should_be_is_told() {
        let rotated = |dropped| vitald_log::Notice::Rotated {
            name: "web".into(),
            rotated: Rotated { archived: 0, dropped },
        };
        assert!(event(rotated(0), |_| false).is_none());
        assert!(event(rotated(4096), |_| true).is_none(), "one file is what the manifest wants");
        let (of, told) = event(rotated(4096), |_| false).unwrap();
        assert_eq!(
            (of.as_str(), told.kind, told.reason),
            ("web", EventType::Warning, EventReason::LogsDropped)
        );
        let error = LogError::Locked { path: "/logs/web.log".into() };
        let (_, told) = event(vitald_log::Notice::Failed { name: "web".into(), error }, |_| false).unwrap();
        assert_eq!(
            told.message,
            "its log is not kept, which is tried again: /logs/web.log: kept by another process"
        );
    }

    #[test]
    fn what_cannot_be_kept_at_first_is_kept_later_and_that_is_told_once() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("logs");
        let (tell, told) = channel();
        let tell: TellOfLogs = Box::new(move |_: &str, notice: &Notice| drop(tell.send(notice.clone())));
        let keeper = begin(&folder, None, tell);
        let small = LogsSpec { max_size: 8192, ..LogsSpec::default() };
        keeper.keep("web", &small);
        keeper.keep("gone", &small);
        keeper.forget("gone");
        let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
        let first = next();
        assert_eq!((first.kind, first.reason), (EventType::Warning, EventReason::FailedRotation));
        assert!(first.message.contains("it is tried again"), "{}", first.message);
        let lines = b"a line of a component\n".repeat(2000);
        for name in ["web", "gone"] {
            let (mut log, _) = vitald_log::append(&folder.join(format!("{name}.log"))).unwrap();
            std::io::Write::write_all(&mut log, &lines).unwrap();
        }
        assert_eq!(next().reason, EventReason::LogsKept);
        let begun = std::time::Instant::now();
        while !folder.join("web.log.4").exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is not rotated");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(keeper);
        assert!(!folder.join("gone.log.1").exists());
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        assert_eq!(settings(&LogsSpec::default()), Settings::default());
    }
}

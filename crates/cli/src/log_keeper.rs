//! Who keeps the components' logs: the keeper of [`vitald_log`], as a supervisor knows it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use vitald_core::lifecycle::{EventReason, Notice};
use vitald_core::spec::{LogsSpec, OnDiskFull};
use vitald_core::status::EventType;
use vitald_log::{Finding, Keeper, Policy, Settings, Shortage};
use vitald_supervisor::{LogKeeper, TellOfLogs};

/// Begins to keep the logs in a folder. Where that cannot be, it is told, and they only grow.
pub(crate) fn begin(folder: &Path, max_total: Option<u64>, mut tell: TellOfLogs) -> Box<dyn LogKeeper> {
    let single = Singles::default();
    let known = Arc::clone(&single);
    let tell = Arc::new(Mutex::new(move |of: &str, notice: &Notice| tell(of, notice)));
    let told = Arc::clone(&tell);
    let keeper = Keeper::start(folder, Policy { max_total }, move |notice| {
        let single = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, notice)) = event(notice, |name| single.get(name).copied().unwrap_or_default()) {
            (told.lock().unwrap_or_else(PoisonError::into_inner))(&of, &notice);
        }
    });
    match keeper {
        Ok(keeper) => Box::new(Kept { keeper, single }),
        Err(err) => {
            let message = format!("logs cannot be kept, and only grow until the next vitald: {err}");
            let (kind, reason) = (EventType::Warning, EventReason::FailedRotation);
            (tell.lock().unwrap_or_else(PoisonError::into_inner))("", &Notice { kind, reason, message });
            Box::new(Nobody)
        }
    }
}

/// Of which components only the live file is kept.
type Singles = Arc<Mutex<BTreeMap<String, bool>>>;

struct Kept {
    keeper: Keeper,
    single: Singles,
}

impl LogKeeper for Kept {
    fn keep(&self, component: &str, logs: &LogsSpec) {
        self.single
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(component.to_owned(), logs.max_files == 1);
        self.keeper.keep(component, settings(logs));
    }

    fn forget(&self, component: &str) {
        self.keeper.forget(component);
    }
}

struct Nobody;

impl LogKeeper for Nobody {
    fn keep(&self, _component: &str, _logs: &LogsSpec) {}

    fn forget(&self, _component: &str) {}
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
    fn defaults_are_those_of_the_library() {
        assert_eq!(settings(&LogsSpec::default()), Settings::default());
    }
}

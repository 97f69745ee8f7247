//! What a run tells of itself, as sd_notify(3) has it, and what it must be given to do so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::restarter::ProcessIdentity;
use crate::time::Timestamp;

/// What a run must be given, so that a probe can ask about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunNeeds {
    /// A socket that it may tell of itself on: `NOTIFY_SOCKET`.
    pub notify_socket: bool,
    /// How often at least it is to say there that it is alive: `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
}

impl RunNeeds {
    /// What both need; of two watchdogs the one that waits less.
    pub fn and(self, other: Self) -> Self {
        Self {
            notify_socket: self.notify_socket || other.notify_socket,
            watchdog: self.watchdog.into_iter().chain(other.watchdog).min(),
        }
    }
}

/// What a run has told of itself so far. It is on record, so that the next supervisor knows it, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Notified {
    /// `READY=1`: it has started.
    pub ready: bool,
    /// `STATUS=`, for people: one line, without control characters. Empty if it said none.
    pub status: String,
    /// `ERRNO=` or `BUSERROR=`: what went wrong, for people.
    pub error: Option<String>,
    /// `EXTEND_TIMEOUT_USEC=`: it wants time until then for what it is doing.
    pub extended_until: Option<Timestamp>,
    /// `MAINPID=`: its main process, where that is not the one that was started.
    pub main_process: Option<ProcessIdentity>,
    /// `WATCHDOG_USEC=`: how long it may be silent, in its own opinion; zero: for ever.
    pub watchdog: Option<Duration>,
    /// `WATCHDOG=trigger`: it has found itself sick.
    pub gave_up: bool,
}

impl Notified {
    /// Whether it has told nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of what a run tells, at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// What it has told.
    pub notified: Notified,
    /// For how long it has not said that it is alive (`WATCHDOG=1`, `READY=1`), as far as anybody listened.
    pub silent: Duration,
    /// Whether the time that it has asked for is not over.
    pub has_more_time: bool,
    /// Whether nobody listened for a while, so that it may have told more.
    pub missed: bool,
    /// The last message that was not taken, and why; for people.
    pub passed_over: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_watchdog_counts() {
        let needs = |seconds: Option<u64>| RunNeeds {
            notify_socket: true,
            watchdog: seconds.map(Duration::from_secs),
        };
        assert_eq!(needs(Some(9)).and(needs(Some(4))), needs(Some(4)));
        assert_eq!(needs(None).and(needs(Some(4))), needs(Some(4)));
        assert_eq!(RunNeeds::default().and(needs(None)), needs(None));
    }
}

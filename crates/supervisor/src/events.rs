//! What happened lately, for whoever asks and whoever listens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use vitald_core::lifecycle::Notice;
use vitald_core::status::EventRecord;

use crate::clock::{Clock, rfc3339};

/// How many events are remembered.
const REMEMBERED: usize = 2000;

/// How many events a listener may lag behind.
const LAG: usize = 1024;

/// All events of a supervisor.
pub(crate) struct Events {
    clock: Arc<dyn Clock>,
    recent: Mutex<VecDeque<EventRecord>>,
    live: broadcast::Sender<EventRecord>,
}

impl Events {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, recent: Mutex::default(), live: broadcast::Sender::new(LAG) }
    }

    /// Records an event; one that says what the component's last one said, but for what was measured, only raises
    /// its count.
    pub(crate) fn add(&self, component: &str, notice: &Notice) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = format!("{:?}", notice.reason);
        let repeated = repeated(&recent, component, &reason, &notice.message);
        let count = repeated.and_then(|i| recent.remove(i)).map_or(1, |event| event.count + 1);
        let event = EventRecord {
            time: rfc3339(self.clock.wall()),
            component: component.to_owned(),
            kind: notice.kind,
            reason,
            message: notice.message.clone(),
            count,
        };
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // Nobody listening is no error.
        let _ = self.live.send(event);
    }

    /// The recent ones, oldest first, and every one after them.
    pub(crate) fn subscribe(&self) -> (Vec<EventRecord>, broadcast::Receiver<EventRecord>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        (recent.iter().cloned().collect(), self.live.subscribe())
    }

    /// The last `most` of one component, oldest first.
    pub(crate) fn of(&self, component: &str, most: usize) -> Vec<EventRecord> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events: Vec<_> =
            recent.iter().rev().filter(|event| event.component == component).take(most).cloned().collect();
        events.reverse();
        events
    }
}

/// Where the component's event of like words is, if nothing that tells of another time lies between.
fn repeated(recent: &VecDeque<EventRecord>, component: &str, reason: &str, message: &str) -> Option<usize> {
    for (i, event) in recent.iter().enumerate().rev().filter(|(_, event)| event.component == component) {
        if event.reason == reason && is_like(&event.message, message) {
            return Some(i);
        }
        if matches!(event.reason.as_str(), "Started" | "Restarted" | "Ready" | "Exited" | "Killing") {
            return None;
        }
    }
    None
}

/// Whether two messages differ at most in what was measured: `uses 11.7 MiB, more than 10 MiB` again and again with
/// another number is one event. Other numbers, such as those of attempts or of a status, tell of something else.
fn is_like(one: &str, other: &str) -> bool {
    let units = |text: &str| matches!(text.trim_end_matches([',', ';', ':', '.']), "s" | "ms" | "MiB");
    let (words, others): (Vec<&str>, Vec<&str>) = (one.split(' ').collect(), other.split(' ').collect());
    let is_measure = |word: &str| word.parse::<f64>().is_ok_and(f64::is_finite);
    let has_unit = |at: usize| words.get(at + 1).is_some_and(|unit| units(unit));
    words.len() == others.len()
        && words
            .iter()
            .zip(&others)
            .enumerate()
            .all(|(at, (word, its))| word == its || (has_unit(at) && is_measure(word) && is_measure(its)))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn only_what_was_measured_may_differ() {
        let memory = "readiness probe failed: uses 11.7 MiB, more than 10 MiB";
        assert!(is_like(memory, memory) && is_like("", ""));
        assert!(is_like(memory, "readiness probe failed: uses 12 MiB, more than 10 MiB"));
        assert!(is_like("has not said WATCHDOG=1 for 3.1 s, and", "has not said WATCHDOG=1 for 13.1 s, and"));
        for (one, other) in [
            (memory, "liveness probe failed: uses 11.7 MiB, more than 10 MiB"),
            ("answers HTTP 500", "answers HTTP 503"),
            ("restart 1/10 in 1 s: gone", "restart 2/10 in 2 s: gone"),
            ("exited with status 1", "exited with status 2"),
            ("gone after 1 s", "gone after 1 s again"),
            ("gone after 1 s again", "gone after 1 s"),
            ("gone after 1 s", "gone after NaN s"),
            ("a", ""),
        ] {
            assert!(!is_like(one, other), "{one}, {other}");
        }
    }
}

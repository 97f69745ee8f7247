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

    /// Records an event; one that says what the component's last one said only raises its count.
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

/// Where the component's event of the same words is, if nothing that tells of another time lies between.
fn repeated(recent: &VecDeque<EventRecord>, component: &str, reason: &str, message: &str) -> Option<usize> {
    for (i, event) in recent.iter().enumerate().rev().filter(|(_, event)| event.component == component) {
        if event.reason == reason && event.message == message {
            return Some(i);
        }
        if matches!(event.reason.as_str(), "Started" | "Restarted" | "Ready" | "Exited" | "Killing") {
            return None;
        }
    }
    None
}

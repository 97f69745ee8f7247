//! What a run tells of itself on a socket of its own: sd_notify(3).
//!
//! Each run has its own [socket], so that nothing reaches one run that was meant for another. Whoever may
//! become another user may send to it; [who is heard](listener) is another matter: only processes of the run's
//! own tree, by the credentials that the kernel adds to each message. What is sent while no supervisor lives
//! is refused by the kernel (ECONNREFUSED) and lost.

mod listener;
mod message;
mod receive;
mod socket;
mod told;

use std::time::Duration;

pub(crate) use listener::{Hearing, Source};
pub(crate) use socket::NotifySocket;

use crate::mark::{NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC};

/// What a run finds in its environment, apart from its own pid in [`WATCHDOG_PID`].
pub(crate) fn variables(socket: &NotifySocket, watchdog: Option<Duration>) -> Vec<(&'static str, String)> {
    let watchdog = watchdog.map(|watchdog| (WATCHDOG_USEC, watchdog.as_micros().to_string()));
    [(NOTIFY_SOCKET, socket.path().display().to_string())].into_iter().chain(watchdog).collect()
}

/// The variables that are its own pid.
pub(crate) fn pid_variables(watchdog: Option<Duration>) -> &'static [&'static str] {
    if watchdog.is_some() { &[WATCHDOG_PID] } else { &[] }
}

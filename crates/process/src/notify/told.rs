//! What the messages of a run add up to.

use std::time::Instant;

use vitald_core::notify::{Heard, Notified};
use vitald_core::restarter::ProcessIdentity;
use vitald_core::time::Timestamp;

use super::message::Word;

/// All that was told so far.
pub(super) struct Told {
    pub(super) notified: Notified,
    /// When it last said that it is alive, or was first listened to. The machine's sleep is no silence.
    alive_at: Instant,
    /// Whether nobody listened for a while.
    missed: bool,
    passed_over: Option<String>,
}

impl Told {
    pub(super) fn nothing(missed: bool) -> Self {
        let notified = Notified::default();
        Self { notified, alive_at: Instant::now(), missed, passed_over: None }
    }

    /// Takes what a message says, but for `MAINPID=`; whether that is anything new to people.
    pub(super) fn take(&mut self, words: &[Word], now: Timestamp) -> bool {
        let before = self.notified.clone();
        let told = &mut self.notified;
        let mut doing = None;
        let mut status = None;
        for word in words {
            match word {
                Word::Ready => {
                    told.ready = true;
                    // What more time was asked for is done.
                    told.extended_until = None;
                    self.alive_at = Instant::now();
                    doing = Some("");
                }
                Word::Reloading => doing = Some("reloading"),
                Word::Stopping => doing = Some("stopping"),
                Word::Status(text) => status = Some(text.clone()),
                Word::Error(error) => told.error = Some(error.clone()),
                Word::Alive => self.alive_at = Instant::now(),
                Word::GaveUp => told.gave_up = true,
                Word::Watchdog(silence) => {
                    told.watchdog = Some(*silence);
                    self.alive_at = Instant::now();
                }
                Word::MoreTime(time) => told.extended_until = Some(now + *time),
                Word::MainPid(_) => {}
            }
        }
        match (status, doing) {
            (Some(text), _) => told.status = text,
            // It has said nothing better, and that it was doing so is over when it is ready.
            (None, Some("")) if ["reloading", "stopping"].contains(&told.status.as_str()) => {
                told.status.clear();
            }
            (None, Some("") | None) => {}
            (None, Some(doing)) => told.status = doing.to_owned(),
        }
        self.notified != before
    }

    /// Another process is the main one from now on.
    pub(super) fn main_process(&mut self, process: ProcessIdentity) -> bool {
        self.notified.main_process.replace(process.clone()) != Some(process)
    }

    /// A message was not taken: why, for people.
    pub(super) fn pass_over(&mut self, why: String) {
        self.passed_over = Some(why);
    }

    /// What an earlier supervisor knew. What has been told to this one since is newer.
    pub(super) fn remember(&mut self, before: Notified) {
        let since = std::mem::replace(&mut self.notified, before);
        let told = &mut self.notified;
        told.ready |= since.ready;
        told.gave_up |= since.gave_up;
        if !since.status.is_empty() {
            told.status = since.status;
        }
        told.error = since.error.or(told.error.take());
        told.extended_until = since.extended_until.or(told.extended_until);
        told.main_process = since.main_process.or(told.main_process.take());
        told.watchdog = since.watchdog.or(told.watchdog);
    }

    pub(super) fn heard(&self, now: Timestamp) -> Heard {
        Heard {
            notified: self.notified.clone(),
            silent: self.alive_at.elapsed(),
            has_more_time: self.notified.extended_until.is_some_and(|until| now < until),
            missed: self.missed,
            passed_over: self.passed_over.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::message::read;
    use super::*;

    const NOW: Timestamp = Timestamp::from_boot(Duration::from_secs(100));

    fn after(messages: &[&str]) -> Notified {
        let mut told = Told::nothing(false);
        for message in messages {
            told.take(&read(message.as_bytes()), NOW);
        }
        told.notified
    }

    #[test]
    fn messages_add_up() {
        let told = after(&["STATUS=loads\nEXTEND_TIMEOUT_USEC=5000000", "WATCHDOG_USEC=0"]);
        assert_eq!(told.extended_until, Some(NOW + Duration::from_secs(5)));
        assert_eq!((told.status.as_str(), told.watchdog, told.ready), ("loads", Some(Duration::ZERO), false));
        let told = after(&["EXTEND_TIMEOUT_USEC=5000000", "READY=1"]);
        assert_eq!((told.extended_until, told.ready), (None, true));
    }

    #[test]
    fn what_it_is_doing_is_its_status_where_it_says_none() {
        assert_eq!(after(&["STATUS=serves", "RELOADING=1"]).status, "reloading");
        assert_eq!(after(&["RELOADING=1", "READY=1"]).status, "");
        assert_eq!(after(&["RELOADING=1\nSTATUS=reads its files", "READY=1"]).status, "reads its files");
        assert_eq!(after(&["STATUS=serves", "STATUS="]).status, "");
    }

    #[test]
    fn a_sign_of_life_is_no_news() {
        let mut told = Told::nothing(false);
        assert!(told.take(&read(b"READY=1"), NOW));
        assert!(!told.take(&read(b"READY=1\nWATCHDOG=1"), NOW));
    }

    #[test]
    fn what_came_before_the_memory_did_is_newer() {
        let mut told = Told::nothing(true);
        told.take(&read(b"STATUS=new"), NOW);
        told.remember(Notified { ready: true, status: "old".into(), ..Notified::default() });
        assert_eq!((told.notified.ready, told.notified.status.as_str()), (true, "new"));
        assert!(told.heard(NOW).missed);
        let mut told = Told::nothing(true);
        told.take(&read(b"READY=1\nWATCHDOG=trigger"), NOW);
        told.remember(Notified { status: "old".into(), ..Notified::default() });
        let told = told.notified;
        assert_eq!((told.ready, told.gave_up, told.status.as_str()), (true, true, "old"));
    }
}

//! The task that holds the process of a library: starts it, asks it, ends it when it misbehaves, and replaces it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::host_client::book::Book;
use crate::host_client::connection::{Connection, Heard};
use crate::host_client::due::Due;
use crate::host_client::{Ask, CallFailure, CheckEvent, Place, Reply};
use crate::kind::clipped;
use crate::library::untold;
use crate::model::NoticeKind;
use crate::wire::{FromHost, Hello, ToHost};

/// How long a library may take until it says what it is.
const HELLO_LIMIT: Duration = Duration::from_secs(8);
/// How long a process that holds no probe is kept, since more may be asked.
const IDLE: Duration = Duration::from_secs(10);
/// The second process in a row that ends is replaced after this long; twice that after each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// But never later than this.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After so long without an end all is well again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What a process is asked, and the process.
pub(super) struct Actor {
    place: Arc<Place>,
    asks: mpsc::UnboundedReceiver<Ask>,
    book: Book,
    host: Option<Host>,
    /// Who waits for what the library says of itself.
    hellos: Vec<Reply<Result<Hello, String>>>,
    /// Processes that have ended in a row, and the last of them.
    ends: u32,
    last_end: Option<Instant>,
    /// When there is to be another one, and how the last one ended.
    again: Option<(Instant, String)>,
    idle_since: Option<Instant>,
    retires: bool,
}

struct Host {
    connection: Connection,
    /// When it must have said what it is; it has, if there is none.
    hello: Option<Due>,
}

impl Actor {
    pub(super) fn new(place: Arc<Place>, asks: mpsc::UnboundedReceiver<Ask>) -> Self {
        Self {
            place,
            asks,
            book: Book::default(),
            host: None,
            hellos: Vec::new(),
            ends: 0,
            last_end: None,
            again: None,
            idle_since: None,
            retires: false,
        }
    }

    /// Until nobody can ask any more.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.next_due();
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.asked(ask).await,
                    None => break,
                },
                heard = next(&mut self.host) => self.heard(heard).await,
                () = at(due) => self.time_is_over().await,
            }
            self.say().await;
            self.rest().await;
            if self.retires && self.host.is_none() {
                break;
            }
        }
        if let Some(host) = self.host.take() {
            host.connection.close().await;
        }
    }

    async fn asked(&mut self, ask: Ask) {
        let now = Instant::now();
        let wants_host =
            matches!(ask, Ask::Hello { .. } | Ask::Needs { .. } | Ask::Validate { .. } | Ask::Check { .. });
        // Who asks about a configuration is a person, who would take a delay for an answer.
        let can_wait = matches!(ask, Ask::Check { .. });
        if wants_host && let Err(why) = self.ensure_host(can_wait, now) {
            return refuse(ask, why);
        }
        match ask {
            Ask::Hello { reply } => match self.place.hello.get() {
                Some(hello) if self.is_up() => reply(Ok(hello.clone())),
                _ => self.hellos.push(reply),
            },
            Ask::Needs { id, request, reply } => self.book.needs(id, request, reply, now),
            Ask::Validate { id, request, reply } => self.book.validate(id, request, reply, now),
            Ask::Check { id, probe, request, events } => self.book.check(id, probe, request, events, now),
            Ask::Cancel { id } => self.book.cancel(id, now),
            Ask::Served { check, id, answer } => self.book.served(check, id, answer),
            Ask::Forget { probe } => self.book.forget(probe),
            Ask::Retire => self.retires = true,
        }
    }

    fn is_up(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.hello.is_none())
    }

    /// A process, from now on.
    fn ensure_host(&mut self, can_wait: bool, now: Instant) -> Result<(), String> {
        if self.host.is_some() {
            return Ok(());
        }
        if let Some((again, how)) = self.again.as_ref().filter(|(again, _)| can_wait && now < *again) {
            let left = (*again - now).as_secs_f64().ceil();
            return Err(format!("{how}; it is started again in {left} s"));
        }
        self.place.mark.still(&self.place.file)?;
        match Connection::open(&self.place) {
            Ok(connection) => {
                self.host = Some(Host { connection, hello: Some(Due::within(HELLO_LIMIT, now)) });
                Ok(())
            }
            Err(err) => Err(format!("{} cannot be started: {err}", self.place.host())),
        }
    }

    async fn heard(&mut self, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::Ended(how) => self.lost(&how).await,
            Heard::Rubbish(why) => self.end(&why).await,
            Heard::Said(message) => match *message {
                FromHost::Hello(hello) if !self.is_up() => self.introduced(hello, now).await,
                FromHost::Refused { reason } if !self.is_up() => self.refused(reason).await,
                _ if !self.is_up() => self.end("it did not say what it is").await,
                message => {
                    if let Err(why) = self.book.heard(message, now) {
                        self.end(&why).await;
                    }
                }
            },
        }
    }

    async fn introduced(&mut self, hello: Hello, now: Instant) {
        if *self.place.hello.get_or_init(|| hello.clone()) != hello {
            return self.end("it is not what was loaded before (`vitald plugin reload` takes it)").await;
        }
        if let Some(host) = &mut self.host {
            host.hello = None;
        }
        for reply in self.hellos.drain(..) {
            reply(Ok(hello.clone()));
        }
        self.book.is_up(now);
    }

    /// The library cannot be used. That is an answer, and no fault of its process.
    async fn refused(&mut self, reason: String) {
        if let Some(host) = self.host.take() {
            host.connection.close().await;
        }
        let reason = clipped(reason);
        self.again = Some((Instant::now() + FIRST_DELAY, reason.clone()));
        self.down(&reason);
    }

    async fn time_is_over(&mut self) {
        let now = Instant::now();
        if let Some(due) = self.host.as_mut().and_then(|host| host.hello.as_mut())
            && due.is_over(now)
        {
            let limit = HELLO_LIMIT.as_secs();
            return self.end(&format!("it did not say within {limit} s what it is")).await;
        }
        if let Some(why) = self.book.overdue(now) {
            self.end(&why).await;
        }
    }

    /// Ends the process for what it has done.
    async fn end(&mut self, why: &str) {
        let stopped = self.host.as_ref().is_some_and(|host| is_stopped(host.connection.pid()));
        let stopped = if stopped { ": its process had been stopped by a signal" } else { "" };
        self.lost(&format!("was ended, since {why}{stopped}")).await;
    }

    /// The process has ended, or is ended.
    async fn lost(&mut self, how: &str) {
        let Some(host) = self.host.take() else { return };
        let words = host.connection.end().await;
        // Who is ended by another signal has said nothing about that.
        let had_a_say = how.ends_with("SIGABRT") || how.starts_with("exited");
        let words = words.filter(|_| had_a_say).map(|words| format!(": {words}")).unwrap_or_default();
        let why = format!("{} {how}{words}", self.place.host());
        let now = Instant::now();
        let well = self.last_end.is_none_or(|last| now - last >= delay(self.ends) + WELL_AFTER);
        self.ends = if well { 1 } else { self.ends.saturating_add(1) };
        self.last_end = Some(now);
        self.again = Some((now + delay(self.ends), why.clone()));
        self.place.tell(NoticeKind::Ended, why.clone());
        self.down(&why);
    }

    fn down(&mut self, why: &str) {
        for reply in self.hellos.drain(..) {
            reply(Err(why.to_owned()));
        }
        self.book.is_down(why);
    }

    /// Says what is to be said.
    async fn say(&mut self) {
        while !self.book.unsaid.is_empty() && self.is_up() {
            for message in std::mem::take(&mut self.book.unsaid) {
                let Some(host) = &mut self.host else { return };
                if let Err(err) = host.connection.say(&message) {
                    self.unsayable(&message, &err.to_string()).await;
                }
            }
        }
    }

    /// A configuration that cannot be said is a mistake in it, and nobody's death.
    async fn unsayable(&mut self, message: &ToHost, why: &str) {
        let trouble = untold(why);
        let answer = match message {
            ToHost::Needs { id, .. } => FromHost::Needs { id: *id, answer: Err(trouble) },
            ToHost::Build { instance, .. } => FromHost::Built { instance: *instance, answer: Err(trouble) },
            ToHost::Check { id, .. } => FromHost::Checked { id: *id, answer: Err(trouble) },
            ToHost::Cancel { .. } | ToHost::Drop { .. } => return,
            ToHost::Served { .. } => {
                return self.end(&format!("an answer to it cannot be told: {why}")).await;
            }
        };
        if let Err(why) = self.book.heard(answer, Instant::now()) {
            self.end(&why).await;
        }
    }

    /// A process that holds nothing is not kept for ever.
    async fn rest(&mut self) {
        if self.retires && self.book.is_quiet() {
            if let Some(host) = self.host.take() {
                host.connection.close().await;
            }
            return;
        }
        if !self.is_up() || !self.book.is_empty() || !self.hellos.is_empty() {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= IDLE
            && let Some(host) = self.host.take()
        {
            self.book.is_down("");
            self.idle_since = None;
            host.connection.close().await;
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let host = self.host.as_ref()?;
        let hello = host.hello.as_ref().map(Due::at);
        let idle = self.idle_since.map(|since| since + IDLE);
        self.book.next_due().into_iter().chain(hello).chain(idle).min()
    }
}

/// How long to wait before another process takes the place of one, after so many ends in a row.
fn delay(ends: u32) -> Duration {
    match ends {
        0 | 1 => Duration::ZERO,
        _ => FIRST_DELAY.saturating_mul(2u32.saturating_pow(ends - 2)).min(LONGEST_DELAY),
    }
}

fn refuse(ask: Ask, why: String) {
    match ask {
        Ask::Hello { reply } => reply(Err(why)),
        Ask::Needs { reply, .. } => reply(Err(CallFailure::Host(why))),
        Ask::Validate { reply, .. } => reply(Err(CallFailure::Host(why))),
        Ask::Check { events, .. } => {
            // The channel is new, so that there is room.
            let _ = events.try_send(CheckEvent::Ended(Err(CallFailure::Host(why))));
        }
        Ask::Cancel { .. } | Ask::Served { .. } | Ask::Forget { .. } | Ask::Retire => {}
    }
}

async fn next(host: &mut Option<Host>) -> Heard {
    match host {
        Some(host) => host.connection.next().await,
        None => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Whether somebody has sent it SIGSTOP: state `T` in `/proc/PID/stat`, after the name in parentheses.
fn is_stopped(pid: i32) -> bool {
    let stat: io::Result<String> = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_replaced_at_once_and_then_ever_later() {
        let delays: Vec<u64> = (1..=10).map(|ends| delay(ends).as_secs()).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(delay(u32::MAX), LONGEST_DELAY);
    }
}

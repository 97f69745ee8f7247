//! How a container's end is seen: told by the engine's events, and asked for where one may have been missed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions};
use futures_util::{Stream, StreamExt};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use vitald_core::restarter::Exit;

use crate::engine::{Engine, EngineError, Pauses, SOON};
use crate::kernel;

/// When a container is looked at although nothing was told: at once, soon after, for what happened while the
/// connection was being made, and then now and then.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// How long before its end a container was out of memory that ended for that, in seconds.
const OOM_BEFORE: i64 = 2;

/// How long after an end the engine may take to tell that it was for memory.
const LATE_WORD: Duration = Duration::from_millis(500);

/// What an exit status means beyond this: the number of a signal. A shell's way, and the engine's.
const SIGNALLED: i64 = 128;

/// A container whose end is waited for.
pub(crate) struct Watched<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) id: &'a str,
    /// When its main process was started, as the engine has it. Another time, another process.
    /// `None` if that is not known.
    pub(crate) started_at: Option<&'a str>,
    /// Its main process, as the engine counts. `None` if that is not known.
    pub(crate) pid: Option<i64>,
}

impl Watched<'_> {
    /// Waits for the end, also over absences of the engine. `away` is asked then whether the waiting makes sense.
    pub(crate) async fn ended(&self, away: impl Fn() -> Option<Exit>) -> Exit {
        let mut pauses = Pauses::new();
        loop {
            match self.watch(&mut pauses, &away).await {
                Ok(Some(exit)) => return exit,
                Ok(None) => {}
                Err(_) => {
                    if let Some(exit) = away() {
                        return exit;
                    }
                    pauses.pause().await;
                }
            }
        }
    }

    /// `None` if the connection is not to be relied on.
    async fn watch(
        &self,
        pauses: &mut Pauses,
        away: impl Fn() -> Option<Exit>,
    ) -> Result<Option<Exit>, EngineError> {
        let client = self.engine.client().await?;
        let mut options = EventsOptionsBuilder::new().filters(&self.filters());
        if let Some(since) = self.started_at.and_then(seconds) {
            // What has happened already is told again.
            options = options.since(&since.to_string());
        }
        let mut events = Box::pin(client.events(Some(options.build())));
        let mut heard = Heard::default();
        let mut looks = 0;
        let mut next_look = Instant::now();
        let mut is_doubted = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) if event.action.as_deref() == Some("die") => {
                        let ended = self.ended_by_now(Some(&event), &heard).await?.unwrap_or_default();
                        return Ok(Some(self.explained(ended, &mut heard, &mut events).await));
                    }
                    Some(Ok(event)) => heard.note(&event),
                    Some(Err(err)) => return Err(self.engine.failure(err)),
                    None => return Err(self.engine.away("it has closed the connection".into())),
                },
                () = sleep_until(next_look) => {
                    match self.ended_by_now(None, &heard).await {
                        Ok(Some(ended)) => {
                            return Ok(Some(self.explained(ended, &mut heard, &mut events).await));
                        }
                        // It may be another engine by now that has answered.
                        Ok(None) if is_doubted => return Ok(None),
                        Ok(None) => {
                            *pauses = Pauses::new();
                            looks += 1;
                        }
                        // One that is shutting down takes no questions, and goes on telling what ends.
                        Err(_) => {
                            if let Some(exit) = away() {
                                return Ok(Some(exit));
                            }
                            (is_doubted, looks) = (true, 1);
                        }
                    }
                    next_look = Instant::now() + LOOK_AGAIN[usize::clamp(looks, 1, LOOK_AGAIN.len()) - 1];
                }
            }
        }
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        [("type", vec!["container"]), ("container", vec![self.id]), ("event", vec!["die", "kill", "oom"])]
            .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
            .into()
    }

    /// How it ended, as far as the engine tells; `None` if it has not. What events tell of its memory comes first: the
    /// engine itself goes on saying that it was out of memory once a child of it was ended for that.
    async fn ended_by_now(
        &self,
        died: Option<&EventMessage>,
        heard: &Heard,
    ) -> Result<Option<Ended>, EngineError> {
        let told = died.and_then(code_of);
        let time = died.and_then(|event| event.time);
        let by_event = || {
            let exit = told.map(|code| exit_of(code, heard.was_out_of_memory(time).unwrap_or_default()));
            exit.map(|exit| Ended { exit, at: time, lived: None })
        };
        let state = match inspect(self.engine, self.id).await {
            Ok(inspected) => inspected.state.unwrap_or_default(),
            // Somebody has removed it, or the engine is on its way out.
            Err(err) if err.is_not_found() => return Ok(Some(by_event().unwrap_or_default())),
            Err(err) => return by_event().map(Some).ok_or(err),
        };
        if self.started_at.is_some_and(|time| state.started_at.as_deref() != Some(time)) {
            // Somebody has started it again behind our back: that is another run, and none of ours.
            return Ok(Some(by_event().unwrap_or_default()));
        }
        // The event is told when all is cleared away, which can take its time.
        let at = state.finished_at.as_deref().and_then(seconds).filter(|time| *time > 0).or(time);
        let lived = at.zip(state.started_at.as_deref().and_then(seconds)).map(|(end, start)| end - start);
        let oom = heard.was_out_of_memory(at).or(state.oom_killed);
        // One that is being removed has no status any more.
        let by_code = told.map(|code| exit_of(code, oom.unwrap_or_default()));
        let exit = by_code.or_else(|| exit_in(&ContainerState { oom_killed: oom, ..state }));
        Ok(exit.map(|exit| Ended { exit, at, lived }))
    }

    /// Why it was ended by SIGKILL, where nobody asked the engine for that: it may be the kernel that did it, for
    /// memory. The engine tells that after the end, at times, and at times not at all. And how one ended that was
    /// removed before it could be looked at.
    async fn explained(
        &self,
        ended: Ended,
        heard: &mut Heard,
        events: &mut (impl Stream<Item = Result<EventMessage, Error>> + Unpin),
    ) -> Exit {
        let Ended { exit, at, lived } = ended;
        if exit == by_sigkill() && !heard.was_killed {
            let (id, pid) = (self.id.to_owned(), self.pid);
            let is_known = pid.is_some() || lived.is_some_and(|lived| lived <= OOM_BEFORE);
            let by_kernel = spawn_blocking(move || is_known && kernel::has_killed_for_memory(&id, pid));
            if by_kernel.await.unwrap_or_default() {
                return Exit::OomKilled;
            }
        } else if exit != Exit::Unknown {
            return exit;
        }
        let late_word = async {
            while let Some(Ok(event)) = events.next().await {
                heard.note(&event);
                if exit == Exit::Unknown {
                    // One that was removed meanwhile has died before.
                    let oom = heard.was_out_of_memory(event.time).unwrap_or_default();
                    match code_of(&event) {
                        Some(code) => return exit_of(code, oom),
                        None => continue,
                    }
                }
                if heard.was_out_of_memory(at) == Some(true) {
                    return Exit::OomKilled;
                }
                if heard.was_killed {
                    break;
                }
            }
            exit.clone()
        };
        timeout(LATE_WORD, late_word).await.unwrap_or_else(|_| exit.clone())
    }
}

/// An end, as far as it is known.
struct Ended {
    exit: Exit,
    /// When that was, in seconds since the epoch.
    at: Option<i64>,
    /// For how long it had run, in seconds.
    lived: Option<i64>,
}

impl Default for Ended {
    fn default() -> Self {
        Self { exit: Exit::Unknown, at: None, lived: None }
    }
}

/// What events have told so far that explains an end.
#[derive(Default)]
struct Heard {
    /// When something of it was out of memory last, in seconds since the epoch.
    out_of_memory: Option<i64>,
    /// Somebody had the engine kill it: we, or another.
    was_killed: bool,
}

impl Heard {
    fn note(&mut self, event: &EventMessage) {
        match event.action.as_deref() {
            Some("oom") => self.out_of_memory = event.time,
            Some("kill") => {
                let signal = attribute(event, "signal").unwrap_or_default();
                self.was_killed |= signal.parse() == Ok(nix::libc::SIGKILL) || signal.ends_with("KILL");
            }
            _ => {}
        }
    }

    /// Whether it was out of memory when it ended at this time; `None` if nothing is known of either.
    fn was_out_of_memory(&self, ended_at: Option<i64>) -> Option<bool> {
        self.out_of_memory.zip(ended_at).map(|(oom, end)| end - oom <= OOM_BEFORE)
    }
}

/// What the event of an end tells of it.
fn code_of(event: &EventMessage) -> Option<i64> {
    (event.action.as_deref() == Some("die")).then(|| attribute(event, "exitCode")?.parse().ok())?
}

fn attribute<'a>(event: &'a EventMessage, name: &str) -> Option<&'a str> {
    event.actor.as_ref()?.attributes.as_ref()?.get(name).map(String::as_str)
}

pub(crate) async fn inspect(engine: &Engine, id: &str) -> Result<ContainerInspectResponse, EngineError> {
    let id = id.to_owned();
    let ask = |client: bollard::Docker| async move {
        client.inspect_container(&id, None::<InspectContainerOptions>).await
    };
    engine.ask(SOON, ask).await
}

/// How a container ended whose state is this; `None` if it has not, or never began.
pub(crate) fn exit_in(state: &ContainerState) -> Option<Exit> {
    match state.status {
        Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD) => {
            Some(exit_of(state.exit_code?, state.oom_killed.unwrap_or_default()))
        }
        // On its way out, whoever asked for that.
        Some(ContainerStateStatusEnum::REMOVING) => Some(Exit::Unknown),
        _ => None,
    }
}

/// What an exit status tells. The engine tells none and a signal apart as a shell does.
fn exit_of(code: i64, oom: bool) -> Exit {
    let killed = SIGNALLED + i64::from(nix::libc::SIGKILL);
    match i32::try_from(code - SIGNALLED) {
        _ if oom && code == killed => Exit::OomKilled,
        Ok(signal @ 1..=31) => by_signal(signal),
        _ => i32::try_from(code).map_or(Exit::Unknown, Exit::Code),
    }
}

fn by_sigkill() -> Exit {
    by_signal(nix::libc::SIGKILL)
}

fn by_signal(signal: i32) -> Exit {
    Exit::Signal(vitald_process::signal::name(signal))
}

/// The engine's time as it takes it: in seconds since the epoch.
fn seconds(time: &str) -> Option<i64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests;

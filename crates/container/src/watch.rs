//! How a container's end is seen: told by the engine's events, and asked for where one may have been missed.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};
use vitald_core::restarter::Exit;

use crate::engine::{Engine, EngineError, Pauses, SOON};

/// When a container is looked at although nothing was told: at once, soon after, for what happened while the
/// connection was being made, and then now and then.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// How long before its end a container was out of memory that ended for that, in seconds.
const OOM_BEFORE: i64 = 2;

/// What an exit status means beyond this: the number of a signal. A shell's way, and the engine's.
const SIGNALLED: i64 = 128;

/// A container whose end is waited for.
pub(crate) struct Watched<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) id: &'a str,
    /// When its main process was started, as the engine has it. Another time, another process.
    /// `None` if that is not known.
    pub(crate) started_at: Option<&'a str>,
}

impl Watched<'_> {
    /// Waits for the end, also over absences of the engine. `away` is asked then whether the waiting makes sense.
    pub(crate) async fn ended(&self, away: impl Fn() -> Option<Exit>) -> Exit {
        let mut pauses = Pauses::new();
        loop {
            match self.watch(&mut pauses).await {
                Ok(exit) => return exit,
                Err(_) => {
                    if let Some(exit) = away() {
                        return exit;
                    }
                    pauses.pause().await;
                }
            }
        }
    }

    async fn watch(&self, pauses: &mut Pauses) -> Result<Exit, EngineError> {
        let client = self.engine.client().await?;
        let mut options = EventsOptionsBuilder::new().filters(&self.filters());
        if let Some(since) = self.started_at.and_then(seconds) {
            // What has happened already is told again.
            options = options.since(&since);
        }
        let mut events = client.events(Some(options.build()));
        let mut out_of_memory = None;
        let mut looks = 0;
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) if event.action.as_deref() == Some("oom") => out_of_memory = event.time,
                    Some(Ok(event)) if event.action.as_deref() == Some("die") => {
                        let oom = out_of_memory.zip(event.time).map(|(oom, died)| died - oom <= OOM_BEFORE);
                        return Ok(self.exit(Some(&event), oom).await?.unwrap_or(Exit::Unknown));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(err)) => return Err(self.engine.failure(err)),
                    None => return Err(self.engine.away("it has closed the connection".into())),
                },
                () = sleep_until(next_look) => {
                    if let Some(exit) = self.exit(None, None).await? {
                        return Ok(exit);
                    }
                    *pauses = Pauses::new();
                    next_look = Instant::now() + LOOK_AGAIN[usize::min(looks, LOOK_AGAIN.len() - 1)];
                    looks += 1;
                }
            }
        }
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        [("type", vec!["container"]), ("container", vec![self.id]), ("event", vec!["die", "oom"])]
            .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
            .into()
    }

    /// How it ended, as far as the engine tells; `None` if it has not. `oom` is what events tell of its memory: the
    /// engine itself goes on saying that it was out of memory once a child of it was ended for that.
    async fn exit(
        &self,
        died: Option<&EventMessage>,
        oom: Option<bool>,
    ) -> Result<Option<Exit>, EngineError> {
        let told =
            died.and_then(|event| event.actor.as_ref()?.attributes.as_ref()?.get("exitCode")?.parse().ok());
        let by_event = || told.map(|code| exit_of(code, oom.unwrap_or_default()));
        let state = match inspect(self.engine, self.id).await {
            Ok(inspected) => inspected.state.unwrap_or_default(),
            // Somebody has removed it, or the engine is on its way out.
            Err(err) if err.is_not_found() => return Ok(Some(by_event().unwrap_or(Exit::Unknown))),
            Err(err) => return by_event().map(Some).ok_or(err),
        };
        if self.started_at.is_some_and(|time| state.started_at.as_deref() != Some(time)) {
            // Somebody has started it again behind our back: that is another run, and none of ours.
            return Ok(Some(by_event().unwrap_or(Exit::Unknown)));
        }
        // One that is being removed has no status any more.
        let killed = || oom.or(state.oom_killed).unwrap_or_default();
        Ok(told.map(|code| exit_of(code, killed())).or_else(|| exit_in(&state)))
    }
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
        Ok(signal @ 1..=31) => Exit::Signal(vitald_process::signal::name(signal)),
        _ => i32::try_from(code).map_or(Exit::Unknown, Exit::Code),
    }
}

/// The engine's time as it takes it: in seconds since the epoch.
fn seconds(time: &str) -> Option<String> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_second().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: ContainerStateStatusEnum, code: i64, oom_killed: bool) -> String {
        let state = ContainerState {
            status: Some(status),
            exit_code: Some(code),
            oom_killed: Some(oom_killed),
            ..ContainerState::default()
        };
        exit_in(&state).map_or_else(|| "-".into(), |exit| exit.to_string())
    }

    #[test]
    fn ends_are_told_as_those_of_processes() {
        use ContainerStateStatusEnum::{CREATED, DEAD, EXITED, PAUSED, RESTARTING, RUNNING};
        assert_eq!(told(EXITED, 0, false), "exited with status 0");
        assert_eq!(told(EXITED, 3, false), "exited with status 3");
        assert_eq!(told(DEAD, 143, false), "was ended by SIGTERM");
        assert_eq!(told(EXITED, 137, false), "was ended by SIGKILL");
        assert_eq!(told(EXITED, 137, true), "was killed for using too much memory");
        // A child of it was; it has ended by itself.
        assert_eq!(told(EXITED, 1, true), "exited with status 1");
        assert_eq!(told(EXITED, 255, false), "exited with status 255");
        for status in [CREATED, PAUSED, RESTARTING, RUNNING] {
            assert_eq!(told(status, 0, false), "-");
        }
    }
}

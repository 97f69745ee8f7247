//! The end of what a supervisor that has died left running.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use vitald_core::restarter::StartError;
use vitald_core::status::{ComponentStatus, EventType, State};
use vitald_process::Paths;
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::survivors::{self, StoredComponent};
use vitald_supervisor::{
    Refused, ShutdownMode, StateDir, StateDirError, StateLock, SupervisorHandle, Wanted,
};

use crate::exit::Failure;
use crate::format::plain;
use crate::{output, plugins, wiring};

/// How long something may take to end of which nothing but its lock tells.
const GRACE: Duration = Duration::from_secs(10);

/// Ends what is left in a state dir as its supervisor would: in reverse order, each with its preStop hook and its
/// own grace period. Gives of how many components there was something; `None` if a supervisor has begun there.
///
/// # Errors
/// Something could not be ended, or somebody has had enough of waiting.
pub(crate) async fn end(state_dir: &StateDir) -> Result<Option<usize>, Failure> {
    let lock = match state_dir.lock() {
        Ok(lock) => lock,
        Err(StateDirError::Held { .. }) => return Ok(None),
        Err(err @ StateDirError::Io { .. }) => return Err(Failure::not(err.to_string())),
    };
    wiring::prepare()?;
    let wanted = Wanted::Survivors;
    match wiring::supervise(state_dir.clone(), lock, wanted, plugins::none(), None).await {
        Ok(supervisor) => {
            let (lock, stopped) = stop(&supervisor, state_dir).await?;
            let swept = match lock {
                Some(lock) => sweep(state_dir, &lock).await?,
                None => 0,
            };
            Ok(Some(stopped + swept))
        }
        Err(refused) if !holds_another(&refused) => Err(Failure::not(format!(
            "{refused}\nThese were not stopped. Should there be no other state dir, because the folder `locks` of this \
             one was removed: end those that hold no lock with `kill`"
        ))),
        Err(refused) => {
            // Their records are what keeps a supervisor from starting them here a second time: they stay.
            output::note(&format!("{refused}\nThese are left alone; name the other state dir to end them."));
            Ok(Some(0))
        }
    }
}

/// What is said of a process that holds the lock of another state dir.
const LOCKED: &str = ", which holds ";

/// Whether all of them are another state dir's for certain.
pub(crate) fn holds_another(refused: &Refused) -> bool {
    let Refused::Copied { holders, .. } = refused;
    holders.iter().all(|(_, holder)| holder.contains(LOCKED))
}

/// Stops all components of a supervisor that was made for that. It can be asked meanwhile, as every other.
async fn stop(
    supervisor: &SupervisorHandle,
    state_dir: &StateDir,
) -> Result<(Option<StateLock>, usize), Failure> {
    let listen = |kind| signal(kind).map_err(|err| Failure::not(format!("no signal can be heard: {err}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    // Whoever cannot ask waits for the lock.
    let control = vitald_control::serve(supervisor.clone(), state_dir).await.ok();
    let mut stopped = 0;
    for component in supervisor.status().components.iter().rev() {
        if let Some(what) = stopping(component) {
            stopped += 1;
            // Whether anybody reads it or not, it is to be stopped.
            let _ = output::say(format!("{}: {what}", component.name));
        }
    }
    supervisor.shutdown(ShutdownMode::Graceful);
    tokio::select! {
        () = supervisor.finished() => {}
        _ = interrupt.recv() => return Err(interrupted()),
        _ = terminate.recv() => return Err(interrupted()),
    }
    for event in supervisor.events().0.iter().filter(|event| event.kind == EventType::Warning) {
        output::note(&format!("warning: {}: {}", event.component, plain(&event.message)));
    }
    if let Some(control) = control {
        control.stop().await;
    }
    Ok((supervisor.take_lock(), stopped))
}

/// What is about to end of a component, if anything is.
fn stopping(component: &ComponentStatus) -> Option<String> {
    match (component.pid, component.state) {
        (Some(pid), _) => Some(format!("stopping (pid {pid})")),
        (None, State::Unhealthy) => Some("ending what its main process left running".into()),
        (None, _) => None,
    }
}

fn interrupted() -> Failure {
    Failure::not("interrupted; what still runs is left as it is, and the next `vitald down` goes on with it")
}

/// Ends what holds a component's lock, whether there is a record of it or not.
async fn sweep(state_dir: &StateDir, lock: &StateLock) -> Result<usize, Failure> {
    let cannot =
        |doing: &str, err| Failure::not(format!("cannot {doing} {}: {err}", state_dir.path().display()));
    let stored = survivors::stored(state_dir, lock, &SystemClock).map_err(|err| cannot("read", err))?;
    let results = join_all(stored.iter().map(|component| end_one(state_dir, lock, component))).await;
    let mut ended = 0;
    let mut failed = String::new();
    for result in results {
        match result {
            Ok(had_something) => ended += usize::from(had_something),
            Err(why) => failed += &format!("\n  {why}"),
        }
    }
    match failed.is_empty() {
        true => Ok(ended),
        false => {
            Err(Failure::not(format!("not all that a supervisor left running could be stopped:{failed}")))
        }
    }
}

async fn end_one(
    state_dir: &StateDir,
    lock: &StateLock,
    component: &StoredComponent,
) -> Result<bool, String> {
    let StoredComponent { name, process, is_external, lock: component_lock } = component;
    let process = process.clone().filter(|_| !is_external);
    let left = vitald_process::end_leftovers(name, process, component_lock, GRACE).await;
    let told = |err| match err {
        StartError::Occupied(why) => format!("{name}: {why}"),
        other => format!("{name}: {other}"),
    };
    let mut left = left.map_err(told)?;
    let paths = Paths { log: state_dir.log(name), lock: component_lock.clone() };
    left.extend(vitald_container::end_leftovers(name, paths, GRACE).await.map_err(told)?);
    if !left.is_empty() {
        // Whether anybody reads it or not, the rest is to be ended, too.
        output::say(format!("{name}: ended {}", left.join(", "))).map_err(|failure| failure.text)?;
    }
    survivors::forget(state_dir, lock, name)
        .map_err(|err| format!("{name}: has been ended, but {}: {err}", state_dir.record(name).display()))?;
    Ok(!left.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::running;

    #[test]
    fn what_has_no_main_process_any_more_is_ended_too() {
        assert!(stopping(&running("web")).is_some_and(|what| what.starts_with("stopping (pid ")));
        let left = ComponentStatus { pid: None, state: State::Unhealthy, ..running("web") };
        assert_eq!(stopping(&left).as_deref(), Some("ending what its main process left running"));
        let stopped = ComponentStatus { pid: None, state: State::Stopped, ..running("web") };
        assert_eq!(stopping(&stopped), None);
    }
}

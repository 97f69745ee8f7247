//! `vitald down`.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use vitald_client::ShutdownMode;
use vitald_core::restarter::StartError;
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::survivors::{self, StoredComponent};
use vitald_supervisor::{StateDir, StateDirError, StateLock};

use crate::cli::Selector;
use crate::exit::{Exit, Failure, Outcome};
use crate::format::count;
use crate::places::Places;
use crate::{output, reach};

/// How long what a dead supervisor left may take to end when asked to. Its manifests, which may say something
/// else, may be gone or changed by now: this is their default.
const GRACE: Duration = Duration::from_secs(10);

/// Ends a supervisor and all its components, and waits until it is gone; or what is left of a dead one.
pub(crate) async fn run(args: &Selector, places: &Places) -> Outcome {
    loop {
        if let Some(found) = places.find_running(&args.filename)? {
            return end(&found.into_changed()).await;
        }
        let mut ended = 0;
        let mut begun_meanwhile = false;
        for state_dir in places.own(&args.filename).iter().filter(|dir| dir.path().join("locks").is_dir()) {
            match state_dir.lock() {
                Ok(lock) => ended += end_survivors(state_dir, &lock).await?,
                Err(StateDirError::Held { .. }) => begun_meanwhile = true,
                Err(err @ StateDirError::Io { .. }) => return Err(Failure::not(err.to_string())),
            }
        }
        if !begun_meanwhile {
            output::say(match ended {
                0 => "no supervisor is running; nothing to stop",
                _ => "stopped what a supervisor that has died left running",
            })?;
            return Ok(Exit::Done);
        }
    }
}

/// Ends a supervisor that runs.
async fn end(state_dir: &StateDir) -> Outcome {
    let holder = state_dir.holder();
    match stop(state_dir).await {
        Ok(running) => output::say(format!("stopping {} …", count(running, "component")))?,
        // It went away by itself while it was being asked.
        Err(_) if state_dir.holder().is_none() => {}
        Err(failure) => return Err(failure),
    }
    // Not one that somebody starts meanwhile.
    while holder.is_some() && state_dir.holder() == holder {
        sleep(Duration::from_millis(50)).await;
    }
    output::say("stopped; the supervisor is gone")?;
    Ok(Exit::Done)
}

async fn stop(state_dir: &StateDir) -> Result<usize, Failure> {
    let client = reach::connect(state_dir).await?;
    let running = client.status().await?.components.iter().filter(|c| c.pid.is_some()).count();
    client.shutdown(ShutdownMode::Graceful).await?;
    Ok(running)
}

/// Ends what a supervisor that has died left running; gives of how many components there was something.
async fn end_survivors(state_dir: &StateDir, lock: &StateLock) -> Result<usize, Failure> {
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
    let StoredComponent { name, process, lock: component_lock } = component;
    let left = vitald_process::end_leftovers(name, process.clone(), component_lock, GRACE).await;
    let left = left.map_err(|err| match err {
        StartError::Occupied(why) => format!("{name}: {why}"),
        other => format!("{name}: {other}"),
    })?;
    if !left.is_empty() {
        // Whether anybody reads it or not, the rest is to be ended, too.
        output::say(format!("{name}: ended {}", left.join(", "))).map_err(|failure| failure.text)?;
    }
    survivors::forget(state_dir, lock, name)
        .map_err(|err| format!("{name}: has been ended, but {}: {err}", state_dir.record(name).display()))?;
    Ok(!left.is_empty())
}

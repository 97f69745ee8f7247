//! The way to a running supervisor.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vitald_client::{Client, Error};
use vitald_core::status::{ComponentStatus, Status};
use vitald_supervisor::StateDir;

use crate::exit::{Exit, Failure};
use crate::nearest;
use crate::places::Places;

/// How long a supervisor that holds its lock may take until it answers: it is just starting or ending.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connects to the supervisor that a command means, to ask it something.
///
/// # Errors
/// None runs, or it does not answer.
pub(crate) async fn supervisor(places: &Places, named: &[PathBuf]) -> Result<Client, Failure> {
    reach(|| Ok(places.running(named)?.state_dir)).await
}

/// The same for a command that changes something.
///
/// # Errors
/// None runs, or it does not answer.
pub(crate) async fn supervisor_to_change(places: &Places, named: &[PathBuf]) -> Result<Client, Failure> {
    reach(|| Ok(places.running(named)?.into_changed())).await
}

async fn reach(running: impl Fn() -> Result<StateDir, Failure>) -> Result<Client, Failure> {
    match connect(&running()?).await {
        // It was just going. Who looks again is told what it has left, or finds the next one.
        Err(gone) if gone.exit == Exit::NoSupervisor => connect(&running()?).await,
        reached => reached,
    }
}

/// Connects to the supervisor of a state dir.
///
/// # Errors
/// None runs, or it does not answer.
pub(crate) async fn connect(state_dir: &StateDir) -> Result<Client, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match (Client::connect(state_dir.path()).await, state_dir.holder()) {
            (Ok(client), _) => return Ok(client),
            (Err(Error::NoSupervisor { .. }), Some(_)) if Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            (Err(Error::NoSupervisor { .. }), Some(pid)) => {
                return Err(Failure::not(format!(
                    "the supervisor (pid {pid}) does not listen on its socket in {}; `kill {pid}` stops it \
                     and its components in order",
                    state_dir.path().display()
                )));
            }
            (Err(err), _) => return Err(err.into()),
        }
    }
}

/// Keeps the named components; all if none is named.
///
/// # Errors
/// One is not there.
pub(crate) fn select(mut status: Status, names: &[String]) -> Result<Status, Failure> {
    check_names(&status.components, names)?;
    status.components.retain(|component| names.is_empty() || names.contains(&component.name));
    Ok(status)
}

/// Whether all of these components exist.
///
/// # Errors
/// One does not: the nearest names are told.
pub(crate) fn check_names(components: &[ComponentStatus], names: &[String]) -> Result<(), Failure> {
    let known: Vec<_> = components.iter().map(|component| component.name.clone()).collect();
    match names.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(Failure::not(nearest::no_component(name, &known))),
        None => Ok(()),
    }
}

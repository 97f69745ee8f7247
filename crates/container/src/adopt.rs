//! Finding a run that an earlier supervisor began and did not see the end of.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use vitald_core::restarter::{Adoption, ProcessIdentity, RunHandle, RunId, StartError};

use crate::component::{Component, blocking};
use crate::engine::{Engine, EngineError, SOON};
use crate::labels;
use crate::leftovers::not_elsewhere;
use crate::log::Copy;
use crate::position::Notes;
use crate::run::Run;
use crate::watch::{exit_in, inspect};

const LOOKING: &str = "looking for the container that an earlier supervisor began";

/// What there is of a run, and the run itself. Touches nothing of it.
pub(crate) async fn look(
    component: &Arc<Component>,
    run: RunId,
    process: Option<&ProcessIdentity>,
    log_offset: u64,
) -> Result<(Adoption, Option<Arc<Run>>), StartError> {
    let instance = component.instance().await?;
    let mut wanted = labels::of_component(&component.name, &instance);
    wanted.entry("label".into()).or_default().push(format!("{}={run}", labels::RUN));
    let found = match list(&component.engine, wanted).await {
        Ok(found) => found,
        Err(err) => return away(component, run, process, log_offset, err).await,
    };
    let Some(id) = found.into_iter().next() else {
        not_elsewhere(&component.paths, &component.engine).await?;
        return Ok((Adoption::Nothing, None));
    };
    let inspected = match inspect(&component.engine, &id).await {
        Ok(inspected) => inspected,
        Err(err) if err.is_not_found() => return Ok((Adoption::Nothing, None)),
        Err(err) => return away(component, run, process, log_offset, err).await,
    };
    let state = inspected.state.clone().unwrap_or_default();
    if !has_begun(&state) {
        return Ok((Adoption::Nothing, None));
    }
    let ended = exit_in(&state).is_some();
    let copy = open(component, &id, log_offset).await?;
    know_secrets(component, run).await;
    component.aim_at(&id);
    let adopted = Run::attend(Arc::clone(&component.engine), &inspected, copy, log_offset, Vec::new());
    let handle = Arc::clone(&adopted) as Arc<dyn RunHandle>;
    Ok((if ended { Adoption::Ended(handle) } else { Adoption::Running(handle) }, Some(adopted)))
}

/// The engine gives no answer. One that is known to have begun is waited for: an engine that is away says nothing
/// about what it ran.
async fn away(
    component: &Arc<Component>,
    run: RunId,
    process: Option<&ProcessIdentity>,
    log_offset: u64,
    err: EngineError,
) -> Result<(Adoption, Option<Arc<Run>>), StartError> {
    let lock = component.paths.lock.clone();
    let noted = blocking(move || Ok(Notes::open(&lock).ok().and_then(|notes| notes.read()))).await?;
    let (Some(process), Some(noted), true) = (process, noted, err.is_away()) else {
        return Err(err.at(LOOKING));
    };
    let copy = open(component, &noted.container, log_offset).await?;
    know_secrets(component, run).await;
    component.aim_at(&noted.container);
    let engine = Arc::clone(&component.engine);
    let adopted = Run::attend_blindly(engine, noted.container, process.clone(), copy, log_offset);
    Ok((Adoption::Running(Arc::clone(&adopted) as Arc<dyn RunHandle>), Some(adopted)))
}

async fn open(component: &Component, id: &str, log_offset: u64) -> Result<Copy, StartError> {
    let (paths, id, engine) = (component.paths.clone(), id.to_owned(), Arc::clone(&component.engine));
    blocking(move || {
        Copy::open(&paths.log, &paths.lock, engine.address(), &id, Some(log_offset))
            .map_err(|err| StartError::System { doing: "opening the log".into(), reason: err.to_string() })
    })
    .await
}

/// What cannot be read now is no reason to leave it alone.
async fn know_secrets(component: &Component, run: RunId) {
    let _ = component.environment(run).await;
}

/// The ids of all containers that a filter lets through, whatever their state.
pub(crate) async fn list(
    engine: &Engine,
    filters: HashMap<String, Vec<String>>,
) -> Result<Vec<String>, EngineError> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = engine.ask(SOON, |client| async move { client.list_containers(Some(options)).await }).await?;
    Ok(found.into_iter().filter_map(|container| container.id).collect())
}

/// Whether its main process was ever started.
pub(crate) fn has_begun(state: &ContainerState) -> bool {
    let never = |time: &str| time.is_empty() || time.starts_with("0001-");
    let was_started = state.started_at.as_deref().is_some_and(|time| !never(time));
    was_started && state.status != Some(ContainerStateStatusEnum::CREATED)
}

/// Whether anything of it may be alive.
pub(crate) fn is_alive(inspected: &ContainerInspectResponse) -> bool {
    let state = inspected.state.clone().unwrap_or_default();
    has_begun(&state) && exit_in(&state).is_none()
}

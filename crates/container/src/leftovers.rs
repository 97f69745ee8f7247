//! What an earlier supervisor left of a component: containers with its labels.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use tokio::time::timeout;
use vitald_core::restarter::StartError;
use vitald_process::Paths;

use crate::adopt::{is_alive, list};
use crate::component::{Component, blocking};
use crate::engine::Engine;
use crate::labels;
use crate::log::Copy;
use crate::position::Notes;
use crate::run::{drain, kill, remove_once};
use crate::watch::{Watched, inspect};

/// How long the killed may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Ends the containers that a supervisor that has died left of a component: its stop signal, SIGKILL after `grace`;
/// then they are removed. Gives what there was, for people. Where the component has never been a container, the
/// engine is not even asked.
///
/// # Errors
/// The engine cannot be reached, or something could not be ended; it is named.
pub async fn end_leftovers(
    component: &str,
    paths: Paths,
    grace: Duration,
) -> Result<Vec<String>, StartError> {
    let lock = paths.lock.clone();
    let instance = blocking(move || {
        if !Notes::path(&lock).exists() {
            return Ok(None);
        }
        vitald_process::instance_of(&lock).map(Some).map_err(|err| StartError::System {
            doing: "opening the component's lock".into(),
            reason: err.to_string(),
        })
    })
    .await?;
    let Some(instance) = instance else { return Ok(Vec::new()) };
    let engine = Arc::new(Engine::of_environment());
    Leftovers { component, instance: &instance, paths: &paths, engine: &engine }.end(grace).await
}

/// The containers of a component.
pub(crate) struct Leftovers<'a> {
    component: &'a str,
    instance: &'a str,
    paths: &'a Paths,
    engine: &'a Engine,
}

impl<'a> Leftovers<'a> {
    pub(crate) fn of(component: &'a Component, instance: &'a str) -> Self {
        let Component { name, paths, engine, .. } = component;
        Self { component: name, instance, paths, engine }
    }

    /// Ends and removes them; what is left of their output is copied first. Gives which were alive.
    pub(crate) async fn end(&self, grace: Duration) -> Result<Vec<String>, StartError> {
        let looking = "looking for what an earlier run left";
        let filter = labels::of_component(self.component, self.instance);
        let mut ended = Vec::new();
        let found = list(self.engine, filter).await.map_err(|err| err.at(looking))?;
        if found.is_empty() {
            not_elsewhere(self.paths, self.engine).await?;
        }
        for id in found {
            match inspect(self.engine, &id).await {
                Err(err) if err.is_not_found() => continue,
                Err(err) => return Err(err.at(looking)),
                Ok(found) if is_alive(&found) => {
                    self.stop(&id, &found, grace).await?;
                    ended.push(format!("container {}", short(&id)));
                }
                Ok(_) => {}
            }
            self.copy_rest(&id).await;
            remove_once(self.engine, &id).await.map_err(|err| {
                StartError::Occupied(format!(
                    "container {} of an earlier run, which cannot be removed: {err}",
                    short(&id)
                ))
            })?;
        }
        Notes::remove(&self.paths.lock);
        Ok(ended)
    }

    async fn stop(
        &self,
        id: &str,
        found: &ContainerInspectResponse,
        grace: Duration,
    ) -> Result<(), StartError> {
        let state = found.state.clone().unwrap_or_default();
        let watched =
            Watched { engine: self.engine, id, started_at: state.started_at.as_deref(), pid: state.pid };
        let stop_signal = found.config.as_ref().and_then(|config| config.stop_signal.as_deref());
        let signals = [
            (stop_signal.filter(|signal| !signal.is_empty()).unwrap_or("SIGTERM"), grace),
            ("SIGKILL", AFTER_KILL),
        ];
        for (signal, patience) in signals {
            match kill(self.engine, id, signal).await {
                Err(err) if !err.is_conflict() && !err.is_not_found() => {
                    return Err(err.at(&format!("ending container {} of an earlier run", short(id))));
                }
                Ok(()) | Err(_) => {}
            }
            if timeout(patience, watched.ended(|| None)).await.is_ok() {
                return Ok(());
            }
        }
        Err(StartError::Occupied(format!(
            "container {} is left of an earlier run, and SIGKILL does not end it",
            short(id)
        )))
    }

    /// Only of one whose output was being copied: that of others has been copied to its end.
    async fn copy_rest(&self, id: &str) {
        let (paths, container) = (self.paths.clone(), id.to_owned());
        let copy = blocking(move || Ok(open_noted(&paths, &container))).await;
        if let Ok(Some(mut copy)) = copy {
            drain(self.engine, &mut copy, || true).await;
        }
    }
}

fn open_noted(paths: &Paths, container: &str) -> Option<Copy> {
    let noted = Notes::open(&paths.lock).ok()?.read()?;
    // What cannot be opened now cannot be kept either.
    let open = || Copy::open(&paths.log, &paths.lock, &noted.engine, container, None).ok();
    (noted.container == container).then(open).flatten()
}

/// That the container on record is not in another engine, where this one would be started a second time.
pub(crate) async fn not_elsewhere(paths: &Paths, engine: &Engine) -> Result<(), StartError> {
    let lock = paths.lock.clone();
    let noted =
        blocking(move || Ok(Notes::path(&lock).exists().then(|| Notes::open(&lock).ok()?.read()))).await?;
    let Some(noted) = noted.flatten().filter(|noted| noted.engine != engine.address()) else { return Ok(()) };
    let other = Engine::at(noted.engine);
    let why = match inspect(&other, &noted.container).await {
        Err(err) if err.is_not_found() => return Ok(()),
        Err(err) => err.to_string(),
        Ok(_) => "it is still there".to_owned(),
    };
    Err(StartError::Occupied(format!(
        "container {} was begun in the engine at {}, and {} is asked now: {why}. Set DOCKER_HOST to what it was; if \
         that engine is gone for good, remove {}",
        short(&noted.container),
        other.address(),
        engine.address(),
        Notes::path(&paths.lock).display(),
    )))
}

pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

//! The restarter of containers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{CreateContainerOptionsBuilder, StartContainerOptions};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;
use vitald_core::restarter::{
    Adoption, Executor, ProcessIdentity, Restarter, RunHandle, RunId, StartError, TellStep,
};
use vitald_core::spec::{ComponentSpec, ContainerSpec};
use vitald_process::Paths;

use crate::component::{Component, blocking};
use crate::engine::{Engine, EngineError, LATER};
use crate::executor::ContainerExecutor;
use crate::leftovers::Leftovers;
use crate::log::Copy;
use crate::run::{Run, remove_once};
use crate::watch::inspect;
use crate::{adopt, create, failure, image, labels};

/// How long a run that nobody took may take to be cleared away.
const CLEAR_AWAY: Duration = Duration::from_secs(20);

/// What the kernel does without, and is known to do without on most machines.
const NO_SWAP_LIMIT: &str = "swap";

/// Starts the runs of one component that is a container.
pub struct ContainerRestarter {
    component: Arc<Component>,
    grace: Duration,
    /// Held over a start, so that there is one at a time.
    current: Arc<Mutex<Weak<Run>>>,
}

impl ContainerRestarter {
    /// A restarter of `container`, which is the workload of `spec`, in the engine that DOCKER_HOST names.
    pub fn new(spec: &ComponentSpec, container: &ContainerSpec, paths: Paths) -> Self {
        Self::in_engine(spec, container, paths, Engine::of_environment())
    }

    /// The same in the engine at this address: `unix://PATH` or `tcp://HOST:PORT`.
    pub fn at(spec: &ComponentSpec, container: &ContainerSpec, paths: Paths, engine: &str) -> Self {
        Self::in_engine(spec, container, paths, Engine::at(engine.to_owned()))
    }

    fn in_engine(spec: &ComponentSpec, container: &ContainerSpec, paths: Paths, engine: Engine) -> Self {
        Self {
            component: Arc::new(Component::new(&spec.name, container, &spec.ports, spec.logs, paths, engine)),
            grace: spec.termination_grace_period,
            current: Arc::default(),
        }
    }
}

#[async_trait]
impl Restarter for ContainerRestarter {
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let mut current = Arc::clone(&self.current).lock_owned().await;
        if let Some(earlier) = current.upgrade()
            && timeout(CLEAR_AWAY, earlier.gone()).await.is_err()
        {
            let left = earlier.survivors().join(", ");
            return Err(StartError::Occupied(format!("{left} of the run before")));
        }
        let component = Arc::clone(&self.component);
        let spec = component.spec.clone();
        blocking(move || create::check_mounts(&spec)).await?;
        let instance = component.instance().await?;
        let environment = component.environment(run).await?;
        // Given up, a pull ends where it is.
        let image = image::ensure(&component, run).await?;
        let grace = self.grace;
        // What comes now is brought to its end, whether anybody waits for it or not.
        let begun = tokio::spawn(async move {
            let leftovers = Leftovers::of(&component, &instance);
            leftovers.end(grace).await?;
            let body =
                create::body(&component, &environment, &instance, run, &image.config.unwrap_or_default());
            let begun = begin(&component, body).await?;
            *current = Arc::downgrade(&begun);
            Ok::<_, StartError>(Unclaimed(Some(begun)))
        });
        match begun.await {
            Ok(begun) => Ok(begun?.claim()?),
            Err(err) => {
                Err(StartError::System { doing: "starting a container".into(), reason: err.to_string() })
            }
        }
    }

    /// What was begun is brought to its end, and then killed and removed.
    async fn start_given_up(&self) {
        let left = async {
            // Held until it is begun.
            let begun = self.current.lock().await.upgrade();
            if let Some(begun) = begun {
                begun.gone().await;
            }
        };
        // What stays is ended by the next start.
        let _ = timeout(CLEAR_AWAY, left).await;
    }

    fn on_step(&self, tell: TellStep) {
        self.component.set_tell(tell);
    }

    async fn adopt(
        &self,
        run: RunId,
        process: Option<&ProcessIdentity>,
        log_offset: u64,
    ) -> Result<Adoption, StartError> {
        let mut current = self.current.lock().await;
        let (adoption, adopted) = adopt::look(&self.component, run, process, log_offset).await?;
        if let Some(adopted) = adopted {
            *current = Arc::downgrade(&adopted);
        }
        Ok(adoption)
    }

    fn log_end(&self) -> u64 {
        vitald_log::extent(&self.component.paths.log).map_or(0, |extent| extent.end)
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(ContainerExecutor::of_component(Arc::clone(&self.component)))
    }

    fn redact(&self, text: String) -> String {
        self.component.redact(text)
    }
}

/// Creates and starts a container, and attends to it.
async fn begin(
    component: &Arc<Component>,
    body: bollard::models::ContainerCreateBody,
) -> Result<Arc<Run>, StartError> {
    let engine = &component.engine;
    let name = labels::container_name(&component.name);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let program = component.spec.command.first().cloned().unwrap_or_else(|| component.spec.image.clone());
    let created =
        engine.ask(LATER, |client| async move { client.create_container(Some(options), body).await }).await;
    let created = match created {
        Ok(created) => created,
        Err(err) if err.is_conflict() => return Err(taken(component, &name, err).await),
        Err(err) => return Err(failure_of(err, &program, "creating the container")),
    };
    let begun = start(component, &created.id, &program).await;
    match begun {
        Ok((inspected, copy)) => {
            let end = copy.end();
            let shortcomings =
                created.warnings.into_iter().filter(|warning| !warning.contains(NO_SWAP_LIMIT)).collect();
            component.aim_at(&created.id);
            Ok(Run::attend(Arc::clone(engine), &inspected, copy, end, shortcomings))
        }
        Err(err) => {
            // What stays is ended by the next start.
            let _ = remove_once(engine, &created.id).await;
            Err(err)
        }
    }
}

async fn start(
    component: &Arc<Component>,
    id: &str,
    program: &str,
) -> Result<(bollard::models::ContainerInspectResponse, Copy), StartError> {
    let engine = &component.engine;
    let (paths, container, at) = (component.paths.clone(), id.to_owned(), Arc::clone(engine));
    let copy = blocking(move || {
        Copy::open(&paths.log, &paths.lock, at.address(), &container, None)
            .map_err(|err| StartError::System { doing: "opening the log".into(), reason: err.to_string() })
    })
    .await?;
    engine
        .ask(LATER, |client| async move { client.start_container(id, None::<StartContainerOptions>).await })
        .await
        .map_err(|err| failure_of(err, program, "starting the container"))?;
    let inspected = inspect(engine, id).await.map_err(|err| err.at("looking at the container"))?;
    Ok((inspected, copy))
}

fn failure_of(err: EngineError, program: &str, doing: &str) -> StartError {
    match &err {
        EngineError::Refused { message, .. } => failure::of_program(message, program).or_else(|| {
            let reason = failure::of_log_driver(message)?.to_owned();
            Some(StartError::System { doing: doing.to_owned(), reason })
        }),
        EngineError::Away { .. } => None,
    }
    .unwrap_or_else(|| err.at(doing))
}

/// Something else has the name: whose it is. It is never removed.
async fn taken(component: &Component, name: &str, err: EngineError) -> StartError {
    let doing = format!("creating container `{name}`");
    let Ok(found) = inspect(&component.engine, name).await else { return err.at(&doing) };
    let config = found.config.unwrap_or_default();
    let image = config.image.unwrap_or_default();
    let label = |label| config.labels.as_ref().and_then(|labels| labels.get(label));
    let whose = match label(labels::LOCK) {
        Some(lock) => format!("that of another vitald, whose component is locked by {lock}"),
        None => "not vitald's".to_owned(),
    };
    let reason = format!(
        "there is one of this name ({image}), and it is {whose}; it is left alone. To make room, end it there, or \
         `docker rm -f {name}`"
    );
    StartError::System { doing, reason }
}

/// A run that nobody has taken yet. Dropped, it is ended.
struct Unclaimed(Option<Arc<Run>>);

impl Unclaimed {
    fn claim(mut self) -> Result<Arc<Run>, StartError> {
        self.0.take().ok_or_else(|| StartError::Occupied("another start".into()))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let (Some(run), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // Its end is seen, and it is cleared away, as with every other.
            runtime.spawn_blocking(move || run.kill());
        }
    }
}

//! A component that is a container: what its starts, its probes and its hooks share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;
use vitald_core::restarter::{RunId, StartError, TellStep};
use vitald_core::spec::{ContainerSpec, LogsSpec, Port};
use vitald_process::Paths;

use crate::engine::Engine;

/// Names and values.
pub(crate) type Environment = BTreeMap<String, String>;

/// What starts, probes and hooks of a component share.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) spec: ContainerSpec,
    pub(crate) ports: Vec<Port>,
    pub(crate) logs: LogsSpec,
    pub(crate) paths: Paths,
    pub(crate) engine: Arc<Engine>,
    /// The container in which commands run now.
    target: Mutex<Option<String>>,
    /// What its secrets were when they were read last, be it for a start that failed.
    secrets: Mutex<Vec<String>>,
    tell: Mutex<Option<TellStep>>,
}

impl Component {
    pub(crate) fn new(
        name: &str,
        spec: &ContainerSpec,
        ports: &[Port],
        logs: LogsSpec,
        paths: Paths,
        engine: Engine,
    ) -> Self {
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            ports: ports.to_vec(),
            logs,
            paths,
            engine: Arc::new(engine),
            target: Mutex::default(),
            secrets: Mutex::default(),
            tell: Mutex::default(),
        }
    }

    /// The identity of its lock file, which is made where it is missing.
    pub(crate) async fn instance(&self) -> Result<String, StartError> {
        let lock = self.paths.lock.clone();
        blocking(move || {
            vitald_process::instance_of(&lock).map_err(|err| StartError::System {
                doing: format!("opening {}", lock.display()),
                reason: err.to_string(),
            })
        })
        .await
    }

    /// What the manifest sets for a run. Files are read now.
    pub(crate) async fn environment(&self, run: RunId) -> Result<Environment, StartError> {
        let mark = [("VITALD_COMPONENT", self.name.clone()), ("VITALD_RUN", run.to_string())];
        let mark = mark.map(|(name, value)| (name.to_owned(), value));
        let (env_from, env) = (self.spec.env_from.clone(), self.spec.env.clone());
        let built = blocking(move || vitald_process::described_environment(&env_from, &env, &mark)).await?;
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = built.secrets;
        Ok(built.all)
    }

    /// The text without the values of secrets.
    pub(crate) fn redact(&self, text: String) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        vitald_process::redact(text, secrets)
    }

    /// From now on, commands run there.
    pub(crate) fn aim_at(&self, container: &str) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(container.to_owned());
    }

    /// Where commands run now.
    pub(crate) fn target(&self) -> Option<String> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_tell(&self, tell: TellStep) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    pub(crate) fn tell(&self) -> Option<TellStep> {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs what may block where that does no harm.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    spawn_blocking(work).await.unwrap_or_else(|err| {
        Err(StartError::System { doing: "starting a container".into(), reason: err.to_string() })
    })
}

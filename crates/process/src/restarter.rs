//! The restarter of native processes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use vitald_core::restarter::{Adoption, Executor, ProcessIdentity, Restarter, RunHandle, RunId, StartError};
use vitald_core::spec::{EnvValue, EnvVar, ProcessSpec};

use crate::environment::{self, Environment};
use crate::executor::{Dying, LocalExecutor};
use crate::launch::{Launch, ProcessSettings, system};
use crate::lock::{Attempt, LockFile};
use crate::run::Run;
use crate::spawn::Newborn;
use crate::unclaimed::Unclaimed;
use crate::{leftovers, log, mark, redact};

/// Where the files of one component lie. Folders that are missing are made (0700).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `logs/NAME.log`: its stdout and stderr.
    pub log: PathBuf,
    /// `locks/NAME.lock`: held by whatever runs of it. Must never be deleted or replaced while the
    /// component may run.
    pub lock: PathBuf,
}

/// Starts the runs of one native component.
pub struct ProcessRestarter {
    component: Arc<Component>,
    grace: Duration,
    lock: PathBuf,
    /// What an earlier supervisor recorded; until that has been dealt with.
    previous: Mutex<Option<ProcessIdentity>>,
    /// Held over a start, so that there is one at a time.
    current: tokio::sync::Mutex<Weak<Run>>,
}

/// What starts, probes and hooks of a component share.
pub(crate) struct Component {
    name: String,
    spec: ProcessSpec,
    inherited: Environment,
    log: PathBuf,
    /// The environment of the last run.
    latest: Mutex<Option<Arc<Environment>>>,
    /// What its secrets were when they were read last, be it for a start that failed.
    read: Mutex<Vec<String>>,
    dying: Arc<Dying>,
}

impl ProcessRestarter {
    /// A restarter for `spec`.
    ///
    /// `inherited` is what the component gets of the supervisor's environment, from
    /// [`inherited_environment`](crate::inherited_environment) or from the component's record. `grace` is
    /// how long what an earlier supervisor left running may take to end when asked to; `previous` is the
    /// main process that it recorded last.
    pub fn new(
        name: &str,
        spec: &ProcessSpec,
        grace: Duration,
        paths: Paths,
        inherited: BTreeMap<String, String>,
        previous: Option<ProcessIdentity>,
    ) -> Self {
        let component = Component {
            name: name.to_owned(),
            spec: spec.clone(),
            inherited,
            log: paths.log,
            latest: Mutex::default(),
            read: Mutex::default(),
            dying: Arc::default(),
        };
        Self {
            component: Arc::new(component),
            grace,
            lock: paths.lock,
            previous: Mutex::new(previous),
            current: tokio::sync::Mutex::default(),
        }
    }

    /// Ends what earlier runs left, and takes the component's lock.
    async fn occupy(&self, lock: &LockFile) -> Result<OwnedFd, StartError> {
        let previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let attempt = lock.try_lock().map_err(|err| system("taking the component's lock", err))?;
        let free = match attempt {
            Attempt::Locked(fd) if previous.is_none() => return Ok(fd),
            Attempt::Locked(fd) => Some(fd),
            Attempt::Held => None,
        };
        // Also where the lock is free: what has closed its descriptors may have kept its environment.
        leftovers::end(&self.component.name, previous, lock, free.is_none(), self.grace).await?;
        let fd = match free {
            Some(fd) => fd,
            None => leftovers::take_lock(lock).await?,
        };
        self.previous.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(fd)
    }
}

#[async_trait]
impl Restarter for ProcessRestarter {
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let mut current = self.current.lock().await;
        if let Some(earlier) = current.upgrade().filter(|earlier| earlier.is_alive()) {
            return Err(StartError::Occupied(format!(
                "{} of the run before",
                earlier.survivors().join(", ")
            )));
        }
        let path = self.lock.clone();
        let lock = blocking(move || {
            LockFile::open(&path).map_err(|err| system(&format!("opening {}", path.display()), err))
        })
        .await?;
        let held = self.occupy(&lock).await?;
        let component = Arc::clone(&self.component);
        let mark = mark::of_run(&component.name, &lock.instance(), run);
        let (started, log_offset) = blocking(move || {
            let (newborn, log_offset) = component.launch(&mark, held)?;
            let started = Unclaimed::new(newborn, mark::entries(&mark), Some(lock), Weak::new());
            Ok((started.map_err(|err| system("watching the new process", err))?, log_offset))
        })
        .await?;
        let (child, tree) = started.claim();
        let run = Arc::new(Run::new(child, tree, log_offset));
        *current = Arc::downgrade(&run);
        Ok(run)
    }

    async fn adopt(
        &self,
        _run: RunId,
        _process: Option<&ProcessIdentity>,
        _log_offset: u64,
    ) -> Result<Adoption, StartError> {
        Ok(Adoption::Nothing)
    }

    fn log_end(&self) -> u64 {
        std::fs::metadata(&self.component.log).map_or(0, |log| log.len())
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(LocalExecutor::of_component(Arc::clone(&self.component)))
    }

    fn redact(&self, text: String) -> String {
        self.component.redact(text)
    }
}

impl Component {
    /// Starts a run; gives the process and where its output begins.
    fn launch(&self, mark: &[(String, String)], lock: OwnedFd) -> Result<(Newborn, u64), StartError> {
        let settings = self.settings();
        let user = settings.identity()?;
        let environment = Arc::new(self.environment(user.as_ref(), mark)?);
        let opening = |err| system(&format!("opening the log {}", self.log.display()), err);
        let (output, offset) = log::open(&self.log).map_err(opening)?;
        if let Some(user) = &user {
            // Programs that open /dev/stdout go through the file's permissions.
            // Where that cannot be, the user cannot be switched to either, or the filesystem has none.
            let _ = nix::unistd::fchown(&output, Some(user.uid), Some(user.gid));
        }
        let newborn = Launch {
            command: &self.spec.command,
            environment: &environment,
            dir: &self.spec.working_dir,
            settings: &settings,
            user,
            output: output.into(),
            lock: Some(lock),
        }
        .start()?;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(environment);
        Ok((newborn, offset))
    }

    fn environment(
        &self,
        user: Option<&crate::user::Identity>,
        mark: &[(String, String)],
    ) -> Result<Environment, StartError> {
        let built = environment::build(&self.inherited, user, &self.spec.env_from, &self.spec.env, mark)?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = self.secrets_of(&built);
        Ok(built)
    }

    pub(crate) fn settings(&self) -> ProcessSettings {
        ProcessSettings::from(&self.spec)
    }

    pub(crate) fn dying(&self) -> Arc<Dying> {
        Arc::clone(&self.dying)
    }

    pub(crate) fn working_dir(&self) -> &std::path::Path {
        &self.spec.working_dir
    }

    /// The environment for probes and hooks: the last run's, without what makes a process a part of it.
    pub(crate) fn environment_of_commands(&self) -> Result<Environment, StartError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut environment = match latest {
            Some(environment) => (*environment).clone(),
            None => {
                let mark = [(mark::COMPONENT.to_owned(), self.name.clone())];
                self.environment(self.settings().identity()?.as_ref(), &mark)?
            }
        };
        environment.remove(mark::INSTANCE);
        Ok(environment)
    }

    /// The text without the values of secrets: those of the last run, and those read last.
    pub(crate) fn redact(&self, text: String) -> String {
        let mut secrets = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        secrets.extend(latest.iter().flat_map(|environment| self.secrets_of(environment)));
        redact::redact(text, secrets)
    }

    /// The values that came from keys of files.
    fn secrets_of(&self, environment: &Environment) -> Vec<String> {
        let from_file = |variable: &&EnvVar| matches!(variable.value, EnvValue::FileKey { .. });
        let names = self.spec.env.iter().filter(from_file).map(|variable| &variable.name);
        names.filter_map(|name| environment.get(name).cloned()).collect()
    }
}

/// Runs what may block where that does no harm.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    spawn_blocking(work).await.unwrap_or_else(|err| Err(system("starting a process", err)))
}

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

use crate::adopt::{Found, Wanted};
use crate::cgroup::{Cage, Entrance, Limits};
use crate::environment::{self, Environment};
use crate::executor::{Dying, LocalExecutor};
use crate::launch::{Launch, ProcessSettings, system};
use crate::lock::{Attempt, LockFile};
use crate::root::Main;
use crate::run::Run;
use crate::spawn::Newborn;
use crate::tree::Whole;
use crate::unclaimed::Unclaimed;
use crate::{cgroup, commands, leftovers, log, mark, redact};

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
    lock: PathBuf,
    /// The environment of the last run that we started.
    latest: Mutex<Option<Arc<Environment>>>,
    /// The mark of the last run, where an earlier supervisor started it.
    adopted: Mutex<Vec<(String, String)>>,
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
            lock: paths.lock,
            latest: Mutex::default(),
            adopted: Mutex::default(),
            read: Mutex::default(),
            dying: Arc::default(),
        };
        Self {
            component: Arc::new(component),
            grace,
            previous: Mutex::new(previous),
            current: tokio::sync::Mutex::default(),
        }
    }

    /// Ends what earlier runs left, and takes the component's lock.
    async fn occupy(&self, lock: &LockFile) -> Result<OwnedFd, StartError> {
        let previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let attempt = lock.try_lock().map_err(|err| system("taking the component's lock", err))?;
        let free = match attempt {
            Attempt::Locked(fd) if previous.is_none() && !self.component.cage(lock).is_populated() => {
                return Ok(fd);
            }
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
        let component = Arc::clone(&self.component);
        let lock = blocking(move || component.open_lock()).await?;
        let held = self.occupy(&lock).await?;
        let component = Arc::clone(&self.component);
        let mark = mark::of_run(&component.name, &lock.instance(), run);
        let (started, cage, log_offset) = blocking(move || {
            let limits = Limits::from(&component.spec);
            let mut cage = Cage::make(&cgroup::name_of(&component.name, &lock.instance()), limits);
            let launched = component.launch(&mark, held, cage.entrance());
            let (newborn, log_offset) = launched.inspect_err(|_| cage.remove())?;
            cage.check(newborn.pid(), limits);
            let cage = Arc::new(cage);
            let whole = Whole { mark: mark::entries(&mark), lock: Some(lock), cage: Arc::clone(&cage) };
            let started = Unclaimed::new(newborn, whole, Weak::new());
            Ok((started.map_err(|err| system("watching the new process", err))?, cage, log_offset))
        })
        .await?;
        let (child, tree) = started.claim();
        let run = Arc::new(Run::new(Main::Child(child), tree, cage, log_offset));
        *current = Arc::downgrade(&run);
        Ok(run)
    }

    async fn adopt(
        &self,
        run: RunId,
        process: Option<&ProcessIdentity>,
        log_offset: u64,
    ) -> Result<Adoption, StartError> {
        let mut current = self.current.lock().await;
        let (component, process) = (Arc::clone(&self.component), process.cloned());
        let found = blocking(move || {
            let lock = component.open_lock()?;
            commands::end(&component.name, &lock.instance())
                .map_err(|err| system("ending commands that an earlier supervisor left running", err))?;
            let mark = mark::of_run(&component.name, &lock.instance(), run);
            let cage = Cage::of_adopted(
                &cgroup::name_of(&component.name, &lock.instance()),
                Limits::from(&component.spec),
                process.as_ref().map(|process| process.pid),
            );
            let cage = Arc::new(cage);
            let name = component.name.clone();
            let wanted = Wanted { component: name, run, process, lock, cage: Arc::clone(&cage) };
            let found = wanted.look()?;
            match found {
                Found::Run(..) => component.take_over(mark),
                Found::Nothing if cage.is_populated() => {}
                Found::Nothing => cage.remove(),
            }
            Ok(found)
        })
        .await?;
        let Found::Run(main, tree, cage) = found else { return Ok(Adoption::Nothing) };
        let ended = main.has_exited();
        let run = Arc::new(Run::new(main, tree, cage, log_offset));
        *current = Arc::downgrade(&run);
        Ok(if ended { Adoption::Ended(run) } else { Adoption::Running(run) })
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
    fn launch(
        &self,
        mark: &[(String, String)],
        lock: OwnedFd,
        cage: Entrance,
    ) -> Result<(Newborn, u64), StartError> {
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
            cage,
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

    /// The cgroups of its earlier runs.
    fn cage(&self, lock: &LockFile) -> Cage {
        Cage::find(&cgroup::name_of(&self.name, &lock.instance()))
    }

    /// Opens its lock file.
    fn open_lock(&self) -> Result<LockFile, StartError> {
        let doing = |err| system(&format!("opening {}", self.lock.display()), err);
        LockFile::open(&self.lock).map_err(doing)
    }

    /// From now on, its run is one that an earlier supervisor started with this mark.
    fn take_over(&self, mark: Vec<(String, String)>) {
        // What cannot be read now is tried again for each command. The secrets are known from now on.
        let user = self.settings().identity();
        let environment = user.and_then(|user| self.environment(user.as_ref(), &mark)).ok().map(Arc::new);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = environment;
        *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// What tells its commands.
    pub(crate) fn mark_of_commands(&self) -> Result<Vec<(String, String)>, StartError> {
        Ok(mark::of_commands(&self.name, &self.open_lock()?.instance()))
    }

    /// The environment for probes and hooks: the last run's, without what makes a process a part of it.
    pub(crate) fn environment_of_commands(&self) -> Result<Environment, StartError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut environment = match latest {
            Some(environment) => (*environment).clone(),
            None => {
                let mut mark = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).clone();
                mark.push((mark::COMPONENT.to_owned(), self.name.clone()));
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

//! The restarter of native processes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use vitald_core::notify::RunNeeds;
use vitald_core::restarter::{Adoption, Executor, ProcessIdentity, Restarter, RunHandle, RunId, StartError};
use vitald_core::spec::ProcessSpec;

use crate::adopt::{Found, Wanted};
use crate::cgroup::{Cage, Limits};
use crate::component::{Component, Launched};
use crate::executor::LocalExecutor;
use crate::launch::system;
use crate::lock::{Attempt, LockFile};
use crate::root::Main;
use crate::run::Run;
use crate::tree::Whole;
use crate::unclaimed::Unclaimed;
use crate::{cgroup, commands, leftovers, mark, turn};

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
        inherited: impl Into<Arc<BTreeMap<String, String>>>,
        previous: Option<ProcessIdentity>,
    ) -> Self {
        Self {
            component: Arc::new(Component::new(name, spec, paths, inherited.into())),
            grace,
            previous: Mutex::new(previous),
            current: tokio::sync::Mutex::default(),
        }
    }

    /// Gives each run what its probes need.
    #[must_use]
    pub fn giving(mut self, needs: RunNeeds) -> Self {
        if let Some(component) = Arc::get_mut(&mut self.component) {
            component.needs = needs;
        }
        self
    }

    /// Ends what earlier runs left, and takes the component's lock.
    async fn occupy(&self) -> Result<(LockFile, OwnedFd), StartError> {
        let previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let component = Arc::clone(&self.component);
        let known = previous.is_some();
        let (lock, attempt, is_populated) = starting(move || {
            let lock = component.open_lock()?;
            let attempt = lock.try_lock().map_err(|err| system("taking the component's lock", err))?;
            let is_populated = !known && component.cage(&lock).is_populated();
            Ok((lock, attempt, is_populated))
        })
        .await?;
        let free = match attempt {
            Attempt::Locked(fd) if !known && !is_populated => return Ok((lock, fd)),
            Attempt::Locked(fd) => Some(fd),
            Attempt::Held => None,
        };
        // Also where the lock is free: what has closed its descriptors may have kept its environment.
        leftovers::end(&self.component.name, previous, &lock, free.is_none(), self.grace).await?;
        let fd = match free {
            Some(fd) => fd,
            None => leftovers::take_lock(&lock).await?,
        };
        self.previous.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok((lock, fd))
    }
}

#[async_trait]
impl Restarter for ProcessRestarter {
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let mut current = self.current.lock().await;
        if let Some(earlier) = current.upgrade() {
            blocking(move || match earlier.is_alive() {
                true => {
                    Err(StartError::Occupied(format!("{} of the run before", earlier.survivors().join(", "))))
                }
                false => Ok(()),
            })
            .await?;
        }
        let (lock, held) = self.occupy().await?;
        let component = Arc::clone(&self.component);
        let mark = mark::of_run(&component.name, &lock.instance(), run);
        let (started, cage, log_offset, notify) = starting(move || {
            let limits = Limits::from(&component.spec);
            let mut cage = Cage::make(&cgroup::name_of(&component.name, &lock.instance()), limits);
            let launched = component.launch(run, &mark, held, cage.entrance());
            let Launched { newborn, log_offset, notify } = launched.inspect_err(|_| cage.remove())?;
            cage.check(newborn.pid());
            let cage = Arc::new(cage);
            let whole = Whole {
                mark: mark::entries(&mark),
                lock: Some(lock),
                cage: Arc::clone(&cage),
                any_age: false,
            };
            let started = Unclaimed::new(newborn, whole, Weak::new());
            Ok((started.map_err(|err| system("watching the new process", err))?, cage, log_offset, notify))
        })
        .await?;
        let (child, tree) = started.claim();
        let run = Arc::new(Run::new(Main::Child(child), tree, cage, log_offset).listening(notify, false));
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
            let on_record = process.is_some();
            let noted = lock.clone();
            let wanted = Wanted { component: name, run, process, lock, cage: Arc::clone(&cage) };
            let found = wanted.look()?;
            match found {
                Found::Run(..) => component.take_over(mark),
                Found::Nothing if cage.is_populated() => {}
                Found::Nothing => cage.remove(),
            }
            // That of one on record is known already.
            Ok((found, !on_record && noted.noted() == Some(run)))
        })
        .await?;
        let (main, tree, cage) = match found {
            (Found::Run(main, tree, cage), _) => (main, tree, cage),
            (Found::Nothing, true) => return Ok(Adoption::Gone),
            (Found::Nothing, false) => return Ok(Adoption::Nothing),
        };
        let ended = main.has_exited();
        let component = Arc::clone(&self.component);
        let notify = blocking(move || component.notify_socket_again(run));
        let found = Run::new(main, tree, cage, log_offset);
        let run = Arc::new(match notify.await {
            Ok(notify) => found.listening(notify, true),
            Err(err) => found.deaf(err.to_string()),
        });
        *current = Arc::downgrade(&run);
        Ok(if ended { Adoption::Ended(run) } else { Adoption::Running(run) })
    }

    fn newest(&self) -> Option<RunId> {
        let lock = self.component.open_lock().ok()?;
        let is_occupied = lock.is_held() || self.component.cage(&lock).is_populated();
        lock.noted().filter(|_| is_occupied)
    }

    fn log_end(&self) -> u64 {
        self.component.log_end()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(LocalExecutor::of_component(Arc::clone(&self.component)))
    }

    fn redact(&self, text: String) -> String {
        self.component.redact(text)
    }
}

/// As [`blocking`], and waits where so many others do so that descriptors might run out.
async fn starting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    static PLACES: OnceLock<Semaphore> = OnceLock::new();
    let places = PLACES.get_or_init(|| Semaphore::new(turn::most()));
    let place = places.acquire().await.map_err(|err| system("starting a process", err))?;
    blocking(move || {
        // Also where nobody waits for the outcome any more.
        let _place = place;
        work()
    })
    .await
}

/// Runs what may block where that does no harm.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    spawn_blocking(work).await.unwrap_or_else(|err| Err(system("starting a process", err)))
}

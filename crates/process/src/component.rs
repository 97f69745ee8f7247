//! A native component: what its starts, its probes and its hooks share.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vitald_core::notify::RunNeeds;
use vitald_core::restarter::{RunId, StartError};
use vitald_core::spec::ProcessSpec;

use crate::cgroup::{Cage, Entrance};
use crate::environment::{self, Built, Environment};
use crate::executor::Dying;
use crate::launch::{Launch, ProcessSettings, system};
use crate::lock::LockFile;
use crate::notify::{self, NotifySocket};
use crate::restarter::Paths;
use crate::spawn::Newborn;
use crate::{cgroup, lock, mark, redact, user};

/// A run that has been started.
pub(crate) struct Launched {
    pub newborn: Newborn,
    /// Where its output begins in the log.
    pub log_offset: u64,
    /// Where it may tell of itself.
    pub notify: Option<NotifySocket>,
}

/// What starts, probes and hooks of a component share.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) spec: ProcessSpec,
    /// What its probes need.
    pub(crate) needs: RunNeeds,
    inherited: Arc<Environment>,
    log: PathBuf,
    lock: PathBuf,
    /// The lock file's identity, once it has been opened.
    instance: Mutex<Option<String>>,
    /// The environment of the last run that we started.
    latest: Mutex<Option<Arc<Built>>>,
    /// The mark of the last run, where an earlier supervisor started it.
    adopted: Mutex<Vec<(String, String)>>,
    /// What its secrets were when they were read last, be it for a start that failed.
    read: Mutex<Vec<String>>,
    dying: Arc<Dying>,
}

impl Component {
    pub(crate) fn new(name: &str, spec: &ProcessSpec, paths: Paths, inherited: Arc<Environment>) -> Self {
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            needs: RunNeeds::default(),
            inherited,
            log: paths.log,
            lock: paths.lock,
            instance: Mutex::default(),
            latest: Mutex::default(),
            adopted: Mutex::default(),
            read: Mutex::default(),
            dying: Arc::default(),
        }
    }

    /// Bytes ever written to its log.
    pub(crate) fn log_end(&self) -> u64 {
        vitald_log::extent(&self.log).map_or(0, |extent| extent.end)
    }

    /// Starts a run; gives the process and where its output begins.
    pub(crate) fn launch(
        &self,
        run: RunId,
        mark: &[(String, String)],
        lock: OwnedFd,
        cage: Entrance,
    ) -> Result<Launched, StartError> {
        let settings = self.settings();
        let user = settings.identity()?;
        let environment = Arc::new(self.environment(user.as_ref(), mark)?);
        let notify = self.notify_socket(run, user.as_ref())?;
        let mut given = environment.all.clone();
        for (name, value) in notify.iter().flat_map(|socket| notify::variables(socket, self.needs.watchdog)) {
            given.insert(name.to_owned(), value);
        }
        let opening = |err| system("opening the log", err);
        let (output, offset) = vitald_log::append(&self.log).map_err(opening)?;
        if let Some(user) = &user {
            // Programs that open /dev/stdout go through the file's permissions.
            // Where that cannot be, the user cannot be switched to either, or the filesystem has none.
            let _ = nix::unistd::fchown(&output, Some(user.uid), Some(user.gid));
        }
        let newborn = Launch {
            command: &self.spec.command,
            environment: &given,
            pid_variables: notify::pid_variables(self.needs.watchdog),
            dir: &self.spec.working_dir,
            settings: &settings,
            user,
            output: output.into(),
            lock: Some(lock),
            lock_note: lock::note(run),
            cage,
        }
        .start()?;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(environment);
        Ok(Launched { newborn, log_offset: offset, notify })
    }

    /// The socket that a run may tell of itself on, if it needs one.
    pub(crate) fn notify_socket(
        &self,
        run: RunId,
        user: Option<&user::Identity>,
    ) -> Result<Option<NotifySocket>, StartError> {
        if !self.needs.notify_socket {
            return Ok(None);
        }
        let bound = NotifySocket::bind(&self.instance()?, run, user);
        bound.map(Some).map_err(|err| system("making a socket for its notifications", err))
    }

    /// That of a run that an earlier supervisor started.
    pub(crate) fn notify_socket_again(&self, run: RunId) -> Result<Option<NotifySocket>, StartError> {
        if !self.needs.notify_socket {
            return Ok(None);
        }
        self.notify_socket(run, self.settings().identity()?.as_ref())
    }

    fn environment(
        &self,
        user: Option<&user::Identity>,
        mark: &[(String, String)],
    ) -> Result<Built, StartError> {
        let built = environment::build(&self.inherited, user, &self.spec.env_from, &self.spec.env, mark)?;
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&built.secrets);
        Ok(built)
    }

    pub(crate) fn settings(&self) -> ProcessSettings {
        ProcessSettings::from(&self.spec)
    }

    pub(crate) fn dying(&self) -> Arc<Dying> {
        Arc::clone(&self.dying)
    }

    pub(crate) fn working_dir(&self) -> &Path {
        &self.spec.working_dir
    }

    /// The cgroups of its earlier runs.
    pub(crate) fn cage(&self, lock: &LockFile) -> Cage {
        Cage::find(&cgroup::name_of(&self.name, &lock.instance()))
    }

    /// Opens its lock file.
    pub(crate) fn open_lock(&self) -> Result<LockFile, StartError> {
        let doing = |err| system(&format!("opening {}", self.lock.display()), err);
        let lock = LockFile::open(&self.lock).map_err(doing)?;
        *self.instance.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock.instance());
        Ok(lock)
    }

    /// From now on, its run is one that an earlier supervisor started with this mark.
    pub(crate) fn take_over(&self, mark: Vec<(String, String)>) {
        // What cannot be read now is tried again for each command. The secrets are known from now on.
        let user = self.settings().identity();
        let environment = user.and_then(|user| self.environment(user.as_ref(), &mark)).ok().map(Arc::new);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = environment;
        *self.adopted.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// What tells its commands.
    pub(crate) fn mark_of_commands(&self) -> Result<Vec<(String, String)>, StartError> {
        Ok(mark::of_commands(&self.name, &self.instance()?))
    }

    /// The lock file's identity.
    pub(crate) fn instance(&self) -> Result<String, StartError> {
        let known = self.instance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.map_or_else(|| Ok(self.open_lock()?.instance()), Ok)
    }

    /// The environment for probes and hooks: the last run's, without what makes a process a part of it.
    pub(crate) fn environment_of_commands(&self) -> Result<Environment, StartError> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut environment = match latest {
            Some(environment) => environment.all.clone(),
            None => {
                let mut mark = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).clone();
                mark.push((mark::COMPONENT.to_owned(), self.name.clone()));
                self.environment(self.settings().identity()?.as_ref(), &mark)?.all
            }
        };
        environment.remove(mark::INSTANCE);
        Ok(environment)
    }

    /// The text without the values of secrets: those of the last run, and those read last.
    pub(crate) fn redact(&self, text: String) -> String {
        let mut secrets = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        secrets.extend(latest.iter().flat_map(|environment| environment.secrets.iter().cloned()));
        redact::redact(text, secrets)
    }
}

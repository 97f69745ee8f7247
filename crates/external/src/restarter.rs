//! The restarter of what others start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use vitald_core::async_trait;
use vitald_core::restarter::{
    Adoption, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError,
};
use vitald_core::spec::ExternalSpec;
use vitald_process::{Errands, Paths, Stranger};

use crate::found;
use crate::run::Run;

/// How long a start may take, its command included: what systemd gives a service.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked for: at first, and when it has been waited for in vain for a while.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// Finds, starts, watches and stops one component that others start.
pub struct ExternalRestarter {
    shared: Arc<Shared>,
    /// A start is under way that does nothing but wait.
    waits: Arc<AtomicBool>,
}

/// What a restarter and its runs share.
pub(crate) struct Shared {
    pub(crate) spec: ExternalSpec,
    errands: Errands,
    /// The process that was let go of so that the next start restarts it.
    restart_from: Mutex<Option<ProcessIdentity>>,
    /// There has been a run of it.
    has_run: AtomicBool,
}

impl Shared {
    /// The next start is a restart of this process.
    pub(crate) fn restart_from(&self, process: ProcessIdentity) {
        *self.restart_from.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }

    /// Runs one of its commands, whose field is `name`, to its end.
    pub(crate) async fn run(&self, name: &str, command: &[String]) -> Result<(), StartError> {
        let done = self.errands.run(command).await?;
        let reason = match (done.exit, done.output.trim()) {
            (Exit::Code(0), _) => return Ok(()),
            (exit, "") => exit.to_string(),
            (exit, output) => format!("{exit}: {output}"),
        };
        Err(StartError::System { doing: format!("running its {name}"), reason })
    }

    /// Tells something in the component's log.
    pub(crate) async fn note(self: &Arc<Self>, line: String) {
        let shared = Arc::clone(self);
        // What cannot be noted is no reason to stop.
        let _ = spawn_blocking(move || shared.errands.note(&line)).await;
    }

    async fn look(self: &Arc<Self>) -> Result<ProcessIdentity, String> {
        let shared = Arc::clone(self);
        let found = spawn_blocking(move || found::look(&shared.spec)).await;
        found.unwrap_or_else(|err| Err(err.to_string()))
    }

    /// Looks until it is there, and is not `but`. What is found instead is told.
    async fn wait_for(self: &Arc<Self>, but: Option<&ProcessIdentity>, why: &mut String) -> Stranger {
        let mut pause = LOOK_AGAIN;
        loop {
            let found: Result<(), String> = match self.look().await {
                Ok(found) if Some(&found) == but => Err(format!("process {} is still there", found.pid)),
                Ok(found) => match Stranger::open(&found) {
                    Ok(Some(stranger)) => return stranger,
                    Ok(None) => Err(format!("process {} has ended", found.pid)),
                    Err(err) => Err(format!("process {} cannot be watched: {err}", found.pid)),
                },
                Err(why) => Err(why),
            };
            if let Err(now) = found
                && *why != now
            {
                self.note(format!("waits: {now}")).await;
                *why = now;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_AT_MOST);
        }
    }

    fn begin(self: &Arc<Self>, process: Stranger, log_offset: u64) -> Arc<dyn RunHandle> {
        self.has_run.store(true, Ordering::SeqCst);
        Arc::new(Run::new(Arc::clone(self), process, log_offset))
    }
}

impl ExternalRestarter {
    /// A restarter for `spec`. `inherited` is what its commands get of the supervisor's environment.
    pub fn new(
        name: &str,
        spec: &ExternalSpec,
        paths: Paths,
        inherited: impl Into<Arc<BTreeMap<String, String>>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                spec: spec.clone(),
                errands: Errands::new(name, &spec.commands, paths, inherited),
                restart_from: Mutex::default(),
                has_run: AtomicBool::new(false),
            }),
            waits: Arc::default(),
        }
    }

    /// The command that begins it now, with the name of its field.
    fn command(&self, restarts: bool) -> Option<(&'static str, &[String])> {
        let spec = &self.shared.spec;
        let start = spec.start_command.as_deref().map(|command| ("startCommand", command));
        let restart = spec.restart_command.as_deref().map(|command| ("restartCommand", command));
        match restarts {
            true => restart.or_else(|| start.filter(|_| spec.stop_command.is_some())),
            false => start.or_else(|| restart.filter(|_| self.shared.has_run.load(Ordering::SeqCst))),
        }
    }

    async fn start_by(&self, name: &str, command: &[String]) -> Result<Stranger, StartError> {
        let patience = START_PATIENCE.as_secs();
        let deadline = Instant::now() + START_PATIENCE;
        let late =
            |reason: String| StartError::System { doing: format!("starting it by its {name}"), reason };
        let done = timeout_at(deadline, self.shared.run(name, command)).await;
        done.map_err(|_| late(format!("the command has not ended after {patience} s")))??;
        let mut why = String::new();
        let found = timeout_at(deadline, self.shared.wait_for(None, &mut why)).await;
        found.map_err(|_| late(format!("it is not there after {patience} s: {why}")))
    }

    async fn prepare(&self) -> Result<(), StartError> {
        let shared = Arc::clone(&self.shared);
        let prepared = spawn_blocking(move || shared.errands.prepare()).await;
        prepared.unwrap_or_else(|err| {
            Err(StartError::System { doing: "starting".into(), reason: err.to_string() })
        })
    }
}

#[async_trait]
impl Restarter for ExternalRestarter {
    async fn start(&self, _run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let shared = &self.shared;
        self.prepare().await?;
        let log_offset = self.log_end();
        let old = shared.restart_from.lock().unwrap_or_else(PoisonError::into_inner).take();
        if old.is_none()
            && let Ok(found) = shared.look().await
            && let Ok(Some(process)) = Stranger::open(&found)
        {
            shared.note(format!("process {} runs already, and is taken as it is", found.pid)).await;
            return Ok(shared.begin(process, log_offset));
        }
        let Some((name, command)) = self.command(old.is_some()) else {
            let _waiting = Waiting::begin(&self.waits);
            let process = shared.wait_for(old.as_ref(), &mut String::new()).await;
            return Ok(shared.begin(process, log_offset));
        };
        let unfinished = Unfinished::begin(shared);
        let started = self.start_by(name, command).await;
        unfinished.end();
        Ok(shared.begin(started?, log_offset))
    }

    async fn adopt(
        &self,
        _run: RunId,
        process: Option<&ProcessIdentity>,
        log_offset: u64,
    ) -> Result<Adoption, StartError> {
        self.prepare().await?;
        let watching = |err: std::io::Error| StartError::System {
            doing: "looking for what an earlier supervisor watched".into(),
            reason: err.to_string(),
        };
        if let Some(process) = process
            && let Some(stranger) = Stranger::open(process).map_err(watching)?
            && !stranger.has_exited()
        {
            return Ok(Adoption::Running(self.shared.begin(stranger, log_offset)));
        }
        // It may have replaced itself meanwhile, or have been found without that being written down.
        let Ok(found) = self.shared.look().await else { return Ok(Adoption::Nothing) };
        match Stranger::open(&found).map_err(watching)? {
            Some(stranger) => Ok(Adoption::Running(self.shared.begin(stranger, log_offset))),
            None => Ok(Adoption::Nothing),
        }
    }

    fn only_waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    fn log_end(&self) -> u64 {
        self.shared.errands.log_end()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        self.shared.errands.executor()
    }

    fn redact(&self, text: String) -> String {
        self.shared.errands.redact(text)
    }
}

/// Says that a start only waits, until it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Waiting {
    fn begin(waits: &Arc<AtomicBool>) -> Self {
        waits.store(true, Ordering::SeqCst);
        Self(Arc::clone(waits))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A start that may be given up in the middle: what it has begun is then stopped by its `stopCommand`.
struct Unfinished(Option<Arc<Shared>>);

impl Unfinished {
    fn begin(shared: &Arc<Shared>) -> Self {
        Self(Some(Arc::clone(shared)))
    }

    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let Some(command) = shared.spec.stop_command.clone() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(why) = shared.run("stopCommand", &command).await {
                shared.note(why.to_string()).await;
            }
        });
    }
}

//! The restarter of what others start.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use vitald_core::async_trait;
use vitald_core::restarter::{
    Adoption, Executor, ProcessIdentity, Restarter, RunHandle, RunId, StartError, StartStep, TellStep,
};
use vitald_core::spec::ExternalSpec;
use vitald_process::{Errands, Paths, Stranger};

use crate::run::Run;
use crate::shared::{Shared, Unfinished, Wanted};

/// How long a start may take, its command included: what systemd gives a service.
const START_PATIENCE: Duration = Duration::from_secs(90);
/// Finds, starts, watches and stops one component that others start.
pub struct ExternalRestarter {
    shared: Arc<Shared>,
    /// How long its stopCommand may take where no run is there to be stopped.
    grace: Duration,
    /// Starts, and what is done where nothing is to run, come one after the other.
    turn: tokio::sync::Mutex<()>,
    tell: Mutex<Option<TellStep>>,
}

impl ExternalRestarter {
    /// A restarter for `spec`. `inherited` is what its commands get of the supervisor's environment, `previous` the
    /// process that an earlier supervisor watched last, or left to be restarted.
    pub fn new(
        name: &str,
        spec: &ExternalSpec,
        grace: Duration,
        paths: Paths,
        inherited: impl Into<Arc<BTreeMap<String, String>>>,
        previous: Option<ProcessIdentity>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(
                spec.clone(),
                Errands::new(name, &spec.commands, paths, inherited),
                previous,
            )),
            grace,
            turn: tokio::sync::Mutex::default(),
            tell: Mutex::default(),
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
        let mut wanted = Wanted { but: None, until_it_ends: false, why: String::new(), tell: &|_| () };
        match timeout_at(deadline, self.shared.wait_for(&mut wanted)).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) | Err(_) => Err(late(format!("it is not there after {patience} s: {}", wanted.why))),
        }
    }

    /// Waits for what others start, other than `old`; `None` where that has ended, and there is a command to start
    /// another.
    async fn await_others(&self, run: RunId, old: Option<&ProcessIdentity>) -> Option<Stranger> {
        let tell = |why: &str| {
            let tell = self.tell.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(tell) = tell {
                tell(run, StartStep::Waiting { why: why.to_owned() });
            }
        };
        let until_it_ends = self.command(false).is_some();
        let mut wanted = Wanted { but: old, until_it_ends, why: String::new(), tell: &tell };
        self.shared.wait_for(&mut wanted).await
    }

    /// Calls what stops it where a start was given up in the middle of its command.
    async fn undo_half_a_start(&self) -> Result<(), String> {
        if !self.shared.is_half_started.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let Some(command) = &self.shared.spec.stop_command else { return Ok(()) };
        match timeout(self.grace, self.shared.run("stopCommand", command)).await {
            Ok(done) => done.map_err(|err| err.to_string()),
            Err(_) => Err(format!("its stopCommand has not ended after {} s", self.grace.as_secs_f64())),
        }
    }

    /// Stops what was left as it was, as a run is stopped.
    async fn stop_what_was_left(&self) -> Result<(), String> {
        let Some(left) = self.shared.take_left().filter(|_| self.shared.spec.stop_command.is_some()) else {
            return Ok(());
        };
        let cannot = |err: std::io::Error| format!("process {} cannot be stopped: {err}", left.pid);
        let Some(process) = Stranger::open(&left).map_err(cannot)? else { return Ok(()) };
        let run = Run::new(Arc::clone(&self.shared), process, 0);
        run.terminate().map_err(cannot)?;
        if timeout(self.grace, run.gone()).await.is_err() {
            run.kill().map_err(cannot)?;
            run.gone().await;
        }
        Ok(())
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
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError> {
        let shared = &self.shared;
        let _turn = self.turn.lock().await;
        self.prepare().await?;
        if let Err(why) = self.undo_half_a_start().await {
            shared.note(why).await;
        }
        let log_offset = self.log_end();
        let mut old = shared.take_left();
        if old.is_none()
            && let Ok(found) = shared.look().await
            && let Ok(Some(process)) = Stranger::open(&found)
        {
            shared.note(format!("process {} runs already, and is taken as it is", found.pid)).await;
            return Ok(shared.begin(process, log_offset));
        }
        let (name, command) = loop {
            if let Some(command) = self.command(old.is_some()) {
                break command;
            }
            if let Some(process) = self.await_others(run, old.as_ref()).await {
                return Ok(shared.begin(process, log_offset));
            }
            old = None;
        };
        let unfinished = Unfinished::begin(shared);
        let started = self.start_by(name, command).await;
        unfinished.end();
        Ok(shared.begin(started?, log_offset))
    }

    fn on_step(&self, tell: TellStep) {
        *self.tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
    }

    async fn adopt(
        &self,
        _run: RunId,
        process: Option<&ProcessIdentity>,
        log_offset: u64,
    ) -> Result<Adoption, StartError> {
        self.prepare().await?;
        // It is looked after again.
        drop(self.shared.take_left());
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

    async fn settle(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let undone = self.undo_half_a_start().await;
        self.stop_what_was_left().await.and(undone)
    }

    fn left_to_restart(&self) -> Option<ProcessIdentity> {
        self.shared.left()
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

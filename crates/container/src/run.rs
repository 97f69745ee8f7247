//! One run of a component: a container, from its start until it is removed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StatsOptionsBuilder, TopOptionsBuilder,
};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle, RunView};
use vitald_process::procfs;

use crate::engine::{Engine, EngineError, LATER, Pauses, SOON};
use crate::log::Copy;
use crate::watch::{Watched, inspect};

/// How long the rest of the log and the removal may take before the run is said to have something left.
const CLEAR_AWAY: Duration = Duration::from_secs(2);

/// How often the engine may refuse the log of a container that has ended. It has none then.
const MOST_REFUSALS: u32 = 5;

/// A run, begun by us or taken over.
pub(crate) struct Run {
    id: String,
    engine: Arc<Engine>,
    started_at: Option<String>,
    /// What the engine says that its main process is; `None` if it has said nothing, or had ended when it was asked.
    pid: Option<i64>,
    /// With pid 0 where its processes are none of this machine's, as with a virtual machine in between.
    process: ProcessIdentity,
    log_offset: u64,
    /// What the image takes for a request to end.
    stop_signal: String,
    shortcomings: Vec<String>,
    killed: AtomicBool,
    phase: watch::Sender<Phase>,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    /// Its main process has ended, and all others with it.
    Ended(Exit),
    /// Its log has been copied to the end, and it has been removed.
    Over(Exit),
}

impl Phase {
    fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Running => None,
            Self::Ended(exit) | Self::Over(exit) => Some(exit),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over(_))
    }
}

impl Run {
    /// The run whose container was found to be this. It is looked after from now on, whoever asks for it: its log
    /// is copied, its end waited for, and then it is removed. Must be called within a tokio runtime.
    pub(crate) fn attend(
        engine: Arc<Engine>,
        inspected: &ContainerInspectResponse,
        copy: Copy,
        log_offset: u64,
        shortcomings: Vec<String>,
    ) -> Arc<Self> {
        let state = inspected.state.clone().unwrap_or_default();
        let id = inspected.id.clone().unwrap_or_default();
        let told = state.pid.filter(|pid| *pid > 0);
        let pid = told.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let stop_signal = inspected.config.as_ref().and_then(|config| config.stop_signal.clone());
        let process = own_process(pid, &id).unwrap_or_else(nobody);
        let run = Self {
            process,
            engine,
            started_at: state.started_at,
            pid: told,
            log_offset,
            stop_signal: stop_signal.filter(|signal| !signal.is_empty()).unwrap_or_else(|| "SIGTERM".into()),
            shortcomings,
            killed: AtomicBool::new(false),
            phase: watch::Sender::new(Phase::Running),
            id,
        };
        Self::look_after(run, copy)
    }

    /// A run of which no more is known than its container and its main process: the engine is away.
    pub(crate) fn attend_blindly(
        engine: Arc<Engine>,
        id: String,
        process: ProcessIdentity,
        copy: Copy,
        log_offset: u64,
    ) -> Arc<Self> {
        let run = Self {
            id,
            engine,
            started_at: None,
            pid: Some(process.pid.into()).filter(|pid| *pid > 0),
            process,
            log_offset,
            stop_signal: "SIGTERM".into(),
            shortcomings: Vec::new(),
            killed: AtomicBool::new(false),
            phase: watch::Sender::new(Phase::Running),
        };
        Self::look_after(run, copy)
    }

    fn look_after(run: Self, copy: Copy) -> Arc<Self> {
        let run = Arc::new(run);
        tokio::spawn(Arc::clone(&run).to_its_end(copy));
        run
    }

    async fn to_its_end(self: Arc<Self>, copy: Copy) {
        let following = tokio::spawn(Arc::clone(&self).follow(copy));
        let (engine, id, started_at) = (&self.engine, &self.id, self.started_at.as_deref());
        let watched = Watched { engine, id, started_at, pid: self.pid };
        let exit = watched.ended(|| self.is_known_dead().then_some(Exit::Unknown)).await;
        self.phase.send_replace(Phase::Ended(exit.clone()));
        let mut copy = following.await.ok();
        if let Some(copy) = &mut copy {
            drain(&self.engine, copy, || self.is_given_up()).await;
        }
        if remove(&self.engine, &self.id, || self.is_given_up()).await {
            copy.iter().for_each(Copy::forget);
        }
        self.phase.send_replace(Phase::Over(exit));
    }

    /// Copies the log until the end has been seen.
    async fn follow(self: Arc<Self>, mut copy: Copy) -> Copy {
        let mut phase = self.phase.subscribe();
        let ended = async move {
            // An error means that nobody will tell of an end any more.
            let _ = phase.wait_for(|phase| *phase != Phase::Running).await;
        };
        tokio::pin!(ended);
        let mut pauses = Pauses::new();
        loop {
            // Where the engine is away or says no, it is asked again.
            if copy.run(&self.engine, true, &mut ended).await.is_ok() {
                pauses = Pauses::new();
            }
            if *self.phase.borrow() != Phase::Running {
                return copy;
            }
            tokio::select! {
                () = &mut ended => return copy,
                () = pauses.pause() => {}
            }
        }
    }

    /// Whether its main process is gone for certain, after we have killed it, and whatever the engine would say.
    fn is_known_dead(&self) -> bool {
        self.is_given_up() && self.process.pid > 0 && !procfs::is_same(&self.process)
    }

    /// Whether what is left of it can wait for its component's next start, should the engine be away.
    fn is_given_up(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Sends a signal: by the engine, and past it where it is away.
    fn signal(&self, name: &str, signal: Signal) -> io::Result<()> {
        if *self.phase.borrow() != Phase::Running {
            return Ok(());
        }
        let sent = Handle::current().block_on(kill(&self.engine, &self.id, name));
        match sent {
            Ok(()) => Ok(()),
            // It is over, as will be told.
            Err(err) if err.is_not_found() || err.is_conflict() => Ok(()),
            Err(err) if err.is_away() && self.process.pid > 0 => {
                vitald_process::signal_process(&self.process, signal).map(|_| ())
            }
            Err(err) => Err(io::Error::other(err.to_string())),
        }
    }
}

/// Copies what is left of an ended container's log. `give_up` is asked while the engine is away.
pub(crate) async fn drain(engine: &Engine, copy: &mut Copy, give_up: impl Fn() -> bool) {
    let mut pauses = Pauses::new();
    let mut refusals = 0;
    loop {
        match copy.run(engine, false, &mut std::future::pending()).await {
            Ok(()) => return,
            Err(err) if err.is_not_found() => return,
            Err(err) if err.is_away() && give_up() => return,
            Err(err) if err.is_away() => {}
            Err(_) if refusals >= MOST_REFUSALS => return,
            Err(_) => refusals += 1,
        }
        pauses.pause().await;
    }
}

/// Removes a container of ours, with the volumes that were made for it alone. `give_up` is asked where the engine
/// is away or cannot. Whether it has been removed.
async fn remove(engine: &Engine, id: &str, give_up: impl Fn() -> bool) -> bool {
    let mut pauses = Pauses::new();
    loop {
        match remove_once(engine, id).await {
            Ok(()) => return true,
            Err(err) if err.is_away() && give_up() => return false,
            Err(_) => pauses.pause().await,
        }
    }
}

/// Removes a container of ours, whatever state it is in.
pub(crate) async fn remove_once(engine: &Engine, id: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let removed =
        engine.ask(LATER, |client| async move { client.remove_container(id, Some(options)).await }).await;
    match removed {
        Err(err) if err.is_not_found() => Ok(()),
        removed => removed,
    }
}

/// Sends a signal to a container's main process; one that is paused is woken, so that it can hear it.
pub(crate) async fn kill(engine: &Engine, id: &str, signal: &str) -> Result<(), EngineError> {
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    engine.ask(SOON, |client| async move { client.kill_container(id, Some(options)).await }).await?;
    let state = inspect(engine, id).await?.state.unwrap_or_default();
    if state.paused.unwrap_or_default() {
        // An error means that it is none any more.
        let _ = engine.ask(SOON, |client| async move { client.unpause_container(id).await }).await;
    }
    Ok(())
}

/// A container's main process, where its pid is one of this machine's: its cgroup bears the container's id.
pub(crate) fn own_process(pid: i32, id: &str) -> Option<ProcessIdentity> {
    let identity = procfs::identity(pid).filter(|_| pid > 0)?;
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    (!id.is_empty() && cgroups.contains(id)).then_some(identity)
}

/// Stands for a process that is none of this machine's, or is gone.
fn nobody() -> ProcessIdentity {
    ProcessIdentity { pid: 0, start_time: 0, boot_id: procfs::boot_id().to_owned() }
}

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.process.clone()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    async fn pids(&self) -> io::Result<Vec<i32>> {
        if self.process.pid == 0 {
            // Their numbers would mean others here.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let options = TopOptionsBuilder::new().ps_args("-o pid").build();
        let top = self
            .engine
            .ask(SOON, |client| async move { client.top_processes(&self.id, Some(options)).await })
            .await
            .map_err(|err| io::Error::other(err.to_string()))?;
        let column = top.titles.unwrap_or_default().iter().position(|title| title == "PID").unwrap_or(0);
        let rows = top.processes.unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row.get(column)?.parse().ok()).collect())
    }

    async fn memory(&self) -> io::Result<u64> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let ask = |client: bollard::Docker| async move {
            let mut stats = Box::pin(client.stats(&self.id, Some(options)));
            stats.next().await.transpose()
        };
        let stats = self.engine.ask(SOON, ask).await.map_err(|err| io::Error::other(err.to_string()))?;
        let memory = stats.and_then(|stats| stats.memory_stats).unwrap_or_default();
        let usage = memory.usage.ok_or_else(|| io::Error::other("the engine tells nothing of its memory"))?;
        // What could be given back at once is not counted, as in `docker stats`.
        let details = memory.stats.unwrap_or_default();
        let inactive =
            ["total_inactive_file", "inactive_file"].into_iter().find_map(|name| details.get(name));
        Ok(usage.saturating_sub(inactive.copied().unwrap_or_default()))
    }

    fn container(&self) -> Option<String> {
        Some(self.id.clone())
    }
}

#[async_trait]
impl RunHandle for Run {
    async fn exited(&self) -> Exit {
        let mut phase = self.phase.subscribe();
        match phase.wait_for(|phase| *phase != Phase::Running).await {
            Ok(phase) => phase.exit().cloned().unwrap_or(Exit::Unknown),
            Err(_) => Exit::Unknown,
        }
    }

    /// Blocks for a moment where its end was seen and it is being cleared away.
    fn is_alive(&self) -> bool {
        if *self.phase.borrow() == Phase::Running {
            return true;
        }
        Handle::current().block_on(async { timeout(CLEAR_AWAY, self.gone()).await }).is_err()
    }

    async fn gone(&self) {
        // The sender is ours: there is no error.
        let _ = self.phase.subscribe().wait_for(Phase::is_over).await;
    }

    fn terminate(&self) -> io::Result<()> {
        // Those that have a number only the engine knows, such as SIGRTMIN+3, are sent by it alone.
        let signal = self.stop_signal.parse().unwrap_or(Signal::SIGTERM);
        self.signal(&self.stop_signal, signal)?;
        // One that was stopped by a signal could not hear it. The engine may do what we may not.
        let known = self.process.pid > 0;
        if !known || vitald_process::signal_process(&self.process, Signal::SIGCONT).is_err() {
            let _ = self.signal("SIGCONT", Signal::SIGCONT);
        }
        Ok(())
    }

    fn kill(&self) -> io::Result<()> {
        self.killed.store(true, Ordering::Relaxed);
        self.signal("SIGKILL", Signal::SIGKILL)
    }

    fn survivors(&self) -> Vec<String> {
        let short = self.id.get(..12).unwrap_or(&self.id);
        match &*self.phase.borrow() {
            Phase::Running => vec![format!("container {short}")],
            Phase::Ended(_) => vec![format!("container {short}, which has ended and is not removed yet")],
            Phase::Over(_) => Vec::new(),
        }
    }

    fn shortcomings(&self) -> Vec<String> {
        self.shortcomings.clone()
    }
}

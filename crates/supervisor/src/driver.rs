//! The one task that owns a component: select, tell the lifecycle, carry out what it answers, publish.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use vitald_core::lifecycle::{
    Action, Command, Event, EventReason, Lifecycle, LifecycleRecord, Notice, Observed, Report,
};
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::registry::Registry;
use vitald_core::restarter::{
    ExecRequest, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError,
};
use vitald_core::spec::{ComponentSpec, ExecAction, ProbeRole, ProbeSpec};
use vitald_core::status::{EventType, RunLog};

use crate::clock::Clock;
use crate::events::Events;
use crate::probe_run;
use crate::store::{FileIdentity, Record, Store};

/// How many runs' places in the log are remembered.
const REMEMBERED_RUNS: usize = 20;

/// What a component's task is told.
pub(crate) enum Message {
    /// Something about a run.
    Report(Report),
    /// A start has come to its end.
    Started(RunId, Result<Arc<dyn RunHandle>, StartError>),
    /// A wish; answered once the lifecycle knows of it.
    Command(Command, oneshot::Sender<()>),
    /// What is missing of the dependencies.
    Dependencies(Option<String>),
}

/// What others may look at; a new one after every event.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) runs: Vec<RunLog>,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) restarter: Arc<dyn Restarter>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) context: ComponentContext,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<Events>,
    pub(crate) store: Store,
    pub(crate) lock_file: std::path::PathBuf,
    pub(crate) runs: Vec<RunLog>,
    pub(crate) inherited_env: BTreeMap<String, String>,
}

/// Makes a component's task, its mailbox and the view of it. The task ends once the lifecycle is at rest
/// for good, after a `Shutdown` or `Kill`.
pub(crate) fn new(parts: Parts) -> (Driver, mpsc::UnboundedSender<Message>, watch::Receiver<View>) {
    let (mailbox, messages) = mpsc::unbounded_channel();
    let view = View { lifecycle: parts.lifecycle.clone(), process: None, runs: parts.runs.clone() };
    let (publish, published) = watch::channel(view);
    let driver =
        Driver { parts, mailbox: mailbox.clone(), messages, publish, run: None, write_failed: false };
    (driver, mailbox, published)
}

pub(crate) struct Driver {
    parts: Parts,
    mailbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    publish: watch::Sender<View>,
    run: Option<Run>,
    write_failed: bool,
}

/// The current run, while something of it is left. Dropped, it takes its checks and hooks with it.
struct Run {
    handle: Arc<dyn RunHandle>,
    probes: BTreeMap<ProbeRole, Arc<dyn HealthProbe>>,
    tasks: JoinSet<()>,
}

impl Driver {
    /// Until the component is at rest after a `Shutdown` or `Kill`.
    pub(crate) async fn drive(mut self) {
        let mut closing = false;
        while !(closing && self.parts.lifecycle.is_at_rest()) {
            let deadline = self.parts.lifecycle.next_deadline();
            let clock = Arc::clone(&self.parts.clock);
            let timer = async move {
                match deadline {
                    Some(at) => clock.sleep_until(at).await,
                    None => pending().await,
                }
            };
            let message = tokio::select! {
                message = self.messages.recv() => message,
                () = timer => {
                    self.apply(Event::Deadline, false);
                    continue;
                }
            };
            match message {
                None => return,
                Some(Message::Report(report)) => self.apply(Event::Report(report), false),
                Some(Message::Started(run, started)) => self.started(run, started),
                Some(Message::Dependencies(missing)) => self.apply(Event::Dependencies(missing), false),
                Some(Message::Command(command, done)) => {
                    closing |= matches!(command, Command::Shutdown | Command::Kill);
                    // What a person asked for outlives a crash of the machine, too.
                    self.apply(Event::Command(command), true);
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
            }
        }
        self.forget_environment();
    }

    fn apply(&mut self, event: Event, durable: bool) {
        let actions = self.parts.lifecycle.on(self.parts.clock.now(), event);
        // Written before it matters: a run's number before its spawn, a stop before its first signal.
        self.write(durable);
        for action in actions {
            self.act(action);
        }
        if !self.parts.lifecycle.has_run() {
            self.run = None;
        }
        self.publish.send_replace(self.view());
    }

    fn view(&self) -> View {
        View {
            lifecycle: self.parts.lifecycle.clone(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            runs: self.parts.runs.clone(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Notify(notice) => self.notify(notice),
            Action::Start(run) => {
                let (restarter, mailbox) = (Arc::clone(&self.parts.restarter), self.mailbox.clone());
                tokio::spawn(async move {
                    let started = restarter.start(run).await;
                    // A driver that is gone has no use for it.
                    let _ = mailbox.send(Message::Started(run, started));
                });
            }
            Action::PostStart(run) => {
                let hook = self.parts.spec.post_start.clone();
                self.hook(run, hook, Observed::PostStartDone);
            }
            Action::PreStop(run) => {
                let hook = self.parts.spec.pre_stop.clone();
                self.hook(run, hook, Observed::PreStopDone);
            }
            Action::Terminate(run) => self.signal(run, |handle| handle.terminate()),
            Action::Kill(run) => self.signal(run, |handle| handle.kill()),
            Action::Probe(run, role) => self.probe(run, role),
        }
    }

    fn notify(&self, notice: Notice) {
        let notice = match (notice.reason, &self.run) {
            (EventReason::FailedKill, Some(run)) => {
                let message = format!("{}: {}", notice.message, run.handle.survivors().join(", "));
                Notice { message, ..notice }
            }
            _ => notice,
        };
        self.parts.events.add(&self.parts.spec.name, &notice);
    }

    /// A start has come to its end: the run is made known before anything is done with it.
    fn started(&mut self, run: RunId, started: Result<Arc<dyn RunHandle>, StartError>) {
        let what = match started {
            Err(err) => Observed::StartFailed(err.to_string()),
            Ok(handle) => {
                self.parts.runs.push(RunLog { run: run.0, log_offset: handle.log_offset() });
                let forgotten = self.parts.runs.len().saturating_sub(REMEMBERED_RUNS);
                self.parts.runs.drain(..forgotten);
                self.run = Some(self.watch(run, handle));
                Observed::Spawned
            }
        };
        self.apply(Event::Report(Report { run, what }), false);
    }

    /// A fresh set of probes, and a task that tells of the end.
    fn watch(&self, run: RunId, handle: Arc<dyn RunHandle>) -> Run {
        let mut tasks = JoinSet::new();
        let (watched, mailbox) = (Arc::clone(&handle), self.mailbox.clone());
        tasks.spawn(async move {
            let exit = watched.exited().await;
            let tree = Arc::clone(&watched);
            // Reads /proc. Where that fails, the run is not said to be over.
            let leftovers = tokio::task::spawn_blocking(move || tree.is_alive()).await.unwrap_or(true);
            let _ = mailbox.send(Message::Report(Report { run, what: Observed::Exited { exit, leftovers } }));
            if leftovers {
                watched.gone().await;
                let _ = mailbox.send(Message::Report(Report { run, what: Observed::Gone }));
            }
        });
        let probes = ProbeRole::ALL
            .into_iter()
            .filter_map(|role| Some((role, self.build(self.parts.spec.probe(role)?))))
            .collect();
        Run { handle, probes, tasks }
    }

    fn build(&self, probe: &ProbeSpec) -> Arc<dyn HealthProbe> {
        let Parts { registry, context, clock, .. } = &self.parts;
        match probe_run::build(&probe.check, registry, context, clock) {
            Ok(probe) => Arc::from(probe),
            // The manifest was checked by the same code; what is left is a bug, and no reason to restart.
            Err(err) => Arc::new(Broken(err.to_string())),
        }
    }

    fn probe(&mut self, id: RunId, role: ProbeRole) {
        let (Some(run), Some(spec)) = (&mut self.run, self.parts.spec.probe(role)) else { return };
        let Some(probe) = run.probes.get(&role).cloned() else { return };
        let cx = CheckContext {
            timeout: spec.timeout,
            process: Some(run.handle.process()),
            executor: self.parts.restarter.executor(),
        };
        let (clock, mailbox) = (Arc::clone(&self.parts.clock), self.mailbox.clone());
        run.tasks.spawn(async move {
            let began = clock.now();
            let result = probe.check(&cx).await;
            let what = Observed::Probed { role, result, latency: clock.now() - began };
            let _ = mailbox.send(Message::Report(Report { run: id, what }));
        });
        // Finished tasks leave their results behind.
        while run.tasks.try_join_next().is_some() {}
    }

    fn hook(
        &mut self,
        id: RunId,
        hook: Option<ExecAction>,
        what: impl FnOnce(Result<(), String>) -> Observed + Send + 'static,
    ) {
        let (Some(run), Some(hook)) = (&mut self.run, hook) else { return };
        let (executor, mailbox) = (self.parts.restarter.executor(), self.mailbox.clone());
        run.tasks.spawn(async move {
            let what = what(run_hook(executor, hook).await);
            let _ = mailbox.send(Message::Report(Report { run: id, what }));
        });
    }

    /// Signals from a thread that may block: the process tree is read from /proc.
    fn signal(&self, _run: RunId, signal: fn(&dyn RunHandle) -> std::io::Result<()>) {
        let Some(run) = &self.run else { return };
        let handle = Arc::clone(&run.handle);
        let (events, name) = (Arc::clone(&self.parts.events), self.parts.spec.name.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(err) = signal(handle.as_ref()) {
                let message = format!("cannot be signalled: {err}");
                events.add(
                    &name,
                    &Notice { kind: EventType::Warning, reason: EventReason::FailedKill, message },
                );
            }
        });
    }

    fn write(&mut self, durable: bool) {
        let lifecycle = self.parts.lifecycle.record();
        self.write_record(lifecycle, durable, Some(self.parts.inherited_env.clone()));
    }

    /// After an orderly end the next start takes the environment of its own day.
    fn forget_environment(&mut self) {
        let lifecycle = self.parts.lifecycle.record();
        self.write_record(lifecycle, true, None);
    }

    fn write_record(
        &mut self,
        lifecycle: LifecycleRecord,
        durable: bool,
        inherited_env: Option<BTreeMap<String, String>>,
    ) {
        let record = Record {
            name: self.parts.spec.name.clone(),
            boot_id: self.parts.clock.boot_id(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            lock: FileIdentity::of(&self.parts.lock_file),
            runs: self.parts.runs.clone(),
            lifecycle,
            inherited_env,
        };
        match self.parts.store.write(&record, durable) {
            Ok(()) => self.write_failed = false,
            // Told once: a full disk must not stop components, nor fill the list of events.
            Err(_) if self.write_failed => {}
            Err(err) => {
                self.write_failed = true;
                let message = format!("its state cannot be written, and would be lost with vitald: {err}");
                self.notify(Notice { kind: EventType::Warning, reason: EventReason::FailedWrite, message });
            }
        }
    }
}

async fn run_hook(executor: Arc<dyn Executor>, hook: ExecAction) -> Result<(), String> {
    let request = ExecRequest { command: hook.command, ..ExecRequest::default() };
    match executor.exec(request).await {
        Ok(done) if done.exit == Exit::Code(0) => Ok(()),
        Ok(done) => match done.output.trim() {
            "" => Err(done.exit.to_string()),
            output => Err(format!("{}: {output}", done.exit)),
        },
        Err(err) => Err(err.to_string()),
    }
}

/// Stands in for a probe that could not be built.
struct Broken(String);

#[vitald_core::async_trait]
impl HealthProbe for Broken {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        ProbeResult::unknown(self.0.clone())
    }
}

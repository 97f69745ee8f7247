//! The one task that owns a component: select, tell the lifecycle, carry out what it answers, publish.

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp as WallTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use vitald_core::lifecycle::{
    Action, Command, Event, EventReason, Lifecycle, LifecycleRecord, Notice, Observed, Report,
};
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::restarter::{
    Adoption, ExecRequest, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError,
};
use vitald_core::spec::{ComponentSpec, ExecAction, ProbeRole, ProbeSpec};
use vitald_core::status::{EventType, RunLog};

use crate::member::{Nursery, inherits_all};
use crate::probe_run;
use crate::store::{FileIdentity, RECORD_VERSION, Record, Store};

/// How many runs' places in the log are remembered.
const REMEMBERED_RUNS: usize = 20;

/// How soon, and how often, it is asked whether a run of an earlier supervisor is there.
const ADOPT_AGAIN_AFTER: Duration = Duration::from_millis(500);
const ADOPT_TRIES: u32 = 20;

/// How soon a write that failed is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(5);

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
    /// Another spec; answered with whether it was taken.
    Spec(Arc<ComponentSpec>, oneshot::Sender<bool>),
    /// Leave the run to the next supervisor.
    Leave,
}

/// What others may look at; a new one after every event.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) restarter: Arc<dyn Restarter>,
    pub(crate) runs: Vec<RunLog>,
    /// What the wall clock showed when the current run began.
    pub(crate) began: WallTime,
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) restarter: Arc<dyn Restarter>,
    pub(crate) nursery: Arc<Nursery>,
    pub(crate) context: ComponentContext,
    pub(crate) store: Store,
    pub(crate) lock_file: std::path::PathBuf,
    pub(crate) runs: Vec<RunLog>,
    pub(crate) inherited_env: BTreeMap<String, String>,
    pub(crate) inherits_all: bool,
    /// The main process of the run that the lifecycle was restored with, if it is known.
    pub(crate) recorded: Option<ProcessIdentity>,
}

/// Makes a component's task, its mailbox and the view of it. The task ends once the lifecycle is at rest
/// for good, after a `Shutdown` or `Kill`, or once the run can be left alone, after a `Leave`.
pub(crate) fn new(parts: Parts) -> (Driver, mpsc::UnboundedSender<Message>, watch::Receiver<View>) {
    let (mailbox, messages) = mpsc::unbounded_channel();
    let view = View {
        lifecycle: parts.lifecycle.clone(),
        process: parts.recorded.clone(),
        restarter: Arc::clone(&parts.restarter),
        runs: parts.runs.clone(),
        began: parts.nursery.clock.wall(),
    };
    let (publish, published) = watch::channel(view);
    let driver = Driver {
        boot_id: parts.nursery.clock.boot_id(),
        digest: parts.spec.digest(),
        lock: FileIdentity::of(&parts.lock_file),
        mailbox: mailbox.clone(),
        messages,
        publish,
        run: None,
        starting: None,
        unwritten: None,
        parts,
    };
    (driver, mailbox, published)
}

pub(crate) struct Driver {
    parts: Parts,
    mailbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    publish: watch::Sender<View>,
    run: Option<Run>,
    /// The start that is under way; dropped, it is given up.
    starting: Option<AbortHandle>,
    boot_id: String,
    /// Of the spec.
    digest: String,
    lock: Option<FileIdentity>,
    /// The last write failed: whether what it held must outlive a crash of the machine.
    unwritten: Option<bool>,
}

/// The current run, while something of it is left. Dropped, it takes its checks and hooks with it.
struct Run {
    handle: Arc<dyn RunHandle>,
    began: WallTime,
    probes: BTreeMap<ProbeRole, Arc<dyn HealthProbe>>,
    tasks: JoinSet<()>,
}

impl Driver {
    /// Until the component is at rest after a `Shutdown` or `Kill`, or left alone after a `Leave`.
    pub(crate) async fn drive(mut self) {
        let (mut closing, mut leaving) = (false, false);
        self.adopt().await;
        while !(closing && self.parts.lifecycle.is_at_rest()) {
            // A start that was given up now would leave nobody to look after what came of it.
            if leaving && self.starting.is_none() {
                return;
            }
            let mut deadline = self.parts.lifecycle.next_deadline();
            if self.unwritten.is_some() {
                let again = self.parts.nursery.clock.now() + WRITE_AGAIN_AFTER;
                deadline = Some(deadline.map_or(again, |at| at.min(again)));
            }
            let clock = Arc::clone(&self.parts.nursery.clock);
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
                Some(Message::Spec(spec, taken)) => {
                    // Whoever asked may be gone.
                    let _ = taken.send(self.respec(spec));
                }
                Some(Message::Leave) => leaving = true,
                Some(Message::Command(command, done)) => {
                    closing |= matches!(command, Command::Shutdown | Command::Kill);
                    // What a person asked for outlives a crash of the machine, too.
                    let asked = matches!(
                        command,
                        Command::Start
                            | Command::Stop
                            | Command::Restart
                            | Command::Pause
                            | Command::Replace
                            | Command::Reset
                    );
                    self.apply(Event::Command(command), asked);
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
            }
        }
        self.forget_environment();
    }

    /// Takes over what an earlier supervisor left of its run, before anything else is done.
    async fn adopt(&mut self) {
        if !self.parts.lifecycle.awaits_adoption() {
            return;
        }
        let run = self.parts.lifecycle.run();
        let log_offset = self.parts.runs.iter().find(|log| log.run == run.0).map_or(0, |log| log.log_offset);
        let clock = &self.parts.nursery.clock;
        let began = self.parts.lifecycle.snapshot(clock.now()).started_at;
        let began = began.map_or_else(|| clock.wall(), |at| clock.wall_at(at));
        let mut tries = 0;
        let found = loop {
            tries += 1;
            let process = self.parts.recorded.as_ref();
            match self.parts.restarter.adopt(run, process, log_offset).await {
                Ok(found) => break found,
                // A start finds what there is, and fails as long as it cannot be ended.
                Err(_) if tries >= ADOPT_TRIES => break Adoption::Nothing,
                Err(err) if tries == 1 => {
                    let message = format!(
                        "whether it still runs cannot be told, and is asked again: {}",
                        self.parts.restarter.redact(err.to_string())
                    );
                    self.notify(Notice {
                        kind: EventType::Warning,
                        reason: EventReason::FailedRead,
                        message,
                    });
                }
                Err(_) => {}
            }
            tokio::time::sleep(ADOPT_AGAIN_AFTER).await;
        };
        let what = match found {
            Adoption::Running(handle) => {
                self.run = Some(self.watch(run, handle, began));
                Observed::Adopted
            }
            Adoption::Ended(handle) => {
                let exit = handle.exited().await;
                let tree = Arc::clone(&handle);
                let leftovers = tokio::task::spawn_blocking(move || tree.is_alive()).await.unwrap_or(true);
                self.run = Some(self.watch(run, handle, began));
                Observed::Exited { exit, leftovers }
            }
            Adoption::Nothing => Observed::NotFound,
        };
        self.apply(Event::Report(Report { run, what }), false);
    }

    fn apply(&mut self, event: Event, durable: bool) {
        let actions = self.parts.lifecycle.on(self.parts.nursery.clock.now(), event);
        if !self.parts.lifecycle.has_run() {
            self.run = None;
        }
        if let Some(run) = actions.iter().find_map(|action| match action {
            Action::Start(run) => Some(*run),
            _ => None,
        }) {
            self.note_log(run, self.parts.restarter.log_end());
        }
        // Written before it matters: a run's number before its spawn, a stop before its first signal.
        self.write(durable);
        for action in actions {
            self.act(action);
        }
        self.publish.send_replace(self.view());
    }

    fn view(&self) -> View {
        View {
            lifecycle: self.parts.lifecycle.clone(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            restarter: Arc::clone(&self.parts.restarter),
            runs: self.parts.runs.clone(),
            began: self.run.as_ref().map_or_else(|| self.parts.nursery.clock.wall(), |run| run.began),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Notify(notice) => self.notify(notice),
            Action::Start(run) => {
                let (restarter, mailbox) = (Arc::clone(&self.parts.restarter), self.mailbox.clone());
                let start = tokio::spawn(async move { restarter.start(run).await });
                self.starting = Some(start.abort_handle());
                tokio::spawn(async move {
                    let started = start.await.unwrap_or_else(|end| {
                        let reason =
                            if end.is_cancelled() { "given up on request" } else { "vitald has a bug" };
                        Err(StartError::System { doing: "starting".into(), reason: reason.into() })
                    });
                    // A driver that is gone has no use for it.
                    let _ = mailbox.send(Message::Started(run, started));
                });
            }
            Action::CancelStart(_) => {
                if let Some(start) = self.starting.take() {
                    start.abort();
                }
            }
            Action::PostStart(run) => {
                let hook = self.parts.spec.post_start.clone();
                self.hook(run, hook, Observed::PostStartDone);
            }
            Action::PreStop(run) => {
                let hook = self.parts.spec.pre_stop.clone();
                self.hook(run, hook, Observed::PreStopDone);
            }
            Action::Terminate(run) => {
                self.signal(run, |handle| handle.terminate(), Some(Observed::Terminated))
            }
            Action::Kill(run) => self.signal(run, |handle| handle.kill(), None),
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
        self.parts.nursery.events.add(&self.parts.spec.name, &notice);
    }

    /// A start has come to its end: the run is made known before anything is done with it.
    fn started(&mut self, run: RunId, started: Result<Arc<dyn RunHandle>, StartError>) {
        self.starting = None;
        let what = match started {
            Err(err) => Observed::StartFailed(self.parts.restarter.redact(err.to_string())),
            Ok(handle) => {
                self.lock = FileIdentity::of(&self.parts.lock_file);
                self.note_log(run, handle.log_offset());
                self.tell_shortcomings(handle.as_ref());
                let now = self.parts.nursery.clock.wall();
                self.run = Some(self.watch(run, handle, now));
                Observed::Spawned
            }
        };
        self.apply(Event::Report(Report { run, what }), false);
    }

    /// A fresh set of probes, and a task that tells of the end.
    fn watch(&self, run: RunId, handle: Arc<dyn RunHandle>, began: WallTime) -> Run {
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
        Run { handle, began, probes, tasks }
    }

    fn build(&self, probe: &ProbeSpec) -> Arc<dyn HealthProbe> {
        let Parts { context, .. } = &self.parts;
        let Nursery { registry, clock, .. } = self.parts.nursery.as_ref();
        let build = AssertUnwindSafe(|| probe_run::build(&probe.check, registry, context, clock));
        match std::panic::catch_unwind(build) {
            Ok(Ok(probe)) => Arc::from(probe),
            // The manifest was checked by the same code; what is left is a bug, and no reason to restart.
            Ok(Err(err)) => Arc::new(Broken(err.to_string())),
            Err(_panic) => Arc::new(Broken("the probe panicked while it was built".into())),
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
        let (clock, mailbox) = (Arc::clone(&self.parts.nursery.clock), self.mailbox.clone());
        let restarter = Arc::clone(&self.parts.restarter);
        run.tasks.spawn(async move {
            let began = clock.now();
            // Each handler's panics are caught where it is asked; there must be an answer in any case.
            let check = AssertUnwindSafe(probe.check(&cx)).catch_unwind().await;
            let result = check.unwrap_or_else(|_panic| ProbeResult::unknown("the probe panicked"));
            let result = result.map_message(|message| restarter.redact(message));
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
        let restarter = Arc::clone(&self.parts.restarter);
        run.tasks.spawn(async move {
            let hook = AssertUnwindSafe(run_hook(executor, hook)).catch_unwind().await;
            let done = hook.unwrap_or_else(|_panic| Err("vitald has a bug".into()));
            let what = what(done.map_err(|why| restarter.redact(why)));
            let _ = mailbox.send(Message::Report(Report { run: id, what }));
        });
    }

    /// Signals from a thread that may block: the process tree is read from /proc.
    fn signal(&self, id: RunId, signal: fn(&dyn RunHandle) -> std::io::Result<()>, sent: Option<Observed>) {
        let Some(run) = &self.run else { return };
        let (handle, mailbox) = (Arc::clone(&run.handle), self.mailbox.clone());
        let (events, name) = (Arc::clone(&self.parts.nursery.events), self.parts.spec.name.clone());
        tokio::task::spawn_blocking(move || match (signal(handle.as_ref()), sent) {
            (Ok(()), Some(what)) => {
                let _ = mailbox.send(Message::Report(Report { run: id, what }));
            }
            (Ok(()), None) => {}
            (Err(err), _) => {
                let message = format!("cannot be signalled: {err}");
                events.add(
                    &name,
                    &Notice { kind: EventType::Warning, reason: EventReason::FailedKill, message },
                );
            }
        });
    }

    /// Where a run begins in the log: known before it is started, and better after that.
    fn note_log(&mut self, run: RunId, log_offset: u64) {
        let runs = &mut self.parts.runs;
        runs.retain(|log| log.run != run.0);
        runs.push(RunLog { run: run.0, log_offset });
        let forgotten = runs.len().saturating_sub(REMEMBERED_RUNS);
        runs.drain(..forgotten);
    }

    fn tell_shortcomings(&self, handle: &dyn RunHandle) {
        for message in handle.shortcomings() {
            self.notify(Notice { kind: EventType::Warning, reason: EventReason::NotEnforced, message });
        }
    }

    /// Another spec, if nothing runs under the one before; whether it was taken.
    fn respec(&mut self, spec: Arc<ComponentSpec>) -> bool {
        let same_run = spec.runs_like(&self.parts.spec);
        if !same_run && !self.parts.lifecycle.is_at_rest() {
            return false;
        }
        if !same_run {
            let kept_env = Some((self.parts.inherits_all, self.parts.inherited_env.clone()));
            let parts = &mut self.parts;
            (parts.restarter, parts.inherited_env) = parts.nursery.restarter(&spec, kept_env, None);
            parts.inherits_all = inherits_all(&spec);
            parts.context = spec.context(Some(parts.nursery.state_dir.log(&spec.name)));
        }
        self.digest = spec.digest();
        self.parts.spec = Arc::clone(&spec);
        self.apply(Event::Spec(spec), true);
        true
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
            spec: Arc::clone(&self.parts.spec),
            spec_digest: self.digest.clone(),
            version: RECORD_VERSION,
            boot_id: self.boot_id.clone(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            lock: self.lock,
            runs: self.parts.runs.clone(),
            inherits_all: self.parts.inherits_all,
            lifecycle,
            inherited_env,
        };
        // A stop on request stays on disk through all that follows, and what could not be written
        // durably before is owed still.
        let durable =
            durable || record.lifecycle.is_stopped_on_request() || self.unwritten.unwrap_or_default();
        match self.parts.store.write(&record, durable) {
            Ok(()) => self.unwritten = None,
            // Told once: a full disk must not stop components, nor fill the list of events.
            Err(_) if self.unwritten.is_some() => self.unwritten = Some(durable),
            Err(err) => {
                self.unwritten = Some(durable);
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

//! The one task that owns a component: select, tell the lifecycle, carry out what it answers, publish.

mod build;
mod record;
mod run;
mod takeover;

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp as WallTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use vitald_core::lifecycle::{Action, Command, Event, EventReason, Lifecycle, Notice, Observed, Report};
use vitald_core::notify::Notified;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::restarter::{
    Adoption, ExecRequest, Executor, Exit, ProcessIdentity, Restarter, RunHandle, RunId, RunView, StartError,
};
use vitald_core::spec::{ComponentSpec, ExecAction, ProbeRole, ProbeSpec};
use vitald_core::status::{EventType, RunLog};

use crate::member::{Nursery, inherits_all};
use crate::store::{FileIdentity, RECORD_VERSION, Record, Store};

/// How many runs' places in the log are remembered.
const REMEMBERED_RUNS: usize = 20;

/// How soon, and how often, it is asked whether a run of an earlier supervisor is there.
const ADOPT_AGAIN_AFTER: Duration = Duration::from_millis(500);
const ADOPT_TRIES: u32 = 20;

/// How soon a write that failed is tried again.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How often at most it is told what a run tells of itself.
const NEWS_PAUSE: Duration = Duration::from_millis(100);

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
    /// The current run, once it is known.
    pub(crate) run: Option<Arc<dyn RunView>>,
    pub(crate) restarter: Arc<dyn Restarter>,
    pub(crate) runs: Arc<Vec<RunLog>>,
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
    pub(crate) runs: Arc<Vec<RunLog>>,
    pub(crate) inherited_env: Arc<BTreeMap<String, String>>,
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
        run: None,
        restarter: Arc::clone(&parts.restarter),
        runs: Arc::clone(&parts.runs),
        began: parts.nursery.clock.wall(),
    };
    let (publish, published) = watch::channel(view);
    tell_steps(&parts.restarter, &mailbox);
    let driver = Driver {
        boot_id: parts.nursery.clock.boot_id(),
        digest: parts.spec.digest(),
        lock: FileIdentity::of(&parts.lock_file),
        mailbox: mailbox.clone(),
        messages,
        publish,
        run: None,
        starting: None,
        settling: None,
        unwritten: None,
        parts,
    };
    (driver, mailbox, published)
}

/// What a start says of itself reaches the component's task as everything else does.
fn tell_steps(restarter: &Arc<dyn Restarter>, mailbox: &mpsc::UnboundedSender<Message>) {
    // Not what keeps the task's mailbox open.
    let mailbox = mailbox.downgrade();
    restarter.on_step(Arc::new(move |run, step| {
        if let Some(mailbox) = mailbox.upgrade() {
            // A driver that is gone has no use for it.
            let _ = mailbox.send(Message::Report(Report { run, what: Observed::Starting(step) }));
        }
    }));
}

pub(crate) struct Driver {
    parts: Parts,
    mailbox: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    publish: watch::Sender<View>,
    run: Option<Run>,
    /// The start that is under way; dropped, it is given up.
    starting: Option<AbortHandle>,
    /// Nothing is to run, and what no run answers for is being ended, or has been.
    settling: Option<JoinHandle<()>>,
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
        // Boxed, so that a task does not keep the room for it all its life.
        Box::pin(self.adopt()).await;
        while !(closing && self.parts.lifecycle.is_at_rest()) {
            // A start that was given up now would leave nobody to look after what came of it.
            // Unless nothing is started but by others.
            if leaving && (self.starting.is_none() || self.parts.lifecycle.only_waits()) {
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
                    let asked =
                        matches!(command, Command::Start | Command::Stop | Command::Restart | Command::Reset);
                    self.apply(Event::Command(command), asked);
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
            }
        }
        self.settled().await;
        self.forget_environment();
    }

    /// Waits until what no run answers for has been ended. A kill does not.
    async fn settled(&mut self) {
        let Some(mut settling) = self.settling.take() else { return };
        loop {
            let message = tokio::select! {
                // A panic in there leaves nothing to wait for either.
                _ = &mut settling => return,
                message = self.messages.recv() => message,
            };
            match message {
                None | Some(Message::Command(Command::Kill, _)) => return settling.abort(),
                Some(_) => {}
            }
        }
    }

    /// Begins to end what no run answers for, once nothing is to run.
    fn settle(&mut self) {
        if !self.parts.lifecycle.is_settled_down() {
            self.settling = None;
        } else if self.settling.is_none() {
            let restarter = Arc::clone(&self.parts.restarter);
            let (events, name) = (Arc::clone(&self.parts.nursery.events), self.parts.spec.name.clone());
            self.settling = Some(tokio::spawn(async move {
                if let Err(why) = restarter.settle().await {
                    let message = restarter.redact(why);
                    let (kind, reason) = (EventType::Warning, EventReason::FailedKill);
                    events.add(&name, &Notice { kind, reason, message });
                }
            }));
        }
    }

    fn apply(&mut self, event: Event, durable: bool) {
        let is_routine =
            matches!(event, Event::Deadline | Event::Report(Report { what: Observed::Probed { .. }, .. }));
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
        let has_changed = self.write(durable);
        for action in actions {
            self.act(action);
        }
        self.settle();
        let view = self.view();
        self.publish.send_if_modified(|published| {
            *published = view;
            // Who looks sees when a probe was last asked. Nobody waits for that.
            has_changed || !is_routine
        });
    }

    fn view(&self) -> View {
        View {
            lifecycle: self.parts.lifecycle.clone(),
            process: self.run.as_ref().map(|run| run.handle.process()),
            run: self.run.as_ref().map(|run| Arc::clone(&run.handle) as Arc<dyn RunView>),
            restarter: Arc::clone(&self.parts.restarter),
            runs: Arc::clone(&self.parts.runs),
            began: self.run.as_ref().map_or_else(|| self.parts.nursery.clock.wall(), |run| run.began),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Notify(notice) => self.notify(notice),
            Action::Start(run) => {
                let (restarter, mailbox) = (Arc::clone(&self.parts.restarter), self.mailbox.clone());
                let starting = Arc::clone(&restarter);
                let start = tokio::spawn(async move { starting.start(run).await });
                self.starting = Some(start.abort_handle());
                tokio::spawn(async move {
                    let started = start.await;
                    if started.as_ref().is_err_and(|end| end.is_cancelled()) {
                        restarter.start_given_up().await;
                    }
                    let started = started.unwrap_or_else(|end| {
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
            Action::Terminate(run) if self.parts.lifecycle.stops_to_restart() => {
                self.signal(run, |handle| handle.terminate_to_restart(), Some(Observed::Terminated));
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
                let message = match run.handle.survivors() {
                    // We are slow to see it, or it has ended this moment.
                    none if none.is_empty() => {
                        "SIGKILL was sent 5 s ago, and not all is known to be gone".into()
                    }
                    some => format!("{}: {}", notice.message, some.join(", ")),
                };
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

    fn tell_shortcomings(&self, handle: &dyn RunHandle) {
        for message in handle.shortcomings() {
            self.notify(Notice { kind: EventType::Warning, reason: EventReason::NotEnforced, message });
        }
    }
}

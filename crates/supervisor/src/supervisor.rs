//! Puts the parts together: restores what an earlier supervisor left written, and starts a task for each
//! component.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use vitald_core::lifecycle::{Command, EventReason, Lifecycle, Notice};
use vitald_core::registry::Registry;
use vitald_core::restarter::{ProcessIdentity, Restarter};
use vitald_core::spec::{ComponentSpec, Dependency, Workload};
use vitald_core::status::EventType;
use vitald_core::time::Timestamp;

use crate::clock::Clock;
use crate::driver::{self, Driver, Message, Parts, View};
use crate::events::Events;
use crate::handle::SupervisorHandle;
use crate::report;
use crate::shutdown::Shutdown;
use crate::state_dir::{StateDir, StateLock};
use crate::store::{FileIdentity, Store};

/// What a supervisor is to do.
pub struct Config {
    /// Where it keeps its state.
    pub state_dir: StateDir,
    /// That nobody else does there.
    pub lock: StateLock,
    /// The components, each after what it depends on.
    pub components: Vec<ComponentSpec>,
    /// The probe kinds that the components may name.
    pub registry: Arc<Registry>,
    /// Makes what starts and stops a component.
    pub restarters: RestarterFactory,
    /// What a component inherits of the supervisor's environment; `true`: all of it.
    pub inherited_env: fn(bool) -> BTreeMap<String, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The version that status tells.
    pub version: String,
}

/// Makes the restarter of a component.
pub type RestarterFactory = Box<dyn Fn(&ComponentSpec, RestarterContext) -> Arc<dyn Restarter> + Send + Sync>;

/// What a restarter is told beside the component's spec.
#[derive(Debug, Clone)]
pub struct RestarterContext {
    /// `logs/NAME.log`.
    pub log: PathBuf,
    /// `locks/NAME.lock`.
    pub lock: PathBuf,
    /// What it inherits of the supervisor's environment.
    pub inherited_env: BTreeMap<String, String>,
    /// The main process that an earlier supervisor wrote down, in the same boot.
    pub previous: Option<ProcessIdentity>,
}

/// A running supervisor's insides, shared by all handles.
pub(crate) struct Shared {
    pub(crate) state_dir: StateDir,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) events: Arc<Events>,
    /// In start order.
    pub(crate) components: Vec<Member>,
    pub(crate) shutdown: Shutdown,
}

/// One component, as the rest of the supervisor sees it.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) restarter: Arc<dyn Restarter>,
    mailbox: mpsc::UnboundedSender<Message>,
    /// What it depends on, with the view of it.
    dependencies: Vec<(Dependency, watch::Receiver<View>)>,
}

impl Member {
    /// Tells the component's task, and waits until its lifecycle knows. A task that has ended is at rest.
    pub(crate) async fn tell(&self, command: Command) {
        // It may not have heard of a change that whoever asks has seen.
        let missing = missing(&mut self.dependencies.clone());
        let _ = self.mailbox.send(Message::Dependencies(missing));
        let (done, told) = oneshot::channel();
        if self.mailbox.send(Message::Command(command, done)).is_ok() {
            // An error means that the task has ended meanwhile.
            let _ = told.await;
        }
    }

    /// Waits until its lifecycle is as wished. A task that has ended is at rest, and wishes end.
    pub(crate) async fn until(&self, wish: impl FnMut(&View) -> bool) {
        let _ = self.view.clone().wait_for(wish).await;
    }
}

/// Starts supervisors.
pub struct Supervisor;

impl Supervisor {
    /// Starts every component, each as soon as what it depends on is there. Must be called in a tokio
    /// runtime; returns at once.
    pub fn start(config: Config) -> SupervisorHandle {
        let events = Arc::new(Events::new(Arc::clone(&config.clock)));
        let (mut members, drivers): (Vec<_>, Vec<_>) =
            config.components.iter().map(|spec| member(Arc::new(spec.clone()), &config, &events)).unzip();
        let tasks = drivers.into_iter().map(|driver| tokio::spawn(driver.drive())).collect();
        let views: Vec<_> = members.iter().map(|member| (member.name.clone(), member.view.clone())).collect();
        for member in &mut members {
            member.dependencies = dependencies(&member.spec, &views);
            watch_dependencies(member);
        }
        let shared = Arc::new(Shared {
            started: config.clock.now(),
            shutdown: Shutdown::new(tasks, config.lock),
            state_dir: config.state_dir,
            registry: config.registry,
            clock: config.clock,
            version: config.version,
            events,
            components: members,
        });
        let handle = SupervisorHandle::new(Arc::clone(&shared));
        tokio::spawn(async move {
            for member in &shared.components {
                member.tell(Command::Begin).await;
            }
        });
        handle
    }
}

fn member(spec: Arc<ComponentSpec>, config: &Config, events: &Arc<Events>) -> (Member, Driver) {
    let (dir, name) = (&config.state_dir, spec.name.clone());
    let (store, record, trouble) = Store::open(dir.record(&name));
    if let Some(trouble) = trouble {
        let message = format!("what an earlier vitald knew of it cannot be read, and is lost: {trouble}");
        let (kind, reason) = (EventType::Warning, EventReason::FailedRead);
        events.add(&name, &Notice { kind, reason, message });
    }
    let Workload::Process(process) = &spec.workload;
    let boot_id = config.clock.boot_id();
    let same_boot = record.as_ref().is_some_and(|record| record.boot_id == boot_id && !boot_id.is_empty());
    // In a copied state dir the lock is another file: what it names belongs to another supervisor.
    let lock = FileIdentity::of(&dir.component_lock(&name));
    let own = record.as_ref().filter(|record| same_boot && record.lock.is_some() && record.lock == lock);
    let previous = own.and_then(|record| record.process.clone());
    let kept_env = own
        .filter(|record| record.inherits_all == process.inherit_env)
        .and_then(|record| record.inherited_env.clone());
    let inherited_env = kept_env.unwrap_or_else(|| (config.inherited_env)(process.inherit_env));
    let context = RestarterContext {
        log: dir.log(&name),
        lock: dir.component_lock(&name),
        inherited_env: inherited_env.clone(),
        previous: previous.clone(),
    };
    let restarter = (config.restarters)(&spec, context);
    let runs = record.as_ref().map(|record| record.runs.clone()).unwrap_or_default();
    let lifecycle = match record {
        Some(record) => Lifecycle::restore(Arc::clone(&spec), record.lifecycle, same_boot),
        None => Lifecycle::new(Arc::clone(&spec)),
    };
    let (driver, mailbox, view) = driver::new(Parts {
        context: spec.context(Some(dir.log(&name))),
        lock_file: dir.component_lock(&name),
        registry: Arc::clone(&config.registry),
        restarter: Arc::clone(&restarter),
        clock: Arc::clone(&config.clock),
        events: Arc::clone(events),
        spec: Arc::clone(&spec),
        lifecycle,
        store,
        runs,
        inherited_env,
        inherits_all: process.inherit_env,
        recorded: previous,
    });
    (Member { name, spec, view, restarter, mailbox, dependencies: vec![] }, driver)
}

fn dependencies(
    spec: &ComponentSpec,
    views: &[(String, watch::Receiver<View>)],
) -> Vec<(Dependency, watch::Receiver<View>)> {
    let view = |name: &String| views.iter().find(|(other, _)| other == name).map(|(_, view)| view.clone());
    spec.depends_on
        .iter()
        .filter_map(|dependency| Some((dependency.clone(), view(&dependency.name)?)))
        .collect()
}

/// A task that tells the component whenever what is missing of its dependencies changes.
fn watch_dependencies(member: &Member) {
    let dependencies = member.dependencies.clone();
    let mailbox = member.mailbox.clone();
    tokio::spawn(async move {
        let mut dependencies = dependencies;
        let mut told = None;
        loop {
            let missing = missing(&mut dependencies);
            if told.as_ref() != Some(&missing) {
                told = Some(missing.clone());
                if mailbox.send(Message::Dependencies(missing)).is_err() {
                    return;
                }
            }
            let changes = dependencies.iter_mut().map(|(_, view)| Box::pin(view.changed()));
            // Without dependencies there is nothing to watch; with an ended one, only the end.
            if dependencies_ended(changes.collect()).await {
                return;
            }
        }
    });
}

async fn dependencies_ended<F>(changes: Vec<F>) -> bool
where
    F: Future<Output = Result<(), watch::error::RecvError>> + Unpin,
{
    if changes.is_empty() {
        return true;
    }
    let (changed, _, _) = futures_util::future::select_all(changes).await;
    changed.is_err()
}

/// In one sentence; `None` when everything is there.
fn missing(dependencies: &mut [(Dependency, watch::Receiver<View>)]) -> Option<String> {
    let missing: Vec<String> = dependencies
        .iter_mut()
        .filter_map(|(dependency, view)| {
            let view = view.borrow_and_update();
            // No dependency's condition depends on the time.
            let snapshot = view.lifecycle.snapshot(Timestamp::ZERO);
            let Dependency { name, condition } = dependency;
            (!report::meets(&snapshot, *condition))
                .then(|| format!("`{name}` to be {condition:?} (it is {})", snapshot.state))
        })
        .collect();
    (!missing.is_empty()).then(|| format!("waits for {}", missing.join(" and ")))
}

//! Puts the parts together: restores what an earlier supervisor left written, and starts a task for each
//! component.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use vitald_core::lifecycle::{Command, Lifecycle};
use vitald_core::registry::Registry;
use vitald_core::restarter::{ProcessIdentity, Restarter};
use vitald_core::spec::{ComponentSpec, Dependency, Workload};
use vitald_core::time::Timestamp;

use crate::clock::Clock;
use crate::driver::{self, Driver, Message, Parts, View};
use crate::events::Events;
use crate::handle::SupervisorHandle;
use crate::report;
use crate::shutdown::Shutdown;
use crate::state_dir::{StateDir, StateLock};
use crate::store::Store;

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
}

impl Member {
    /// Tells the component's task, and waits until its lifecycle knows. A task that has ended is at rest.
    pub(crate) async fn tell(&self, command: Command) {
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
        let (members, drivers): (Vec<_>, Vec<_>) =
            config.components.iter().map(|spec| member(Arc::new(spec.clone()), &config, &events)).unzip();
        let tasks = drivers.into_iter().map(|driver| tokio::spawn(driver.drive())).collect();
        for member in &members {
            watch_dependencies(member, &members);
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
    let (store, record) = Store::open(dir.record(&name));
    let same_boot = record.as_ref().is_some_and(|record| record.boot_id == config.clock.boot_id());
    let previous = record.as_ref().and_then(|record| record.process.clone()).filter(|_| same_boot);
    let kept_env = record.as_ref().and_then(|record| record.inherited_env.clone()).filter(|_| same_boot);
    let Workload::Process(process) = &spec.workload;
    let inherited_env = kept_env.unwrap_or_else(|| (config.inherited_env)(process.inherit_env));
    let context = RestarterContext {
        log: dir.log(&name),
        lock: dir.component_lock(&name),
        inherited_env: inherited_env.clone(),
        previous,
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
    });
    (Member { name, spec, view, restarter, mailbox }, driver)
}

/// A task that tells the component whenever what is missing of its dependencies changes.
fn watch_dependencies(member: &Member, members: &[Member]) {
    let dependencies: Vec<(Dependency, watch::Receiver<View>)> = member
        .spec
        .depends_on
        .iter()
        .filter_map(|dependency| {
            let other = members.iter().find(|member| member.name == dependency.name)?;
            Some((dependency.clone(), other.view.clone()))
        })
        .collect();
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

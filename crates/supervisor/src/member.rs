//! A component as the rest of the supervisor sees it, and how its task comes to be.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use vitald_core::lifecycle::{Command, Event, EventReason, Lifecycle, Notice};
use vitald_core::restarter::{ProcessIdentity, Restarter};
use vitald_core::spec::{ComponentSpec, Dependency};
use vitald_core::status::EventType;
use vitald_core::time::Timestamp;

use crate::clock::Clock;
use crate::driver::{self, Message, Parts, View};
use crate::events::Events;
use crate::logs::Logs;
use crate::probes::Probes;
use crate::report;
use crate::state_dir::StateDir;
use crate::store::{FileIdentity, Record, Store};
use crate::supervisor::{RestarterContext, RestarterFactory};

/// One component.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) view: watch::Receiver<View>,
    mailbox: mpsc::UnboundedSender<Message>,
    /// `None` until it is told what it depends on; one that was adopted starts nothing before that.
    watched: Mutex<Option<Watched>>,
}

/// What a component depends on, with the views of those that there are.
type Dependencies = Vec<(Dependency, Option<watch::Receiver<View>>)>;

/// That, and the task that watches them.
struct Watched {
    dependencies: Dependencies,
    watcher: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Member {
    /// What it is, or was last.
    pub(crate) fn spec(&self) -> Arc<ComponentSpec> {
        Arc::clone(self.view.borrow().lifecycle.spec())
    }

    /// Whether it is stopped on request, or being stopped.
    pub(crate) fn is_stopped_on_request(&self) -> bool {
        self.view.borrow().lifecycle.record().is_stopped_on_request()
    }

    /// Tells the component's task, and waits until its lifecycle knows. A task that has ended is at rest.
    pub(crate) async fn tell(&self, command: Command) {
        // It may not have heard of a change that whoever asks has seen.
        let dependencies = self.watched().as_ref().map(|watched| watched.dependencies.clone());
        if let Some(mut dependencies) = dependencies {
            let _ = self.mailbox.send(Message::Dependencies(missing(&mut dependencies)));
        }
        let (done, told) = oneshot::channel();
        if self.mailbox.send(Message::Command(command, done)).is_ok() {
            // An error means that the task has ended meanwhile.
            let _ = told.await;
        }
    }

    /// Gives it another spec; whether it was taken, for which it must be at rest.
    pub(crate) async fn give(&self, spec: Arc<ComponentSpec>) -> bool {
        let (done, taken) = oneshot::channel();
        self.mailbox.send(Message::Spec(spec, done)).is_ok() && taken.await.unwrap_or_default()
    }

    /// Leaves its run to the next supervisor.
    pub(crate) fn leave(&self) {
        // A task that has ended has left.
        let _ = self.mailbox.send(Message::Leave);
    }

    /// Waits until its lifecycle is as wished. A task that has ended is at rest, and wishes end.
    pub(crate) async fn until(&self, wish: impl FnMut(&View) -> bool) {
        let _ = self.view.clone().wait_for(wish).await;
    }

    /// Whether its task has ended, so that it hears nothing any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// Waits until its task has ended.
    pub(crate) async fn ended(&self) {
        self.mailbox.closed().await;
    }

    /// Watches what its spec depends on, from now on, among `members`.
    pub(crate) fn watch_dependencies(&self, members: &[Arc<Self>]) {
        let view = |name: &str| Some(members.iter().find(|other| other.name == name)?.view.clone());
        let spec = self.spec();
        let dependencies: Dependencies =
            spec.depends_on.iter().map(|on| (on.clone(), view(&on.name))).collect();
        let watcher = tokio::spawn(watch(dependencies.clone(), self.mailbox.clone()));
        *self.watched() = Some(Watched { dependencies, watcher: watcher.abort_handle() });
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, Option<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What components inherit of the supervisor's environment: the same for most of them, and kept once.
pub(crate) struct Inherited {
    of_now: fn(bool) -> BTreeMap<String, String>,
    /// The usual part, and all of it, as it was last.
    last: Mutex<[Arc<BTreeMap<String, String>>; 2]>,
}

impl Inherited {
    /// As told by `of_now`; `true`: all of it.
    pub(crate) fn new(of_now: fn(bool) -> BTreeMap<String, String>) -> Self {
        Self { of_now, last: Mutex::default() }
    }

    /// What a component inherits: what it did before, if that is to be kept, else what there is now.
    fn shared(
        &self,
        all: bool,
        kept: Option<Arc<BTreeMap<String, String>>>,
    ) -> Arc<BTreeMap<String, String>> {
        let inherited = kept.unwrap_or_else(|| Arc::new((self.of_now)(all)));
        let last = &mut self.last.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(all)];
        if *last != inherited {
            *last = inherited;
        }
        Arc::clone(last)
    }
}

/// What members are made with.
pub(crate) struct Nursery {
    pub(crate) state_dir: StateDir,
    pub(crate) probes: Probes,
    pub(crate) restarters: RestarterFactory,
    pub(crate) inherited: Inherited,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: Arc<Events>,
    pub(crate) logs: Logs,
}

impl Nursery {
    /// Makes a component and its task, which first of all takes over what an earlier supervisor left of its
    /// run: that is adopted under the spec that it was made of, and another one is to be given later.
    pub(crate) fn member(self: &Arc<Self>, spec: ComponentSpec) -> (Member, JoinHandle<()>) {
        let (dir, name) = (&self.state_dir, spec.name.clone());
        let (store, record, trouble) = Store::open(dir.record(&name));
        if let Some(trouble) = trouble {
            let message = format!("what an earlier vitald knew of it cannot be read, and is lost: {trouble}");
            let (kind, reason) = (EventType::Warning, EventReason::FailedRead);
            self.events.add(&name, &Notice { kind, reason, message });
        }
        let own = record.as_ref().is_some_and(|record| self.is_own(record));
        let mut recorded = record.as_ref().filter(|_| own).and_then(|record| record.process.clone());
        let kept_env = record
            .as_ref()
            .filter(|_| own)
            .and_then(|record| Some((record.inherits_all, record.inherited_env.clone()?)));
        let runs = record.as_ref().map(|record| record.runs.clone()).unwrap_or_default();
        let (mut lifecycle, other) = restored(Arc::new(spec), record, own);
        let mut made = self.restarter(lifecycle.spec(), kept_env.clone(), recorded.clone());
        if own && self.overtake(&mut lifecycle, made.0.as_ref()) {
            recorded = None;
        }
        if let Some(spec) = other.filter(|_| !lifecycle.awaits_adoption()) {
            // Nothing runs: both have no other effect than to change the spec.
            let now = self.clock.now();
            lifecycle.on(now, Event::Command(Command::Replace));
            lifecycle.on(now, Event::Spec(spec));
            made = self.restarter(lifecycle.spec(), kept_env, recorded.clone());
        }
        let (restarter, inherited_env) = made;
        let spec = Arc::clone(lifecycle.spec());
        self.logs.keep(&name, &spec.logs);
        let (driver, mailbox, view) = driver::new(Parts {
            context: spec.context(Some(dir.log(&name))),
            lock_file: dir.component_lock(&name),
            nursery: Arc::clone(self),
            restarter,
            inherits_all: inherits_all(&spec),
            spec,
            lifecycle,
            store,
            runs,
            inherited_env,
            recorded,
        });
        let (events, of) = (Arc::clone(&self.events), name.clone());
        let task = tokio::spawn(async move {
            if AssertUnwindSafe(driver.drive()).catch_unwind().await.is_err() {
                let message =
                    "vitald has a bug: nobody looks after it any more until vitald is restarted".into();
                let (kind, reason) = (EventType::Warning, EventReason::Unattended);
                events.add(&of, &Notice { kind, reason, message });
            }
        });
        (Member { name, view, mailbox, watched: Mutex::default() }, task)
    }

    /// See [`is_own`].
    pub(crate) fn is_own(&self, record: &Record) -> bool {
        is_own(&self.state_dir, self.clock.as_ref(), record)
    }

    /// A run that could not be written down is taken over nevertheless; says whether there is one.
    fn overtake(&self, lifecycle: &mut Lifecycle, restarter: &dyn Restarter) -> bool {
        let recorded = lifecycle.run();
        let Some(newest) = restarter.newest().filter(|newest| *newest > recorded) else { return false };
        lifecycle.overtake(newest);
        let message = format!(
            "run {newest} of it was begun, and what an earlier vitald wrote down ends with run {recorded}: that \
             run is looked for, with the counters as they were then"
        );
        let (kind, reason) = (EventType::Warning, EventReason::FailedRead);
        self.events.add(&lifecycle.spec().name, &Notice { kind, reason, message });
        true
    }

    /// What starts and stops a component, with what it inherits: what it did before, as far as that is known
    /// and it is to inherit as much.
    pub(crate) fn restarter(
        &self,
        spec: &ComponentSpec,
        kept_env: Option<(bool, Arc<BTreeMap<String, String>>)>,
        previous: Option<ProcessIdentity>,
    ) -> (Arc<dyn Restarter>, Arc<BTreeMap<String, String>>) {
        let all = inherits_all(spec);
        let kept = kept_env.filter(|(before, _)| *before == all).map(|(_, env)| env);
        let inherited_env = self.inherited.shared(all, kept);
        let context = RestarterContext {
            log: self.state_dir.log(&spec.name),
            lock: self.state_dir.component_lock(&spec.name),
            inherited_env: Arc::clone(&inherited_env),
            previous,
            needs: spec.needs(&self.probes.registry()),
        };
        ((self.restarters)(spec, context), inherited_env)
    }
}

/// The lifecycle as it was written down, under the spec that it had there, and the spec that it is to have, if that is
/// another.
fn restored(
    spec: Arc<ComponentSpec>,
    record: Option<Record>,
    own: bool,
) -> (Lifecycle, Option<Arc<ComponentSpec>>) {
    match record {
        None => (Lifecycle::new(spec), None),
        Some(record) if record.spec_digest == spec.digest() => {
            (Lifecycle::restore(spec, record.lifecycle, own), None)
        }
        Some(record) => (Lifecycle::restore(record.spec, record.lifecycle, own), Some(spec)),
    }
}

/// Whether a record speaks of this boot and this state dir: in a copied one the lock is another file, and
/// what the record names belongs to another supervisor.
pub(crate) fn is_own(state_dir: &StateDir, clock: &dyn Clock, record: &Record) -> bool {
    let boot_id = clock.boot_id();
    let lock = FileIdentity::of(&state_dir.component_lock(&record.name));
    // Where nothing was ever started, there is no lock either.
    record.boot_id == boot_id && !boot_id.is_empty() && (record.lock.is_none() || record.lock == lock)
}

pub(crate) fn inherits_all(spec: &ComponentSpec) -> bool {
    spec.workload.inherits_env()
}

/// Tells a component whenever what is missing of its dependencies changes.
async fn watch(mut dependencies: Dependencies, mailbox: mpsc::UnboundedSender<Message>) {
    let mut told = None;
    loop {
        let missing = missing(&mut dependencies);
        if told.as_ref() != Some(&missing) {
            told = Some(missing.clone());
            if mailbox.send(Message::Dependencies(missing)).is_err() {
                return;
            }
        }
        let views = dependencies.iter_mut().enumerate();
        let changes: Vec<_> = views
            .filter_map(|(i, (_, view))| {
                let view = view.as_mut()?;
                Some(Box::pin(async move { view.changed().await.is_err().then_some(i) }))
            })
            .collect();
        // Without dependencies there is nothing to watch.
        if changes.is_empty() {
            return;
        }
        let ended = select_all(changes).await.0;
        if let Some((_, view)) = ended.and_then(|ended| dependencies.get_mut(ended)) {
            *view = None;
        }
    }
}

/// In one sentence; `None` when everything is there.
fn missing(dependencies: &mut Dependencies) -> Option<String> {
    let missing: Vec<String> = dependencies
        .iter_mut()
        .filter_map(|(Dependency { name, condition }, view)| {
            // What nobody looks after any more is not there either.
            let Some(view) = view.as_mut().filter(|view| view.has_changed().is_ok()) else {
                return Some(format!("`{name}` to be {condition:?}"));
            };
            let lifecycle = &view.borrow_and_update().lifecycle;
            if lifecycle.awaits_adoption() {
                return Some(format!(
                    "`{name}` to be {condition:?} (whether it still runs is not known yet)"
                ));
            }
            // No dependency's condition depends on the time.
            let snapshot = lifecycle.snapshot(Timestamp::ZERO);
            (!report::meets(&snapshot, *condition))
                .then(|| format!("`{name}` to be {condition:?} (it is {})", snapshot.state))
        })
        .collect();
    (!missing.is_empty()).then(|| format!("waits for {}", missing.join(" and ")))
}

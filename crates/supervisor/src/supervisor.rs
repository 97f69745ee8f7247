//! Puts the parts together: takes over what an earlier supervisor left, and starts a task for each
//! component.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;
use vitald_core::lifecycle::{EventReason, Notice};
use vitald_core::notify::RunNeeds;
use vitald_core::registry::Registry;
use vitald_core::restarter::{ProcessIdentity, Restarter};
use vitald_core::spec::ComponentSpec;
use vitald_core::status::EventType;
use vitald_core::time::Timestamp;

use crate::apply;
use crate::clock::Clock;
use crate::events::Events;
use crate::handle::{CommandError, SupervisorHandle};
use crate::logs::{LogKeeperFactory, Logs};
use crate::member::{self, Inherited, Member, Nursery};
use crate::probes::{ProbeLibraries, Probes};
use crate::shutdown::{Shutdown, in_start_order};
use crate::state_dir::{StateDir, StateLock};
use crate::store::{self, Record};

/// What a supervisor is to do.
pub struct Config {
    /// Where it keeps its state.
    pub state_dir: StateDir,
    /// That nobody else does there.
    pub lock: StateLock,
    /// The components, each after what it depends on.
    pub components: Wanted,
    /// The probe kinds that the components may name.
    pub registry: Arc<Registry>,
    /// Who has loaded those of libraries, and does so again on request; `None` where nobody does.
    pub libraries: Option<Arc<dyn ProbeLibraries>>,
    /// Makes what starts and stops a component.
    pub restarters: RestarterFactory,
    /// Makes what keeps the components' logs.
    pub logs: LogKeeperFactory,
    /// What a component inherits of the supervisor's environment; `true`: all of it.
    pub inherited_env: fn(bool) -> BTreeMap<String, String>,
    /// Who a recorded process is and what it holds, for people; `None` if it is not alive.
    pub holder_of: fn(&ProcessIdentity) -> Option<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The version that status tells.
    pub version: String,
}

/// Which components a supervisor is to have.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// These, each after what it depends on. What an earlier supervisor left of others is stopped.
    Manifests(Vec<ComponentSpec>),
    /// What an earlier supervisor left running, as it was; nothing is started.
    Survivors,
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
    /// What it inherits of the supervisor's environment; the same for most.
    pub inherited_env: Arc<BTreeMap<String, String>>,
    /// The main process that an earlier supervisor wrote down, in the same boot.
    pub previous: Option<ProcessIdentity>,
    /// What its runs must be given, so that its probes can ask.
    pub needs: RunNeeds,
}

/// Why a supervisor does not begin. Nothing has been started or changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The state dir is a copy of another one, whose components run.
    #[error(
        "{} is a copy of another state dir, and components of that one run:{}",
        dir.display(),
        holders.iter().map(|(name, holder)| format!("\n  {name}: {holder}")).collect::<String>()
    )]
    Copied {
        /// The state dir.
        dir: PathBuf,
        /// The components, and who runs: `4242 (sleep)`.
        holders: Vec<(String, String)>,
    },
}

/// How long the start waits for what an earlier supervisor left to be taken over, before it goes on while
/// that goes on, too.
const ADOPTION_PATIENCE: Duration = Duration::from_secs(10);

/// A running supervisor's insides, shared by all handles.
pub(crate) struct Shared {
    pub(crate) nursery: Arc<Nursery>,
    pub(crate) version: String,
    pub(crate) started: Timestamp,
    pub(crate) shutdown: Shutdown,
    /// Held while manifests are applied.
    pub(crate) applying: tokio::sync::Mutex<()>,
    /// The files and folders that the specs are from.
    pub(crate) manifests: Mutex<Vec<PathBuf>>,
    /// In start order.
    members: Mutex<Vec<Arc<Member>>>,
}

impl Shared {
    /// All components there are now, in start order.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are the components.
    pub(crate) fn set_members(&self, members: &[Arc<Member>]) -> Result<(), CommandError> {
        let mut list = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shutdown.is_asked() {
            return Err(CommandError::ShuttingDown);
        }
        *list = members.to_vec();
        Ok(())
    }

    /// From now on the specs are from these files and folders. They are written down for people only.
    pub(crate) fn set_manifests(&self, manifests: Vec<PathBuf>) {
        if let Err(err) = self.nursery.state_dir.write_manifests(&manifests) {
            let message = format!("where the manifests are cannot be written down: {err}");
            self.tell(EventType::Warning, EventReason::FailedWrite, message);
        }
        *self.manifests.lock().unwrap_or_else(PoisonError::into_inner) = manifests;
    }

    /// Adds an event that concerns no component.
    pub(crate) fn tell(&self, kind: EventType, reason: EventReason, message: String) {
        self.nursery.events.add("", &Notice { kind, reason, message });
    }

    /// Makes a component, the last one of all, unless the supervisor is ending.
    pub(crate) fn make(&self, spec: ComponentSpec) -> Result<(), CommandError> {
        // Held, so that none is made after the end has begun, and whoever ends the supervisor sees each that was.
        let mut list = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shutdown.is_asked() {
            return Err(CommandError::ShuttingDown);
        }
        let (member, task) = self.nursery.member(spec);
        self.shutdown.wait_for(task);
        list.push(Arc::new(member));
        Ok(())
    }
}

/// Starts supervisors.
pub struct Supervisor;

impl Supervisor {
    /// Takes over what an earlier supervisor left running, and makes the running set what is wanted: that
    /// begins, and goes on after this has returned. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// Why it must not be begun.
    pub async fn start(config: Config) -> Result<SupervisorHandle, Refused> {
        let folder = config.state_dir.path().join("components");
        let records = store::records(&folder);
        let events = Arc::new(Events::new(Arc::clone(&config.clock)));
        refuse_copies(&config.state_dir, config.clock.as_ref(), &records, config.holder_of)?;
        let told = Arc::clone(&events);
        // Before anything writes to a log: what an earlier keeper has left half done is finished first.
        let logs = Logs::new((config.logs)(Box::new(move |of, notice| told.add(of, notice))));
        let nursery = Arc::new(Nursery {
            state_dir: config.state_dir,
            probes: Probes::new(config.registry, config.libraries),
            restarters: config.restarters,
            inherited: Inherited::new(config.inherited_env),
            clock: config.clock,
            events,
            logs,
        });
        let shared = Arc::new(Shared {
            version: config.version,
            started: nursery.clock.now(),
            shutdown: Shutdown::new(config.lock),
            applying: tokio::sync::Mutex::new(()),
            manifests: Mutex::default(),
            members: Mutex::default(),
            nursery,
        });

        let survivors =
            records.into_iter().filter(|record| shared.nursery.is_own(record) && record.is_about_something());
        for record in survivors {
            // Cannot fail, like the next one: nobody has asked for the end so far.
            let _ = shared.make(ComponentSpec::clone(&record.spec));
        }
        // None of them is started again before it has been told what it depends on, which is done when the
        // manifests are applied: it may have changed, or be gone.
        let adopted = shared.members();
        let adopted = in_start_order(&adopted, &adopted);
        let _ = shared.set_members(&adopted);
        let all = join_all(adopted.iter().map(|m| m.until(|view| !view.lifecycle.awaits_adoption())));
        let _ = timeout(ADOPTION_PATIENCE, all).await;

        if let Wanted::Manifests(specs) = config.components {
            let (under_way, told) = oneshot::channel();
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { apply::apply(&shared, specs, None, Some(under_way)).await });
            // Dropped where there is nothing to tell.
            let _ = told.await;
        }
        Ok(SupervisorHandle::new(shared))
    }
}

fn refuse_copies(
    state_dir: &StateDir,
    clock: &dyn Clock,
    records: &[Record],
    holder_of: fn(&ProcessIdentity) -> Option<String>,
) -> Result<(), Refused> {
    let boot_id = clock.boot_id();
    let is_own = |record: &Record| member::is_own(state_dir, clock, record);
    let copied = records.iter().filter(|record| record.boot_id == boot_id && !is_own(record));
    let holders: Vec<_> = copied
        .filter_map(|record| Some((record.name.clone(), holder_of(record.process.as_ref()?)?)))
        .collect();
    match holders.is_empty() {
        true => Ok(()),
        false => Err(Refused::Copied { dir: state_dir.path().to_owned(), holders }),
    }
}

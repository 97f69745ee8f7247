//! What the control API and the command line may ask of a running supervisor.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::broadcast;
use vitald_core::lifecycle::{self, EventReason};
use vitald_core::probe::{CheckContext, ProbeResult};
use vitald_core::registry::Registry;
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_core::status::{
    ComponentDetail, DependencyStatus, EventRecord, EventType, Plan, PluginChanges, PluginLimits,
    PluginStatus, ProbeAnswer, ProbeState, Status, SupervisorStatus,
};

use crate::apply;
use crate::driver::View;
use crate::member::{Member, Nursery};
use crate::probe_run::check_once;
use crate::probes;
use crate::report;
use crate::shutdown::{Shutdown, in_reverse_order};
use crate::state_dir::StateLock;
use crate::supervisor::Shared;

/// How many events of a component `describe` shows.
const DESCRIBED_EVENTS: usize = 20;

/// A running supervisor. Cheap to clone.
#[derive(Clone)]
pub struct SupervisorHandle {
    shared: Arc<Shared>,
}

/// What a person asks of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start what does not run; leave alone what does.
    Start,
    /// Stop, and stay stopped until started on request.
    Stop,
    /// Stop what runs, then start.
    Restart,
    /// Clear the counters, and start what does not run.
    Reset,
}

/// How to end the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Stop all in reverse order, each with its grace period.
    Graceful,
    /// SIGKILL everything at once.
    Now,
    /// Leave everything as it is to the next supervisor.
    Keep,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No component has this name.
    #[error("no component is named `{name}`; there are: {}", known.join(", "))]
    NoSuchComponent {
        /// As asked.
        name: String,
        /// All there are.
        known: Vec<String>,
    },
    /// The component has no such probe.
    #[error("component `{name}` has no {role} probe")]
    NoSuchProbe {
        /// The component.
        name: String,
        /// Which probe.
        role: ProbeRole,
    },
    /// The component does not run, so there is nothing to probe.
    #[error("component `{name}` is not running")]
    NotRunning {
        /// The component.
        name: String,
    },
    /// A probe of a component cannot be made here.
    #[error("component `{component}`: {why}")]
    BadProbe {
        /// The component.
        component: String,
        /// Where in its spec, why, and what to do.
        why: String,
    },
    /// The libraries of custom probes stay as they were.
    #[error("{0}; nothing was changed")]
    PluginsRefused(String),
    /// The supervisor is on its way out.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

impl SupervisorHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The supervisor and all components, in start order.
    pub fn status(&self) -> Status {
        let Nursery { state_dir, clock, .. } = self.shared.nursery.as_ref();
        Status {
            supervisor: SupervisorStatus {
                pid: std::process::id(),
                version: self.shared.version.clone(),
                uptime_seconds: report::millis(clock.now() - self.shared.started),
                state_dir: state_dir.path().display().to_string(),
                manifests: self.manifests().iter().map(|path| path.display().to_string()).collect(),
            },
            components: self
                .shared
                .members()
                .iter()
                .map(|member| report::component(&member.view.borrow(), state_dir, clock.as_ref()))
                .collect(),
        }
    }

    /// All of one component.
    ///
    /// # Errors
    /// No component has this name.
    pub fn describe(&self, name: &str) -> Result<ComponentDetail, CommandError> {
        let member = self.find(name)?;
        let Nursery { state_dir, clock, events, .. } = self.shared.nursery.as_ref();
        let view = member.view.borrow().clone();
        let spec = Arc::clone(view.lifecycle.spec());
        let met = |name: &str, condition| {
            self.find(name).is_ok_and(|other| {
                report::meets(&other.view.borrow().lifecycle.snapshot(clock.now()), condition)
            })
        };
        let depends_on = spec.depends_on.iter().map(|dependency| DependencyStatus {
            name: dependency.name.clone(),
            condition: dependency.condition,
            met: met(&dependency.name, dependency.condition),
        });
        let status = report::component(&view, state_dir, clock.as_ref());
        Ok(ComponentDetail {
            depends_on: depends_on.collect(),
            events: events.of(name, DESCRIBED_EVENTS),
            ..report::detail(&spec, status, view.lifecycle.run().0, &view.runs, state_dir)
        })
    }

    /// The recent events of all components, oldest first, and every one after them. Joined without a gap.
    /// An event that repeats comes again with a higher `count`.
    pub fn events(&self) -> (Vec<EventRecord>, broadcast::Receiver<EventRecord>) {
        self.shared.nursery.events.subscribe()
    }

    /// Does something to components, in dependency order (reverse for `Stop`). Refused as a whole if one
    /// name is wrong. Returns once it has taken effect: stopped and gone for `Stop`; for the others a new
    /// run has begun, or is being waited for (dependency, delay), or has failed to begin.
    ///
    /// # Errors
    /// No component has one of the names, or the supervisor is ending.
    pub async fn command(&self, command: Command, names: &[String]) -> Result<(), CommandError> {
        let members = names.iter().map(|name| self.find(name)).collect::<Result<Vec<_>, _>>()?;
        if self.shared.shutdown.is_asked() {
            return Err(CommandError::ShuttingDown);
        }
        let command = match command {
            Command::Stop => {
                in_reverse_order(&members, &self.shared.members(), None, |_| Some(lifecycle::Command::Stop))
                    .await;
                return Ok(());
            }
            Command::Start => lifecycle::Command::Start,
            Command::Restart if members.len() > 1 => {
                // All of them down first, so that none is started on what is about to go.
                return self.restart_together(members).await;
            }
            Command::Restart => lifecycle::Command::Restart,
            Command::Reset => lifecycle::Command::Reset,
        };
        begin(&members, command).await;
        Ok(())
    }

    /// A stop that somebody asks for meanwhile is newer, and holds.
    async fn restart_together(&self, members: Vec<Arc<Member>>) -> Result<(), CommandError> {
        let stopped = |member: &&Arc<Member>| member.is_stopped_on_request();
        let stopped_before: BTreeSet<_> = members.iter().filter(stopped).map(|m| m.name.clone()).collect();
        in_reverse_order(&members, &self.shared.members(), None, |member| {
            let asked_first = stopped_before.contains(&member.name) || !member.is_stopped_on_request();
            asked_first.then_some(lifecycle::Command::Pause)
        })
        .await;
        let paused: Vec<_> = members.into_iter().filter(|member| !member.is_stopped_on_request()).collect();
        begin(&paused, lifecycle::Command::Start).await;
        Ok(())
    }

    /// Runs a component's probe now, beside its schedule; the answer counts for nothing.
    ///
    /// # Errors
    /// No such component or probe, or the component does not run.
    pub async fn run_probe(&self, name: &str, role: ProbeRole) -> Result<ProbeAnswer, CommandError> {
        let member = self.find(name)?;
        let no_probe = || CommandError::NoSuchProbe { name: name.to_owned(), role };
        let spec = member.spec();
        let probe = spec.probe(role).ok_or_else(no_probe)?;
        let View { run, restarter, .. } = member.view.borrow().clone();
        let run = run.ok_or_else(|| CommandError::NotRunning { name: name.to_owned() })?;
        let cx = CheckContext { timeout: probe.timeout, run: Some(run), executor: restarter.executor() };
        let Nursery { state_dir, probes, clock, .. } = self.shared.nursery.as_ref();
        let (context, registry) = (spec.context(Some(state_dir.log(name))), probes.registry());
        let (state, message, latency) = match check_once(&probe.check, &registry, &context, &cx, clock).await
        {
            Ok((result, latency)) => {
                let state = match &result {
                    ProbeResult::Success | ProbeResult::Warning(_) => ProbeState::Success,
                    ProbeResult::Failure(_) => ProbeState::Failure,
                    ProbeResult::Unknown(_) => ProbeState::Unknown,
                };
                (state, restarter.redact(result.message().to_owned()), latency)
            }
            Err(err) => (ProbeState::Unknown, err.to_string(), Duration::ZERO),
        };
        Ok(ProbeAnswer { role, state, message, latency_ms: (latency.as_secs_f64() * 1e6).round() / 1e3 })
    }

    /// Begins to end the supervisor. A second call may turn `Graceful` into `Now`.
    pub fn shutdown(&self, mode: ShutdownMode) {
        Shutdown::ask(&self.shared, mode);
    }

    /// Returns once everything has been stopped and the supervisor may exit. Its lock is still held.
    pub async fn finished(&self) {
        self.shared.shutdown.finished().await;
    }

    /// Whether its components are left to the next supervisor.
    pub fn keeps(&self) -> bool {
        self.shared.shutdown.keeps()
    }

    /// Gives up the state dir. The last thing to do, after the control socket is gone.
    pub fn unlock(&self) {
        drop(self.take_lock());
    }

    /// The same for whoever has more to do in the state dir; `None` the second time.
    pub fn take_lock(&self) -> Option<StateLock> {
        self.shared.shutdown.take_lock()
    }

    /// What becomes of the components when `specs` are applied.
    pub fn plan(&self, specs: &[ComponentSpec]) -> Plan {
        apply::plan(&self.shared.members(), specs)
    }

    /// The components as their manifests had them, in start order.
    pub fn specs(&self) -> Vec<Arc<ComponentSpec>> {
        self.shared.members().iter().map(|member| member.spec()).collect()
    }

    /// Makes the components what `specs` say, each after what it depends on. What did not change is not
    /// touched. Returns once it has taken effect, as for [`command`](Self::command).
    ///
    /// # Errors
    /// The supervisor is ending.
    pub async fn apply(&self, specs: Vec<ComponentSpec>) -> Result<Plan, CommandError> {
        apply::apply(&self.shared, specs, None, None).await
    }

    /// The same; `manifests` is where the specs are from, from now on.
    ///
    /// # Errors
    /// The supervisor is ending.
    pub async fn apply_from(
        &self,
        manifests: Vec<PathBuf>,
        specs: Vec<ComponentSpec>,
    ) -> Result<Plan, CommandError> {
        apply::apply(&self.shared, specs, Some(manifests), None).await
    }

    /// Where the specs that it was given last are from.
    pub fn manifests(&self) -> Vec<PathBuf> {
        self.shared.manifests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where the specs are from that it was started with.
    pub fn set_manifests(&self, manifests: Vec<PathBuf>) {
        self.shared.set_manifests(manifests);
    }

    /// Adds an event that concerns the supervisor, and no component.
    pub fn tell(&self, kind: EventType, reason: EventReason, message: String) {
        self.shared.tell(kind, reason, message);
    }

    /// The probe kinds that components may name now.
    pub fn registry(&self) -> Arc<Registry> {
        self.shared.nursery.probes.registry()
    }

    /// Whether the probes of `specs` can be made here: whoever sends specs may know custom probes that this
    /// supervisor does not. It takes as long as libraries take to answer.
    ///
    /// # Errors
    /// The first that cannot.
    pub async fn check(&self, specs: Vec<ComponentSpec>) -> Result<Vec<ComponentSpec>, CommandError> {
        let shared = Arc::clone(&self.shared);
        let checked = tokio::task::spawn_blocking(move || probes::check(&shared, &specs).map(|()| specs));
        // Fails only when the runtime ends.
        checked.await.unwrap_or(Err(CommandError::ShuttingDown))
    }

    /// The libraries of custom probes that it has found, those that are refused included; while they are looked for
    /// again, those from before.
    pub async fn plugins(&self) -> Vec<PluginStatus> {
        let shared = Arc::clone(&self.shared);
        let listed = tokio::task::spawn_blocking(move || shared.nursery.probes.libraries());
        // Fails only when the runtime ends.
        listed.await.unwrap_or_default()
    }

    /// The folders that it looks for libraries of custom probes in, in order.
    pub fn plugin_folders(&self) -> Vec<PathBuf> {
        self.shared.nursery.probes.folders()
    }

    /// What the process of each library may use, from its start to its end; `None` if it loads none.
    pub fn plugin_limits(&self) -> Option<PluginLimits> {
        self.shared.nursery.probes.limits()
    }

    /// Looks for libraries of custom probes again. Checks that are under way end first, no component is touched, and
    /// from then on its probes are those of the new library.
    ///
    /// # Errors
    /// A library does not take what a component asks of it, or the supervisor is ending: nothing has changed.
    pub async fn reload_plugins(&self) -> Result<PluginChanges, CommandError> {
        probes::reload(&self.shared).await
    }

    fn find(&self, name: &str) -> Result<Arc<Member>, CommandError> {
        let members = self.shared.members();
        members.iter().find(|member| member.name == name).cloned().ok_or_else(|| {
            let known = members.iter().map(|member| member.name.clone()).collect();
            CommandError::NoSuchComponent { name: name.to_owned(), known }
        })
    }
}

/// Tells all of them, and waits until it has taken effect.
async fn begin(members: &[Arc<Member>], command: lifecycle::Command) {
    join_all(members.iter().map(|member| async move {
        member.tell(command).await;
        member.until(|view| view.lifecycle.is_settled()).await;
    }))
    .await;
}

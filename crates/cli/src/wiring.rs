//! Puts a supervisor together out of the parts that know nothing of each other.

use std::sync::Arc;
use std::time::Duration;

use vitald_core::registry::Registry;
use vitald_core::restarter::Restarter;
use vitald_core::spec::{ComponentSpec, Workload};
use vitald_process::{Paths, ProcessRestarter};
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::{Config, RestarterContext, StateDir, StateLock, Supervisor, SupervisorHandle};

/// The version that status and `--version` tell.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Starts a supervisor of `components` on the state dir whose lock is held.
pub(crate) fn supervise(
    state_dir: StateDir,
    lock: StateLock,
    components: Vec<ComponentSpec>,
    registry: Arc<Registry>,
) -> SupervisorHandle {
    Supervisor::start(Config {
        state_dir,
        lock,
        components,
        registry,
        restarters: Box::new(restarter),
        inherited_env: vitald_process::inherited_environment,
        clock: Arc::new(SystemClock),
        version: VERSION.to_owned(),
    })
}

/// What starts and stops one component.
fn restarter(spec: &ComponentSpec, context: RestarterContext) -> Arc<dyn Restarter> {
    let RestarterContext { log, lock, inherited_env, previous } = context;
    let grace: Duration = spec.termination_grace_period;
    match &spec.workload {
        Workload::Process(process) => Arc::new(ProcessRestarter::new(
            &spec.name,
            process,
            grace,
            Paths { log, lock },
            inherited_env,
            previous,
        )),
    }
}

//! Puts a supervisor together out of the parts that know nothing of each other.

use std::sync::Arc;
use std::time::Duration;

use vitald_container::ContainerRestarter;
use vitald_core::restarter::Restarter;
use vitald_core::spec::{ComponentSpec, Workload};
use vitald_external::ExternalRestarter;
use vitald_process::{Paths, ProcessRestarter};
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::{
    Config, ProbeLibraries, Refused, RestarterContext, StateDir, StateLock, Supervisor, SupervisorHandle,
    Wanted,
};

use crate::exit::Failure;
use crate::plugins::Probes;
use crate::{log_keeper, output};

/// The version that status and `--version` tell.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Checks that processes can be told apart, before anything is begun that would have to be ended.
///
/// # Errors
/// `/proc` shows those of another pid namespace, or none.
pub(crate) fn check_processes() -> Result<(), Failure> {
    vitald_process::procfs::check_own().map_err(|err| {
        Failure::not(format!(
            "processes of this machine cannot be told apart: {err}\nNothing was started or stopped"
        ))
    })
}

/// Makes this process fit to be a supervisor.
///
/// # Errors
/// The system refuses.
pub(crate) fn prepare() -> Result<(), Failure> {
    check_processes()?;
    vitald_process::become_subreaper()
        .and_then(|()| vitald_process::spawn_reaper())
        .map_err(|err| Failure::not(format!("orphans of components cannot be adopted: {err}")))?;
    if let Err(err) = vitald_process::raise_open_files() {
        output::note(&format!("warning: the limit of open files cannot be raised: {err}"));
    }
    Ok(())
}

/// Starts a supervisor of `components` on the state dir whose lock is held. All logs of components together
/// take `logs_max_total` bytes at most, if that is said.
///
/// # Errors
/// It must not be started there.
pub(crate) async fn supervise(
    state_dir: StateDir,
    lock: StateLock,
    components: Wanted,
    probes: Probes,
    logs_max_total: Option<u64>,
) -> Result<SupervisorHandle, Refused> {
    let logs = state_dir.logs();
    Supervisor::start(Config {
        state_dir,
        lock,
        components,
        registry: probes.registry,
        libraries: probes.libraries.map(|libraries| libraries as Arc<dyn ProbeLibraries>),
        restarters: Box::new(restarter),
        logs: Box::new(move |tell| log_keeper::begin(&logs, logs_max_total, tell)),
        inherited_env: vitald_process::inherited_environment,
        holder_of: vitald_process::holder_of,
        clock: Arc::new(SystemClock),
        version: VERSION.to_owned(),
    })
    .await
}

/// What starts and stops one component.
fn restarter(spec: &ComponentSpec, context: RestarterContext) -> Arc<dyn Restarter> {
    let RestarterContext { log, lock, inherited_env, previous, needs } = context;
    let grace: Duration = spec.termination_grace_period;
    match &spec.workload {
        Workload::Process(process) => {
            let paths = Paths { log, lock };
            let restarter = ProcessRestarter::new(&spec.name, process, grace, paths, inherited_env, previous);
            Arc::new(restarter.giving(needs))
        }
        Workload::External(external) => {
            let paths = Paths { log, lock };
            Arc::new(ExternalRestarter::new(&spec.name, external, grace, paths, inherited_env, previous))
        }
        Workload::Container(container) => {
            Arc::new(ContainerRestarter::new(spec, container, Paths { log, lock }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use vitald_client::{Client, Error};
    use vitald_core::spec::ProbeRole;
    use vitald_core::status::{ProbeState, Reason, State};
    use vitald_manifest::LoadOptions;

    const MANIFEST: &str = r#"
apiVersion: vitald/v1
kind: Component
metadata: {name: sleeper}
spec:
  command: [sleep, "1000"]
  readinessProbe: {exec: {command: ["true"]}, periodSeconds: 0.05}
"#;

    /// Manifest, supervisor, process, control API and client, all of them real.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_parts_work_together() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("sleeper.yaml"), MANIFEST).unwrap();
        let registry = Arc::new(crate::builtin::registry());
        let options = LoadOptions { registry: &registry, env_path: None };
        let manifests = vitald_manifest::load(&[temp.path().to_owned()], &options).unwrap();
        let state_dir = StateDir::new(temp.path().join("state"));
        let lock = state_dir.lock().unwrap();
        let components = Wanted::Manifests(manifests.components);
        let supervisor =
            supervise(state_dir.clone(), lock, components, crate::plugins::none(), None).await.unwrap();
        let control = vitald_control::serve(supervisor.clone(), &state_dir).await.unwrap();
        let client = Client::connect(state_dir.path()).await.unwrap();

        let mut events = client.events_follow(Some("sleeper")).await.unwrap();
        let mut reasons = Vec::new();
        while reasons.last().is_none_or(|reason| reason != "Ready") {
            reasons.push(events.next().await.unwrap().unwrap().reason);
        }
        assert_eq!(reasons, ["Started", "Ready"]);
        let sleeper = client.component("sleeper").await.unwrap();
        assert!(sleeper.is_healthy() && sleeper.uptime().is_some() && sleeper.restart_count() == 0);
        let answer = client.run_probe("sleeper", ProbeRole::Readiness).await.unwrap();
        assert_eq!(answer.state, ProbeState::Success);

        let stopped = client.stop(&["sleeper"]).await.unwrap();
        assert_eq!((stopped[0].state, stopped[0].reason), (State::Stopped, Reason::StoppedByUser));
        for (refused, code) in [
            (client.describe("nobody").await.map(drop), 404),
            (client.start(&["sleeper", "nobody"]).await.map(drop), 404),
            (client.start(&[""; 0]).await.map(drop), 400),
            (client.run_probe("sleeper", ProbeRole::Liveness).await.map(drop), 404),
            (client.run_probe("sleeper", ProbeRole::Readiness).await.map(drop), 409),
            (client.events(Some("nobody")).await.map(drop), 404),
        ] {
            assert!(matches!(refused, Err(Error::Refused { status, .. }) if status == code), "{refused:?}");
        }

        let mut specs = client.specs().await.unwrap();
        assert_eq!(client.plan(&specs).await.unwrap().unchanged, ["sleeper"]);
        specs[0].labels.insert("tier".into(), "a".into());
        let plan = client.apply(&specs, Some(&["/manifests".into()])).await.unwrap();
        assert_eq!(plan.relabelled, ["sleeper"]);
        assert_eq!(client.status().await.unwrap().supervisor.manifests, ["/manifests"]);
        assert_eq!(state_dir.manifests(), ["/manifests"]);
        let renamed = |name: &str| ComponentSpec { name: name.into(), ..specs[0].clone() };
        for refused in [vec![renamed("../up")], vec![renamed("a"), renamed("a")]] {
            let answer = client.apply(&refused, None).await;
            assert!(matches!(answer, Err(Error::Refused { status: 400, .. })), "{answer:?}");
        }
        let mut unknown = renamed("a");
        let check = vitald_core::check::Check::handler("diskSpace", serde_json::json!({}));
        unknown.liveness_probe = Some(vitald_core::spec::ProbeSpec::new(ProbeRole::Liveness, check));
        let unknown = [unknown];
        for refused in [client.apply(&unknown, None).await, client.plan(&unknown).await] {
            let Err(Error::Refused { status: 400, message }) = refused else { panic!("{refused:?}") };
            assert!(
                message.starts_with("component `a`: livenessProbe: this supervisor knows no probe"),
                "{message}"
            );
        }
        assert_eq!(client.plugins().await.unwrap(), []);
        assert!(client.plugin_folders().await.unwrap().is_empty());
        assert_eq!(client.plugin_limits().await.unwrap(), None);
        assert!(client.reload_plugins().await.unwrap().is_empty());
        assert_eq!(client.apply(&[], None).await.unwrap().removed, ["sleeper"]);

        client.shutdown(vitald_client::ShutdownMode::Graceful).await.unwrap();
        supervisor.finished().await;
        control.stop().await;
        while events.next().await.is_some() {}
        supervisor.unlock();
        assert!(!state_dir.socket().exists());
        assert_eq!(state_dir.holder(), None);
        assert!(matches!(client.status().await, Err(Error::NoSupervisor { .. })));
    }
}

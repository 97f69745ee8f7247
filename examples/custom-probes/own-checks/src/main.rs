//! `own-checks MANIFEST…`: asks each probe of each component once, and supervises nothing.
//!
//! A program of one's own, made of vitald's crates: it has two of vitald's probes and two custom ones, linked in
//! like them. Nothing is loaded at run time.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host_health::{DiskSpaceProbe, FileAgeProbe};
use vitald_core::probe::{CheckContext, ProbeResult};
use vitald_core::registry::Registry;
use vitald_core::spec::{ComponentSpec, ProbeRole};
use vitald_manifest::LoadOptions;
use vitald_probe_exec::ExecProbe;
use vitald_probe_tcp_socket::TcpSocketProbe;
use vitald_process::LocalExecutor;
use vitald_supervisor::check_once;
use vitald_supervisor::clock::{Clock, SystemClock};

/// All that its manifests may name.
fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<ExecProbe>();
    registry.add::<TcpSocketProbe>();
    registry.add::<DiskSpaceProbe>();
    registry.add::<FileAgeProbe>();
    registry
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        bail!("which manifests? own-checks MANIFEST…");
    }
    let registry = registry();
    let options = LoadOptions { registry: &registry, env_path: env::var_os("PATH") };
    let manifests = match vitald_manifest::load(&paths, &options) {
        Ok(manifests) => manifests,
        Err(mistakes) => bail!("{}", mistakes.render(false)),
    };
    let mut all_well = true;
    for component in &manifests.components {
        all_well &= check(component, &registry).await?;
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks all probes of a component, and says what they answer; whether all is well.
async fn check(component: &ComponentSpec, registry: &Registry) -> Result<bool> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut all_well = true;
    for (role, probe) in ProbeRole::ALL.into_iter().filter_map(|role| Some((role, component.probe(role)?))) {
        let executor = LocalExecutor::here().context("the current folder is gone")?;
        let cx = CheckContext { timeout: probe.timeout, run: None, executor: Arc::new(executor) };
        let (result, _) = check_once(&probe.check, registry, &component.context(None), &cx, &clock).await?;
        let verdict = match result {
            ProbeResult::Success | ProbeResult::Warning(_) => "Success",
            ProbeResult::Failure(_) => "Failure",
            ProbeResult::Unknown(_) => "Unknown",
        };
        all_well &= verdict == "Success";
        println!("{} {role} {verdict} {}", component.name, result.message());
    }
    Ok(all_well)
}

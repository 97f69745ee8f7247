//! What a check costs that looks whether a file is there: linked into this program, in a library in this process, in
//! a library in a process of its own, and as a command. `cargo xtask bench plugins` builds what it needs.

#![allow(clippy::print_stdout)] // What it has measured is for the person at the terminal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeResult};
use vitald_core::registry::{Isolation, Registry};
use vitald_plugin::{Folder, HostCommand, Limits, Options, Plugins};
use vitald_probe_exec::ExecProbe;
use vitald_process::LocalExecutor;

/// The library's own source: what is linked is what is loaded.
#[allow(unreachable_pub)]
#[path = "../../../tests/plugins/exists/src/lib.rs"]
mod exists;

/// The first checks make what later ones find.
const WARM_UP: usize = 50;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let outcome = match args.as_slice() {
        [folder, vitald, calls] => measure(folder, vitald, calls),
        _ => Err("usage: cost FOLDER-OF-THE-LIBRARY VITALD CALLS".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("cost: {err}");
            ExitCode::FAILURE
        }
    }
}

fn measure(folder: &Path, vitald: &Path, calls: &Path) -> Result<()> {
    let calls: usize = calls.display().to_string().parse()?;
    let there = json!({"path": std::env::current_exe()?});
    let program = json!({"command": ["test", "-e", std::env::current_exe()?]});
    let mut linked = Registry::new();
    linked.add::<exists::ExistsProbe>();
    linked.add::<ExecProbe>();
    // As many workers as a supervisor has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    println!("{calls} checks each     median        p99        max");
    let row = |name: &str, mut took: Vec<Duration>| {
        took.sort();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).copied();
        let columns = [at(0.5), at(0.99), took.last().copied()];
        let columns = columns.map(|one| format!("{:>11}", in_micros(one.unwrap_or_default())));
        println!("{name:16}{}", columns.concat());
    };

    let probe = probe(&linked, "exists", &there, Isolation::Process)?;
    row("built-in", runtime.block_on(ask(&*probe, calls))?);
    let plugins = load(folder, vitald)?;
    let loaded = registry(&plugins)?;
    for (name, isolation) in [("in process", Isolation::InProcess), ("isolated", Isolation::Process)] {
        let probe = self::probe(&loaded, "exists", &there, isolation)?;
        row(name, runtime.block_on(ask(&*probe, calls))?);
    }
    let probe = self::probe(&linked, "exec", &program, Isolation::Process)?;
    row("exec", runtime.block_on(ask(&*probe, calls / 10))?);

    let mut cold = Vec::new();
    for _ in 0..calls.div_ceil(100) {
        let begun = Instant::now();
        let plugins = load(folder, vitald)?;
        let probe = self::probe(&registry(&plugins)?, "exists", &there, Isolation::Process)?;
        runtime.block_on(once(&*probe))?;
        cold.push(begun.elapsed());
    }
    row("isolated, cold", cold);
    Ok(())
}

/// Finds and reads the library, as every command that loads manifests does: a process for it is begun.
fn load(folder: &Path, vitald: &Path) -> Result<Plugins> {
    Ok(Plugins::load(Options {
        folders: vec![Folder::named(folder)],
        allow_unsafe: true,
        host: HostCommand {
            program: vitald.to_owned(),
            name: "vitald".into(),
            args: vec!["__probe-host".into()],
        },
        limits: Limits::default(),
        taken: BTreeMap::new(),
        objections: Arc::new(|_, _| Vec::new()),
        tell: Arc::new(|_| {}),
    })?)
}

fn registry(plugins: &Plugins) -> Result<Registry> {
    let mut registry = Registry::new();
    for kind in plugins.kinds() {
        registry.insert(kind).map_err(|other| format!("its key is taken by {other}"))?;
    }
    let refused = plugins.refused().into_iter().map(|refusal| refusal.to_string()).collect::<Vec<_>>();
    if refused.is_empty() { Ok(registry) } else { Err(refused.join("\n").into()) }
}

fn probe(
    registry: &Registry,
    key: &str,
    config: &Value,
    isolation: Isolation,
) -> Result<Box<dyn HealthProbe>> {
    Ok(registry.build(key, config, &ComponentContext::default(), isolation)?)
}

async fn ask(probe: &dyn HealthProbe, calls: usize) -> Result<Vec<Duration>> {
    for _ in 0..WARM_UP {
        once(probe).await?;
    }
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        took.push(once(probe).await?);
    }
    Ok(took)
}

async fn once(probe: &dyn HealthProbe) -> Result<Duration> {
    let cx = CheckContext {
        timeout: Duration::from_secs(10),
        run: None,
        executor: Arc::new(LocalExecutor::here()?),
    };
    let begun = Instant::now();
    let answer = probe.check(&cx).await;
    let took = begun.elapsed();
    if answer == ProbeResult::Success { Ok(took) } else { Err(format!("{answer:?}").into()) }
}

fn in_micros(took: Duration) -> String {
    let micros = took.as_secs_f64() * 1e6;
    match micros {
        ..1.0 => format!("{micros:.3} us"),
        ..1000.0 => format!("{micros:.1} us"),
        _ => format!("{:.2} ms", micros / 1e3),
    }
}

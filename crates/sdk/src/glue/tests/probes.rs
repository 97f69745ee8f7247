//! Probes that do as they are told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::registry::Registry;
use vitald_core::restarter::ExecRequest;

use crate::glue::Exported;

/// The probes whose checks have begun to wait for something.
pub(super) static BEGUN: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
/// The probes whose waiting checks were dropped.
pub(super) static DROPPED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
/// What a check that blocks waits for.
pub(super) static GATE: Mutex<()> = Mutex::new(());

pub(super) struct Probes;

impl Exported for Probes {
    fn kinds() -> &'static Registry {
        static KINDS: OnceLock<Registry> = OnceLock::new();
        KINDS.get_or_init(|| {
            let mut kinds = Registry::new();
            kinds.add::<ObedientProbe>();
            kinds.add::<NeedyProbe>();
            kinds
        })
    }
}

/// The configuration of a probe with a number of its own.
pub(super) fn does(what: impl Into<Value>) -> Value {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    json!({ "does": what.into(), "number": LAST.fetch_add(1, Ordering::Relaxed) })
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ObedientSpec {
    does: Does,
    number: usize,
    port: Option<PortRef>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Does {
    Succeed,
    Sleep,
    Block,
    Wait,
    PanicInBuild,
    PanicInCheck,
    PanicInDrop,
    PanicTwice,
    PanicInEnd,
    Tell,
    Run { command: Vec<String> },
}

pub(super) struct ObedientProbe {
    does: Does,
    number: usize,
}

impl ProbeKind for ObedientProbe {
    const KEY: &'static str = "obedient";
    type Spec = ObedientSpec;

    fn build(spec: ObedientSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        assert!(!matches!(spec.does, Does::PanicInBuild), "panicked while it was built");
        if let Some(port) = &spec.port {
            component.port(port).map_err(|err| err.at("port"))?;
        }
        Ok(Self { does: spec.does, number: spec.number })
    }
}

impl Drop for ObedientProbe {
    fn drop(&mut self) {
        assert!(!matches!(self.does, Does::PanicInEnd), "panicked at its end");
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("panicked while it was dropped");
    }
}

struct Noted(usize);

impl Drop for Noted {
    fn drop(&mut self) {
        DROPPED.lock().unwrap().insert(self.0);
    }
}

#[async_trait]
impl HealthProbe for ObedientProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match &self.does {
            Does::Succeed | Does::PanicInBuild | Does::PanicInEnd => {}
            Does::Sleep => tokio::time::sleep(Duration::from_millis(1)).await,
            Does::Block => {
                BEGUN.lock().unwrap().insert(self.number);
                drop(GATE.lock());
            }
            Does::Wait => {
                let _noted = Noted(self.number);
                BEGUN.lock().unwrap().insert(self.number);
                return std::future::pending().await;
            }
            Does::PanicInCheck => panic!("panicked in its check"),
            Does::PanicInDrop => {
                let _bomb = Bomb;
                BEGUN.lock().unwrap().insert(self.number);
                return std::future::pending().await;
            }
            Does::PanicTwice => std::panic::panic_any(Bomb),
            Does::Tell => {
                let Some(run) = &cx.run else { return ProbeResult::unknown("no run") };
                return ProbeResult::failure(format!(
                    "pid {}, log at {}, container {:?}, pids {:?}, memory {:?}, heard {:?}",
                    run.process().pid,
                    run.log_offset(),
                    run.container(),
                    run.pids().await.map_err(|err| err.to_string()),
                    run.memory().await.map_err(|err| err.to_string()),
                    run.heard().await,
                ));
            }
            Does::Run { command } => {
                let request = ExecRequest { command: command.clone(), ..ExecRequest::default() };
                return match cx.executor.exec(request).await {
                    Ok(output) => ProbeResult::failure(format!("{}: {}", output.exit, output.output)),
                    Err(err) => ProbeResult::unknown(err.to_string()),
                };
            }
        }
        ProbeResult::Success
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
pub(super) struct NeedySpec {
    socket: bool,
}

struct NeedyProbe;

impl ProbeKind for NeedyProbe {
    const KEY: &'static str = "needy";
    type Spec = NeedySpec;

    fn build(_spec: NeedySpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        Ok(Self)
    }

    fn needs(spec: &NeedySpec) -> RunNeeds {
        RunNeeds { notify_socket: spec.socket, watchdog: None }
    }
}

#[async_trait]
impl HealthProbe for NeedyProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        ProbeResult::Success
    }
}

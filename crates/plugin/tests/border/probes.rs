//! The library that these tests load: probes that do as they are told, and two kinds in one library.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_sdk::restarter::ExecRequest;

/// Does as it is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObedientSpec {
    /// What it does.
    #[serde(default)]
    pub does: Does,
    /// A port, by number or name.
    pub port: Option<PortRef>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    /// Is healthy.
    #[default]
    Succeed,
    /// Is healthy after a while.
    Wait { millis: u64 },
    /// Blocks its thread.
    Block { millis: u64 },
    /// Connects to the port.
    Connect,
    /// Panics when it is built.
    PanicInBuild,
    /// Panics when it checks.
    PanicInCheck,
    /// Panics when its check is dropped.
    PanicInDrop,
    /// Panics with what panics when it is dropped.
    PanicTwice,
    /// Panics when it is destroyed.
    PanicInEnd,
    /// Runs a command; fails with what it says.
    Run { command: Vec<String> },
    /// Fails with what is known of the run.
    Tell,
}

pub struct ObedientProbe {
    does: Does,
    port: u16,
}

impl ProbeKind for ObedientProbe {
    const KEY: &'static str = "obedient";
    type Spec = ObedientSpec;

    fn build(spec: ObedientSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        // What is caught is told by whoever caught it; this library's own words would stand among those of the tests.
        std::panic::set_hook(Box::new(|_| {}));
        assert!(!matches!(spec.does, Does::PanicInBuild), "panicked while it was built");
        let port = spec.port.map(|port| component.port(&port).map_err(|err| err.at("port"))).transpose()?;
        Ok(Self { does: spec.does, port: port.unwrap_or(0) })
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("panicked while it was dropped");
    }
}

impl Drop for ObedientProbe {
    fn drop(&mut self) {
        assert!(!matches!(self.does, Does::PanicInEnd), "panicked at its end");
    }
}

#[async_trait]
impl HealthProbe for ObedientProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match &self.does {
            Does::Succeed | Does::PanicInBuild | Does::PanicInEnd => ProbeResult::Success,
            Does::Wait { millis } => {
                tokio::time::sleep(Duration::from_millis(*millis)).await;
                ProbeResult::Success
            }
            Does::Block { millis } => {
                std::thread::sleep(Duration::from_millis(*millis));
                ProbeResult::Success
            }
            Does::Connect => match tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await {
                Ok(_) => ProbeResult::Success,
                Err(err) => ProbeResult::failure(err.to_string()),
            },
            Does::PanicInCheck => panic!("panicked in its check, limit {:?}", cx.timeout),
            Does::PanicInDrop => {
                let _bomb = Bomb;
                std::future::pending().await
            }
            Does::PanicTwice => std::panic::panic_any(Bomb),
            Does::Run { command } => {
                let request = ExecRequest { command: command.clone(), ..ExecRequest::default() };
                match cx.executor.exec(request).await {
                    Ok(output) => ProbeResult::failure(format!("{}: {}", output.exit, output.output)),
                    Err(err) => ProbeResult::unknown(err.to_string()),
                }
            }
            Does::Tell => {
                let Some(run) = &cx.run else { return ProbeResult::unknown("no run") };
                ProbeResult::failure(format!(
                    "pid {}, log at {}, container {:?}, pids {:?}, memory {:?}, heard {:?}",
                    run.process().pid,
                    run.log_offset(),
                    run.container(),
                    run.pids().await.map_err(|err| err.to_string()),
                    run.memory().await.map_err(|err| err.to_string()),
                    run.heard().await,
                ))
            }
        }
    }
}

/// Never healthy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeverSpec {}

pub struct NeverProbe;

impl ProbeKind for NeverProbe {
    const KEY: &'static str = "never";
    type Spec = NeverSpec;

    fn build(_spec: NeverSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        Ok(Self)
    }
}

#[async_trait]
impl HealthProbe for NeverProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        ProbeResult::failure("never healthy")
    }
}

vitald_sdk::export_probe!(ObedientProbe, NeverProbe);

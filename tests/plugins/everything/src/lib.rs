//! `everything`: asks for all that a probe may ask for, and tells what it got.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use vitald_sdk::async_trait;
use vitald_sdk::notify::RunNeeds;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_sdk::restarter::ExecRequest;

/// Tells all that can be known of a component.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EverythingSpec {
    /// Port that somebody greets on who connects to it: number, or name.
    pub port: PortRef,
    /// Command whose output is told, run where the component runs.
    pub command: Vec<String>,
}

/// Tells it.
pub struct EverythingProbe {
    spec: EverythingSpec,
    port: u16,
    component: ComponentContext,
}

impl ProbeKind for EverythingProbe {
    const KEY: &'static str = "everything";
    type Spec = EverythingSpec;

    fn build(spec: EverythingSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let port = component.port(&spec.port).map_err(|err| err.at("port"))?;
        if spec.command.is_empty() {
            return Err(SpecError::required("a command without words").at("command"));
        }
        Ok(Self { spec, port, component: component.clone() })
    }

    fn needs(_spec: &EverythingSpec) -> RunNeeds {
        RunNeeds { notify_socket: true, watchdog: Some(Duration::from_secs(7)) }
    }
}

#[async_trait]
impl HealthProbe for EverythingProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        match timeout(cx.timeout, self.told(cx)).await {
            Ok(Ok(told)) => ProbeResult::Warning(told),
            Ok(Err(err)) => ProbeResult::unknown(err.to_string()),
            Err(_elapsed) => ProbeResult::failure("it takes too long"),
        }
    }
}

impl EverythingProbe {
    async fn told(&self, cx: &CheckContext) -> Result<String, Box<dyn Error + Send + Sync>> {
        sleep(Duration::from_millis(10)).await;
        let mut greeting = String::new();
        TcpStream::connect(("127.0.0.1", self.port)).await?.read_to_string(&mut greeting).await?;

        let request = ExecRequest { command: self.spec.command.clone(), ..Default::default() };
        let said = cx.executor.exec(request).await?;

        let run = cx.run.as_ref().ok_or("there is no run")?;
        let heard = run.heard().await?;
        let log = self.component.log_file.clone().unwrap_or_else(|| PathBuf::from("/nowhere"));
        Ok(format!(
            "{} in {}: greeted by `{}`, pid {} of {:?}, uses memory: {}, log `{}` from {}, status `{}`, ready: {}, \
             command {}: `{}`, within {:?}",
            self.component.name,
            self.component.working_dir.display(),
            greeting.trim(),
            run.process().pid,
            run.pids().await?,
            run.memory().await? > 0,
            std::fs::read_to_string(log)?.trim(),
            run.log_offset(),
            heard.notified.status,
            heard.notified.ready,
            said.exit,
            said.output.trim(),
            cx.timeout,
        ))
    }
}

vitald_sdk::export_probe!(EverythingProbe);

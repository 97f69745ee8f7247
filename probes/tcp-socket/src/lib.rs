//! `tcpSocket`: healthy when a TCP connection to `host:port` opens.
//!
//! As the kubelet has it: nothing is sent or read, and a server that closes at once is healthy, too.

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_net::connection::{connect, is_host};

/// Healthy when a TCP connection to `host:port` opens.
///
/// A process that hangs goes on accepting them: good as a startup probe, too little as a liveness probe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpSocketSpec {
    /// Port to connect to: a number from 1 to 65535, or the name of one of the component's ports.
    pub port: PortRef,
    /// Host name or IP address. Defaults to `localhost`, tried on 127.0.0.1 and then on ::1.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
}

fn localhost() -> String {
    "localhost".to_owned()
}

/// Connects to the address of a [`TcpSocketSpec`].
pub struct TcpSocketProbe {
    host: String,
    port: u16,
}

impl ProbeKind for TcpSocketProbe {
    const KEY: &'static str = "tcpSocket";
    type Spec = TcpSocketSpec;

    fn build(spec: TcpSocketSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let port = component.port(&spec.port).map_err(|err| err.at("port"))?;
        if !is_host(&spec.host) {
            return Err(SpecError::new("must be a host name or an IP address").at("host"));
        }
        Ok(Self { host: spec.host, port })
    }
}

#[async_trait]
impl HealthProbe for TcpSocketProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        match connect(&self.host, self.port).await {
            Ok(_) => ProbeResult::Success,
            Err(none) => none.into(),
        }
    }
}

//! `tcpSocket`: healthy when a TCP connection to `host:port` opens.
//!
//! As the kubelet has it: nothing is sent or read, and a server that closes at once is healthy, too.

use std::fs::File;
use std::io;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpStream, lookup_host};
use vitald_core::async_trait;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::wording::{LOCALHOST, connect_failure, is_ours, resolve_failure, unanswered};

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
        if spec.host.is_empty() {
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
            Err(verdict) => verdict,
        }
    }
}

/// Tries the addresses of `host` in turn; where none accepts, says what the first one answered.
async fn connect(host: &str, port: u16) -> Result<TcpStream, ProbeResult> {
    let addresses: Vec<IpAddr> = if host.eq_ignore_ascii_case("localhost") {
        LOCALHOST.to_vec()
    } else {
        let found = lookup_host((host, port)).await.map_err(|err| {
            let err = shortage().unwrap_or(err);
            unanswered(&err, resolve_failure(&err, host))
        })?;
        found.map(|address| address.ip()).collect()
    };
    let mut first_error = None;
    for address in &addresses {
        match TcpStream::connect((*address, port)).await.and_then(accepted) {
            Ok(stream) => return Ok(stream),
            Err(err) => first_error = first_error.or(Some(err)),
        }
    }
    Err(match first_error {
        Some(err) => unanswered(&err, connect_failure(&err, host, port, &addresses)),
        None => ProbeResult::failure(format!("host `{host}` has no address")),
    })
}

/// What a lookup without a descriptor ends in reads like a name that does not exist: so this tries to get one.
fn shortage() -> Option<io::Error> {
    File::open("/dev/null").err().filter(is_ours)
}

/// A port that nothing listens on may be chosen as the connection's own, which then meets itself.
fn accepted(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn a_connection_to_itself_counts_as_refused() -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((LOCALHOST[0], 0).into())?;
        let address = socket.local_addr()?;
        let met_itself = accepted(socket.connect(address).await?).map_err(|err| err.kind());
        assert_eq!(met_itself.err(), Some(io::ErrorKind::ConnectionRefused));

        let listener = TcpListener::bind((LOCALHOST[0], 0)).await?;
        accepted(TcpStream::connect(listener.local_addr()?).await?).map(drop)
    }
}

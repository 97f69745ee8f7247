//! `grpc`: healthy when `grpc.health.v1.Health/Check` answers SERVING.
//!
//! As the kubelet has it: any other answer is a failure, and so is none. Every check has a connection of
//! its own, and the server is told the deadline. A server without the health service fails, unless
//! `onUnimplemented: Succeed` says that a gRPC answer is enough.

use std::error::Error;
use std::fs::File;
use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, lookup_host};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use vitald_core::async_trait;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::wording::{
    LOCALHOST, connect_failure, excerpt, host_port, is_ours, resolve_failure, system_error, unanswered,
};

/// Healthy when `grpc.health.v1.Health/Check` answers SERVING.
///
/// A server without that service answers "unimplemented", which is a failure unless `onUnimplemented` says otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrpcSpec {
    /// Port to ask: a number from 1 to 65535, or the name of one of the component's ports.
    pub port: PortRef,
    /// Host name or IP address. Defaults to `localhost`, tried on 127.0.0.1 and then on ::1.
    #[serde(default = "localhost")]
    #[schemars(length(min = 1))]
    pub host: String,
    /// Service to ask about. Defaults to the empty name: the server as a whole.
    #[serde(default)]
    pub service: String,
    /// Whether to use TLS, without a check of the certificate. Defaults to `false`.
    #[serde(default)]
    pub tls: bool,
    /// What to make of a gRPC server that has no health service. Defaults to `Fail`.
    #[serde(default)]
    pub on_unimplemented: OnUnimplemented,
}

/// What to make of a gRPC server that has no health service.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnimplemented {
    /// It is a failure, as it is to the kubelet.
    #[default]
    Fail,
    /// The server answers gRPC, and that is enough.
    Succeed,
}

fn localhost() -> String {
    "localhost".to_owned()
}

/// Asks the server of a [`GrpcSpec`].
pub struct GrpcProbe {
    endpoint: Endpoint,
    host: String,
    port: u16,
    service: String,
    on_unimplemented: OnUnimplemented,
}

impl ProbeKind for GrpcProbe {
    const KEY: &'static str = "grpc";
    type Spec = GrpcSpec;

    fn build(spec: GrpcSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let port = component.port(&spec.port).map_err(|err| err.at("port"))?;
        let scheme = if spec.tls { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", host_port(&spec.host, port)))
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .and_then(|endpoint| match spec.tls {
                true => endpoint.tls_config_with_verifier(ClientTlsConfig::new(), Arc::new(AnyCertificate)),
                false => Ok(endpoint),
            })
            .ok()
            .filter(|endpoint| !spec.host.is_empty() && endpoint.uri().port_u16() == Some(port))
            // Parts of a URL that are no host.
            .filter(|_| !spec.host.contains(['@', '[', ']']))
            .ok_or_else(|| SpecError::new("must be a host name or an IP address").at("host"))?;
        Ok(Self {
            endpoint,
            host: spec.host,
            port,
            service: spec.service,
            on_unimplemented: spec.on_unimplemented,
        })
    }
}

/// Begins as the kubelet's does: servers tell probes from other callers by it.
const USER_AGENT: &str = concat!("kube-probe/1.37 (vitald ", env!("CARGO_PKG_VERSION"), ")");

#[async_trait]
impl HealthProbe for GrpcProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let server = host_port(&self.host, self.port);
        let mut stream = match connect(&self.host, self.port).await {
            Ok(stream) => Some(TokioIo::new(stream)),
            Err(verdict) => return verdict,
        };
        let only_once =
            tower::service_fn(move |_| ready(stream.take().ok_or_else(|| io::Error::other(CLOSED))));
        let channel = match self.endpoint.connect_with_connector(only_once).await {
            Ok(channel) => channel,
            Err(err) => return ProbeResult::failure(format!("no gRPC at {server}: {}", innermost(&err))),
        };
        let about = match &*self.service {
            "" => String::new(),
            service => format!(" for service `{service}`"),
        };
        match health(channel, &self.service, cx).await {
            Ok(ServingStatus::Serving) => ProbeResult::Success,
            Ok(ServingStatus::NotServing) => {
                ProbeResult::failure(format!("{server} answers NOT_SERVING{about}"))
            }
            Ok(ServingStatus::Unknown) => ProbeResult::failure(format!("{server} answers UNKNOWN{about}")),
            Ok(ServingStatus::ServiceUnknown) => ProbeResult::failure(self.knows_no_service(&server)),
            // tonic keeps the deadline that it passes on, and may be ahead of our caller by a hair.
            Err(status) if chain(&status).any(|err| err.is::<tonic::TimeoutExpired>()) => {
                ProbeResult::failure(format!("no answer within {} s", cx.timeout.as_secs_f64()))
            }
            Err(status) => self.no_status(&server, &status),
        }
    }
}

impl GrpcProbe {
    /// Judges an answer that is an error, or the lack of one.
    fn no_status(&self, server: &str, status: &Status) -> ProbeResult {
        let said = match excerpt(status.message()) {
            said if said.is_empty() => said,
            said => format!(": {said}"),
        };
        let made_up = "mapped from HTTP status code ";
        ProbeResult::failure(match status.code() {
            _ if status.source().is_some() => format!("no gRPC at {server}: {}", innermost(status)),
            // tonic's own translation; a 404 becomes Unimplemented, though nothing there speaks gRPC.
            _ if said.contains(made_up) => {
                format!("no gRPC at {server}: it answers HTTP {}", said.rsplit(made_up).next().unwrap_or(""))
            }
            Code::Unimplemented if self.on_unimplemented == OnUnimplemented::Succeed => {
                return ProbeResult::Success;
            }
            Code::Unimplemented => format!("{server} does not implement grpc.health.v1.Health{said}"),
            Code::NotFound => self.knows_no_service(server),
            code => format!("{server} answers {code:?}{said}"),
        })
    }

    fn knows_no_service(&self, server: &str) -> String {
        format!("{server} knows no service `{}`", self.service)
    }
}

async fn health(channel: Channel, service: &str, cx: &CheckContext) -> Result<ServingStatus, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|err| Status::from_error(err.into()))?;
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    request.set_timeout(cx.timeout);
    let check = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let response = client.unary(request, check, ProstCodec::default()).await?;
    Ok(HealthCheckResponse::status(response.get_ref()))
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
    // Else a request waits for the other side's delayed acknowledgement of what came before, some 40 ms.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error and all that it came from, outermost first.
fn chain<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |&err| err.source())
}

fn innermost(err: &(dyn Error + 'static)) -> String {
    let err = chain(err).last().unwrap_or(err);
    match err.downcast_ref::<io::Error>() {
        Some(err) if err.kind() == io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        Some(err) => system_error(err),
        // `HTTP/1.1 400`, read as a frame of HTTP/2, is one of 4,740,180 bytes.
        None if err.to_string().contains("frame with invalid size") => {
            "the server does not speak HTTP/2".into()
        }
        None => err.to_string(),
    }
}

const CLOSED: &str = "the server closed the connection";

// grpc/health/v1/health.proto, as far as Check needs it.

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Takes whatever certificate the server has: a probe asks whether the server is well, not who it is.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
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

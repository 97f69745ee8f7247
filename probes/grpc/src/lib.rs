//! `grpc`: healthy when `grpc.health.v1.Health/Check` answers SERVING.
//!
//! As the kubelet has it: any other answer is a failure, and so is none. Every check has a connection of
//! its own, and the server is told the deadline. A server without the health service fails, unless
//! `onUnimplemented: Succeed` says that a gRPC answer is enough.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use vitald_core::async_trait;
use vitald_core::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_core::wording::{excerpt, host_port};
use vitald_net::connection::is_host;
use vitald_net::grpc::{NoAnswer, channel, no_answer};
use vitald_net::tls;

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
        // Which link an address is on concerns nobody but this machine.
        let (host, _link) = spec.host.split_once('%').unwrap_or((&spec.host, ""));
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", host_port(host, port)))
            .and_then(|endpoint| endpoint.user_agent(vitald_net::USER_AGENT))
            .and_then(|endpoint| match spec.tls {
                true => endpoint.tls_config_with_verifier(ClientTlsConfig::new(), tls::any_certificate()),
                false => Ok(endpoint),
            })
            .ok()
            .filter(|endpoint| is_host(&spec.host) && endpoint.uri().port_u16() == Some(port))
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

#[async_trait]
impl HealthProbe for GrpcProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let server = host_port(&self.host, self.port);
        let channel = match channel(&self.endpoint, &self.host, self.port).await {
            Ok(channel) => channel,
            Err(none) => return none.into(),
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
            Err(status) => match no_answer(&server, &status) {
                Some(NoAnswer::Late) => {
                    ProbeResult::failure(format!("no answer within {} s", cx.timeout.as_secs_f64()))
                }
                Some(NoAnswer::NoGrpc(reason)) => ProbeResult::Failure(reason),
                None => self.no_status(&server, &status),
            },
        }
    }
}

impl GrpcProbe {
    /// Judges an answer that is an error.
    fn no_status(&self, server: &str, status: &Status) -> ProbeResult {
        let said = match excerpt(status.message()) {
            said if said.is_empty() => said,
            said => format!(": {said}"),
        };
        ProbeResult::failure(match status.code() {
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

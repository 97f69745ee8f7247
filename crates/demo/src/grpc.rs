//! The gRPC port: `grpc.health.v1.Health/Check`, its two messages written by hand.
//!
//! Service "" is SERVING whenever anything answers, `ready` while the server is ready.

use std::convert::Infallible;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::net::TcpListener;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::faults::Faults;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unspecified = 0,
    Serving = 1,
    NotServing = 2,
}

pub(crate) async fn serve(
    listener: TcpListener,
    faults: Faults,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tonic::transport::Server::builder()
        .add_service(Health(faults))
        .serve_with_incoming_shutdown(incoming, stopped)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Health(Faults);

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl Service<http::Request<tonic::body::Body>> for Health {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let health = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/grpc.health.v1.Health/Check" {
                return Ok(Status::unimplemented("only Check is served").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).unary(Check(health.0), request).await)
        })
    }
}

struct Check(Faults);

impl UnaryService<HealthCheckRequest> for Check {
    type Response = HealthCheckResponse;
    type Future = BoxFuture<Response<HealthCheckResponse>, Status>;

    fn call(&mut self, request: Request<HealthCheckRequest>) -> Self::Future {
        let faults = self.0.clone();
        Box::pin(async move {
            faults.before_answer().await;
            let status = match request.get_ref().service.as_str() {
                "" => ServingStatus::Serving,
                "ready" if faults.is_ready() => ServingStatus::Serving,
                "ready" => ServingStatus::NotServing,
                other => return Err(Status::not_found(format!("no service is named `{other}`"))),
            };
            Ok(Response::new(HealthCheckResponse { status: status.into() }))
        })
    }
}

//! `grpc` against real servers, with the kubelet's own cases (`pkg/probe/grpc/grpc_test.go`).

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::convert::Infallible;
use std::future::Ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::server::NamedService;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, StartError};
use vitald_probe_grpc::GrpcProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("grpc runs no command")
    }
}

fn build(spec: Value) -> Result<GrpcProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    GrpcProbe::build(spec, &ComponentContext::default())
}

fn context() -> CheckContext {
    CheckContext { timeout: Duration::from_secs(5), run: None, executor: Arc::new(NoExecutor) }
}

async fn check(spec: Value) -> ProbeResult {
    let probe = build(spec).expect("a good spec");
    tokio::time::timeout(Duration::from_secs(20), probe.check(&context())).await.expect("an end")
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// A health service: what it answers for the service `a` and for the empty name; it knows no other.
#[derive(Clone)]
struct Health {
    answer: Result<i32, Status>,
    headers: Arc<Mutex<HeaderMap>>,
}

impl Health {
    fn answering(answer: Result<i32, Status>) -> Self {
        Self { answer, headers: Arc::default() }
    }
}

impl NamedService for Health {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl tower::Service<tonic::Request<CheckRequest>> for Health {
    type Response = tonic::Response<CheckResponse>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        std::future::ready(match &*request.get_ref().service {
            "" | "a" => self.answer.clone().map(|status| tonic::Response::new(CheckResponse { status })),
            _ => Err(Status::not_found("unknown service")),
        })
    }
}

impl tower::Service<Request<Body>> for Health {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let health = self.clone();
        *health.headers.lock().expect("headers") = request.headers().clone();
        Box::pin(async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let codec: ProstCodec<CheckResponse, CheckRequest> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(health, request).await)
        })
    }
}

/// Some machines have no IPv6; what needs it is not tested there.
#[allow(clippy::print_stdout, reason = "the test harness shows it with the test")]
fn has_ipv6() -> bool {
    let bound = std::net::TcpListener::bind("[::1]:0");
    if let Err(err) = &bound {
        assert!(std::env::var_os("CI").is_none(), "skipped: no IPv6: {err}");
        println!("skipped: no IPv6: {err}");
    }
    bound.is_ok()
}

/// A port that is ours, and on which nothing listens, on either family.
fn silent_port() -> (TcpSocket, u16) {
    let (socket, address) = match has_ipv6() {
        true => (TcpSocket::new_v6(), "[::]:0"),
        false => (TcpSocket::new_v4(), "127.0.0.1:0"),
    };
    let socket = socket.expect("a socket");
    socket.bind(address.parse().expect("an address")).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

async fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).await.expect("an address to listen on");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

async fn serve(health: Health) -> u16 {
    let (listener, port) = listen("127.0.0.1:0").await;
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

async fn answer(answer: Result<i32, Status>, spec: Value) -> (ProbeResult, String) {
    let port = serve(Health::answering(answer)).await;
    let mut spec = spec;
    spec["port"] = port.into();
    (check(spec).await, format!("localhost:{port}"))
}

#[tokio::test]
async fn only_serving_is_healthy() {
    assert_eq!(answer(Ok(1), json!({})).await.0, ProbeResult::Success);
    assert_eq!(answer(Ok(1), json!({"service": "a"})).await.0, ProbeResult::Success);

    for (status, name) in [(0, "UNKNOWN"), (2, "NOT_SERVING"), (77, "UNKNOWN")] {
        let (result, server) = answer(Ok(status), json!({})).await;
        assert_eq!(result, ProbeResult::failure(format!("{server} answers {name}")));
    }
    let (result, server) = answer(Ok(2), json!({"service": "a"})).await;
    assert_eq!(result, ProbeResult::failure(format!("{server} answers NOT_SERVING for service `a`")));
}

#[tokio::test]
async fn an_unknown_service_is_a_failure() {
    for (status, service) in [(1, "b"), (3, "a")] {
        let (result, server) = answer(Ok(status), json!({"service": service})).await;
        assert_eq!(result, ProbeResult::failure(format!("{server} knows no service `{service}`")));
    }
    let lenient = json!({"service": "b", "onUnimplemented": "Succeed"});
    let (result, server) = answer(Ok(1), lenient).await;
    assert_eq!(result, ProbeResult::failure(format!("{server} knows no service `b`")));
}

#[tokio::test]
async fn an_error_is_a_failure_with_its_code() {
    let denied = Status::new(Code::PermissionDenied, "log in first");
    let (result, server) = answer(Err(denied), json!({})).await;
    assert_eq!(result, ProbeResult::failure(format!("{server} answers PermissionDenied: log in first")));
}

#[tokio::test]
async fn a_server_without_the_health_service_fails_unless_that_is_enough() {
    let (result, server) = answer(Err(Status::unimplemented("")), json!({})).await;
    let failure = ProbeResult::failure(format!("{server} does not implement grpc.health.v1.Health"));
    assert_eq!(result, failure);
    let (result, _) = answer(Err(Status::unimplemented("")), json!({"onUnimplemented": "Succeed"})).await;
    assert_eq!(result, ProbeResult::Success);
    let (result, _) = answer(Ok(2), json!({"onUnimplemented": "Succeed"})).await;
    assert!(matches!(result, ProbeResult::Failure(_)), "{result:?}");
}

#[tokio::test]
async fn a_server_that_speaks_no_grpc_is_a_failure() {
    // HTTP/1 alone; and HTTP/2 whose 404 must not be taken for gRPC's UNIMPLEMENTED.
    let (listener, http1) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
        }
    });
    let (listener, http2) = listen("127.0.0.1:0").await;
    let server = Server::builder().add_routes(Router::new().route("/", get(|| async {})).into());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let (listener, closing) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 1024]).await);
        }
    });

    for (port, why) in [
        (http1, "the server does not speak HTTP/2"),
        (http2, "it answers HTTP 404"),
        (closing, "the server closed the connection"),
    ] {
        let result = check(json!({"port": port, "onUnimplemented": "Succeed"})).await;
        assert_eq!(result, ProbeResult::failure(format!("no gRPC at localhost:{port}: {why}")));
    }
}

#[tokio::test]
async fn refusal_names_the_address_and_says_what_it_means() {
    let (_socket, port) = silent_port();
    for (host, who) in [
        ("localhost", format!("localhost:{port} (127.0.0.1 and ::1)")),
        ("127.0.0.1", format!("127.0.0.1:{port}")),
        ("::1", format!("[::1]:{port}")),
    ] {
        if host == "::1" && !has_ipv6() {
            continue;
        }
        let expected = format!("connection refused by {who}: nothing listens there");
        assert_eq!(check(json!({"host": host, "port": port})).await, ProbeResult::failure(expected));
    }
    let result = check(json!({"port": 80, "host": "no-such-host.invalid"})).await;
    let text = result.message();
    assert!(text.starts_with("host `no-such-host.invalid` cannot be resolved: "), "{text}");
}

#[tokio::test]
async fn localhost_is_tried_on_both_families() {
    if !has_ipv6() {
        return;
    }
    let (listener, port) = listen("[::1]:0").await;
    let server = Server::builder().add_service(Health::answering(Ok(1)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    assert_eq!(check(json!({"port": port, "host": "::1"})).await, ProbeResult::Success);
}

#[tokio::test]
async fn tls_takes_any_certificate() {
    let certified = rcgen::generate_simple_self_signed(vec!["elsewhere.example".into()]).expect("a key");
    let identity = Identity::from_pem(certified.cert.pem(), certified.signing_key.serialize_pem());
    let (listener, port) = listen("127.0.0.1:0").await;
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .expect("a TLS configuration")
        .add_service(Health::answering(Ok(1)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    for host in ["localhost", "127.0.0.1"] {
        let spec = json!({"port": port, "host": host, "tls": true});
        assert_eq!(check(spec).await, ProbeResult::Success, "{host}");
    }
    // Plain to TLS, and the other way round.
    let plain = serve(Health::answering(Ok(1))).await;
    for spec in [json!({"port": port}), json!({"port": plain, "tls": true})] {
        let result = check(spec.clone()).await;
        assert!(
            matches!(&result, ProbeResult::Failure(text) if text.starts_with("no gRPC at ")),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn the_server_is_told_who_asks_and_until_when() {
    let health = Health::answering(Ok(1));
    let port = serve(health.clone()).await;
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    let headers = health.headers.lock().expect("headers");
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(header("user-agent").starts_with("kube-probe/"), "{headers:?}");
    assert_eq!(header("grpc-timeout"), "5000000u");
}

#[tokio::test]
async fn every_check_has_a_connection_of_its_own() {
    let (listener, port) = listen("127.0.0.1:0").await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let incoming = TcpListenerStream::new(listener).map(move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        stream
    });
    tokio::spawn(Server::builder().add_service(Health::answering(Ok(1))).serve_with_incoming(incoming));
    let probe = build(json!({"port": port})).expect("a good spec");
    for _ in 0..5 {
        assert_eq!(probe.check(&context()).await, ProbeResult::Success);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn dropping_a_check_closes_its_connection() {
    let (listener, port) = listen("127.0.0.1:0").await;
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.read_to_end(&mut Vec::new()).await
    });
    let probe = build(json!({"port": port})).expect("a good spec");
    let result = tokio::time::timeout(Duration::from_millis(200), probe.check(&context())).await;
    assert!(result.is_err(), "{result:?}");
    let end = tokio::time::timeout(Duration::from_secs(10), silent).await.expect("closed by the probe");
    assert!(end.expect("no panic").is_ok());
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(spec).err().map(|err| err.to_string()).unwrap_or_default();
    assert_eq!(mistake(json!({"port": "htp"})), "port: no port is named `htp`");
    for host in ["", "a b", "http://a", "a/b", "u@h", "[::1]", "[a", "a]"] {
        let spec = json!({"port": 1, "host": host});
        assert_eq!(mistake(spec), "host: must be a host name or an IP address", "{host}");
    }
    for host in ["db.example", "::1", "fe80::1%lo"] {
        assert_eq!(mistake(json!({"port": 1, "host": host})), "", "{host}");
    }
    assert!(mistake(json!({"port": 1, "onUnimplemented": "No"})).contains("expected `Fail` or `Succeed`"));
    assert!(mistake(json!({"port": 1, "srvice": "a"})).contains("unknown field `srvice`"));
    assert!(mistake(json!({})).contains("missing field `port`"));
}

//! `tcpSocket` against real listeners.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, StartError};
use vitald_probe_tcp_socket::TcpSocketProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("tcpSocket runs no command")
    }
}

fn build(spec: Value) -> Result<TcpSocketProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    let component = ComponentContext { ports: [("http".into(), 8080)].into(), ..Default::default() };
    TcpSocketProbe::build(spec, &component)
}

async fn check(spec: Value) -> ProbeResult {
    let cx = CheckContext { timeout: Duration::from_secs(5), run: None, executor: Arc::new(NoExecutor) };
    build(spec).expect("a good spec").check(&cx).await
}

async fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).await.expect("an address to listen on");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
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

#[tokio::test]
async fn localhost_is_tried_on_both_families() {
    let (_v4, port) = listen("127.0.0.1:0").await;
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    if !has_ipv6() {
        return;
    }
    let (_v6, port) = listen("[::1]:0").await;
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    assert_eq!(check(json!({"port": port, "host": "::1"})).await, ProbeResult::Success);
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_healthy() {
    let (listener, port) = listen("127.0.0.1:0").await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for _ in 0..20 {
        assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    }
}

#[tokio::test]
async fn refusal_names_the_address_and_says_what_it_means() {
    let (_socket, port) = silent_port();
    let refused =
        |who: String| ProbeResult::failure(format!("connection refused by {who}: nothing listens there"));
    assert_eq!(check(json!({"port": port})).await, refused(format!("localhost:{port} (127.0.0.1 and ::1)")));
    assert_eq!(check(json!({"port": port, "host": "127.0.0.1"})).await, refused(format!("127.0.0.1:{port}")));
    if has_ipv6() {
        assert_eq!(check(json!({"port": port, "host": "::1"})).await, refused(format!("[::1]:{port}")));
    }
}

#[tokio::test]
async fn an_unknown_host_is_a_failure() {
    let result = check(json!({"port": 1, "host": "no-such-host.invalid"})).await;
    assert!(matches!(result, ProbeResult::Failure(_)), "{result:?}");
    let text = result.message();
    assert!(text.starts_with("host `no-such-host.invalid` cannot be resolved: "), "{text}");
}

/// The limit is that of a whole process: so this asks a second process.
#[tokio::test]
async fn no_descriptor_left_is_not_the_components_failure() {
    if std::env::var_os("FEW_DESCRIPTORS").is_none() {
        let status = std::process::Command::new("sh")
            .args(["-c", r#"ulimit -n 64 && exec "$0" --exact "$1""#])
            .arg(std::env::current_exe().expect("this test"))
            .arg("no_descriptor_left_is_not_the_components_failure")
            .env("FEW_DESCRIPTORS", "1")
            .status();
        return assert!(status.expect("a shell").success());
    }
    let (_listener, port) = listen("127.0.0.1:0").await;
    let spec = json!({"port": port, "host": "127.0.0.1"});
    let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let result = check(spec.clone()).await;
    let lookup = check(json!({"port": port, "host": "some-host.invalid"})).await;
    drop(all);
    let reason = format!("cannot connect to 127.0.0.1:{port}: too many open files");
    assert_eq!(result, ProbeResult::unknown(reason));
    let reason = "host `some-host.invalid` cannot be resolved: too many open files";
    assert_eq!(lookup, ProbeResult::unknown(reason));
    assert_eq!(check(spec).await, ProbeResult::Success);
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(spec).err().map(|err| err.to_string()).unwrap_or_default();
    assert_eq!(mistake(json!({"port": "htp"})), "port: no port is named `htp`");
    for host in ["", "a b", "http://a", "a:80", "a/b", "u@h", "[::1]"] {
        let spec = json!({"port": 1, "host": host});
        assert_eq!(mistake(spec), "host: must be a host name or an IP address", "{host}");
    }
    assert!(mistake(json!({"port": 0})).contains("expected a port number from 1 to 65535"));
    assert!(mistake(json!({"port": 65536})).contains("expected a port number from 1 to 65535"));
    assert!(mistake(json!({"port": 1, "hots": "a"})).contains("unknown field `hots`"));
    assert!(mistake(json!({})).contains("missing field `port`"));
    for host in ["localhost", "db.example", "127.0.0.1", "::1", "fe80::1%lo"] {
        assert!(build(json!({"port": "http", "host": host})).is_ok(), "{host}");
    }
}

//! `httpGet` against real servers, with the kubelet's own cases (`pkg/probe/http/http_test.go`).

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, StartError};
use vitald_probe_http_get::HttpGetProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("httpGet runs no command")
    }
}

fn build(spec: Value) -> Result<HttpGetProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    HttpGetProbe::build(spec, &ComponentContext::default())
}

fn context() -> CheckContext {
    CheckContext { timeout: Duration::from_secs(5), run: None, executor: Arc::new(NoExecutor) }
}

async fn check(spec: Value) -> ProbeResult {
    let probe = build(spec).expect("a good spec");
    tokio::time::timeout(Duration::from_secs(20), probe.check(&context())).await.expect("an end")
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

async fn serve(routes: Router) -> u16 {
    let (listener, port) = listen("127.0.0.1:0").await;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

/// Answers every connection with the same bytes, and tells what it was asked.
async fn serve_raw(answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let (listener, port) = listen("127.0.0.1:0").await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => break,
                }
            }
            log.lock().expect("a log").push(String::from_utf8_lossy(&request).into_owned());
            // The peer may be gone already.
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (port, asked)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The header lines of the request that a probe with these headers sends.
async fn sent(headers: Value) -> Vec<String> {
    let (port, asked) = serve_raw(OK).await;
    assert_eq!(check(json!({"port": port, "httpHeaders": headers})).await, ProbeResult::Success);
    let asked = asked.lock().expect("a log");
    let mut lines: Vec<String> = asked[0].trim_end().lines().skip(1).map(str::to_lowercase).collect();
    lines.retain(|line| !line.starts_with("host: 127.0.0.1") && !line.starts_with("host: localhost"));
    lines.sort();
    lines
}

#[tokio::test]
async fn statuses_are_judged_as_the_kubelet_does() {
    let port = serve(Router::new().route(
        "/{status}",
        get(|Path(status): Path<u16>| async move {
            (StatusCode::from_u16(status).expect("a status"), "  not\n well ")
        }),
    ))
    .await;
    let at = |status| json!({"host": "127.0.0.1", "port": port, "path": format!("/{status}")});
    for status in [200, 201, 204, 299] {
        assert_eq!(check(at(status)).await, ProbeResult::Success, "{status}");
    }
    // No redirect, as none says where to.
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(check(at(304)).await, ProbeResult::Warning(format!("HTTP 304 Not Modified from {url}/304")));
    assert_eq!(
        check(at(503)).await,
        ProbeResult::failure(format!("HTTP 503 Service Unavailable from {url}/503: not well"))
    );
    assert_eq!(
        check(at(400)).await,
        ProbeResult::failure(format!("HTTP 400 Bad Request from {url}/400: not well"))
    );
}

#[tokio::test]
async fn the_path_is_taken_leniently() {
    let (port, asked) = serve_raw(OK).await;
    for path in ["", "/", "healthz", "/healthz?full=1", "/a b"] {
        assert_eq!(check(json!({"port": port, "path": path})).await, ProbeResult::Success);
    }
    let asked: Vec<String> = asked
        .lock()
        .expect("a log")
        .iter()
        .map(|request| request.lines().next().unwrap_or_default().to_owned())
        .collect();
    let expected = ["/", "/", "/healthz", "/healthz?full=1", "/a%20b"];
    assert_eq!(asked, expected.map(|path| format!("GET {path} HTTP/1.1")));
}

#[tokio::test]
async fn localhost_is_tried_on_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && !has_ipv6() {
            continue;
        }
        let (listener, port) = listen(address).await;
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(|| async {}))).await });
        assert_eq!(check(json!({"port": port})).await, ProbeResult::Success, "{address}");
    }
}

#[tokio::test]
async fn headers_have_the_kubelets_defaults() {
    let agent = format!("user-agent: kube-probe/1.37 (vitald {})", env!("CARGO_PKG_VERSION"));
    assert_eq!(sent(json!([])).await, ["accept: */*", "connection: close", &agent]);
}

#[tokio::test]
async fn headers_can_be_overridden_removed_and_repeated() {
    let lines = sent(json!([
        {"name": "user-agent", "value": "me/1"}, {"name": "Accept", "value": "text/html"},
        {"name": "X-Repeated", "value": "a"}, {"name": "x-repeated", "value": "b"}, {"name": "X-Empty"},
        {"name": "Host", "value": "muffins.example"},
    ]))
    .await;
    let expected = ["accept: text/html", "connection: close", "host: muffins.example", "user-agent: me/1"];
    assert_eq!(lines[..4], expected);
    assert_eq!(
        lines[4..].iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
        ["x-empty:", "x-repeated: a", "x-repeated: b"]
    );
    // reqwest cannot leave `Accept` out altogether.
    let lines = sent(json!([{"name": "User-Agent", "value": ""}, {"name": "Accept", "value": ""}])).await;
    assert_eq!(
        lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>(),
        ["accept:", "connection: close"]
    );
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status).expect("a status");
        let port = serve(
            Router::new()
                .route("/", get(move || async move { (status, [("Location", "/new")]) }))
                .route("/bad", get(move || async move { (status, [("Location", "/none")]) }))
                .route("/new", get(|| async {})),
        )
        .await;
        assert_eq!(check(json!({"port": port})).await, ProbeResult::Success, "{status}");
        let result = check(json!({"port": port, "path": "/bad"})).await;
        let failure = format!("HTTP 404 Not Found from http://localhost:{port}/none");
        assert_eq!(result, ProbeResult::failure(failure), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_port_stays_on_the_host_and_keeps_the_host_header() {
    let echo = |request: Request| async move {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
        if host.as_deref() == Some("www.example") { StatusCode::OK } else { StatusCode::BAD_REQUEST }
    };
    let other = serve(Router::new().route("/", get(echo))).await;
    let port = serve(
        Router::new()
            .route("/", get(echo))
            .route("/local", get(|| async { Redirect::to("/") }))
            .route("/port", get(move || async move { Redirect::to(&format!("http://localhost:{other}/")) })),
    )
    .await;
    let headers = json!([{"name": "Host", "value": "www.example"}]);
    for path in ["/local", "/port"] {
        let result = check(json!({"port": port, "path": path, "httpHeaders": headers})).await;
        assert_eq!(result, ProbeResult::Success, "{path}");
    }
}

/// As Go's client, and so the kubelet: it is the same host that was meant to get them.
#[tokio::test]
async fn a_redirect_to_another_port_takes_secrets_along() {
    let guarded = |request: Request| async move {
        let headers = request.headers();
        let has = |name, value| headers.get(name).is_some_and(|found| found == value);
        match has("authorization", "Bearer x") && has("cookie", "a=b") {
            true => StatusCode::OK,
            false => StatusCode::UNAUTHORIZED,
        }
    };
    let other = serve(Router::new().route("/", get(guarded))).await;
    let elsewhere = move || async move { Redirect::to(&format!("http://localhost:{other}/")) };
    let port = serve(Router::new().route("/", get(elsewhere))).await;
    let headers = json!([{"name": "Authorization", "value": "Bearer x"}, {"name": "Cookie", "value": "a=b"}]);
    assert_eq!(check(json!({"port": port, "httpHeaders": headers})).await, ProbeResult::Success);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_a_success_with_a_warning() {
    let elsewhere = || async { Redirect::to("http://other.invalid/x") };
    let port = serve(Router::new().route("/", get(elsewhere))).await;
    let expected = format!(
        "HTTP 303 See Other from http://localhost:{port}/: redirect to another host, http://other.invalid/x, \
         is not followed"
    );
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Warning(expected));
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_a_failure() {
    let (_socket, silent) = silent_port();
    let to_silent = format!("http://127.0.0.1:{silent}/x");
    let port = serve(
        Router::new()
            .route("/silent", get(|| async move { Redirect::to(&to_silent) }))
            .route("/bad", get(|| async { (StatusCode::FOUND, [("Location", "http://[bad")]) })),
    )
    .await;
    let check = |path| check(json!({"host": "127.0.0.1", "port": port, "path": path}));
    let refused = format!("connection refused by 127.0.0.1:{silent}: nothing listens there");
    assert_eq!(check("/silent").await, ProbeResult::failure(refused));
    let bad =
        format!("HTTP 302 Found from http://127.0.0.1:{port}/bad: its Location, `http://[bad`, is no URL");
    assert_eq!(check("/bad").await, ProbeResult::failure(bad));
}

#[tokio::test]
async fn a_password_in_a_redirect_is_used_and_not_told() {
    let (rubbish, _) = serve_raw("220 mail.example ESMTP\r\n\r\n").await;
    let (short, _) = serve_raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").await;
    let (refusing, asked) = serve_raw("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    for other in [rubbish, short, refusing] {
        let elsewhere = move || async move { Redirect::to(&format!("http://me:hunter2@localhost:{other}/")) };
        let port = serve(Router::new().route("/", get(elsewhere))).await;
        let result = check(json!({"port": port})).await;
        assert!(matches!(result, ProbeResult::Failure(_)), "{result:?}");
        let text = result.message();
        assert!(text.contains(&format!("from http://localhost:{other}/")), "{text}");
    }
    let asked = asked.lock().expect("a log").concat().to_lowercase();
    assert!(asked.contains("authorization: basic bwu6ahvudgvymg=="), "{asked}");
}

#[tokio::test]
async fn a_location_makes_no_redirect_of_another_status() {
    let choices = || async { (StatusCode::MULTIPLE_CHOICES, [("Location", "/y")]) };
    let port = serve(Router::new().route("/", get(choices))).await;
    let expected = format!("HTTP 300 Multiple Choices from http://localhost:{port}/");
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Warning(expected));
}

#[tokio::test]
async fn an_empty_location_is_none() {
    let nowhere = || async { (StatusCode::FOUND, [("Location", "")]) };
    let port = serve(Router::new().route("/", get(nowhere))).await;
    let expected = format!("HTTP 302 Found from http://localhost:{port}/");
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Warning(expected));
}

#[tokio::test]
async fn ten_redirects_are_followed_and_no_more() {
    let hop = |Path(left): Path<u32>| async move {
        if left == 0 {
            return StatusCode::OK.into_response();
        }
        Redirect::to(&format!("/{}", left - 1)).into_response()
    };
    let port = serve(Router::new().route("/{left}", get(hop))).await;
    assert_eq!(check(json!({"port": port, "path": "/10"})).await, ProbeResult::Success);
    let result = check(json!({"port": port, "path": "/11"})).await;
    let failure = format!("more than 10 redirects from http://localhost:{port}/11");
    assert_eq!(result, ProbeResult::failure(failure));
}

#[tokio::test]
async fn a_body_without_end_is_read_no_further_than_needed() {
    let endless = || async {
        Body::from_stream(tokio_stream::iter(std::iter::repeat_with(|| {
            Ok::<_, Infallible>("x".repeat(1000))
        })))
    };
    let failing = move || async move { (StatusCode::INTERNAL_SERVER_ERROR, endless().await) };
    let port = serve(Router::new().route("/", get(endless)).route("/bad", get(failing))).await;
    assert_eq!(check(json!({"port": port})).await, ProbeResult::Success);
    let result = check(json!({"port": port, "path": "/bad"})).await;
    let body = "x".repeat(200);
    let expected = format!("HTTP 500 Internal Server Error from http://localhost:{port}/bad: {body}…");
    assert_eq!(result, ProbeResult::failure(expected));
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
}

#[tokio::test]
async fn what_is_no_http_answer_is_a_failure() {
    for (answer, why) in [
        ("", "connection closed before message completed"),
        ("220 mail.example ESMTP\r\n\r\n", "invalid HTTP version parsed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "end of file before message length reached"),
    ] {
        let (port, _) = serve_raw(answer).await;
        let expected = format!("no valid HTTP answer from http://localhost:{port}/: {why}");
        assert_eq!(check(json!({"port": port})).await, ProbeResult::failure(expected));
    }
    let result = check(json!({"port": 80, "host": "no-such-host.invalid"})).await;
    assert!(matches!(result, ProbeResult::Failure(_)), "{result:?}");
    let text = result.message();
    assert!(text.starts_with("host `no-such-host.invalid` cannot be resolved: "), "{text}");
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let certified = rcgen::generate_simple_self_signed(vec!["elsewhere.example".into()]).expect("a key");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key.into())
            })
            .expect("a TLS configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 1024];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(OK.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        }
    });
    assert_eq!(check(json!({"port": port, "scheme": "HTTPS"})).await, ProbeResult::Success);

    let (listener, plain) = listen("127.0.0.1:0").await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("a reader");
        stream.read_to_end(&mut Vec::new()).await
    });
    let result = check(json!({"port": plain, "scheme": "HTTPS"})).await;
    assert!(matches!(result, ProbeResult::Failure(_)), "{result:?}");
    let text = result.message();
    assert!(text.starts_with(&format!("no TLS with https://localhost:{plain}/: ")), "{text}");
}

#[tokio::test]
async fn every_check_has_a_connection_of_its_own() {
    let (listener, port) = listen("127.0.0.1:0").await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            // Offers to go on over the same connection.
            tokio::spawn(async move {
                let mut request = [0; 1024];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    drop(stream.write_all(OK.as_bytes()).await);
                }
            });
        }
    });
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
        let (mut stream, _): (_, SocketAddr) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await
    });
    let probe = build(json!({"port": port})).expect("a good spec");
    let result = tokio::time::timeout(Duration::from_millis(200), probe.check(&context())).await;
    assert!(result.is_err(), "{result:?}");
    let end = tokio::time::timeout(Duration::from_secs(10), silent).await.expect("closed by the probe");
    assert!(end.expect("no panic").is_ok());
}

/// Proxies come from the environment of the process: so this asks a second process.
#[tokio::test]
async fn proxies_are_ignored() {
    let (port, _) = serve_raw(OK).await;
    if let Ok(port) = std::env::var("PROBE_PORT") {
        let spec = json!({"host": "127.0.0.1", "port": port.parse::<u16>().expect("a port")});
        return assert_eq!(check(spec).await, ProbeResult::Success);
    }
    let (proxy, through_proxy) = serve_raw("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let status = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "proxies_are_ignored"])
        .env("PROBE_PORT", port.to_string())
        .envs(
            ["http_proxy", "HTTP_PROXY", "all_proxy"].map(|name| (name, format!("http://127.0.0.1:{proxy}"))),
        )
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .status()
        .await
        .expect("this test");
    assert!(status.success());
    assert!(through_proxy.lock().expect("a log").is_empty());
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(spec).err().map(|err| err.to_string()).unwrap_or_default();
    assert_eq!(mistake(json!({"port": "htp"})), "port: no port is named `htp`");
    for host in ["", "a b", "http://a", "a:80", "a/b"] {
        let spec = json!({"port": 1, "host": host});
        assert_eq!(mistake(spec), "host: must be a host name or an IP address", "{host}");
    }
    assert_eq!(
        mistake(json!({"port": 1, "httpHeaders": [{"name": "a"}, {"name": "b c"}]})),
        "httpHeaders[1].name: must be the name of an HTTP header"
    );
    assert_eq!(
        mistake(json!({"port": 1, "httpHeaders": [{"name": "a", "value": "b\r\nc: d"}]})),
        "httpHeaders[0].value: must not contain line breaks or control characters"
    );
    assert!(mistake(json!({"port": 1, "scheme": "https"})).contains("expected `HTTP` or `HTTPS`"));
    assert!(mistake(json!({"port": 1, "pth": "/"})).contains("unknown field `pth`"));
    assert!(mistake(json!({})).contains("missing field `port`"));
}

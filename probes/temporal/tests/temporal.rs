//! `temporal` against a frontend that is made up: what a real one does only on a bad day. The real one, with
//! real workers, is in `tests/temporal`.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

mod frontend;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use frontend::{Activity, Fake, Served};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, ProcessIdentity, RunView, StartError};
use vitald_probe_temporal::TemporalProbe;

struct NoExecutor;

#[async_trait]
impl Executor for NoExecutor {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        unreachable!("temporal runs no command")
    }
}

/// A run of one process: this one.
struct Own;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a pid")
}

fn own_identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    format!("{}@{}", own_pid(), host.trim())
}

impl RunView for Own {
    fn process(&self) -> ProcessIdentity {
        ProcessIdentity { pid: own_pid(), start_time: 0, boot_id: String::new() }
    }

    fn log_offset(&self) -> u64 {
        0
    }
}

fn build(dir: &Path, spec: Value) -> Result<TemporalProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    let component = ComponentContext { working_dir: dir.to_owned(), ..ComponentContext::default() };
    TemporalProbe::build(spec, &component)
}

fn good(spec: Value) -> TemporalProbe {
    build(Path::new("/"), spec).expect("a good spec")
}

fn context(timeout: Duration, run: Option<Arc<dyn RunView>>) -> CheckContext {
    CheckContext { timeout, run, executor: Arc::new(NoExecutor) }
}

async fn ask(probe: &TemporalProbe) -> ProbeResult {
    let cx = context(Duration::from_secs(5), Some(Arc::new(Own)));
    tokio::time::timeout(Duration::from_secs(20), probe.check(&cx)).await.expect("an end")
}

/// A check of this frontend's queue `q`, with more fields.
async fn check(fake: &Fake, more: Value) -> ProbeResult {
    let served = Served::new(fake).await;
    let mut spec = json!({"address": served.address(), "taskQueue": "q"});
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    ask(&good(spec)).await
}

#[tokio::test]
async fn without_a_queue_the_namespace_is_enough() {
    let served = Served::new(&Fake::default()).await;
    let address = served.address();
    assert_eq!(ask(&good(json!({"address": address}))).await, ProbeResult::Success);
    let failure = format!("{address} has no namespace `nope`: Namespace nope is not found.");
    let elsewhere = good(json!({"address": address, "namespace": "nope"}));
    assert_eq!(ask(&elsewhere).await, ProbeResult::failure(failure));
}

#[tokio::test]
async fn a_recent_poll_is_healthy_and_an_old_one_is_not() {
    let fake = Fake::default().polled("1@a", 60).polled("2@b", 200);
    assert_eq!(check(&fake, json!({})).await, ProbeResult::Success);
    let reason = "2@b polled the workflow queue `q` 200 s ago, and not since: more than 90 s";
    assert_eq!(check(&fake, json!({"identity": "*@b"})).await, ProbeResult::failure(reason));
    let patient = json!({"identity": "*@b", "maxPollAgeSeconds": 300});
    assert_eq!(check(&fake, patient).await, ProbeResult::Success);
    let reason = "1 of 2 workers polled the workflow queue `q` in the last 90 s";
    assert_eq!(check(&fake, json!({"minPollers": 2})).await, ProbeResult::failure(reason));
}

#[tokio::test]
async fn one_among_a_thousand_is_found() {
    let mut fake = Fake::default().polled("own@a", 10);
    for number in 0..1000 {
        fake = fake.polled(&format!("{number}@elsewhere"), 1);
    }
    assert_eq!(check(&fake, json!({"identity": "own@*"})).await, ProbeResult::Success);
    assert_eq!(check(&fake, json!({"minPollers": 1001})).await, ProbeResult::Success);
    let reason = "1001 of 1002 workers polled the workflow queue `q` in the last 90 s";
    assert_eq!(check(&fake, json!({"minPollers": 1002})).await, ProbeResult::failure(reason));
    let none = check(&fake, json!({"identity": "other@*"})).await;
    assert!(matches!(&none, ProbeResult::Failure(text) if text.len() < 200), "{none:?}");
}

#[tokio::test]
async fn each_type_that_is_named_must_be_polled() {
    let fake = Fake::default().polled("1@a", 3);
    let types = json!({"taskQueueTypes": ["workflow", "nexus"]});
    let reason = "nobody polls the nexus queue `q` in namespace `default`";
    assert_eq!(check(&fake, types).await, ProbeResult::failure(reason));
    let reason = "nobody polls the workflow queue `other` in namespace `default`";
    assert_eq!(check(&fake, json!({"taskQueue": "other"})).await, ProbeResult::failure(reason));
}

#[tokio::test]
async fn by_pid_nobody_else_counts() {
    let others = Fake::default().polled("1@elsewhere", 1).polled(&format!("{}@elsewhere", own_pid()), 2);
    let pid = json!({"identity": "Pid"});
    let result = check(&others, pid.clone()).await;
    let begin = "the workflow queue `q` is polled by others, such as 1@elsewhere, and not by the component's";
    assert!(matches!(&result, ProbeResult::Failure(text) if text.starts_with(begin)), "{result:?}");
    for more in ["", "@", "@q@5"] {
        let ours = others.clone().polled(&format!("{}{more}", own_identity()), 3);
        assert_eq!(check(&ours, pid.clone()).await, ProbeResult::Success, "{more}");
    }
    // Outside a supervisor there is nothing to compare with.
    let probe = good(json!({"taskQueue": "q", "identity": "Pid"}));
    let result = probe.check(&context(Duration::from_secs(1), None)).await;
    assert!(matches!(&result, ProbeResult::Unknown(text) if text.contains("give a pattern")), "{result:?}");
}

#[tokio::test]
async fn a_worker_with_an_activity_under_way_is_busy() {
    const SCHEDULED: i32 = 1;
    const STARTED: i32 = 2;
    let activity = json!({"taskQueueTypes": ["activity"]});
    let old = Fake::default().polled("1@a", 200);
    let reason = "1@a polled the activity queue `q` 200 s ago, and not since: more than 90 s";
    assert_eq!(check(&old, activity.clone()).await, ProbeResult::failure(reason));
    for (state, queue, is_busy) in
        [(STARTED, "q", true), (STARTED, "", true), (STARTED, "other", false), (SCHEDULED, "q", false)]
    {
        let fake = old.clone().with(Activity { identity: "1@a", queue, state });
        let expected = match is_busy {
            true => ProbeResult::Warning(format!("{reason}; but 1@a has an activity of it under way: busy")),
            false => ProbeResult::failure(reason),
        };
        assert_eq!(check(&fake, activity.clone()).await, expected, "{state} {queue}");
    }
    // Somebody else's work says nothing of ours, and activities say nothing of a workflow queue.
    let fake = old.with(Activity { identity: "1@a", queue: "q", state: STARTED });
    let ours = json!({"taskQueueTypes": ["activity"], "identity": "Pid"});
    assert!(matches!(check(&fake, ours).await, ProbeResult::Failure(_)));
    assert!(matches!(check(&fake, json!({})).await, ProbeResult::Failure(_)));
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_unknown_unless_it_is_to_fail() {
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = unused.local_addr().expect("an address").to_string();
    drop(unused);
    let closing = frontend::closing().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = listener.local_addr().expect("an address").to_string();
    let unwell = Served::new(&Fake::failing(Status::unavailable("shutting down"))).await;
    let other = Served::new(&Fake::failing(Status::unimplemented(""))).await;
    let (unwell, other) = (unwell.address(), other.address());
    for (address, why) in [
        (&gone, format!("connection refused by {gone}: nothing listens there")),
        (&closing, format!("no gRPC at {closing}: the server closed the connection")),
        (&silent, format!("no answer from {silent} within 0.9 s")),
        (&unwell, format!("{unwell} answers Unavailable to DescribeTaskQueue: shutting down")),
        (&other, format!("{other} does not implement DescribeTaskQueue: is it Temporal?")),
    ] {
        // The caller would take a check that it has to end for a failure.
        let timeout = Duration::from_secs(1);
        let cx = context(timeout, None);
        let probe = good(json!({"address": address, "taskQueue": "q"}));
        let result = tokio::time::timeout(timeout, probe.check(&cx)).await;
        assert_eq!(result, Ok(ProbeResult::unknown(why.clone())));

        let strict = json!({"address": address, "taskQueue": "q", "onServerUnavailable": "Fail"});
        let probe = good(strict);
        match tokio::time::timeout(timeout, probe.check(&cx)).await {
            Ok(result) if *address == silent => assert!(matches!(result, ProbeResult::Failure(_))),
            Ok(result) => assert_eq!(result, ProbeResult::failure(why)),
            Err(_) => assert_eq!(*address, silent, "nothing else is left to the caller"),
        }
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_unknown_whatever_an_outage_is() {
    for (status, why) in [
        (
            Status::permission_denied("no"),
            "PermissionDenied to DescribeTaskQueue: no; does it want an `apiKey`?",
        ),
        (Status::unauthenticated(""), "Unauthenticated to DescribeTaskQueue; does it want an `apiKey`?"),
        (Status::resource_exhausted("slow down"), "ResourceExhausted to DescribeTaskQueue: slow down"),
    ] {
        let served = Served::new(&Fake::failing(status)).await;
        let spec = json!({"address": served.address(), "taskQueue": "q", "onServerUnavailable": "Fail"});
        let expected = format!("{} answers {why}", served.address());
        assert_eq!(ask(&good(spec)).await, ProbeResult::unknown(expected));
    }
}

#[tokio::test]
async fn workers_get_time_to_return_to_a_server_that_was_away() {
    let mut served = Served::new(&Fake::default().polled("1@a", 200)).await;
    let probe = good(json!({"address": served.address(), "taskQueue": "q"}));
    assert!(matches!(ask(&probe).await, ProbeResult::Failure(_)));
    served.stop().await;
    assert!(matches!(ask(&probe).await, ProbeResult::Unknown(_)));
    served.restart(&Fake::default()).await;
    let result = ask(&probe).await;
    let end = format!("but {} is back for 0 s only, and workers have 90 s to return", served.address());
    assert!(matches!(&result, ProbeResult::Unknown(text) if text.ends_with(&end)), "{result:?}");
    served.stop().await;
    served.restart(&Fake::default().polled("1@a", 1)).await;
    assert_eq!(ask(&probe).await, ProbeResult::Success, "the next check finds it at once");
}

#[tokio::test]
async fn a_restart_of_the_server_between_two_checks_makes_nobody_fail() {
    let mut served = Served::new(&Fake::default().polled("1@a", 10)).await;
    let probe = good(json!({"address": served.address(), "taskQueue": "q"}));
    assert_eq!(ask(&probe).await, ProbeResult::Success);
    served.stop().await;
    served.restart(&Fake::default()).await;
    assert_eq!(ask(&probe).await, ProbeResult::Success);
}

#[tokio::test]
async fn the_server_is_told_who_asks_and_until_when() {
    let fake = Fake::default().polled("1@a", 1);
    assert_eq!(check(&fake, json!({})).await, ProbeResult::Success);
    let headers = fake.headers();
    assert!(headers["user-agent"].to_str().is_ok_and(|who| who.starts_with("vitald/")), "{headers:?}");
    let timeout = headers["grpc-timeout"].to_str().expect("text");
    let micros: u64 = timeout.strip_suffix('u').and_then(|n| n.parse().ok()).expect(timeout);
    assert!((500_000..=4_500_000).contains(&micros), "what is left of nine tenths of 5 s, not {timeout}");
    assert!(!headers.contains_key("authorization"));
}

/// A folder with the certificate `ca.pem` and a key in `secrets.env`, and a server that has both.
async fn secure() -> (TempDir, Fake, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a key");
    std::fs::write(dir.path().join("ca.pem"), certified.cert.pem()).expect("a file");
    std::fs::write(dir.path().join("secrets.env"), "OTHER=x\nKEY='hunter2'\n").expect("a file");
    let identity = Identity::from_pem(certified.cert.pem(), certified.signing_key.serialize_pem());
    let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity));
    let fake = Fake::default().polled("1@a", 1).wanting("Bearer hunter2");
    let port = frontend::serve(server.expect("a TLS configuration"), &fake).await;
    (dir, fake, format!("localhost:{port}"))
}

#[tokio::test]
async fn a_key_goes_to_the_right_server_only_and_is_never_told() {
    let (dir, fake, address) = secure().await;
    let key = json!({"fileKeyRef": {"path": "secrets.env", "key": "KEY"}});
    let mut spec = json!({"address": address, "taskQueue": "q", "tls": true, "apiKey": key});
    spec["caFile"] = "ca.pem".into();
    let probe = build(dir.path(), spec.clone()).expect("a good spec");
    assert_eq!(ask(&probe).await, ProbeResult::Success);
    assert_eq!(fake.headers()["authorization"], "Bearer hunter2");
    assert_eq!(fake.headers()["temporal-namespace"], "default");

    // A changed key counts at once; what the server says of it is not repeated, nor the half of one that is too
    // long to be shown.
    let long = "3".repeat(300);
    for key in ["hunter3", long.as_str()] {
        std::fs::write(dir.path().join("secrets.env"), format!("KEY={key}")).expect("a file");
        let refused = ask(&probe).await;
        let end = "answers Unauthenticated to DescribeTaskQueue: not you, Bearer …; look at `apiKey`";
        assert!(matches!(&refused, ProbeResult::Unknown(text) if text.ends_with(end)), "{refused:?}");
    }

    // No system trusts this certificate; without a key it is taken as it is.
    spec.as_object_mut().expect("fields").remove("caFile");
    let seen_before = fake.count();
    let result = ask(&build(dir.path(), spec.clone()).expect("a good spec")).await;
    assert!(matches!(&result, ProbeResult::Unknown(text) if text.contains("certificate")), "{result:?}");
    assert_eq!(fake.count(), seen_before, "nothing was sent");
    spec.as_object_mut().expect("fields").remove("apiKey");
    let result = ask(&build(dir.path(), spec).expect("a good spec")).await;
    assert!(result.message().ends_with("does it want an `apiKey`?"), "it was asked: {result:?}");
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_unknown() {
    let (dir, fake, address) = secure().await;
    for (content, path, key, why) in [
        ("KEY=hunter2", "secrets.env", "NAME", "/secrets.env has no key `NAME`"),
        ("hunter2", "secrets.env", "KEY", "/secrets.env:1: expected NAME=value"),
        ("KEY=\u{7f}", "secrets.env", "KEY", "/secrets.env: the value of `KEY` cannot be sent in a header"),
        ("", "missing.env", "KEY", "/missing.env: no such file or directory"),
        ("", ".", "KEY", "/.: not a regular file"),
    ] {
        std::fs::write(dir.path().join("secrets.env"), content).expect("a file");
        let reference = json!({"fileKeyRef": {"path": path, "key": key}});
        let spec = json!({"address": address, "tls": true, "apiKey": reference});
        let result = ask(&build(dir.path(), spec).expect("a good spec")).await;
        assert_eq!(result, ProbeResult::unknown(format!("apiKey: {}{why}", dir.path().display())));
    }
    assert_eq!(fake.count(), 0);
}

/// Opening a pipe waits for somebody to write to it, and whoever waits for that keeps no deadline.
#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
    let (dir, fake, address) = secure().await;
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let key = json!({"fileKeyRef": {"path": "pipe", "key": "KEY"}});
    for (field, value, name) in [("caFile", json!("pipe"), "caFile "), ("apiKey", key, "apiKey: ")] {
        let probe = build(dir.path(), json!({"address": address, "tls": true, field: value}));
        let probe = probe.expect("a good spec");
        // On a thread of its own: one that waits there for ever is not to hold up this test.
        let (told, answer) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || told.send(runtime.block_on(ask(&probe))));
        let answer = tokio::task::spawn_blocking(move || answer.recv_timeout(Duration::from_secs(20)));
        let result = answer.await.expect("no panic").expect("an answer");
        let expected = format!("{name}{}: not a regular file", pipe.display());
        assert_eq!(result, ProbeResult::unknown(expected));
    }
    assert_eq!(fake.count(), 0);
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(Path::new("/"), spec).err().map(|err| err.to_string()).unwrap_or_default();
    for address in [
        "",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:70000",
        "a b:1",
        "::1:7233",
        "[::1]",
        "http://a:1",
        "u@h:1",
        "[a]:1",
        "a/b:1",
    ] {
        let wrong = "address: must be `host:port`, such as `127.0.0.1:7233`";
        assert_eq!(mistake(json!({"address": address})), wrong, "{address}");
    }
    for address in ["localhost:1", "a.example:7233", "[::1]:7233", "127.0.0.1:65535"] {
        assert_eq!(mistake(json!({"address": address})), "", "{address}");
    }
    let age = "maxPollAgeSeconds: must be at least 65: the poll of an idle worker lasts 60 s";
    assert_eq!(mistake(json!({"maxPollAgeSeconds": 64.9})), age);
    assert_eq!(mistake(json!({"taskQueue": "q", "maxPollAgeSeconds": 65})), "");
    assert_eq!(mistake(json!({"minPollers": 0})), "minPollers: must be at least 1");
    assert_eq!(mistake(json!({"taskQueueTypes": []})), "taskQueueTypes: must name at least one type");
    assert_eq!(mistake(json!({"taskQueue": ""})), "taskQueue: must not be empty");
    assert_eq!(mistake(json!({"namespace": ""})), "namespace: must not be empty");
    assert_eq!(mistake(json!({"identity": "pid"})), "identity: must be spelt `Pid`");
    assert_eq!(mistake(json!({"caFile": "ca.pem"})), "caFile: is of use with `tls: true` only");
    assert!(mistake(json!({"onServerUnavailable": "No"})).contains("expected `Unknown` or `Fail`"));
    assert!(mistake(json!({"taskqueue": "q"})).contains("unknown field `taskqueue`"));
    assert!(mistake(json!({"apiKey": "hunter2"})).contains("expected struct ApiKey"));
    // Who forgets the queue would think that workers are watched.
    for (field, value) in [
        ("taskQueueTypes", json!(["activity"])),
        ("maxPollAgeSeconds", json!(70)),
        ("minPollers", json!(2)),
        ("identity", json!("Pid")),
    ] {
        let forgotten = format!("{field}: is about the workers of a task queue: name it in `taskQueue`");
        assert_eq!(mistake(json!({field: value})), forgotten);
    }
    let key = json!({"fileKeyRef": {"path": "a", "key": "b"}});
    let open = mistake(json!({"address": "a.example:7233", "apiKey": key}));
    assert_eq!(open, "apiKey: needs `tls: true`: it would be sent over the network for all to read");
    assert_eq!(mistake(json!({"address": "localhost:7233", "apiKey": key})), "");
}

//! The client against a server that says what a supervisor would.

// The lint knows tests from helpers, but not helpers of tests.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use vitald_client::{Client, Error, ShutdownMode};
use vitald_core::spec::ProbeRole;
use vitald_core::status::{PluginState, ProbeState, State};

/// Listens where a supervisor would. By a descriptor of the folder, whose path may be longer than that of a socket.
fn listen(state_dir: &Path) -> UnixListener {
    let folder = File::open(state_dir).unwrap();
    UnixListener::bind(format!("/proc/self/fd/{}/vitald.sock", folder.as_raw_fd())).unwrap()
}

/// Serves `routes` in a state dir of its own.
async fn supervisor(routes: Router) -> (tempfile::TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let listener = listen(dir.path());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = Client::connect(dir.path()).await.unwrap();
    (dir, client)
}

fn web() -> Value {
    json!({
        "name": "web", "kind": "process", "state": "Running", "reason": "", "message": "",
        "ready": true, "pid": 4242, "startedAt": "2026-01-22T10:00:00.000Z", "uptimeSeconds": 12.5,
        "restartCount": 3, "restartsInWindow": 1, "maxRestarts": 10, "nextRestartSeconds": null,
        "lastExit": null, "lastError": "liveness probe failed", "logFile": null, "probes": [],
    })
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Client::connect(&dir.path().join("none")).await;
    assert!(matches!(missing, Err(Error::NoSupervisor { .. })), "{missing:?}");
    let silent = Client::connect(dir.path()).await;
    assert!(matches!(silent, Err(Error::NoSupervisor { .. })), "{silent:?}");
    drop(listen(dir.path()));
    let stale = Client::connect(dir.path()).await;
    assert!(matches!(stale, Err(Error::NoSupervisor { .. })), "{stale:?}");
}

#[tokio::test]
async fn one_that_dies_over_a_question_is_no_supervisor_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let listener = listen(dir.path());
    let client = Client::connect(dir.path()).await.unwrap();
    tokio::spawn(async move {
        // `connect` has looked whether somebody listens.
        drop(listener.accept().await);
        drop(listener.accept().await);
    });
    let died = client.stop(&["web"]).await;
    let Err(Error::NoSupervisor { reason, .. }) = died else { panic!("{died:?}") };
    assert_eq!(reason, "it ended before it had answered");
}

#[tokio::test]
async fn a_component_and_its_name_survive_the_way() {
    let detail = |name: String| {
        let mut detail = web();
        detail["name"] = name.into();
        for (key, value) in [
            ("labels", json!({})),
            ("annotations", json!({})),
            ("command", json!(["web"])),
            ("workingDir", json!("/")),
            ("dependsOn", json!([])),
            ("restartPolicy", json!("Always")),
            ("terminationGracePeriodSeconds", json!(10.0)),
            ("run", json!(4)),
            ("runs", json!([])),
            ("events", json!([])),
        ] {
            detail[key] = value;
        }
        detail
    };
    let route =
        get(move |axum::extract::Path(name): axum::extract::Path<String>| async move { Json(detail(name)) });
    let (_dir, client) = supervisor(Router::new().route("/v1/components/{name}", route)).await;

    let component = client.component("we/b ?ü").await.unwrap();
    assert_eq!(component.name(), "we/b ?ü");
    assert_eq!((component.state(), component.is_healthy()), (State::Running, true));
    assert_eq!(component.uptime().unwrap().as_secs_f64(), 12.5);
    assert_eq!(component.restart_count(), 3);
    assert_eq!(component.last_error(), Some("liveness probe failed"));
}

#[tokio::test]
async fn commands_carry_names_and_refusals_carry_reasons() {
    let refuse = async |body: Bytes| {
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"names": ["nope"]}));
        (StatusCode::NOT_FOUND, Json(json!({"error": "no component is named `nope`"})))
    };
    let routes = Router::new()
        .route("/v1/components/start", post(async || Json(json!([web()]))))
        .route("/v1/components/stop", post(refuse));
    let (_dir, client) = supervisor(routes).await;

    assert_eq!(client.start(&["web"]).await.unwrap()[0].pid, Some(4242));
    match client.stop(&["nope"]).await {
        Err(Error::Refused { status: 404, message }) => assert_eq!(message, "no component is named `nope`"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn specs_carry_where_they_are_from() {
    let apply = async |Json(body): Json<Value>| {
        assert_eq!(body, json!({"components": [], "manifests": ["/srv/manifests"]}));
        Json(json!({"created": [], "changed": [], "relabelled": [], "removed": ["web"], "unchanged": []}))
    };
    let plan = async |Json(body): Json<Value>| {
        assert_eq!(body, json!({"components": []}));
        Json(json!({"created": [], "changed": [], "relabelled": [], "removed": [], "unchanged": []}))
    };
    let routes = Router::new()
        .route("/v1/specs", get(async || Json(json!([]))))
        .route("/v1/plan", post(plan))
        .route("/v1/apply", post(apply));
    let (_dir, client) = supervisor(routes).await;
    assert_eq!(client.specs().await.unwrap(), []);
    assert!(client.plan(&[]).await.unwrap().is_empty());
    assert_eq!(client.apply(&[], Some(&["/srv/manifests".into()])).await.unwrap().removed, ["web"]);
}

#[tokio::test]
async fn probes_and_shutdown() {
    let answer = json!({"type": "liveness", "state": "Unknown", "message": "cannot ask", "latencyMs": 1.5});
    let routes =
        Router::new().route("/v1/components/web/probes/liveness", post(async || Json(answer))).route(
            "/v1/shutdown",
            post(async |Json(body): Json<Value>| {
                assert_eq!(body, json!({"mode": "now"}));
                StatusCode::ACCEPTED
            }),
        );
    let (_dir, client) = supervisor(routes).await;
    let answer = client.run_probe("web", ProbeRole::Liveness).await.unwrap();
    assert_eq!((answer.state, answer.message.as_str()), (ProbeState::Unknown, "cannot ask"));
    client.shutdown(ShutdownMode::Now).await.unwrap();
}

#[tokio::test]
async fn events_arrive_however_they_are_cut() {
    let line = |reason: &str| {
        let event = json!({"time": "2026-01-22T10:00:00.000Z", "component": "web", "type": "Normal",
            "reason": reason, "message": "", "count": 1});
        format!("{event}\n")
    };
    let text = line("Started") + &line("Unhealthy") + &line("Killing");
    let chunks: Vec<_> = text.into_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    let route = get(move || {
        let chunks = chunks.clone();
        async move { Body::from_stream(stream::iter(chunks).map(Ok::<_, std::convert::Infallible>)) }
    });
    let (_dir, client) = supervisor(Router::new().route("/v1/events", route)).await;

    let reasons: Vec<_> = client.events(None).await.unwrap().into_iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["Started", "Unhealthy", "Killing"]);
    let followed: Vec<_> =
        client.events_follow(Some("web")).await.unwrap().map(|event| event.unwrap().reason).collect().await;
    assert_eq!(followed, ["Started", "Unhealthy", "Killing"]);
}

#[tokio::test]
async fn a_path_may_be_long() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(200));
    std::fs::create_dir(&long).unwrap();
    let listener = listen(&long);
    Client::connect(Path::new(&long)).await.unwrap();
    drop(listener);
}

#[tokio::test]
async fn libraries_of_custom_probes_are_listed_and_looked_for_again() {
    let list = json!([
        {"file": "/p/a.so", "state": "Loaded", "message": "", "probes": ["diskSpace"], "about":
            {"name": "disk-space", "version": "0.1.0", "abi": "1.0", "sdk": "0.1.0", "rustc": "rustc 1.95.0",
             "panicAborts": false}},
        {"file": "/p/b.so", "state": "Refused", "message": "others may write to it", "probes": [], "about": null},
    ]);
    let refusal = json!({"error": "/p/a.so: path: must be absolute; nothing was changed"});
    let routes = Router::new()
        .route("/v1/plugins", get(async move || Json(list)))
        .route("/v1/plugins/folders", get(async || Json(json!(["/p", "/state/plugins"]))))
        .route(
            "/v1/plugins/limits",
            get(async || Json(json!({"memory": 1 << 30, "openFiles": 100, "more": 1}))),
        )
        .route("/v1/plugins/reload", post(async move || (StatusCode::CONFLICT, Json(refusal))));
    let (_dir, client) = supervisor(routes).await;
    let plugins = client.plugins().await.unwrap();
    assert_eq!((plugins[0].state, plugins[1].state), (PluginState::Loaded, PluginState::Refused));
    assert_eq!(plugins[0].about.as_ref().map(|about| about.name.as_str()), Some("disk-space"));
    assert_eq!(
        client.plugin_folders().await.unwrap(),
        ["/p", "/state/plugins"].map(std::path::PathBuf::from)
    );
    let limits = client.plugin_limits().await.unwrap().unwrap();
    assert_eq!((limits.memory, limits.open_files), (1 << 30, 100));
    let Err(Error::Refused { status: 409, message }) = client.reload_plugins().await else { panic!() };
    assert!(message.ends_with("nothing was changed"), "{message}");
}

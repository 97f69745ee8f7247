//! A real Temporal development server under vitald, as `manifests/temporal` has it.
//!
//! `cargo xtask test temporal` makes sure that there is a `temporal` on PATH. Each test has a server of its
//! own, on a port of its own.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;
use vitald_tests::{Component, Output, Pid, Supervisor, counting_proxy, eventually, free_port, seconds};

/// Long enough for a server to start on a machine with other things to do.
const START: Duration = Duration::from_secs(60);

/// The repository's manifest on another port, with a liveness probe that is asked more often.
fn temporal(port: u16) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/temporal/temporal.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    text.replace("7233", &port.to_string()).replace("periodSeconds: 5", "periodSeconds: 1")
}

fn ready(s: &Supervisor) -> Component {
    s.wait_for("temporal", "running and ready", START, |c| c.state == "Running" && c.ready)
}

/// What a user of the server does: asks it something, by its own client.
fn ask(port: u16) -> Output {
    let address = format!("127.0.0.1:{port}");
    Output::of(Command::new("temporal").args(["operator", "namespace", "list", "--address", &address]))
}

#[track_caller]
fn assert_works(port: u16) {
    let answer = ask(port);
    assert!(answer.code == 0 && answer.stdout.contains("default"), "{answer:?}");
}

#[test]
fn starts_and_becomes_ready() {
    let port = free_port();
    let s = Supervisor::prepare(&temporal(port));
    s.cli(&["up", "-f", "manifests", "--timeout", "60"]).expect(0);
    let server = s.component("temporal");
    assert!(server.state == "Running" && server.ready, "{server:?}");
    assert_eq!((server.restart_count, server.last_error), (0, None));
    assert_works(port);
    s.wait_for("temporal", "a liveness answer", seconds(10), |c| {
        c.probe("liveness").state.as_deref() == Some("Success")
    });
    let service = "service=temporal.api.workflowservice.v1.WorkflowService";
    s.cli(&["check", "grpc", &format!("port={port}"), service]).expect(0);
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn kill_is_seen_and_recovered() {
    let port = free_port();
    // Long enough to be looked at while it lasts, on a slow machine, too.
    let delay = "spec:\n  restart: {backoff: {initialSeconds: 10}}";
    let s = Supervisor::run(&temporal(port).replace("spec:", delay));
    let first = ready(&s);
    first.pid().kill();
    let waiting = s.wait_for("temporal", "waiting out the delay", seconds(9), |c| {
        c.is("Restarting", "CrashLoopBackOff")
    });
    assert!(!waiting.ready && waiting.pid.is_none(), "{waiting:?}");
    assert_eq!(waiting.last_exit().signal.as_deref(), Some("SIGKILL"));
    assert_ne!(ask(port).code, 0, "nothing can answer just now");

    let second = s.wait_for("temporal", "ready again", START, |c| c.restart_count == 1 && c.ready);
    assert_ne!(second.pid, first.pid);
    assert_works(port);
    let events = s.events_of("temporal").join("\n");
    assert!(events.contains("Restarted temporal (attempt 1/10)"), "{events}");
}

#[test]
fn hang_is_found_by_the_probe_and_recovered() {
    let port = free_port();
    let s = Supervisor::run(&temporal(port));
    let frozen = ready(&s).pid();
    frozen.signal(Signal::SIGSTOP);
    eventually("the server to freeze", seconds(2), || (frozen.state() == 'T').then_some(()), String::new);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "the port stays open: a TCP probe sees nothing");

    let restarted = s.wait_for("temporal", "a restart", START, |c| c.restart_count == 1);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
    assert!(!frozen.exists());
    s.wait_for("temporal", "ready again", START, |c| c.ready);
    assert_works(port);
    let events = s.events_of("temporal").join("\n");
    assert!(events.contains("Unhealthy: "), "{events}");
}

#[test]
fn orderly_stop_leaves_nothing() {
    let port = free_port();
    let mut s = Supervisor::run(&temporal(port));
    let pid = ready(&s).pid();
    assert_eq!(s.ctrl_c(seconds(20)), 0);
    assert!(!pid.exists());
    s.assert_nothing_left();
    assert!(!s.state_dir().join("vitald.sock").exists());
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let log = s.log("temporal");
    assert!(log.contains("Stopping server"), "it was asked to stop, not killed:\n{log}");
    // The lock is free: the next supervisor starts.
    s.start();
    ready(&s);
}

#[test]
fn several_restarts_in_a_row() {
    let port = free_port();
    let s = Supervisor::run(&temporal(port));
    let mut pids = Vec::new();
    for restarts in 0..=3 {
        let server =
            s.wait_for("temporal", "the next run", START, |c| c.ready && c.restart_count == restarts);
        assert_eq!(s.pid().descendants(), [server.pid()], "one server at a time");
        assert!(!pids.contains(&server.pid));
        pids.push(server.pid);
        assert_works(port);
        if restarts < 3 {
            server.pid().kill();
        }
    }
    assert_eq!(s.component("temporal").restarts_in_window, 3);
}

#[test]
fn nothing_is_restarted_during_shutdown() {
    let port = free_port();
    let mut s = Supervisor::run(&temporal(port));
    let pid = ready(&s).pid();
    s.pid().signal(Signal::SIGTERM);
    pid.kill();
    assert_eq!(s.exit(seconds(20)), 0);
    s.assert_nothing_left();
    sleep(seconds(1.5));
    s.assert_nothing_left();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn crash_loop_ends_in_failed_after_exactly_max_restarts() {
    // Somebody else has the port, so the server ends at every start.
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = squatter.local_addr().unwrap().port();
    let limits = "spec:\n  restart: {maxRestarts: 2, backoff: {initialSeconds: 0.2}}";
    let s = Supervisor::run(&temporal(port).replace("spec:", limits));
    let failed = s.wait_state("temporal", "Failed", START);
    assert_eq!((failed.reason.as_str(), failed.restart_count), ("RestartLimitExceeded", 2));
    assert!(failed.pid.is_none() && !failed.ready, "{failed:?}");
    sleep(seconds(2));
    assert_eq!(s.component("temporal").state, "Failed");
    let events = s.events();
    let count = |reason: &str| events.iter().filter(|e| e.reason == reason).map(|e| e.count).sum::<u64>();
    assert_eq!((count("Started"), count("Restarted")), (1, 2), "{events:?}");

    drop(squatter);
    s.cli(&["reset", "temporal"]).expect(0);
    ready(&s);
    assert_works(port);
}

#[test]
fn start_stop_start() {
    let port = free_port();
    let s = Supervisor::run(&temporal(port));
    let first = ready(&s).pid();
    s.cli(&["stop", "temporal"]).expect(0);
    assert!(!first.exists());
    assert_ne!(ask(port).code, 0);
    assert!(s.component("temporal").is("Stopped", "StoppedByUser"));
    s.cli(&["start", "temporal"]).expect(0);
    let second = ready(&s);
    assert_ne!(second.pid(), first);
    assert_eq!(second.restart_count, 0);
    assert_works(port);
}

#[test]
fn of_two_starts_at_once_one_is_refused() {
    let port = free_port();
    let mut s = Supervisor::prepare(&temporal(port));
    s.spawn_run();
    let foreground = s.pid();
    eventually(
        "the first one to hold the state dir",
        seconds(10),
        || s.state_dir().join("vitald.lock").exists().then_some(()),
        || s.said(),
    );
    sleep(seconds(0.2));
    let refused = s.cli(&["run", "-f", "manifests"]).expect(3);
    assert!(refused.stderr.contains(&foreground.0.to_string()), "{}", refused.stderr);
    let server = ready(&s);
    assert_eq!(s.pid().descendants(), [server.pid()]);
    assert_works(port);
}

#[test]
fn probes_come_at_the_stated_period_as_the_server_counts() {
    let port = free_port();
    let (proxy, connections) = counting_proxy(port);
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: temporal
        spec:
          command: [temporal, server, start-dev, --headless, --ip, 127.0.0.1, --port, '{port}']
          startupProbe:
            grpc: {{port: {port}, service: temporal.api.workflowservice.v1.WorkflowService}}
            periodSeconds: 0.5
            failureThreshold: 120
          livenessProbe:
            grpc: {{port: {proxy}, service: temporal.api.workflowservice.v1.WorkflowService}}
            periodSeconds: 0.5
        "
    ));
    let pid: Pid = ready(&s).pid();
    let enough = || (connections.len() >= 11).then_some(());
    eventually("eleven probes", seconds(20), enough, || format!("{} so far", connections.len()));
    let times = connections.times();
    let mean = (times[10] - times[0]).as_secs_f64() / 10.0;
    assert!((0.45..0.6).contains(&mean), "every {mean} s instead of every 0.5 s: {:?}", connections.gaps());
    let server = s.component("temporal");
    assert_eq!((server.pid(), server.restart_count), (pid, 0));
    assert_eq!(server.probe("liveness").state.as_deref(), Some("Success"));
}

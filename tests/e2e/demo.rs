//! The quickstart, on the demo server: what its words promise happens.

use std::fs;
use std::path::Path;
use std::thread::sleep;

use vitald_tests::{Supervisor, eventually, free_port, http, program, seconds};

/// The quickstart's manifests, on ports of this test's own.
fn quickstart() -> (Supervisor, u16) {
    let s = Supervisor::prepare("");
    fs::remove_file(s.path("manifests/test.yaml")).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/quickstart");
    let ports = ["18080", "18081", "18082", "18090", "18100", "18101", "18110"];
    let free: Vec<_> = ports.iter().map(|_| free_port().to_string()).collect();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let mut text = fs::read_to_string(entry.path()).unwrap();
        let rest = ports.iter().fold(text.clone(), |text, port| text.replace(port, ""));
        assert!(!rest.contains("18"), "a port of the quickstart is not known here:\n{rest}");
        for (port, free) in ports.iter().zip(&free) {
            text = text.replace(port, free);
        }
        s.write(&format!("manifests/{}", entry.file_name().display()), &text);
    }
    program("vitald-demo");
    (s, free[0].parse().unwrap())
}

#[test]
fn quickstart_shows_what_it_promises() {
    let (mut s, port) = quickstart();
    s.start();
    s.wait_ready("steady");
    let unready = s.wait_ready("unready");
    let hangs = s.wait_ready("hangs").pid();

    let failed = s.wait_state("crash-loop", "Failed", seconds(12));
    assert_eq!((failed.restart_count, failed.max_restarts), (3, 3));

    let crashed =
        s.wait_for("crashes", "a crash and a restart", seconds(12), |c| c.restart_count == 1 && c.ready);
    assert_eq!((crashed.last_exit().code, crashed.last_exit().reason.as_str()), (Some(1), "Error"));

    let hung = s.wait_for("hangs", "a hang and a restart", seconds(15), |c| c.restart_count == 1 && c.ready);
    assert_eq!(hung.last_exit().reason, "LivenessProbeFailed");
    assert_eq!(hung.last_exit().signal.as_deref(), Some("SIGKILL"), "a hung server hears no SIGTERM");
    assert!(!hangs.exists());

    // It may be over by now.
    eventually(
        "an unready phase",
        seconds(12),
        || s.events_of("unready").iter().any(|event| event.starts_with("NotReady: ")).then_some(()),
        || s.events_of("unready").join("\n"),
    );
    let ready = s.wait_for("unready", "ready again", seconds(12), |c| c.ready);
    assert_eq!((ready.pid, ready.restart_count), (unready.pid, 0));

    // Then all is calm, and told to hang, the steady one is found out.
    let steady = s.component("steady");
    assert_eq!(steady.restart_count, 0);
    http("POST", port, "/hang").unwrap();
    let hung = s.wait_for("steady", "a restart", seconds(20), |c| c.restart_count == 1 && c.ready);
    assert_ne!(hung.pid, steady.pid);
    assert_eq!(http("GET", port, "/healthz").unwrap().0, 200);
}

#[test]
fn grpc_probe_and_its_unknown_services() {
    let (http_port, grpc_port) = (free_port(), free_port());
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: demo
        spec:
          command: [vitald-demo, --http-port, '{http_port}', --grpc-port, '{grpc_port}']
          readinessProbe:
            grpc: {{port: {grpc_port}, service: ready}}
            periodSeconds: 0.2
            failureThreshold: 1
        "
    ));
    s.wait_ready("demo");
    let port = format!("port={grpc_port}");
    s.cli(&["check", "grpc", &port]).expect(0);
    s.cli(&["check", "grpc", &port, "service=ready"]).expect(0);
    s.cli(&["check", "grpc", &port, "service=nobody"]).expect(1);
    http("POST", http_port, "/unready?seconds=3").unwrap();
    s.wait_for("demo", "unready", seconds(5), |c| !c.ready);
    s.cli(&["check", "grpc", &port, "service=ready"]).expect(1);
    s.wait_ready("demo");
}

#[test]
fn slow_answers_are_failures_beyond_the_timeout() {
    let port = free_port();
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: demo
        spec:
          command: [vitald-demo, --http-port, '{port}']
          readinessProbe:
            httpGet: {{path: /healthz, port: {port}}}
            periodSeconds: 0.5
            timeoutSeconds: 0.4
            failureThreshold: 1
        "
    ));
    s.wait_ready("demo");
    http("POST", port, "/slow?ms=1500&seconds=3").unwrap();
    s.wait_for("demo", "unready", seconds(5), |c| !c.ready);
    s.wait_ready("demo");
    assert_eq!(s.component("demo").restart_count, 0);
}

#[test]
fn taken_port_is_told_in_plain_words() {
    let port = free_port();
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: first
        spec:
          command: [vitald-demo, --http-port, '{port}']
        "
    ));
    s.wait_log("first", "HTTP on");
    let second = std::process::Command::new(program("vitald-demo"))
        .args(["--http-port", &port.to_string()])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains(&format!("port {port} is taken")), "{told}");
    sleep(seconds(0.1));
    assert_eq!(s.component("first").restart_count, 0);
}

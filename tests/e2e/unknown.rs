//! What could not be asked is not sick.

use std::thread::sleep;

use vitald_tests::{Supervisor, seconds};

#[test]
fn liveness_that_cannot_be_asked_restarts_nothing() {
    let s = Supervisor::run(
        "
        metadata: {name: odd}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            exec: {command: [./no-such-check]}
            periodSeconds: 0.1
            failureThreshold: 2
        ",
    );
    let odd = s.wait_for("odd", "unknown", seconds(5), |c| c.is("Running", "ProbeUnknown"));
    assert!(odd.message.contains("no-such-check"), "{odd:?}");
    assert_eq!(odd.probe("liveness").state.as_deref(), Some("Unknown"));
    sleep(seconds(0.6));
    let later = s.component("odd");
    assert_eq!((later.pid, later.restart_count), (odd.pid, 0));
    let warned = s.events().into_iter().any(|e| e.kind == "Warning" && e.message.contains("no-such-check"));
    assert!(warned, "{:?}", s.events());
    s.cli(&["probe", "run", "odd", "liveness"]).expect(4);
}

#[test]
fn readiness_keeps_its_last_value() {
    let s = Supervisor::prepare(
        "
        metadata: {name: odd}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            exec: {command: [./check]}
            periodSeconds: 0.2
            failureThreshold: 1
        ",
    );
    // A link, so that no check finds the program half written or open for writing.
    let check = s.path("manifests/check");
    std::os::unix::fs::symlink("/bin/true", &check).unwrap();
    let mut s = s;
    s.start();
    s.wait_ready("odd");
    std::fs::remove_file(&check).unwrap();
    let odd = s
        .wait_for("odd", "unknown", seconds(5), |c| c.probe("readiness").state.as_deref() == Some("Unknown"));
    assert!(odd.ready, "it was ready when it could last be asked");
    sleep(seconds(0.6));
    assert!(s.component("odd").ready);
    std::os::unix::fs::symlink("/bin/false", &check).unwrap();
    s.wait_for("odd", "unready", seconds(5), |c| !c.ready);
}

#[test]
fn startup_that_can_never_be_asked_opens_the_gate_with_a_warning() {
    let s = Supervisor::run(
        "
        metadata: {name: odd}
        spec:
          command: [vitald-fixture, sleep]
          startupProbe:
            exec: {command: [./no-such-check]}
            periodSeconds: 0.1
            failureThreshold: 3
          livenessProbe: {pid: {}, periodSeconds: 0.1}
        ",
    );
    let odd = s.wait_for("odd", "liveness to be asked", seconds(5), |c| {
        c.probe("liveness").state.as_deref() == Some("Success")
    });
    assert!(!odd.ready && odd.restart_count == 0, "{odd:?}");
    assert_eq!(odd.state, "Running");
}

#[test]
fn unknown_decides_a_combination_only_where_it_matters() {
    let s = Supervisor::run(
        "
        metadata: {name: decided}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            allOf: [{exec: {command: [./no-such-check]}}, {exec: {command: ['false']}}]
            periodSeconds: 0.1
            failureThreshold: 2
          restart: {maxRestarts: 0}
        ---
        metadata: {name: undecided}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            allOf: [{exec: {command: [./no-such-check]}}, {exec: {command: ['true']}}]
            periodSeconds: 0.1
            failureThreshold: 2
        ",
    );
    s.wait_state("decided", "Failed", seconds(5));
    s.wait_for("undecided", "unknown", seconds(5), |c| c.is("Running", "ProbeUnknown"));
}

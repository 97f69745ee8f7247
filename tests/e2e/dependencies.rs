//! `dependsOn`: who waits for whom.

use std::thread::sleep;

use vitald_tests::{Stub, Supervisor, seconds};

#[test]
fn starts_in_order_and_stops_in_reverse() {
    let mut s = Supervisor::run(
        "
        metadata: {name: third}
        spec:
          command: [vitald-fixture, record, order, third]
          workingDir: ..
          dependsOn: [{name: second}]
        ---
        metadata: {name: second}
        spec:
          command: [vitald-fixture, record, order, second]
          workingDir: ..
          dependsOn: [{name: first, condition: Started}]
        ---
        metadata: {name: first}
        spec:
          command: [vitald-fixture, record, order, first]
          workingDir: ..
        ",
    );
    for name in ["first", "second", "third"] {
        s.wait_log(name, "up, run 1");
    }
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let order = std::fs::read_to_string(s.path("order")).unwrap();
    assert_eq!(order, "start first\nstart second\nstart third\nstop third\nstop second\nstop first\n");
}

#[test]
fn waits_until_what_it_needs_is_ready() {
    let needed = Stub::new();
    needed.answer_with(503);
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: needed
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            httpGet:
              path: /
              port: {}
            periodSeconds: 0.2
        ---
        metadata:
          name: waits
        spec:
          command: [vitald-fixture, sleep]
          dependsOn:
            - name: needed
        ",
        needed.port
    ));
    let needs = s.wait_for("needed", "running", seconds(5), |c| c.state == "Running");
    assert!(!needs.ready);
    let waits = s.component("waits");
    assert!(waits.is("Stopped", "WaitingForDependency"), "{waits:?}");
    assert!(waits.message.contains("needed"), "{waits:?}");
    sleep(seconds(0.5));
    assert_eq!(s.component("waits").pid, None);

    needed.answer_with(200);
    let waits = s.wait_ready("waits");
    assert_eq!(waits.restart_count, 0, "waiting uses up no restart");

    // What already runs is left alone when what it needs goes down.
    needed.answer_with(503);
    s.wait_for("needed", "unready", seconds(5), |c| !c.ready);
    s.cli(&["stop", "needed"]).expect(0);
    sleep(seconds(0.3));
    assert_eq!(s.component("waits").pid, waits.pid);

    // Its restarts wait, too.
    waits.pid().kill();
    s.wait_for("waits", "waiting again", seconds(5), |c| c.is("Stopped", "WaitingForDependency"));
    needed.answer_with(200);
    s.cli(&["start", "needed"]).expect(0);
    s.wait_ready("waits");
}

#[test]
fn waits_for_completion() {
    let s = Supervisor::run(
        "
        metadata: {name: migrate}
        spec: {command: [vitald-fixture, crash, '0', '600'], restartPolicy: OnFailure}
        ---
        metadata: {name: server}
        spec:
          command: [vitald-fixture, sleep]
          dependsOn: [{name: migrate, condition: Completed}]
        ",
    );
    s.wait_for("server", "waiting", seconds(2), |c| c.is("Stopped", "WaitingForDependency"));
    s.wait_for("migrate", "completed", seconds(5), |c| c.is("Stopped", "Completed"));
    s.wait_ready("server");
}

#[test]
fn start_on_request_waits_as_well() {
    let s = Supervisor::run(
        "
        metadata: {name: base}
        spec: {command: [vitald-fixture, sleep]}
        ---
        metadata: {name: top}
        spec: {command: [vitald-fixture, sleep], dependsOn: [{name: base}]}
        ",
    );
    s.wait_ready("top");
    s.cli(&["stop", "base", "top"]).expect(0);
    s.cli(&["start", "top"]).expect(0);
    let top = s.component("top");
    assert!(top.is("Stopped", "WaitingForDependency"), "{top:?}");
    s.cli(&["start", "base"]).expect(0);
    s.wait_ready("top");
}

#[test]
fn up_does_not_wait_for_what_waits_in_vain() {
    let s = Supervisor::prepare(
        "
        metadata: {name: base}
        spec: {command: [vitald-fixture, crash, '1'], restartPolicy: Never}
        ---
        metadata: {name: middle}
        spec: {command: [vitald-fixture, sleep], dependsOn: [{name: base}]}
        ---
        metadata: {name: top}
        spec: {command: [vitald-fixture, sleep], dependsOn: [{name: middle}]}
        ",
    );
    let begun = std::time::Instant::now();
    let told = s.up().expect(1).stderr;
    assert!(begun.elapsed() < seconds(10) && told.contains("top"), "{told}");
    s.cli(&["down"]).expect(0);
}

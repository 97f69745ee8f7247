//! Startup, liveness, readiness: what their answers lead to.

use std::thread::sleep;
use std::time::Instant;

use nix::sys::signal::Signal;
use vitald_tests::{Counter, Pid, Stub, Supervisor, eventually, seconds};

/// A component that sleeps, with one HTTP probe of the test's own server.
fn probed(role: &str, stub: &Stub, schedule: &str) -> String {
    format!(
        "
        metadata:
          name: probed
        spec:
          command: [vitald-fixture, sleep]
          restart:
            backoff:
              initialSeconds: 0.2
          {role}Probe:
            httpGet:
              path: /health
              port: {}
            {schedule}
        ",
        stub.port
    )
}

#[test]
fn liveness_failures_restart_after_the_threshold() {
    let stub = Stub::new();
    let s = Supervisor::run(&probed("liveness", &stub, "periodSeconds: 0.2"));
    let first = s.wait_ready("probed");
    s.wait_for("probed", "a success", seconds(3), |c| {
        c.probe("liveness").state.as_deref() == Some("Success")
    });
    stub.answer_with(500);
    let restarted = s.wait_for("probed", "a restart", seconds(5), |c| c.restart_count == 1);
    stub.answer_with(200);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
    let second = s.wait_ready("probed");
    assert_ne!(second.pid(), first.pid());
    assert_eq!(second.restart_count, 1);
    let events = s.events_of("probed").join("\n");
    assert!(events.contains("Unhealthy: ") && events.contains("500"), "{events}");
    assert!(events.contains("Killing: "), "{events}");
}

#[test]
fn fewer_failures_than_the_threshold_restart_nothing() {
    let stub = Stub::new();
    let schedule = "periodSeconds: 0.3\n            failureThreshold: 4";
    let s = Supervisor::run(&probed("liveness", &stub, schedule));
    let pid = s.wait_ready("probed").pid();
    stub.answer_with(500);
    s.wait_for("probed", "two failures", seconds(5), |c| c.probe("liveness").consecutive_failures >= 2);
    stub.answer_with(200);
    s.wait_for("probed", "no failures", seconds(5), |c| c.probe("liveness").consecutive_failures == 0);
    let component = s.component("probed");
    assert_eq!((component.pid(), component.restart_count), (pid, 0));
}

#[test]
fn readiness_comes_and_goes_without_a_restart() {
    let stub = Stub::new();
    stub.answer_with(503);
    let s = Supervisor::run(&probed("readiness", &stub, "periodSeconds: 0.2"));
    let running = s.wait_for("probed", "running", seconds(5), |c| c.state == "Running");
    assert!(!running.ready);
    stub.answer_with(200);
    s.wait_for("probed", "ready", seconds(3), |c| c.ready);
    stub.answer_with(503);
    let unready = s.wait_for("probed", "unready", seconds(3), |c| !c.ready);
    assert_eq!(unready.state, "Running");
    assert!(unready.probe("readiness").message.contains("503"), "{unready:?}");
    stub.answer_with(200);
    let ready = s.wait_for("probed", "ready again", seconds(3), |c| c.ready);
    assert_eq!((ready.pid, ready.restart_count), (running.pid, 0));
}

#[test]
fn startup_gates_the_others() {
    let (startup, liveness) = (Stub::new(), Stub::new());
    startup.answer_with(503);
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: gated
        spec:
          command: [vitald-fixture, sleep]
          startupProbe:
            httpGet:
              path: /
              port: {}
            periodSeconds: 0.2
          livenessProbe:
            httpGet:
              path: /
              port: {}
            periodSeconds: 0.2
        ",
        startup.port, liveness.port
    ));
    s.wait_for("gated", "starting", seconds(5), |c| c.is("Starting", "StartupProbe"));
    reached(&startup.requests, 4);
    assert!(liveness.requests.is_empty(), "liveness was asked before startup had succeeded");
    startup.answer_with(200);
    s.wait_ready("gated");
    reached(&liveness.requests, 2);
    let asked = startup.requests.len();
    sleep(seconds(0.6));
    assert_eq!(startup.requests.len(), asked, "startup is done, and asked no more");
}

#[test]
fn startup_that_never_succeeds_is_restarted() {
    let stub = Stub::new();
    stub.answer_with(503);
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: slow
        spec:
          command: [vitald-fixture, sleep]
          restart:
            maxRestarts: 1
            backoff:
              initialSeconds: 0.1
          startupProbe:
            httpGet:
              path: /
              port: {}
            periodSeconds: 0.1
            failureThreshold: 4
        ",
        stub.port
    ));
    let failed = s.wait_state("slow", "Failed", seconds(10));
    assert_eq!(failed.last_exit().reason, "StartupProbeFailed");
    assert_eq!(failed.restart_count, 1);
    assert_eq!(stub.requests.len(), 8, "four in each of two runs");
}

#[test]
fn probes_come_at_the_stated_period() {
    let stub = Stub::new();
    let s = Supervisor::run(&probed("liveness", &stub, "periodSeconds: 0.5"));
    s.wait_ready("probed");
    reached(&stub.requests, 9);
    let times = stub.requests.times();
    let mean = (times[8] - times[0]).as_secs_f64() / 8.0;
    assert!((0.45..0.6).contains(&mean), "every {mean} s instead of every 0.5 s: {:?}", stub.requests.gaps());
}

#[test]
fn exec_probe_that_hangs_is_killed_whole_and_does_not_pile_up() {
    let s = Supervisor::run(
        "
        metadata: {name: probed}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            exec: {command: [vitald-fixture, probe-tree, pids]}
            periodSeconds: 0.4
            timeoutSeconds: 0.3
            failureThreshold: 100
        ",
    );
    s.wait_ready("probed");
    let pids = || -> Vec<Pid> {
        let text = std::fs::read_to_string(s.path("manifests/pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok().map(Pid)).collect()
    };
    eventually("four probes", seconds(10), || (pids().len() >= 8).then_some(()), || format!("{:?}", pids()));
    for pid in &pids()[..6] {
        pid.wait_gone(seconds(2));
    }
    let component = s.component("probed");
    assert_eq!(component.restart_count, 0);
    assert!(component.probe("liveness").message.contains("0.3 s"), "{component:?}");
    s.cli(&["stop", "probed"]).expect(0);
    for pid in pids() {
        pid.wait_gone(seconds(2));
    }
}

#[test]
fn exec_probe_decides_by_exit_status() {
    let s = Supervisor::run(
        "
        metadata: {name: probed}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            exec: {command: [test, -e, ready]}
            periodSeconds: 0.2
            failureThreshold: 1
        ",
    );
    s.wait_for("probed", "not ready", seconds(5), |c| c.state == "Running" && !c.ready);
    let flag = s.write("manifests/ready", "");
    s.wait_ready("probed");
    std::fs::remove_file(flag).unwrap();
    s.wait_for("probed", "unready", seconds(5), |c| !c.ready);
}

#[test]
fn pid_probe_sees_what_it_should_and_no_more() {
    let s = Supervisor::run(
        "
        metadata: {name: probed}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {pid: {}, periodSeconds: 0.1, failureThreshold: 2}
        ",
    );
    s.wait_for("probed", "a success", seconds(5), |c| {
        c.probe("liveness").state.as_deref() == Some("Success")
    });
    // A frozen process is alive: `pid` alone does not find a hang.
    let pid = s.wait_pid("probed");
    pid.signal(Signal::SIGSTOP);
    sleep(seconds(0.6));
    assert_eq!(s.component("probed").restart_count, 0);
    pid.signal(Signal::SIGCONT);
}

#[test]
fn combinations_ask_all_their_parts() {
    let (one, two) = (Stub::new(), Stub::new());
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: any
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            anyOf:
              - httpGet: {{path: /, port: {0}}}
              - tcpSocket: {{port: {1}}}
            periodSeconds: 0.2
            failureThreshold: 1
        ---
        metadata:
          name: all
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            allOf:
              - pid: {{}}
              - httpGet: {{path: /, port: {0}}}
              - atLeast: {{count: 1, of: [{{tcpSocket: {{port: {1}}}}}, {{exec: {{command: ['false']}}}}]}}
            periodSeconds: 0.2
            failureThreshold: 1
        ",
        one.port, two.port
    ));
    s.wait_ready("any");
    s.wait_ready("all");
    one.answer_with(500);
    let all = s.wait_for("all", "unready", seconds(5), |c| !c.ready);
    assert!(all.probe("readiness").message.contains("500"), "{all:?}");
    assert!(s.component("any").ready, "the other part of anyOf holds");
}

#[test]
fn termination_grace_of_a_probe_replaces_the_components() {
    let stub = Stub::new();
    let s = Supervisor::run(&format!(
        "
        metadata:
          name: stubborn
        spec:
          command: [vitald-fixture, stubborn]
          terminationGracePeriodSeconds: 60
          livenessProbe:
            httpGet: {{path: /, port: {}}}
            periodSeconds: 0.1
            terminationGracePeriodSeconds: 0.4
        ",
        stub.port
    ));
    s.wait_log("stubborn", "up, run 1");
    stub.answer_with(500);
    let begun = Instant::now();
    s.wait_for("stubborn", "a restart", seconds(10), |c| c.restart_count == 1);
    stub.answer_with(200);
    assert!(begun.elapsed() < seconds(6), "{:?}", begun.elapsed());
    let last = s.component("stubborn");
    assert_eq!(last.last_exit().signal.as_deref(), Some("SIGKILL"));
    // The component's own grace is long: this and the harness's signal make two, which end it at once.
    s.pid().signal(Signal::SIGINT);
}

#[track_caller]
fn reached(counter: &Counter, count: usize) {
    let enough = || (counter.len() >= count).then_some(());
    eventually(&format!("{count} requests"), seconds(10), enough, || format!("{}", counter.len()));
}

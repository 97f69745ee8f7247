//! The supervisor is killed, and the next one goes on with what runs.

use std::time::Instant;

use vitald_tests::{Component, Stub, Supervisor, eventually, seconds, since_boot};

/// What must be the same before and after.
pub(crate) fn kept(c: &Component) -> (String, Option<i32>, bool, u64, u32) {
    (c.state.clone(), c.pid, c.ready, c.restart_count, c.restarts_in_window)
}

#[test]
fn what_runs_is_taken_over_as_it_is() {
    let stub = Stub::new();
    let port = stub.port;
    let mut s = Supervisor::run(&format!(
        "
        metadata: {{name: web}}
        spec:
          command: [vitald-fixture, traced, TRACES, schedule, '1@100']
          restart: {{backoff: {{initialSeconds: 0.1}}}}
          startupProbe: {{httpGet: {{path: /, port: {port}}}, periodSeconds: 0.1}}
          livenessProbe: {{httpGet: {{path: /, port: {port}}}, periodSeconds: 0.5}}
          readinessProbe: {{httpGet: {{path: /, port: {port}}}, periodSeconds: 3600}}
        ---
        metadata: {{name: page}}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          dependsOn: [{{name: web}}]
        "
    ));
    s.wait_for("web", "a second run", seconds(10), |c| c.ready && c.restart_count == 1);
    s.wait_ready("page");
    for round in 0..3 {
        let before = ["web", "page"].map(|name| kept(&s.component(name)));
        let began = ["web", "page"].map(|name| s.component(name).began());
        s.kill9();
        s.start();
        // As soon as anybody can ask, and long before the readiness probe could have been asked again.
        let after = ["web", "page"].map(|name| s.component(name));
        assert_eq!(after.each_ref().map(kept), before, "round {round}");
        for (after, began) in after.iter().zip(began) {
            // The clock of the day is set now and then; the run's own beginning is told by it.
            assert!((after.began() - began).abs() < 0.1, "{after:?}, which began at {began}");
        }
        assert_eq!(after.map(|c| c.reason), ["Adopted", "Adopted"]);
        for name in ["web", "page"] {
            let events = s.events_of(name);
            assert!(events.iter().any(|event| event.starts_with("Adopted: ")), "{events:?}");
        }
    }
    assert_eq!((s.traces().starts("web"), s.traces().starts("page")), (2, 1));

    // It is as much under supervision as one that this supervisor started.
    stub.answer_with(500);
    s.wait_for("web", "taken down by its liveness probe", seconds(10), |c| c.restart_count == 2);
    stub.answer_with(200);
    s.wait_ready("web");
    assert_eq!(s.traces().all("web", "term").len(), 1);
    s.traces().assert_never_doubled();
}

#[test]
fn readiness_stays_false_where_it_was_false() {
    let stub = Stub::new();
    stub.answer_with(500);
    let mut s = Supervisor::run(&format!(
        "
        metadata: {{name: web}}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe: {{httpGet: {{path: /, port: {}}}, periodSeconds: 0.2}}
        ",
        stub.port
    ));
    let before = s.wait_for("web", "not ready", seconds(5), |c| c.state == "Running" && !c.ready);
    s.kill9();
    s.start();
    assert_eq!(kept(&s.component("web")), kept(&before));
    stub.answer_with(200);
    s.wait_ready("web");
}

#[test]
fn exit_of_an_adopted_one_is_seen_at_once_and_told_in_full() {
    let mut s = Supervisor::run(
        "
        metadata: {name: coded}
        spec:
          command: [vitald-fixture, traced, TRACES, crash-when, crash, '7']
          livenessProbe: {pid: {}, periodSeconds: 3600}
          restart: {backoff: {initialSeconds: 0.1}}
        ---
        metadata: {name: killed}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          livenessProbe: {pid: {}, periodSeconds: 3600}
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    s.traces().wait("coded", "start", 1, seconds(5));
    let killed = s.wait_ready("killed").pid();
    s.kill9();
    s.start();
    let begun = Instant::now();
    killed.kill();
    s.write("manifests/crash", "");
    let next = |name| s.wait_for(name, "the next run", seconds(20), |c| c.restart_count == 1 && c.ready);
    let (killed, coded) = (next("killed"), next("coded"));
    assert!(begun.elapsed() < seconds(30), "{:?}", begun.elapsed());
    assert_eq!((killed.restarts_in_window, coded.restarts_in_window), (1, 1));
    let exits = [killed.last_exit(), coded.last_exit()].map(|exit| (exit.code, exit.signal.clone()));
    if tells_exits() {
        assert_eq!(exits, [(None, Some("SIGKILL".to_owned())), (Some(7), None)]);
    }
    s.traces().assert_never_doubled();
}

/// Whether this kernel tells the exit of a process that is not our child: `PIDFD_GET_INFO`, Linux 6.15.
fn tells_exits() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn stop_of_an_adopted_one_is_a_stop_like_any_other() {
    let mut s = Supervisor::run(
        "
        metadata: {name: late}
        spec: {command: [vitald-fixture, traced, TRACES, late, '300']}
        ---
        metadata: {name: stubborn}
        spec:
          command: [vitald-fixture, traced, TRACES, stubborn]
          terminationGracePeriodSeconds: 0.5
        ",
    );
    for name in ["late", "stubborn"] {
        s.wait_log(name, "up, run 1");
    }
    s.kill9();
    s.start();
    s.cli(&["stop", "late", "stubborn"]).expect(0);
    let late = s.component("late");
    assert!(late.is("Stopped", "StoppedByUser") && late.pid.is_none(), "{late:?}");
    assert_eq!(s.traces().all("late", "end").len(), 1, "it was left its time");
    if tells_exits() {
        assert_eq!(late.last_exit().code, Some(0));
        assert_eq!(s.component("stubborn").last_exit().signal.as_deref(), Some("SIGKILL"));
    }
    s.kill9();
    s.start();
    assert!(s.component("late").is("Stopped", "StoppedByUser"));
    s.cli(&["start", "late"]).expect(0);
    s.wait_ready("late");
    assert_eq!((s.traces().starts("late"), s.traces().starts("stubborn")), (2, 1));
}

#[test]
fn output_goes_on_without_a_gap() {
    let mut s = Supervisor::run(
        "
        metadata: {name: writer}
        spec: {command: [vitald-fixture, traced, TRACES, write, '2']}
        ",
    );
    s.wait_ready("writer");
    for round in 1..=3_u64 {
        s.kill9();
        let dead = since_boot();
        s.wait_log("writer", &format!("line {}\n", round * 100));
        s.start();
        assert!(since_boot() > dead);
    }
    let log = s.cli(&["logs", "writer"]).expect(0).stdout;
    let lines: Vec<u64> = log.lines().filter_map(|line| line.rsplit_once("line ")?.1.parse().ok()).collect();
    assert!(lines.len() >= 300 && lines.iter().copied().eq(0..lines.len() as u64), "{lines:?}");
    assert_eq!(s.traces().starts("writer"), 1);
}

#[test]
fn run_and_up_take_over_from_each_other() {
    let mut s = Supervisor::run(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, traced, TRACES, sleep]}
        ",
    );
    let pid = s.wait_ready("sleeper").pid;
    s.kill9();
    s.up().expect(0);
    assert_eq!(s.component("sleeper").pid, pid);
    s.kill9();
    s.start();
    assert_eq!(s.component("sleeper").pid, pid);
    s.kill9();
    s.up().expect(0);
    s.cli(&["down"]).expect(0);
    eventually(
        "the end of the supervisor",
        seconds(5),
        || s.supervisors().is_empty().then_some(()),
        || format!("{:?}", s.supervisors()),
    );
    s.assert_nothing_left();
    assert_eq!(s.traces().starts("sleeper"), 1);
}

//! `resources.limits`: held, and told when they were reached.

use std::time::Instant;

use serde_json::Value;
use vitald_tests::{Supervisor, eventually, seconds, skip};

/// Whether `doctor` says that the machine has it; else the test is skipped.
fn has(s: &Supervisor, what: &str) -> bool {
    let list: Value = serde_json::from_str(&s.cli(&["doctor", "-o", "json"]).stdout).unwrap();
    let found = list["findings"].as_array().unwrap().iter().find(|found| found["name"] == what).unwrap();
    if found["available"] == false {
        skip(&format!("{what}: {}", found["found"]));
    }
    found["available"] == true
}

const HUNGRY: &str = "
    metadata: {name: hungry}
    spec:
      command: [vitald-fixture, traced, TRACES, eat-when, eat, '300']
      resources: {limits: {memory: 48Mi}}
      restart: {maxRestarts: 5, backoff: {initialSeconds: 3, multiplier: 1}}
    ---
    metadata: {name: modest}
    spec:
      command: [vitald-fixture, traced, TRACES, eat, '16']
      resources: {limits: {memory: 200Mi}}
    ---
    metadata: {name: killed}
    spec:
      command: [vitald-fixture, traced, TRACES, sleep]
      resources: {limits: {memory: 48Mi}}
      restart: {backoff: {initialSeconds: 0.1}}
";

#[test]
fn who_takes_too_much_memory_is_killed_and_it_is_said_why() {
    let mut s = Supervisor::prepare(HUNGRY);
    if !has(&s, "memory limits") {
        return;
    }
    s.start();
    s.wait_ready("modest");
    for (run, die) in [(1, false), (2, true)] {
        s.traces().wait("hungry", "start", run, seconds(10));
        s.wait_ready("hungry");
        if die {
            // Told of an adopted one, too.
            s.kill9();
            s.start();
        }
        s.write("manifests/eat", "");
        let seen = s.wait_for("hungry", "the end of its run", seconds(15), |c| c.restart_count == run as u64);
        // Before the next run begins, which would eat, too.
        std::fs::remove_file(s.path("manifests/eat")).unwrap();
        let exit = seen.last_exit();
        assert_eq!(
            (exit.reason.as_str(), exit.signal.as_deref()),
            ("OOMKilled", Some("SIGKILL")),
            "{seen:?}"
        );
        assert!(s.events_of("hungry").iter().any(|event| event.contains("OOM") || event.contains("memory")));
    }
    // Another's kill is not taken for the kernel's.
    s.wait_ready("killed").pid().kill();
    let killed = s.wait_for("killed", "a second run", seconds(5), |c| c.restart_count == 1 && c.ready);
    assert_eq!(killed.last_exit().reason, "Error");
    assert_eq!(s.traces().starts("modest"), 1);
}

#[test]
fn processor_time_is_held_near_its_share() {
    let s = Supervisor::prepare(
        "
        metadata: {name: spinner}
        spec:
          command: [vitald-fixture, spin]
          resources: {limits: {cpu: 200m}}
        ",
    );
    if !has(&s, "cpu limits") {
        return;
    }
    s.up().expect(0);
    s.wait_log("spinner", "spinning");
    let pid = s.component("spinner").pid();
    let (before, begun) = (pid.cpu_seconds(), Instant::now());
    // So much that a spinner without a limit would have taken several times its share by then.
    let used = eventually(
        "a spinner to have spun",
        seconds(60),
        || Some(pid.cpu_seconds() - before).filter(|used| *used > 0.6),
        || format!("{}", pid.cpu_seconds()),
    );
    let share = used / begun.elapsed().as_secs_f64();
    assert!(share < 0.35, "{share} of a processor, of which 0.2 are allowed");
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn limits_that_cannot_be_had_are_warned_of_and_nothing_is_refused() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: limited}
        spec:
          command: [vitald-fixture, traced, TRACES, eat, '64']
          resources: {limits: {memory: 48Mi, cpu: 500m, openFiles: 300}}
        ",
    )
    .with_env("VITALD_CGROUPS", "off");
    s.start();
    s.wait_log("limited", "ate 64 MiB");
    let warnings: Vec<_> =
        s.events().into_iter().filter(|e| e.component == "limited" && e.kind == "Warning").collect();
    for what in ["memory", "cpu"] {
        assert!(warnings.iter().any(|e| e.message.contains(what)), "{what}: {warnings:?}");
    }
    let pid = s.component("limited").pid();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.0)).unwrap();
    assert!(
        limits.lines().any(|line| line.starts_with("Max open files") && line.contains(" 300 ")),
        "{limits}"
    );
    assert!(
        limits.lines().any(|l| l.starts_with("Max address space") && l.contains("unlimited")),
        "{limits}"
    );
    assert_eq!(s.traces().starts("limited"), 1);
}

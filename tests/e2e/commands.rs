//! Commands, their exit statuses, and what they print.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::Value;
use vitald_tests::{Stub, Supervisor, free_port, seconds};

const SLEEPER: &str = "
    metadata: {name: sleeper, labels: {tier: test}}
    spec:
      command: [vitald-fixture, sleep]
      livenessProbe: {pid: {}, periodSeconds: 0.2}
";

#[test]
fn exit_statuses() {
    let s = Supervisor::prepare(SLEEPER);
    for args in [&["status"][..], &["stop", "sleeper"], &["describe", "sleeper"], &["events"]] {
        let output = s.cli(args).expect(3);
        assert!(output.stderr.contains("no supervisor"), "{args:?}: {}", output.stderr);
    }
    s.cli(&["down"]).expect(0);
    s.cli(&["no-such-command"]).expect(2);
    s.cli(&["status", "--no-such-option"]).expect(2);
    s.cli(&["run", "-f", "no/such/place"]).expect(2);
    s.cli(&["--version"]).expect(0);
    s.cli(&["--help"]).expect(0);

    s.up().expect(0);
    s.cli(&["status"]).expect(0);
    s.cli(&["status", "sleeper"]).expect(0);
    for args in [&["describe", "sleper"][..], &["stop", "sleper"], &["status", "sleper"], &["logs", "sleper"]]
    {
        let output = s.cli(args).expect(1);
        assert!(output.stderr.contains("sleper"), "{args:?}: {}", output.stderr);
    }
    s.cli(&["down"]).expect(0);
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn up_returns_when_all_is_ready_and_down_leaves_nothing() {
    let s = Supervisor::prepare(SLEEPER);
    s.up().expect(0);
    let up = s.component("sleeper");
    assert!(up.state == "Running" && up.ready, "{up:?}");
    // Already up: nothing is started a second time.
    s.up().expect(0);
    assert_eq!(s.component("sleeper").pid, up.pid);
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    assert!(!s.state_dir().join("vitald.sock").exists());
    // Up, down, up.
    s.up().expect(0);
    assert_ne!(s.component("sleeper").pid, up.pid);
    s.cli(&["down"]).expect(0);
}

#[test]
fn up_says_what_is_not_ready_in_time() {
    let stub = Stub::new();
    stub.answer_with(503);
    let s = Supervisor::prepare(&format!(
        "
        metadata:
          name: never
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            httpGet: {{path: /, port: {}}}
            periodSeconds: 0.2
        ---
        metadata:
          name: well
        spec:
          command: [vitald-fixture, sleep]
        ",
        stub.port
    ));
    let output = s.cli(&["up", "-f", "manifests", "--timeout", "1.5"]).expect(1);
    assert!(output.all().contains("never"), "{}", output.all());
    // What is up stays up.
    assert!(s.component("well").ready);
    s.cli(&["down"]).expect(0);
}

#[test]
fn stop_stays_stopped_over_the_next_supervisor_and_down_is_no_stop() {
    let mut s = Supervisor::run(
        "
        metadata: {name: one}
        spec: {command: [vitald-fixture, sleep]}
        ---
        metadata: {name: two}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.wait_ready("one");
    s.cli(&["stop", "one"]).expect(0);
    let stopped = s.component("one");
    assert!(stopped.is("Stopped", "StoppedByUser") && !stopped.ready, "{stopped:?}");
    assert_eq!(s.ctrl_c(seconds(8)), 0);

    s.start();
    s.wait_ready("two");
    assert!(s.component("one").is("Stopped", "StoppedByUser"), "{:?}", s.component("one"));
    s.cli(&["down"]).expect(0);
    assert_eq!(s.exit(seconds(8)), 0);

    // A component stopped by hand is nothing that `up` waits for.
    s.up().expect(0);
    assert!(s.component("one").is("Stopped", "StoppedByUser"));
    s.cli(&["start", "one"]).expect(0);
    s.wait_ready("one");
    s.cli(&["down"]).expect(0);
    s.up().expect(0);
    assert!(s.component("one").ready, "started by hand, it starts by itself again");
    s.cli(&["down"]).expect(0);
}

#[test]
fn start_stop_start_and_restart() {
    let s = Supervisor::run(SLEEPER);
    let first = s.wait_ready("sleeper");
    s.cli(&["start", "sleeper"]).expect(0);
    assert_eq!(s.component("sleeper").pid, first.pid, "start of what runs does nothing");
    s.cli(&["stop", "sleeper"]).expect(0);
    assert!(!first.pid().exists());
    s.cli(&["stop", "sleeper"]).expect(0);
    s.cli(&["start", "sleeper"]).expect(0);
    let second = s.wait_ready("sleeper");
    s.cli(&["restart", "sleeper"]).expect(0);
    assert!(!second.pid().exists());
    let third = s.wait_ready("sleeper");
    assert_ne!(third.pid, second.pid);
    assert_eq!((third.restart_count, third.restarts_in_window), (0, 0), "requests use up nothing");
    assert_eq!(third.last_exit().reason, "RestartRequested");
}

#[test]
fn two_starts_at_once_give_one_process() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    s.cli(&["stop", "sleeper"]).expect(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| s.cli(&["start", "sleeper"]).expect(0));
        }
    });
    s.wait_ready("sleeper");
    assert_eq!(s.pid().descendants().len(), 1, "{:?}", s.processes());
}

#[test]
fn status_json_has_every_key() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper").pid().kill();
    s.wait_for("sleeper", "probed in its second run", seconds(8), |c| {
        c.restart_count == 1 && c.ready && c.probe("liveness").state.is_some()
    });
    let status: Value = serde_json::from_str(&s.cli(&["status", "-o", "json"]).expect(0).stdout).unwrap();
    let component = &status["components"][0];
    let probe = &component["probes"][0];
    for (value, keys) in [
        (&status["supervisor"], "pid version uptimeSeconds stateDir"),
        (
            component,
            "name kind state reason message ready pid startedAt uptimeSeconds restartCount restartsInWindow \
             maxRestarts nextRestartSeconds lastExit lastError logFile probes",
        ),
        (&component["lastExit"], "code signal reason at uptimeSeconds"),
        (probe, "type state consecutiveFailures failureThreshold lastProbeAt latencyMs message"),
    ] {
        for key in keys.split_whitespace() {
            assert!(value.get(key).is_some(), "{key} is missing in {value:#}");
        }
    }
    assert_eq!((&component["kind"], &component["state"]), (&"process".into(), &"Running".into()));
    assert_eq!((&probe["type"], &probe["state"]), (&"liveness".into(), &"Success".into()));
    assert_eq!(status["supervisor"]["stateDir"], s.state_dir().display().to_string());
    assert_eq!(component["logFile"], s.state_dir().join("logs/sleeper.log").display().to_string());
    for time in [&component["startedAt"], &component["lastExit"]["at"], &probe["lastProbeAt"]] {
        let time = time.as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    }
    assert!(component["uptimeSeconds"].is_f64() && probe["latencyMs"].is_number());
}

#[test]
fn status_for_people_and_other_programs() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    let table = s.cli(&["status"]).expect(0).stdout;
    for heading in ["NAME", "STATE", "READY", "UPTIME", "RESTARTS", "PID", "MESSAGE"] {
        assert!(table.contains(heading), "{table}");
    }
    assert!(table.contains("sleeper") && table.contains("Running") && table.contains("0/10"), "{table}");
    assert!(!table.contains('\u{1b}'), "colour only on a terminal");
    s.cli(&["status", "-o", "wide"]).expect(0);
    let yaml = s.cli(&["status", "-o", "yaml"]).expect(0).stdout;
    assert!(yaml.contains("name: sleeper"), "{yaml}");
    let describe = s.cli(&["describe", "sleeper"]).expect(0).stdout;
    for word in ["sleeper", "Running", "liveness", "pid", "Started"] {
        assert!(describe.contains(word), "{word} is not in {describe}");
    }
    let one = s.cli(&["status", "sleeper", "-o", "json"]).expect(0).stdout;
    assert!(one.contains("sleeper"));
}

#[test]
fn events_tell_the_story_and_follow() {
    let s = Supervisor::run(SLEEPER);
    let pid = s.wait_ready("sleeper").pid();
    let mut follower = s.command(&["events", "-f", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (send, heard) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    pid.kill();
    s.wait_for("sleeper", "a second run", seconds(5), |c| c.restart_count == 1 && c.ready);
    let mut story = String::new();
    while !story.contains("Restarted sleeper (attempt 1/10)") {
        let line = heard.recv_timeout(seconds(5)).unwrap_or_else(|_| panic!("no more events after\n{story}"));
        let event: Value = serde_json::from_str(&line).unwrap();
        for key in ["time", "component", "type", "reason", "message", "count"] {
            assert!(event.get(key).is_some(), "{key} is missing in {line}");
        }
        story += &format!("{line}\n");
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(story.contains("SIGKILL"), "{story}");

    let events = s.events();
    assert!(events.iter().any(|e| e.reason == "Started" && e.kind == "Normal"), "{events:?}");
    assert!(events.iter().any(|e| e.reason == "BackOff" && e.kind == "Warning"), "{events:?}");
    assert!(events.is_sorted_by_key(|event| event.time.clone()), "{events:?}");
}

#[test]
fn check_asks_once() {
    let s = Supervisor::prepare(SLEEPER);
    let stub = Stub::new();
    let (port, free) = (format!("port={}", stub.port), format!("port={}", free_port()));
    s.cli(&["check", "tcpSocket", &port]).expect(0);
    let refused = s.cli(&["check", "tcpSocket", &free]).expect(1);
    assert!(refused.all().contains("nothing listens there"), "{}", refused.all());
    s.cli(&["check", "httpGet", &port, "path=/x"]).expect(0);
    stub.answer_with(404);
    assert!(s.cli(&["check", "httpGet", &port, "path=/x"]).expect(1).all().contains("404"));
    assert_eq!(stub.requests.len(), 2, "the bare connection was no request");
    s.cli(&["check", "grpc", &free]).expect(1);
    s.cli(&["check", "noSuchHandler"]).expect(2);
    s.cli(&["check", "tcpSocket"]).expect(2);
    s.cli(&["check", "tcpSocket", "port=70000"]).expect(2);
}

#[test]
fn probes_are_listed_and_run_on_request() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    let list = s.cli(&["probe", "list"]).expect(0).stdout;
    for key in ["exec", "grpc", "httpGet", "pid", "tcpSocket", "temporal"] {
        assert!(list.contains(key), "{key} is not in {list}");
    }
    s.cli(&["probe", "run", "sleeper", "liveness"]).expect(0);
    s.cli(&["probe", "run", "sleeper", "readiness"]).expect(1);
    s.cli(&["probe", "run", "nobody", "liveness"]).expect(1);
}

#[test]
fn schema_is_json() {
    let s = Supervisor::prepare(SLEEPER);
    let schema: Value = serde_json::from_str(&s.cli(&["schema"]).expect(0).stdout).unwrap();
    let text = schema.to_string();
    for word in ["livenessProbe", "tcpSocket", "maxRestarts", "allOf"] {
        assert!(text.contains(word), "{word} is not in the schema");
    }
}

#[test]
fn start_of_what_cannot_be_executed_is_not_done() {
    let s = Supervisor::run(
        "
        metadata: {name: broken}
        spec: {command: [./program], workingDir: .., restart: {backoff: {initialSeconds: 30}}}
        ",
    );
    s.wait_state("broken", "Restarting", seconds(5));
    for command in ["start", "restart", "reset"] {
        let output = s.cli(&[command, "broken"]).expect(1);
        assert!(output.stdout.contains("./program"), "{command}: {}", output.all());
    }
    s.cli(&["stop", "broken"]).expect(0);
}

#[test]
fn verdict_is_the_same_when_nobody_reads_it() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    s.write("bad/bad.yaml", "kind: Component\n");
    let port = format!("port={}", free_port());
    let refused = ["check", "tcpSocket", "host=127.0.0.1", &port];
    for (args, code) in
        [(&refused[..], 1), (&["validate", "bad"], 2), (&["stop", "sleeper"], 0), (&["down"], 0)]
    {
        let mut command = s.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(command.stdout.take());
        assert_eq!(command.wait().unwrap().code(), Some(code), "{args:?}");
    }
    s.assert_nothing_left();
}

#[test]
fn numbers_out_of_range_are_told_so() {
    let s = Supervisor::prepare(SLEEPER);
    for (args, told) in [
        (&["up", "--timeout", "-1"][..], "a number of seconds, 0 or more"),
        (&["check", "pid", "--timeout", "-1"], "a number of seconds, more than 0"),
        (&["logs", "--tail", "-1"], "a number of lines, 0 or more"),
    ] {
        let output = s.cli(args).expect(2);
        assert!(output.stderr.contains(told), "{args:?}: {}", output.stderr);
    }
    let output = s.cli(&["check", "grpc", "port=x"]).expect(2);
    assert_eq!(output.stderr, "error: port: no port is named `x`\n");
}

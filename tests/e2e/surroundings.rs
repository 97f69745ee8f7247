//! What surrounds vitald goes away, or is odd.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::Signal;
use vitald_tests::{Supervisor, eventually, http, seconds};

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep], restart: {backoff: {initialSeconds: 0.1}}}
";

#[test]
fn supervising_goes_on_when_nobody_reads_any_more() {
    let s = Supervisor::prepare(SLEEPER);
    let mut run =
        s.command(&["run", "-f", "manifests"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("an answer", seconds(10), || (s.cli(&["status"]).code == 0).then_some(()), String::new);
    drop((run.stdout.take(), run.stderr.take()));
    for round in 0..3 {
        let sleeper =
            s.wait_for("sleeper", "the next run", seconds(5), |c| c.ready && c.restart_count == round);
        sleeper.pid().kill();
    }
    s.wait_for("sleeper", "the last run", seconds(5), |c| c.ready && c.restart_count == 3);
    assert!(run.try_wait().unwrap().is_none());
    s.cli(&["down"]).expect(0);
    run.wait().unwrap();
}

#[test]
fn output_that_nobody_reads_is_no_accident() {
    let s = Supervisor::run(
        "
        metadata: {name: flood}
        spec: {command: [vitald-fixture, flood, '1048576']}
        ",
    );
    s.wait_log("flood", "up, run 1");
    for args in [&["logs", "flood"][..], &["logs", "-f", "flood"], &["events", "-f"]] {
        let mut command = s.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(command.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        // The reader is gone; whatever is written next tells the command so.
        s.wait_ready("flood").pid().kill();
        let running = || command.try_wait().unwrap();
        eventually("the command to end", seconds(8), running, || args.join(" "));
        let mut complaint = String::new();
        command.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(!complaint.contains("panicked"), "{args:?}: {complaint}");
    }
}

#[test]
fn hang_up_stops_nothing() {
    let s = Supervisor::run(SLEEPER);
    let pid = s.wait_ready("sleeper").pid;
    s.pid().signal(Signal::SIGHUP);
    std::thread::sleep(seconds(0.4));
    assert_eq!(s.component("sleeper").pid, pid);
}

#[test]
fn supervisor_in_the_background_has_let_go_of_its_terminal() {
    let s = Supervisor::prepare(SLEEPER);
    s.up().expect(0);
    let pid = s.pid();
    for fd in 0..=2 {
        let target = std::fs::read_link(format!("/proc/{}/fd/{fd}", pid.0)).unwrap();
        let target = target.display().to_string();
        assert!(target == "/dev/null" || target.ends_with("/vitald.log"), "descriptor {fd} is {target}");
    }
    // A hang-up of the terminal it was started from reaches only that session.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.0)).unwrap();
    let session: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_eq!(session, pid.0, "it leads a session of its own");
    s.cli(&["down"]).expect(0);
}

#[test]
fn deleted_working_dir_and_state_of_others_do_no_harm() {
    let mut s = Supervisor::run(
        "
        metadata: {name: roams}
        spec:
          command: [vitald-fixture, sleep]
          workingDir: ../gone
          restart: {maxRestarts: 2, backoff: {initialSeconds: 0.1}}
        ",
    );
    let failed = s.wait_state("roams", "Failed", seconds(5));
    assert!(failed.last_error.unwrap_or_default().contains("gone"));
    s.write("gone/file", "");
    s.cli(&["start", "roams"]).expect(0);
    s.wait_ready("roams");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
}

#[test]
fn component_may_use_the_environment_of_its_proxy_and_probes_do_not() {
    let stub = vitald_tests::Stub::new();
    let s = Supervisor::prepare(&format!(
        "
        metadata:
          name: probed
        spec:
          command: [vitald-fixture, sleep]
          env: [{{name: MARK, value: here}}]
          startupProbe:
            exec: {{command: [sh, -c, 'test \"$MARK\" = here']}}
          readinessProbe:
            httpGet: {{path: /, port: {}}}
            periodSeconds: 0.2
        ",
        stub.port
    ));
    let mut s = s.with_env("http_proxy", "http://127.0.0.1:9").with_env("HTTP_PROXY", "http://127.0.0.1:9");
    s.start();
    s.wait_ready("probed");
    assert_eq!(http("GET", stub.port, "/").unwrap().0, 200);
}

#[test]
fn post_start_that_fails_takes_the_component_down() {
    let s = Supervisor::run(
        "
        metadata: {name: hooked}
        spec:
          command: [vitald-fixture, sleep]
          restart: {maxRestarts: 1, backoff: {initialSeconds: 0.1}}
          lifecycle: {postStart: {exec: {command: [sh, -c, 'echo no luck; exit 7']}}}
        ",
    );
    let failed = s.wait_state("hooked", "Failed", seconds(10));
    assert_eq!(failed.restart_count, 1);
    let told = s.events_of("hooked").join("\n");
    assert!(told.contains("FailedPostStartHook") || told.contains("postStart"), "{told}");
}

#[test]
fn failed_component_starts_again_on_every_kind_of_request() {
    let s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash-while, sick, '1']
          workingDir: ..
          restart: {maxRestarts: 1, backoff: {initialSeconds: 0.1}}
        ",
    );
    for command in ["start", "restart", "reset"] {
        s.wait_ready("crasher");
        let sick = s.write("sick", "");
        s.wait_pid("crasher").kill();
        s.wait_state("crasher", "Failed", seconds(10));
        std::fs::remove_file(sick).unwrap();
        s.cli(&[command, "crasher"]).expect(0);
    }
    s.wait_ready("crasher");
}

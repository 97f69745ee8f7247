//! Ends, delays, limits.

use std::thread::sleep;

use nix::sys::signal::Signal;
use vitald_tests::{Supervisor, seconds};

#[test]
fn killed_process_is_seen_at_once_and_restarted_after_the_first_delay() {
    let s = Supervisor::run(
        "
        metadata: {name: victim}
        spec: {command: [vitald-fixture, sleep], restart: {minUptimeSeconds: 0.5}}
        ",
    );
    let first = s.wait_ready("victim");
    assert_eq!((first.restart_count, first.last_exit.is_none()), (0, true));
    first.pid().kill();

    let waiting = s.wait_for("victim", "waiting out the delay", seconds(0.8), |c| {
        c.is("Restarting", "CrashLoopBackOff")
    });
    assert!(!waiting.ready && waiting.pid.is_none(), "{waiting:?}");
    let delay = waiting.next_restart_seconds.unwrap();
    assert!(delay > 0.0 && delay <= 1.0, "{waiting:?}");
    assert_eq!(waiting.last_exit().signal.as_deref(), Some("SIGKILL"));
    assert_eq!((waiting.last_exit().code, waiting.last_exit().reason.as_str()), (None, "Error"));

    let second = s.wait_ready("victim");
    assert_ne!(second.pid(), first.pid());
    assert_eq!((second.restart_count, second.restarts_in_window, second.max_restarts), (1, 1, 10));
    s.wait_for("victim", "the error to be over once the run is stable", seconds(5), |c| {
        c.last_error.is_none()
    });
    s.wait_log("victim", "up, run 2");
}

#[test]
fn each_restart_is_told_with_its_number() {
    let s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '3', '50']
          restart: {maxRestarts: 3, backoff: {initialSeconds: 0.1}}
        ",
    );
    let failed = s.wait_state("crasher", "Failed", seconds(10));
    assert_eq!(failed.reason, "RestartLimitExceeded");
    assert_eq!((failed.restart_count, failed.restarts_in_window), (3, 3));
    let events = s.events_of("crasher").join("\n");
    for attempt in 1..=3 {
        let words = format!("Restarted crasher (attempt {attempt}/3)");
        assert!(events.contains(&words), "{words} is not in the events:\n{events}");
        assert!(s.said().contains(&words), "{words} is not what `run` said:\n{}", s.said());
    }
    assert!(!events.contains("attempt 4"), "{events}");
}

#[test]
fn crash_loop_ends_in_failed_after_exactly_max_restarts() {
    let s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '3', '50']
          restart: {maxRestarts: 2, backoff: {initialSeconds: 0.1}}
        ",
    );
    let failed = s.wait_state("crasher", "Failed", seconds(10));
    assert_eq!(failed.last_exit().code, Some(3));
    assert!(!failed.ready && failed.pid.is_none() && failed.next_restart_seconds.is_none(), "{failed:?}");
    sleep(seconds(1));
    assert_eq!(s.log("crasher").matches("crashing with 3").count(), 3, "one start and two restarts");
    assert_eq!(s.component("crasher").state, "Failed");

    // `reset` clears the counters and starts: the same again.
    s.cli(&["reset", "crasher"]).expect(0);
    s.wait_for("crasher", "Failed again", seconds(10), |c| c.state == "Failed" && c.restarts_in_window == 2);
    assert_eq!(s.log("crasher").matches("crashing with 3").count(), 6);
}

#[test]
fn no_restart_at_all_where_max_restarts_is_zero() {
    let s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '1', '50']
          restart: {maxRestarts: 0}
        ",
    );
    s.wait_state("crasher", "Failed", seconds(5));
    assert_eq!(s.log("crasher").matches("crashing").count(), 1);
}

#[test]
fn delays_double_and_begin_again_after_a_stable_run() {
    let s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash-while, sick, '1']
          workingDir: ..
          restart:
            minUptimeSeconds: 1
            backoff: {initialSeconds: 0.8, maxSeconds: 1.6, multiplier: 2}
        ",
    );
    s.wait_ready("crasher");
    let sick = s.write("sick", "");
    s.wait_pid("crasher").kill();
    for (attempt, delay) in [(1, 0.8), (2, 1.6), (3, 1.6)] {
        let waiting = s.wait_for("crasher", "the next delay", seconds(5), |c| {
            c.state == "Restarting" && c.restart_count == attempt - 1
        });
        let left = waiting.next_restart_seconds.unwrap();
        assert!(left <= delay && left > delay - 0.8, "delay {attempt} has {left} s left of {delay}");
    }
    std::fs::remove_file(sick).unwrap();
    s.wait_ready("crasher");
    sleep(seconds(1.2));
    s.wait_pid("crasher").kill();
    let waiting = s.wait_state("crasher", "Restarting", seconds(2));
    assert!(waiting.next_restart_seconds.unwrap() <= 0.8, "{waiting:?}");
}

#[test]
fn restart_policy_decides_by_the_exit_status() {
    let component = |policy: &str, code: u32| {
        let name = format!("{policy}-{code}").to_lowercase();
        format!(
            "metadata: {{name: {name}}}
spec:
  command: [vitald-fixture, crash, '{code}', '50']
  restartPolicy: {policy}
  restart: {{backoff: {{initialSeconds: 30, maxSeconds: 30}}}}"
        )
    };
    let all = ["Always", "OnFailure", "Never"].map(|policy| [component(policy, 0), component(policy, 1)]);
    let s = Supervisor::run(&all.concat().join("\n---\n"));
    for (name, state, reason) in [
        ("always-0", "Restarting", "CrashLoopBackOff"),
        ("always-1", "Restarting", "CrashLoopBackOff"),
        ("onfailure-0", "Stopped", "Completed"),
        ("onfailure-1", "Restarting", "CrashLoopBackOff"),
        ("never-0", "Stopped", "Completed"),
        ("never-1", "Stopped", "Error"),
    ] {
        let what = format!("{state} for {reason}");
        let component = s.wait_for(name, &what, seconds(5), |c| c.is(state, reason));
        assert!(!component.ready && component.pid.is_none(), "{component:?}");
    }
}

#[test]
fn start_that_fails_says_why_and_uses_up_restarts() {
    let s = Supervisor::prepare(
        "
        metadata: {name: missing}
        spec:
          command: [no-such-program-anywhere]
          restart: {maxRestarts: 1, backoff: {initialSeconds: 0.1}}
        ---
        metadata: {name: forbidden}
        spec:
          command: [./plain.txt]
          restart: {maxRestarts: 1, backoff: {initialSeconds: 0.1}}
        ---
        metadata: {name: nowhere}
        spec:
          command: [vitald-fixture, sleep]
          workingDir: ./no/such/folder
          restart: {maxRestarts: 1, backoff: {initialSeconds: 0.1}}
        ",
    );
    s.write("manifests/plain.txt", "no program");
    let mut s = s;
    s.start();
    for (name, words) in
        [("missing", "no-such-program-anywhere"), ("forbidden", "plain.txt"), ("nowhere", "no/such/folder")]
    {
        let failed = s.wait_state(name, "Failed", seconds(5));
        assert_eq!(failed.restart_count, 1, "{failed:?}");
        let told = format!("{:?} {}", failed.last_error, s.cli(&["describe", name]).expect(0).stdout);
        assert!(told.contains(words), "{name}: {words} is not in {told}");
    }
    let told = s.component("missing").last_error.unwrap();
    assert!(told.contains("no such file") && told.contains("PATH"), "{told}");
}

#[test]
fn signal_and_abort_are_told_by_name() {
    let s = Supervisor::run(
        "
        metadata: {name: aborter}
        spec: {command: [vitald-fixture, abort], restartPolicy: Never}
        ---
        metadata: {name: victim}
        spec: {command: [vitald-fixture, sleep], restartPolicy: Never}
        ",
    );
    let ended = s.wait_for("aborter", "Stopped", seconds(5), |c| c.is("Stopped", "Error"));
    assert_eq!(ended.last_exit().signal.as_deref(), Some("SIGABRT"));
    s.wait_ready("victim").pid().signal(Signal::SIGUSR1);
    let ended = s.wait_for("victim", "Stopped", seconds(5), |c| c.is("Stopped", "Error"));
    assert_eq!(ended.last_exit().signal.as_deref(), Some("SIGUSR1"));
}

#[test]
fn many_restarts_in_a_row_leave_one_process() {
    let s = Supervisor::run(
        "
        metadata: {name: victim}
        spec:
          command: [vitald-fixture, sleep]
          restart: {backoff: {initialSeconds: 0, maxSeconds: 0}}
        ",
    );
    for round in 0..6 {
        let component = s.wait_for("victim", "the next run", seconds(5), |c| {
            c.state == "Running" && c.ready && c.restart_count == round
        });
        component.pid().kill();
    }
    s.wait_for("victim", "the seventh run", seconds(5), |c| c.ready && c.restart_count == 6);
    assert_eq!(s.pid().descendants().len(), 1, "{:?}", s.processes());
}

//! Signals, grace, and what is left afterwards: nothing.

use std::thread::sleep;
use std::time::Instant;

use nix::sys::signal::Signal;
use vitald_tests::{Pid, Supervisor, eventually, seconds};

#[test]
fn process_that_ignores_term_is_killed_after_its_grace() {
    let s = Supervisor::run(
        "
        metadata: {name: stubborn}
        spec: {command: [vitald-fixture, stubborn], terminationGracePeriodSeconds: 0.6}
        ",
    );
    let pid = s.wait_ready("stubborn").pid();
    s.wait_log("stubborn", "up, run 1");
    let begun = Instant::now();
    s.cli(&["stop", "stubborn"]).expect(0);
    let took = begun.elapsed();
    assert!(took >= seconds(0.6) && took < seconds(9), "{took:?}");
    assert!(!pid.exists());
    let stopped = s.component("stubborn");
    assert!(stopped.is("Stopped", "StoppedByUser"), "{stopped:?}");
    assert_eq!(stopped.last_exit().signal.as_deref(), Some("SIGKILL"));
    assert!(s.log("stubborn").contains("SIGTERM: no"));
}

#[test]
fn orderly_stop_is_left_its_time() {
    let s = Supervisor::run(
        "
        metadata: {name: late}
        spec: {command: [vitald-fixture, late, '700'], terminationGracePeriodSeconds: 20}
        ",
    );
    s.wait_log("late", "up, run 1");
    // The log may be ahead of what vitald knows.
    s.wait_pid("late");
    let begun = Instant::now();
    s.cli(&["stop", "late"]).expect(0);
    assert!(begun.elapsed() < seconds(15));
    assert_eq!(s.component("late").last_exit().code, Some(0));
    assert!(s.log("late").contains("ended after 700 ms"));
}

#[test]
fn frozen_process_hears_the_stop() {
    let s = Supervisor::run(
        "
        metadata: {name: frozen}
        spec: {command: [vitald-fixture, sleep], terminationGracePeriodSeconds: 20}
        ",
    );
    s.wait_log("frozen", "up, run 1");
    let pid = s.wait_pid("frozen");
    pid.signal(Signal::SIGSTOP);
    eventually("the process to freeze", seconds(2), || (pid.state() == 'T').then_some(()), String::new);
    let begun = Instant::now();
    s.cli(&["stop", "frozen"]).expect(0);
    assert!(begun.elapsed() < seconds(15), "SIGCONT follows SIGTERM");
    assert_eq!(s.component("frozen").last_exit().code, Some(0));
}

#[test]
fn nothing_of_the_tree_is_left() {
    let s = Supervisor::run(
        "
        metadata: {name: forker}
        spec: {command: [vitald-fixture, forker], terminationGracePeriodSeconds: 0.5}
        ---
        metadata: {name: daemoniser}
        spec: {command: [vitald-fixture, daemoniser], terminationGracePeriodSeconds: 0.5}
        ",
    );
    let forker = s.wait_ready("forker").pid();
    let daemoniser = s.wait_ready("daemoniser").pid();
    s.wait_log("daemoniser", "up, run 1");
    eventually(
        "all the children",
        seconds(5),
        || (stubborn(&s).len() == 3).then_some(()),
        || format!("{:?}", stubborn(&s)),
    );
    s.cli(&["stop", "forker", "daemoniser"]).expect(0);
    assert!(!forker.exists() && !daemoniser.exists());
    assert_eq!(stubborn(&s), [], "children in the group, and the one that left it");
}

#[test]
fn what_a_crash_leaves_behind_is_ended_before_the_next_run() {
    let s = Supervisor::run(
        "
        metadata: {name: orphan}
        spec:
          command: [vitald-fixture, orphan]
          restart: {maxRestarts: 2, backoff: {initialSeconds: 0.3}}
          terminationGracePeriodSeconds: 0.3
        ",
    );
    s.wait_for("orphan", "a second run", seconds(10), |c| c.restart_count == 1 && c.pid.is_some());
    assert!(stubborn(&s).len() <= 1, "the first run's child is still there: {:?}", s.processes());
    s.wait_state("orphan", "Failed", seconds(10));
    eventually(
        "the last child to be ended",
        seconds(5),
        || stubborn(&s).is_empty().then_some(()),
        || format!("{:?}", stubborn(&s)),
    );
}

#[test]
fn ctrl_c_stops_all_and_leaves_nothing() {
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
    s.wait_ready("two");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    s.assert_nothing_left();
    assert!(!s.state_dir().join("vitald.sock").exists(), "the socket is left behind");
    s.cli(&["status"]).expect(3);
    assert!(s.log("one").contains("SIGTERM") && s.log("two").contains("SIGTERM"));
}

#[test]
fn second_ctrl_c_stops_at_once() {
    let mut s = Supervisor::run(
        "
        metadata: {name: stubborn}
        spec: {command: [vitald-fixture, stubborn], terminationGracePeriodSeconds: 60}
        ",
    );
    s.wait_log("stubborn", "up, run 1");
    s.wait_pid("stubborn");
    s.pid().signal(Signal::SIGINT);
    s.wait_log("stubborn", "SIGTERM: no");
    sleep(seconds(0.2));
    assert!(s.pid().exists(), "one Ctrl-C leaves the grace period");
    s.ctrl_c(seconds(30));
    s.assert_nothing_left();
}

#[test]
fn sigterm_is_as_orderly_as_ctrl_c() {
    let mut s = Supervisor::run(
        "
        metadata: {name: one}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.wait_log("one", "up, run 1");
    s.wait_pid("one");
    s.pid().signal(Signal::SIGTERM);
    assert_eq!(s.exit(seconds(8)), 0);
    assert!(s.log("one").contains("SIGTERM"));
    s.assert_nothing_left();
}

#[test]
fn nothing_is_restarted_during_shutdown() {
    let mut s = Supervisor::run(
        "
        metadata: {name: slow}
        spec: {command: [vitald-fixture, late, '1500']}
        ---
        metadata: {name: victim}
        spec:
          command: [vitald-fixture, late, '1500']
          restart: {backoff: {initialSeconds: 0, maxSeconds: 0}}
        ---
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '1', '200']
          restart: {maxRestarts: 1000, backoff: {initialSeconds: 0.2, maxSeconds: 0.2}}
        ",
    );
    s.wait_log("slow", "up, run 1");
    s.wait_pid("slow");
    s.wait_log("victim", "up, run 1");
    let victim = s.wait_pid("victim");
    s.pid().signal(Signal::SIGTERM);
    s.wait_log("victim", "SIGTERM");
    let crashes = s.log("crasher").matches("crashing").count();
    victim.kill();
    assert_eq!(s.exit(seconds(8)), 0);
    assert!(!s.log("victim").contains("run 2"));
    assert!(s.log("crasher").matches("crashing").count() <= crashes + 1);
    s.assert_nothing_left();
}

#[test]
fn pre_stop_runs_before_the_signal_and_counts_into_the_grace() {
    let s = Supervisor::run(
        "
        metadata: {name: hooked}
        spec:
          command: [vitald-fixture, stubborn]
          terminationGracePeriodSeconds: 1
          lifecycle:
            postStart: {exec: {command: [touch, started]}}
            preStop: {exec: {command: [touch, stopping]}}
        ---
        metadata: {name: hangs}
        spec:
          command: [vitald-fixture, sleep]
          terminationGracePeriodSeconds: 1
          lifecycle: {preStop: {exec: {command: [sleep, '60']}}}
        ",
    );
    s.wait_ready("hooked");
    eventually(
        "the postStart hook",
        seconds(5),
        || s.path("manifests/started").exists().then_some(()),
        || s.events_of("hooked").join("\n"),
    );
    s.cli(&["stop", "hooked"]).expect(0);
    assert!(s.path("manifests/stopping").exists());
    assert!(s.log("hooked").contains("SIGTERM"));

    let begun = Instant::now();
    s.cli(&["stop", "hangs"]).expect(0);
    assert!(begun.elapsed() < seconds(30), "a hook that hangs has the grace period, no more");
}

fn stubborn(s: &Supervisor) -> Vec<Pid> {
    s.processes().into_iter().filter(|pid| pid.command().ends_with("stubborn")).collect()
}

#[test]
fn sigquit_stops_everything_like_sigterm() {
    let mut s = Supervisor::run(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.wait_ready("sleeper");
    s.pid().signal(Signal::SIGQUIT);
    assert_eq!(s.exit(seconds(8)), 0);
    s.assert_nothing_left();
}

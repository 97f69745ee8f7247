//! What components write, and `vitald logs`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use vitald_tests::{Supervisor, eventually, seconds};

#[test]
fn log_is_what_was_written_in_the_order_written() {
    let s = Supervisor::run(
        "
        metadata: {name: mixed}
        spec: {command: [vitald-fixture, mixed]}
        ---
        metadata: {name: flood}
        spec: {command: [vitald-fixture, flood, '4194304']}
        ",
    );
    let log = s.wait_log("mixed", "up, run 1");
    let expected: String = (1..=5).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert!(log.starts_with(&expected), "{log}");

    let log = s.wait_log("flood", "up, run 1");
    let flood: String = (0..65536).map(|line| format!("{line:063}\n")).collect();
    assert!(log.starts_with(&flood), "{} bytes", log.len());
}

#[test]
fn logs_of_one_and_of_all() {
    let s = Supervisor::run(
        "
        metadata: {name: one}
        spec: {command: [vitald-fixture, say, hello from one]}
        ---
        metadata: {name: two}
        spec: {command: [vitald-fixture, say, hello from two]}
        ",
    );
    s.wait_log("one", "up, run 1");
    s.wait_log("two", "up, run 1");
    let one = s.cli(&["logs", "one"]).expect(0).stdout;
    assert!(one.contains("hello from one") && !one.contains("two"), "{one}");
    assert_eq!(s.cli(&["logs", "one", "--tail", "1"]).expect(0).stdout.lines().count(), 1);
    for args in [&["logs"][..], &["logs", "--all"], &["logs", "one", "two"]] {
        let all = s.cli(args).expect(0).stdout;
        for name in ["one", "two"] {
            let line = all.lines().find(|line| line.contains(&format!("hello from {name}"))).unwrap();
            assert!(line.starts_with(name), "{line}");
        }
        assert!(!all.contains('\u{1b}'), "colour only on a terminal");
    }
}

#[test]
fn previous_is_the_run_before() {
    let s = Supervisor::run(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, sleep], restart: {backoff: {initialSeconds: 0.1}}}
        ",
    );
    s.wait_log("sleeper", "up, run 1");
    s.wait_pid("sleeper").kill();
    s.wait_log("sleeper", "up, run 2");
    let previous = s.cli(&["logs", "sleeper", "--previous"]).expect(0).stdout;
    assert!(previous.contains("up, run 1") && !previous.contains("up, run 2"), "{previous}");
    let all = s.cli(&["logs", "sleeper"]).expect(0).stdout;
    assert!(all.contains("up, run 2"), "{all}");
}

#[test]
fn follow_goes_on_over_restarts() {
    let s = Supervisor::run(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, sleep], restart: {backoff: {initialSeconds: 0.1}}}
        ",
    );
    s.wait_log("sleeper", "up, run 1");
    let mut follower = s.command(&["logs", "-f", "sleeper"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (send, heard) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut seen = String::new();
    for run in 1..=3 {
        let words = format!("up, run {run}");
        while !seen.contains(&words) {
            let line = heard.recv_timeout(seconds(5));
            seen += &line.unwrap_or_else(|_| panic!("no `{words}` after\n{seen}"));
            seen += "\n";
        }
        s.wait_for("sleeper", "running", seconds(5), |c| c.restart_count == run - 1 && c.ready).pid().kill();
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(seen.matches("up, run 1\n").count(), 1, "{seen}");
}

#[test]
fn logs_can_be_read_without_a_supervisor() {
    let mut s = Supervisor::run(
        "
        metadata: {name: one}
        spec: {command: [vitald-fixture, say, last words]}
        ",
    );
    s.wait_log("one", "last words");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    assert!(s.cli(&["logs", "one"]).expect(0).stdout.contains("last words"));
}

#[test]
fn component_goes_on_logging_when_its_supervisor_dies() {
    let mut s = Supervisor::run(
        "
        metadata: {name: ticker}
        spec: {command: [sh, -c, 'i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.1; done']}
        ",
    );
    s.wait_log("ticker", "tick 2\n");
    s.kill9();
    let ticks = s.log("ticker").lines().count();
    eventually(
        "more ticks",
        seconds(5),
        || (s.log("ticker").lines().count() > ticks + 3).then_some(()),
        || s.log("ticker"),
    );
    // The next supervisor takes care of it, so that the test leaves nothing.
    s.start();
    s.wait_ready("ticker");
}

#[test]
fn following_ends_with_its_reader_and_with_the_supervisor() {
    let mut s = Supervisor::run(
        "
        metadata: {name: quiet}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.wait_log("quiet", "up, run 1");
    for args in [&["logs", "-f", "quiet"][..], &["events", "-f"]] {
        let follow = || s.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut unread = follow();
        let mut line = String::new();
        BufReader::new(unread.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let status = eventually("the end", seconds(5), || unread.try_wait().unwrap(), || args.join(" "));
        assert_eq!(status.code(), Some(0), "{args:?}");
    }
    let mut follower = s.command(&["logs", "-f"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(seconds(0.5));
    assert!(follower.try_wait().unwrap().is_none());
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let status = eventually("the end", seconds(5), || follower.try_wait().unwrap(), String::new);
    assert_eq!(status.code(), Some(0));
}

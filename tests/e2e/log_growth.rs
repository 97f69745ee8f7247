//! `logGrowth`: what a component writes, or does not, decides about it.

use std::fs;

use vitald_tests::{Supervisor, eventually, seconds};

#[test]
fn startup_waits_for_a_line() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: worker}
        spec:
          command: [sh, -c, 'while ! [ -e go ]; do sleep 0.05; done; echo Worker ready, polling; exec sleep 1000']
          startupProbe:
            logGrowth: {mustMatch: 'Worker ready, polling'}
            periodSeconds: 0.1
            failureThreshold: 600
        ",
    );
    s.start();
    let waits = s.wait_for("worker", "its startup probe to fail", seconds(10), |c| {
        c.probe("startup").consecutive_failures >= 3
    });
    assert!(waits.is("Starting", "StartupProbe") && !waits.ready, "{waits:?}");
    let why = &waits.probe("startup").message;
    assert!(why.contains("no line in its log matches `Worker ready, polling` yet"), "{why}");
    // A supervisor that comes in between reads the run from its beginning.
    s.write("manifests/go", "");
    s.wait_log("worker", "Worker ready");
    s.kill9();
    s.start();
    let ready = s.wait_ready("worker");
    assert_eq!((ready.pid, ready.restart_count), (waits.pid, 0));
}

/// Panics in its log when it is told to, and lives on; before and after it writes so much that its log is rotated.
const PANICS: &str = "
    metadata: {name: panics}
    spec:
      command:
      - bash
      - -c
      - |
        fill() { for i in {1..1000}; do echo \"line $i: nothing to see, go on, go on, go on, go on, go on\"; done; }
        fill; echo filled
        while ! [ -e panic ]; do sleep 0.05; done
        rm panic
        fill; printf \"thread 'main' pan\"; sleep 0.3; echo 'icked at src/main.rs:7'; fill
        exec sleep 1000
      logs: {maxSize: 16Ki, maxFiles: 20}
      restart: {backoff: {initialSeconds: 0.1}}
      livenessProbe:
        logGrowth: {mustNotMatch: \"^thread '.*' panicked at\"}
        periodSeconds: 0.2
";

#[test]
fn one_panic_amid_rotations_is_one_restart() {
    let s = Supervisor::run(PANICS);
    let first = s.wait_for("panics", "well", seconds(10), |c| {
        c.state == "Running" && c.probe("liveness").state.as_deref() == Some("Success")
    });
    assert_eq!(first.restart_count, 0);
    s.write("manifests/panic", "");
    let second = s.wait_for("panics", "its second run", seconds(20), |c| {
        c.restart_count == 1 && c.pid.is_some() && c.probe("liveness").state.as_deref() == Some("Success")
    });
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.last_exit().reason, "LivenessProbeFailed");
    let files = || fs::read_dir(s.state_dir().join("logs")).unwrap().count();
    eventually("rotations", seconds(20), || (files() > 4).then_some(()), || format!("{} files", files()));
    let described = s.cli(&["describe", "panics"]).expect(0).stdout;
    assert!(
        described.contains("forbidden line in its log: thread 'main' panicked at src/main.rs:7"),
        "{described}"
    );
    // The line of the run before is still in the log, and is none of this run's.
    s.wait_log("panics", "filled");
    let now = s.wait_for("panics", "well", seconds(10), |c| c.probe("liveness").consecutive_failures == 0);
    assert_eq!((now.pid, now.restart_count), (second.pid, 1));
}

#[test]
fn who_falls_silent_is_restarted() {
    let s = Supervisor::run(
        "
        metadata: {name: talker}
        spec:
          command: [sh, -c, 'while ! [ -e hush ]; do echo tick; sleep 0.1; done; rm hush; exec sleep 1000']
          restart: {backoff: {initialSeconds: 0.1}}
          livenessProbe:
            logGrowth: {maxSilenceSeconds: 2}
            periodSeconds: 0.2
            failureThreshold: 2
        ",
    );
    let first = s.wait_for("talker", "well", seconds(10), |c| {
        c.state == "Running" && c.probe("liveness").state.as_deref() == Some("Success")
    });
    s.write("manifests/hush", "");
    let second =
        s.wait_for("talker", "its second run", seconds(20), |c| c.restart_count == 1 && c.pid.is_some());
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.last_exit().reason, "LivenessProbeFailed");
    let described = s.cli(&["describe", "talker"]).expect(0).stdout;
    assert!(
        described.contains("nothing new in its log for") && described.contains("longer than 2 s"),
        "{described}"
    );
}

#[test]
fn a_file_is_checked_from_the_command_line() {
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    s.write("app.log", "starting\nWorker ready\npanicked at x\n");
    let check = |args: &[&str]| s.cli(&[&["check", "logGrowth"], args].concat());
    check(&["path=app.log", "mustMatch=^Worker"]).expect(0);
    let said = check(&["path=app.log", "mustNotMatch=panicked at"]).expect(1).all();
    assert!(said.contains("forbidden line in") && said.contains("panicked at x"), "{said}");
    check(&["mustMatch=^Worker"]).expect(4);
    let said = check(&["path=app.log", "mustMatch=a("]).expect(2).all();
    assert!(said.contains("mustMatch") && said.contains("unclosed group"), "{said}");
    let said = check(&["path=app.log"]).expect(2).all();
    assert!(said.contains("mustNotMatch"), "{said}");
}

#[test]
fn a_secret_in_a_forbidden_line_is_not_told_even_where_the_line_is_cut() {
    let secret = "correct-horse-battery-staple";
    let mut s = Supervisor::prepare(
        "
        metadata: {name: leaks}
        spec:
          command:
          - bash
          - -c
          - |
            pad() { printf \"%0$1d\" 0; }
            printf '%s' $KEY; pad 70; printf '\\033[31mpanic\\033[0m: %s ' $KEY; pad 60; printf '%s\\n' $KEY
            exec sleep 1000
          env: [{name: KEY, valueFrom: {fileKeyRef: {path: secrets.env, key: KEY}}}]
          readinessProbe:
            logGrowth: {mustNotMatch: panic}
            periodSeconds: 0.1
        ",
    );
    s.write("manifests/secrets.env", &format!("KEY={secret}"));
    s.start();
    let leaks = s.wait_for("leaks", "a forbidden line", seconds(10), |c| {
        c.probe("readiness").message.contains("forbidden line")
    });
    let told = &leaks.probe("readiness").message;
    assert!(told.contains("…***0") && told.contains("panic: ***") && told.ends_with("***…"), "{told}");
    for args in [&["describe", "leaks"][..], &["events"], &["status", "-o", "json"]] {
        let told = s.cli(args).expect(0).all();
        for part in [&secret[..6], &secret[10..16], &secret[secret.len() - 6..]] {
            assert!(!told.contains(part), "{part} is in\n{told}");
        }
    }
}

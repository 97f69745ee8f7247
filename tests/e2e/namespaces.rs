//! vitald in a pid namespace of its own, with others outside it; and with a `/proc` that is another's, or hides much.

use std::fs;
use std::os::unix::net::UnixDatagram;

use vitald_tests::{Namespace, Output, Place, Supervisor, eventually, seconds, skip};

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec:
      command: [vitald-fixture, sleep]
      restart: {backoff: {initialSeconds: 0.1}}
      livenessProbe:
        allOf: [{pid: {}}, {exec: {command: ['true']}}, {memory: {max: 4Gi}}]
        periodSeconds: 0.2
        timeoutSeconds: 5
";

/// A new pid namespace with the `/proc` of the one around it.
const WITHOUT_ITS_PROC: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

#[test]
fn who_speaks_from_outside_the_namespace_is_not_heard() {
    let Some(ns) = Namespace::new() else { return };
    let s = Supervisor::prepare(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          startupProbe: {notify: {}, periodSeconds: 30, timeoutSeconds: 30, failureThreshold: 100}
        ",
    )
    .with_prefix(ns.prefix());
    s.cli(&["up", "-f", "manifests", "--timeout", "1"]).expect(1);
    let pid = s.wait_pid("speaker");
    let environment = fs::read(ns.proc(pid).join("environ")).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let socket = environment.split('\0').find_map(|entry| entry.strip_prefix("NOTIFY_SOCKET=")).unwrap();
    // The kernel has no pid for who sends this.
    UnixDatagram::unbound().unwrap().send_to(b"READY=1\nSTATUS=lies", socket).unwrap();
    let asked = s.cli(&["probe", "run", "speaker", "startup"]).expect(1);
    assert!(asked.stdout.contains("one of nobody that can be seen from here"), "{asked:?}");
    let unmoved = s.component("speaker");
    assert!(!unmoved.ready && !unmoved.message.contains("lies"), "{unmoved:?}");
    // Its own are heard as before.
    s.write("manifests/new", "READY=1\nSTATUS=serves");
    fs::rename(s.path("manifests/new"), s.path("manifests/say")).unwrap();
    let ready = s.wait_ready("speaker");
    assert_eq!((ready.pid(), ready.message.as_str()), (pid, "serves"));
    s.cli(&["down"]).expect(0);
    assert_no_panic(&s);
}

/// In a fresh namespace with the `/proc` of the one around it; none where there can be no such thing.
fn strange(s: &Supervisor) -> Option<Place> {
    let strange = s.within(&WITHOUT_ITS_PROC);
    let tried = strange.cli(&["--version"]);
    if tried.code != 0 {
        skip(&format!("no pid namespace can be had: {}", tried.stderr.trim()));
        return None;
    }
    Some(strange)
}

#[track_caller]
fn assert_refused(output: Output) {
    let output = output.expect(1);
    for words in ["another pid namespace", "mount -t proc proc /proc", "Nothing was started or stopped"] {
        assert!(output.stderr.contains(words), "{output:?}");
    }
}

#[test]
fn nothing_is_started_where_proc_shows_another_namespace() {
    let s = Supervisor::prepare(SLEEPER);
    let Some(strange) = strange(&s) else { return };
    assert_refused(strange.cli(&["run", "-f", "manifests"]));
    assert_refused(strange.cli(&["up", "-f", "manifests"]));
    s.assert_nothing_left();
    assert!(!s.state_dir().join("vitald.log").exists());
    // What needs no process of its own works, what does cannot be asked.
    strange.cli(&["validate", "-f", "manifests"]).expect(0);
    strange.cli(&["check", "tcpSocket", "port=1"]).expect(1);
    let exec = strange.cli(&["check", "exec", "command=[\"touch\", \"touched\"]"]).expect(4);
    assert!(exec.stdout.contains("another pid namespace"), "{exec:?}");
    assert!(!s.path("touched").exists());
    // In there, it is a stranger's.
    s.write("pid", &std::process::id().to_string());
    let pid = strange.cli(&["check", "pid", "pidFile=pid"]).expect(4);
    assert!(pid.stdout.contains("another pid namespace"), "{pid:?}");
    s.cli(&["check", "pid", "pidFile=pid"]).expect(0);
    let doctor = strange.cli(&["doctor"]).expect(1);
    let lines: Vec<_> = doctor.stdout.lines().collect();
    assert!(lines[0].starts_with("missing") && lines[0].contains("another pid namespace"), "{doctor:?}");
    assert!(s.cli(&["doctor"]).stdout.lines().any(|line| line.starts_with("ok") && line.contains("/proc:")));
}

#[test]
fn nothing_is_stopped_where_proc_shows_another_namespace() {
    let mut s = Supervisor::prepare(SLEEPER);
    let Some(strange) = strange(&s) else { return };
    s.up().expect(0);
    let pid = s.wait_ready("sleeper").pid();
    // Whoever only speaks with the supervisor can do that from there.
    strange.cli(&["status"]).expect(0);
    strange.up().expect(0);
    strange.cli(&["probe", "run", "sleeper", "liveness"]).expect(0);
    s.kill9();
    let described = strange.cli(&["describe", "sleeper"]).expect(3);
    assert!(
        described.stderr.contains("whether it still runs cannot be told: /proc shows another"),
        "{described:?}"
    );
    assert_eq!(described.stdout, "");
    // What would take over, or end what is left, would look for it among strangers.
    assert_refused(strange.up());
    assert_refused(strange.cli(&["down"]));
    assert!(pid.exists());
    s.up().expect(0);
    let adopted = s.component("sleeper");
    assert_eq!((adopted.pid(), adopted.restart_count), (pid, 0));
    strange.cli(&["down"]).expect(0);
    pid.wait_gone(seconds(5));
    s.assert_nothing_left();
    assert_no_panic(&s);
}

#[test]
fn an_ordinary_user_from_whom_proc_hides_others_has_all_of_it() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root may become another user, and hide processes");
    }
    let Some(ns) = Namespace::new() else { return };
    let hidden = Output::of(&mut ns.command(&["mount", "-o", "remount,hidepid=2", "/proc"]));
    if hidden.code != 0 {
        return skip(&format!("processes cannot be hidden: {}", hidden.stderr.trim()));
    }
    let prepared = Supervisor::prepare_for(53_111, SLEEPER);
    let prefix = [ns.prefix(), prepared.prefix().to_vec()].concat();
    let mut s = prepared.with_prefix(prefix);
    let doctor = s.cli(&["doctor"]).stdout;
    assert!(doctor.contains("hidepid"), "{doctor}");
    // The first of the namespace is root's, and not shown: that it cannot be seen is no death.
    s.write("pid", "1");
    let asked = s.cli(&["check", "pid", "pidFile=pid"]).expect(4);
    assert!(asked.stdout.contains("hidden from us"), "{asked:?}");
    s.up().expect(0);
    let pid = s.wait_ready("sleeper").pid();
    s.kill_supervisors();
    s.up().expect(0);
    let adopted = s.component("sleeper");
    assert_eq!((adopted.pid(), adopted.restart_count), (pid, 0));
    let killed = ns.command(&["kill", "-KILL", &pid.0.to_string()]).status().unwrap();
    assert!(killed.success());
    let again = s.wait_for("sleeper", "its restart", seconds(10), |c| c.restart_count == 1 && c.ready);
    s.kill_supervisors();
    s.cli(&["down"]).expect(0);
    let gone = || (!ns.has(again.pid())).then_some(());
    eventually("the end of what a dead supervisor left", seconds(5), gone, String::new);
    s.assert_nothing_left();
    assert_no_panic(&s);
}

#[track_caller]
fn assert_no_panic(s: &Supervisor) {
    let said = fs::read_to_string(s.state_dir().join("vitald.log")).unwrap_or_default() + &s.said();
    assert!(!said.contains("panicked"), "{said}");
}

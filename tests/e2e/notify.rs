//! `notify`: what a component tells of itself (sd_notify), on a socket of its own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use nix::sys::signal::Signal;
use vitald_tests::{Component, Pid, Supervisor, eventually, program, seconds, skip};

/// A component that says what the file `say` tells it to.
const SPEAKER: &str = "
    metadata: {name: speaker}
    spec:
      command: [vitald-fixture, notify, say]
      restart: {backoff: {initialSeconds: 0.1}}
      terminationGracePeriodSeconds: 2
      startupProbe: {notify: {}, periodSeconds: 30, timeoutSeconds: 30, failureThreshold: 100}
";

/// Lets a speaker say something, and waits until it has done so.
#[track_caller]
fn say(s: &Supervisor, file: &str, what: &str) {
    // In one go: it must not find a part of it.
    s.write(&format!("manifests/{file}.new"), what);
    let path = s.path(format!("manifests/{file}"));
    fs::rename(s.path(format!("manifests/{file}.new")), &path).unwrap();
    eventually(what, seconds(10), || (!path.exists()).then_some(()), || s.said());
}

fn says(c: &Component, text: &str) -> bool {
    c.message == text
}

/// Where a component tells of itself, by its own environment.
fn socket_of(pid: Pid) -> String {
    variable(pid, "NOTIFY_SOCKET").unwrap()
}

fn variable(pid: Pid, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", pid.0)).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    let start = format!("{name}=");
    environment.split('\0').find_map(|entry| entry.strip_prefix(&start)).map(str::to_owned)
}

#[test]
fn ready_is_seen_at_once_and_status_is_shown() {
    let s = Supervisor::run(SPEAKER);
    let starting = s.wait_for("speaker", "a first answer", seconds(5), |c| {
        c.is("Starting", "StartupProbe") && c.message.contains("has not said READY=1")
    });
    assert!(!starting.ready);
    say(&s, "say", "STATUS=loads \u{1b}[31mits index");
    s.wait_for("speaker", "its own words", seconds(5), |c| {
        c.message.ends_with("it says: loads  [31mits index")
    });
    let begun = Instant::now();
    say(&s, "say", "READY=1\nSTATUS=serves nobody");
    s.wait_for("speaker", "ready", seconds(10), |c| c.ready && says(c, "serves nobody"));
    assert!(begun.elapsed() < seconds(10), "long before the probe was due");
    assert!(s.cli(&["status"]).expect(0).stdout.contains("serves nobody"));
    assert!(s.cli(&["describe", "speaker"]).expect(0).stdout.contains("serves nobody"));
}

#[test]
fn silence_of_the_watchdog_restarts_it() {
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          restart: {backoff: {initialSeconds: 0.1}}
          startupProbe: {notify: {}, periodSeconds: 0.2, failureThreshold: 100}
          livenessProbe:
            allOf: [{pid: {}}, {notify: {watchdogSeconds: 1.5}}]
            periodSeconds: 0.2
            failureThreshold: 1
        ",
    );
    let pid = s.wait_pid("speaker");
    assert_eq!(variable(pid, "WATCHDOG_USEC").as_deref(), Some("1500000"));
    assert_eq!(variable(pid, "WATCHDOG_PID"), Some(pid.0.to_string()));
    say(&s, "say", "READY=1");
    s.wait_ready("speaker");
    let talking = Instant::now();
    while talking.elapsed() < seconds(4) {
        say(&s, "say", "WATCHDOG=1");
        std::thread::sleep(seconds(0.3));
    }
    let alive = s.component("speaker");
    assert_eq!((alive.pid(), alive.restart_count), (pid, 0), "{alive:?}");
    let restarted = s.wait_for("speaker", "a restart", seconds(15), |c| c.restart_count == 1);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
    let events = s.events_of("speaker").join("\n");
    assert!(events.contains("has not said WATCHDOG=1 for"), "{events}");

    // Found sick by itself, it is not waited for.
    let second =
        s.wait_for("speaker", "a second run", seconds(5), |c| c.state == "Starting" && c.pid.is_some());
    say(&s, "say", "READY=1\nWATCHDOG_USEC=0");
    s.wait_for("speaker", "ready again", seconds(10), |c| c.ready && c.pid == second.pid);
    say(&s, "say", "WATCHDOG=trigger");
    s.wait_for("speaker", "another restart", seconds(15), |c| c.restart_count == 2);
    let events = s.events_of("speaker").join("\n");
    assert!(events.contains("WATCHDOG=trigger"), "{events}");
}

#[test]
fn strangers_are_not_heard() {
    let s = Supervisor::run(SPEAKER);
    let socket = socket_of(s.wait_pid("speaker"));
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.send_to(b"READY=1\nSTATUS=lies", &socket).unwrap();
    stranger.send_to(format!("MAINPID={}", std::process::id()).as_bytes(), &socket).unwrap();
    let asked = s.cli(&["probe", "run", "speaker", "startup"]).expect(1);
    let why = format!("of process {} (", std::process::id());
    assert!(asked.stdout.contains(&why) && asked.stdout.contains("none of its own"), "{asked:?}");
    let unmoved = s.component("speaker");
    assert!(!unmoved.ready && !unmoved.message.contains("lies"), "{unmoved:?}");

    // Nor is a pid that is none of its own believed.
    say(&s, "say", &format!("MAINPID={}", std::process::id()));
    let asked = s.cli(&["probe", "run", "speaker", "startup"]).expect(1);
    assert!(asked.stdout.contains("is no process of its own"), "{asked:?}");
    assert_eq!(s.component("speaker").pid, unmoved.pid);
    say(&s, "say", "READY=1");
    s.wait_ready("speaker");

    let first = s.component("speaker").pid();
    first.kill();
    s.wait_for("speaker", "a second run", seconds(10), |c| c.restart_count == 1 && c.pid.is_some());
    assert!(stranger.send_to(b"READY=1", &socket).is_err(), "the socket of the run before is gone");
}

#[test]
fn main_process_is_whom_it_names() {
    let (s, heir) = whom_it_names(Supervisor::prepare(&with_company()));
    say(&s, "heir", "STATUS=ends");
    heir.pid().kill();
    let next =
        s.wait_for("speaker", "the next run", seconds(10), |c| c.restart_count == 1 && c.pid.is_some());
    assert_ne!(next.pid(), heir.pid());
    assert!(!next.message.contains("ends"), "{next:?}");
}

#[test]
fn main_process_is_whom_it_names_without_cgroups() {
    let (s, heir) = whom_it_names(Supervisor::prepare(&with_company()).with_env("VITALD_CGROUPS", "off"));
    let company = fs::read_to_string(s.path("manifests/company")).unwrap();
    let company = Pid(company.trim().parse().unwrap());
    assert!(company.exists());
    s.cli(&["stop", "speaker"]).expect(0);
    assert!(!heir.pid().exists() && !company.exists());
}

/// With a process that is older than any successor of the first one, and goes with the run all the same.
fn with_company() -> String {
    let company = "[sh, -c, 'vitald-fixture sleep & echo $! > company; exec vitald-fixture notify say']";
    SPEAKER.replace("[vitald-fixture, notify, say]", company)
}

fn whom_it_names(mut s: Supervisor) -> (Supervisor, Component) {
    s.start();
    let first = s.wait_pid("speaker");
    say(&s, "say", "!successor heir");
    let heir = s.wait_for("speaker", "ready under another pid", seconds(10), |c| c.ready && c.pid() != first);
    let ended = || (!first.exists() || first.state() == 'Z').then_some(());
    eventually("the end of the first one", seconds(5), ended, || s.said());
    assert_eq!(fs::read_to_string(s.path("manifests/heir.pid")).unwrap(), heir.pid().0.to_string());
    assert_eq!(heir.restart_count, 0, "the end of the first one was no end");

    s.kill9();
    s.start();
    let adopted = s.component("speaker");
    assert_eq!((adopted.pid(), adopted.ready, adopted.restart_count), (heir.pid(), true, 0));
    assert_eq!(adopted.reason, "Adopted");
    // It can be heard still, on the same socket.
    say(&s, "heir", "STATUS=goes on");
    s.wait_for("speaker", "what it says", seconds(5), |c| says(c, "goes on"));
    (s, heir)
}

#[test]
fn end_of_a_new_main_process_is_told_with_its_status() {
    let s = Supervisor::run(SPEAKER);
    let first = s.wait_pid("speaker");
    say(&s, "say", "!successor heir");
    let heir = s.wait_for("speaker", "ready under another pid", seconds(10), |c| c.ready && c.pid() != first);
    s.write("manifests/heir", "!exit 7");
    let next =
        s.wait_for("speaker", "the next run", seconds(10), |c| c.restart_count == 1 && c.pid.is_some());
    assert_ne!(next.pid(), heir.pid());
    assert_eq!(next.last_exit().code, Some(7), "{next:?}");
    s.cli(&["stop", "speaker"]).expect(0);
}

#[test]
fn more_time_to_start_is_given_as_long_as_it_is_asked_for() {
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          restart: {backoff: {initialSeconds: 0.1}}
          startupProbe: {notify: {}, periodSeconds: 0.2, failureThreshold: 10}
        ",
    );
    let pid = s.wait_pid("speaker");
    let begun = Instant::now();
    while begun.elapsed() < seconds(8) {
        say(&s, "say", "EXTEND_TIMEOUT_USEC=5000000");
        std::thread::sleep(seconds(0.2));
    }
    let patient = s.component("speaker");
    assert_eq!((patient.pid(), patient.restart_count), (pid, 0), "{patient:?}");
    let gone = s.wait_for("speaker", "taken down", seconds(15), |c| c.restart_count == 1);
    assert_eq!(gone.last_exit().reason, "StartupProbeFailed");
}

#[test]
fn more_time_to_stop_is_given_as_long_as_it_is_asked_for() {
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say, '4000']
          terminationGracePeriodSeconds: 1
        ",
    );
    // Without a probe of this kind, it is given nothing to speak on.
    let pid = s.wait_pid("speaker");
    assert_eq!(variable(pid, "NOTIFY_SOCKET"), None);
    drop(s);
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say, '4000']
          terminationGracePeriodSeconds: 1
          readinessProbe: {notify: {}, periodSeconds: 0.2}
        ",
    );
    s.wait_log("speaker", "up, run 1");
    s.cli(&["stop", "speaker"]).expect(0);
    let stopped = s.component("speaker");
    assert_eq!(stopped.last_exit().code, Some(0), "it came to its own end: {stopped:?}");
}

#[test]
fn what_was_said_outlives_the_supervisor_and_what_may_have_been_said_is_unknown() {
    let mut s = Supervisor::run(&format!(
        "{SPEAKER}
    ---
    metadata: {{name: other}}
    spec:
      command: [vitald-fixture, notify, other]
      startupProbe: {{notify: {{}}, periodSeconds: 0.2, failureThreshold: 10000}}
      "
    ));
    s.wait_pid("other");
    say(&s, "say", "READY=1\nSTATUS=serves");
    let before = s.wait_for("speaker", "ready", seconds(10), |c| c.ready && says(c, "serves"));
    s.kill9();
    // Nobody hears this.
    say(&s, "say", "STATUS=lost");
    say(&s, "other", "READY=1");
    s.start();
    let after = s.component("speaker");
    assert_eq!((after.pid(), after.ready, after.message.as_str()), (before.pid(), true, "serves"));
    let asked = s.cli(&["probe", "run", "other", "startup"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.stdout.contains("since vitald was away"), "{asked:?}");
    say(&s, "other", "READY=1");
    let ready = s.wait_ready("other");
    assert_eq!(ready.restart_count, 0);
    say(&s, "say", "STATUS=heard");
    s.wait_for("speaker", "what it says now", seconds(5), |c| says(c, "heard"));
}

#[test]
fn watchdog_counts_anew_after_the_supervisor_was_away() {
    let mut s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          restart: {backoff: {initialSeconds: 0.1}}
          startupProbe: {notify: {}, periodSeconds: 1, failureThreshold: 100}
          livenessProbe: {notify: {watchdogSeconds: 3}, periodSeconds: 1}
        ",
    );
    let pid = s.wait_pid("speaker");
    say(&s, "say", "READY=1\nSTATUS=serves");
    s.wait_for("speaker", "what it says", seconds(5), |c| says(c, "serves"));
    s.kill9();
    std::thread::sleep(seconds(4));
    s.start();
    let asked = s.cli(&["probe", "run", "speaker", "liveness"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(s.component("speaker").pid(), pid);
    let restarted = s.wait_for("speaker", "a restart", seconds(15), |c| c.restart_count == 1);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
}

#[test]
fn another_user_can_speak_from_under_a_deep_state_dir() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root may switch users");
    }
    let fixture = program("vitald-fixture");
    let deep = tempfile::tempdir().unwrap();
    let state_dir = deep.path().join("d".repeat(100)).join("e".repeat(100));
    // Where that user can execute it.
    let open = tempfile::Builder::new().prefix("v").tempdir_in("/tmp").unwrap();
    let copy = open.path().join("fixture");
    fs::copy(fixture, &copy).unwrap();
    std::os::unix::fs::chown(open.path(), Some(65534), None).unwrap();
    let mut s = Supervisor::prepare(&format!(
        "
        metadata: {{name: speaker}}
        spec:
          command: ['{}', notify-say, \"READY=1\\nSTATUS=is somebody else\"]
          workingDir: /
          securityContext: {{runAsUser: nobody}}
          startupProbe: {{notify: {{}}, periodSeconds: 0.2}}
        ",
        copy.display()
    ))
    .with_state_dir(state_dir);
    s.start();
    let ready = s.wait_for("speaker", "ready", seconds(10), |c| c.ready && says(c, "is somebody else"));
    let socket = socket_of(ready.pid());
    assert!(socket.len() < 108, "{socket}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "nobody else may send to it");
    s.cli(&["stop", "speaker"]).expect(0);
    assert!(!fs::exists(&socket).unwrap(), "it goes with the run");
}

#[test]
fn a_flood_holds_up_nobody() {
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          startupProbe: {notify: {}, periodSeconds: 1, failureThreshold: 100}
          livenessProbe: {notify: {watchdogSeconds: 2}, periodSeconds: 1}
        ---
        metadata: {name: bystander}
        spec:
          command: [vitald-fixture, sleep]
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    s.wait_ready("bystander");
    let pid = s.wait_pid("speaker");
    say(&s, "say", "READY=1");
    s.wait_ready("speaker");
    let before = s.pid().cpu_seconds();
    let begun = Instant::now();
    s.write("manifests/say.new", "!flood 20000");
    fs::rename(s.path("manifests/say.new"), s.path("manifests/say")).unwrap();
    s.wait_for("speaker", "what it says first", seconds(15), |c| c.message.starts_with("message "));
    s.wait_pid("bystander").kill();
    s.wait_for("bystander", "its restart", seconds(15), |c| c.restart_count == 1 && c.ready);
    let flooded = s.path("manifests/say.flooded");
    eventually("the end of the flood", seconds(60), || flooded.exists().then_some(()), || s.said());
    let (took, used) = (begun.elapsed(), s.pid().cpu_seconds() - before);
    assert!(used < took.as_secs_f64() * 0.5, "{used} s of processor time in {took:?}");
    println!("flood: 20000 messages in {took:?}, {used:.2} s of the supervisor's processor time");
    s.wait_for("speaker", "the last words", seconds(5), |c| says(c, "message 19999"));
    let alive = s.component("speaker");
    assert_eq!((alive.pid(), alive.restart_count), (pid, 0));
}

#[test]
fn a_frozen_supervisor_makes_nobody_look_silent() {
    let s = Supervisor::run(
        "
        metadata: {name: speaker}
        spec:
          command: [vitald-fixture, notify, say]
          startupProbe: {notify: {}, periodSeconds: 1, failureThreshold: 100}
          livenessProbe: {notify: {watchdogSeconds: 1}, periodSeconds: 1, failureThreshold: 1000}
        ",
    );
    let pid = s.wait_pid("speaker");
    say(&s, "say", "READY=1\nWATCHDOG=1\nSTATUS=serves");
    s.wait_for("speaker", "what it says", seconds(5), |c| says(c, "serves"));
    s.pid().signal(Signal::SIGSTOP);
    for _ in 0..8 {
        std::thread::sleep(seconds(0.4));
        say(&s, "say", "WATCHDOG=1");
    }
    s.pid().signal(Signal::SIGCONT);
    let asked = s.cli(&["probe", "run", "speaker", "liveness"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(s.component("speaker").pid(), pid);
}

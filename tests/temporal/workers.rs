//! The `temporal` probe on real workers of a real server.
//!
//! `cargo xtask test temporal` makes sure that there are a `temporal` on PATH and a Python with the SDK. The
//! server is one for all tests, but for that in which it goes away. All of them run at the same time, since
//! most of their time they wait: an idle poll lasts a minute.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use vitald_tests::{Component, Output, Pid, Supervisor, eventually, free_port, seconds, skip};

/// Long enough for a server or an interpreter to start on a machine with other things to do.
const START: Duration = Duration::from_secs(90);
/// The least age that a manifest may ask for.
const MAX_POLL_AGE: f64 = 65.0;
/// Until that is noticed: the server ends the poll of a frozen worker after a minute, and three checks fail.
const NOTICED: Duration = Duration::from_secs(65 + 60 + 45);

/// Python with the SDK; none where the tests were not started by xtask.
fn python() -> Option<String> {
    let python = std::env::var("VITALD_TEST_PYTHON").ok();
    if python.is_none() {
        skip("there is no Python with Temporal's SDK: use `cargo xtask test temporal`");
    }
    python
}

fn script() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("temporal/worker.py").display().to_string()
}

/// A process of the test's own. Dropped, it ends; so it does with the thread that has started it.
struct Own(Child);

impl Own {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid(i32::try_from(self.0.id()).unwrap())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(port: u16) -> Own {
    let words =
        ["temporal", "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "never"];
    let server = Own::start(&[&words[..], &["--port", &port.to_string()]].concat());
    let answers = || (ask(&["operator", "namespace", "list"], port).code == 0).then_some(());
    eventually("the server to answer", START, answers, || format!("port {port}"));
    server
}

/// Temporal's own client.
fn ask(words: &[&str], port: u16) -> Output {
    let address = format!("127.0.0.1:{port}");
    Output::of(Command::new("temporal").args(words).args(["--address", &address]))
}

/// The port of the server for all.
fn shared() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let port = free_port();
        let (tell, told) = mpsc::channel();
        // The thread ends with the tests, and the server with the thread.
        thread::spawn(move || {
            let _server = server(port);
            tell.send(()).unwrap();
            loop {
                thread::park();
            }
        });
        told.recv().unwrap();
        port
    })
}

/// A worker under vitald, which is what a shell makes of `command`; `more` of its liveness probe.
fn component(port: u16, queue: &str, command: &str, more: &str) -> String {
    let about = format!("address: '127.0.0.1:{port}', taskQueue: {queue}, identity: Pid");
    format!(
        "
        metadata:
          name: worker
        spec:
          command: [sh, -c, '{command}']
          restart: {{backoff: {{initialSeconds: 0.1}}}}
          startupProbe:
            temporal: {{{about}}}
            periodSeconds: 0.5
            timeoutSeconds: 5
            failureThreshold: 240
          livenessProbe:
            temporal: {{{about}, maxPollAgeSeconds: {MAX_POLL_AGE}{more}}}
            periodSeconds: 2
        "
    )
}

/// The words that start a worker.
fn words(python: &str, port: u16, queue: &str) -> String {
    format!("{python} -B {} 127.0.0.1:{port} {queue}", script())
}

fn ready(s: &Supervisor) -> Component {
    s.wait_for("worker", "running and ready", START, |c| c.state == "Running" && c.ready)
}

/// A worker of the test's own, beside any that vitald has.
fn stranger(python: &str, port: u16, queue: &str) -> Own {
    Own::start(&[python, "-B", &script(), &format!("127.0.0.1:{port}"), queue])
}

/// `vitald check temporal`, with these fields.
fn check(s: &Supervisor, port: u16, fields: &[&str]) -> Output {
    let address = format!("address=127.0.0.1:{port}");
    s.cli(&[&["check", "temporal", &address, "--timeout", "20"], fields].concat())
}

/// Looks at the worker every second for so long: nothing may be held against it.
fn assert_left_alone(s: &Supervisor, first: &Component, span: Duration) -> Vec<String> {
    let begun = Instant::now();
    let mut messages = Vec::new();
    while begun.elapsed() < span {
        let now = s.component("worker");
        let liveness = now.probe("liveness");
        assert_eq!((now.pid, now.restart_count), (first.pid, 0), "{now:?}\n{}", s.said());
        assert_eq!(liveness.consecutive_failures, 0, "{now:?}");
        if messages.last() != Some(&liveness.message) {
            messages.push(liveness.message.clone());
        }
        sleep(seconds(1));
    }
    messages
}

#[test]
fn an_idle_worker_is_left_alone_for_minutes() {
    let Some(python) = python() else { return };
    let port = shared();
    let s = Supervisor::run(&component(port, "idle", &format!("exec {}", words(&python, port, "idle")), ""));
    let first = ready(&s);
    // Two polls and more.
    assert_eq!(assert_left_alone(&s, &first, seconds(140)), [""]);
    let own = format!("identity={}@*", first.pid().0);
    check(&s, port, &["taskQueue=idle", &own]).expect(0);
}

#[test]
fn a_killed_worker_fails_by_the_servers_word() {
    let Some(python) = python() else { return };
    let port = shared();
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    let worker = stranger(&python, port, "killed");
    let own = format!("identity={}@*", worker.pid().0);
    let fields = ["taskQueue=killed", "taskQueueTypes=[workflow, activity]", "maxPollAgeSeconds=65", &own];
    let polled = || (check(&s, port, &fields).code == 0).then_some(());
    eventually("the worker to poll", START, polled, || check(&s, port, &fields).all());

    worker.pid().kill();
    check(&s, port, &fields).expect(0); // The server remembers it for minutes.
    let fails = || Some(check(&s, port, &fields)).filter(|output| output.code != 0);
    let failure = eventually("the check to fail", seconds(120), fails, String::new).expect(1);
    let said = format!("{}@", worker.pid().0);
    assert!(failure.stdout.contains(&said) && failure.stdout.contains("and not since"), "{failure:?}");
}

#[test]
fn a_frozen_worker_is_found_and_restarted() {
    let Some(python) = python() else { return };
    let port = shared();
    let s =
        Supervisor::run(&component(port, "frozen", &format!("exec {}", words(&python, port, "frozen")), ""));
    let first = ready(&s).pid();
    first.signal(Signal::SIGSTOP);
    let restarted = s.wait_for("worker", "a restart", NOTICED, |c| c.restart_count == 1);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
    assert_ne!(ready(&s).pid(), first);
}

#[test]
fn a_dead_poll_loop_in_a_live_process_is_found_though_another_worker_polls() {
    let Some(python) = python() else { return };
    let port = shared();
    let _other = stranger(&python, port, "ended");
    let s =
        Supervisor::run(&component(port, "ended", &format!("exec {}", words(&python, port, "ended")), ""));
    let first = ready(&s).pid();
    first.signal(Signal::SIGUSR1);
    s.wait_log("worker", "the poll loops have ended");
    let restarted = s.wait_for("worker", "a restart", NOTICED, |c| c.restart_count > 0 || !first.exists());
    assert!(restarted.restart_count <= 1, "{restarted:?}");
    check(&s, port, &["taskQueue=ended", "maxPollAgeSeconds=65"]).expect(0); // To anybody, all is well.
    assert_ne!(ready(&s).pid(), first);
    let events = s.events_of("worker").join("\n");
    let why = format!("{}@", first.0);
    assert!(events.contains(&why) && events.contains("and not since: more than 65 s"), "{events}");
}

#[test]
fn what_the_server_does_not_know_is_told() {
    let Some(python) = python() else { return };
    let port = shared();
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    let _worker = stranger(&python, port, "known");
    let polled = || (check(&s, port, &["taskQueue=known"]).code == 0).then_some(());
    eventually("the worker to poll", START, polled, || check(&s, port, &["taskQueue=known"]).all());
    check(&s, port, &[]).expect(0);
    for (fields, why) in [
        (&["taskQueue=knwon"][..], "nobody polls the workflow queue `knwon` in namespace `default`"),
        (&["taskQueue=known", "taskQueueTypes=[nexus]"], "nobody polls the nexus queue `known`"),
        (&["taskQueue=known", "minPollers=2"], "1 of 2 workers polled the workflow queue `known`"),
        (
            &["taskQueue=known", "identity=*@elsewhere"],
            "not by a worker whose identity is like `*@elsewhere`",
        ),
        (&["taskQueue=known", "namespace=nope"], "has no namespace `nope`"),
        (&["namespace=nope"], "has no namespace `nope`"),
    ] {
        let output = check(&s, port, fields).expect(1);
        assert!(output.stdout.contains(why), "{fields:?}: {output:?}");
    }
}

#[test]
fn a_server_that_is_gone_and_back_restarts_nobody() {
    let Some(python) = python() else { return };
    let port = free_port();
    let first_server = server(port);
    let s = Supervisor::run(&component(port, "back", &format!("exec {}", words(&python, port, "back")), ""));
    let first = ready(&s);
    drop(first_server);
    let away = Instant::now();
    s.wait_for("worker", "an answer that is none", seconds(20), |c| {
        c.probe("liveness").state.as_deref() == Some("Unknown")
    });
    check(&s, port, &["taskQueue=back"]).expect(4);
    check(&s, port, &["taskQueue=back", "onServerUnavailable=Fail"]).expect(1);
    // Longer than any poll may be old.
    let rest = seconds(MAX_POLL_AGE + 5.0).saturating_sub(away.elapsed());
    assert_left_alone(&s, &first, rest);

    let _second_server = server(port);
    s.wait_for("worker", "a success", seconds(MAX_POLL_AGE), |c| {
        assert_eq!((c.pid, c.restart_count), (first.pid, 0), "{c:?}");
        c.probe("liveness").state.as_deref() == Some("Success")
    });
}

#[test]
fn a_worker_behind_a_shell_is_the_components_own() {
    let Some(python) = python() else { return };
    let port = shared();
    // The shell stays when its worker has gone.
    let command = format!("{}; sleep 1000", words(&python, port, "behind"));
    let s = Supervisor::run(&component(port, "behind", &command, ""));
    let shell = ready(&s).pid();
    let worker = shell.descendants().into_iter().find(|pid| pid.command().contains("worker.py")).unwrap();
    worker.kill();
    // Its last poll is not old yet, but it is no longer one of ours.
    let restarted = s.wait_for("worker", "a restart", seconds(60), |c| c.restart_count == 1);
    assert_eq!(restarted.last_exit().reason, "LivenessProbeFailed");
    let events = s.events_of("worker").join("\n");
    assert!(events.contains("and not by the component's own processes"), "{events}");
}

#[test]
fn a_saturated_worker_is_left_alone() {
    let Some(python) = python() else { return };
    let port = shared();
    let command = format!("exec {} --nap 600", words(&python, port, "full"));
    let s = Supervisor::run(&component(port, "full", &command, ", taskQueueTypes: [activity]"));
    let first = ready(&s);
    let messages = assert_left_alone(&s, &first, seconds(100));
    let is_busy = |message: &String| message.ends_with("has an activity of it under way: busy");
    assert!(messages.iter().any(is_busy), "it still polls, or nobody said that it does not: {messages:?}");
}

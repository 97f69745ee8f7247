//! One supervisor to a state dir; what a dead one leaves.

use std::fs::File;
use std::process::Stdio;
use std::thread::sleep;

use nix::sys::signal::Signal;
use vitald_tests::{Output, Supervisor, eventually, seconds};

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep]}
";

#[test]
fn second_run_is_refused_and_names_the_holder() {
    let s = Supervisor::run(SLEEPER);
    let pid = s.wait_ready("sleeper").pid;
    let refused = s.cli(&["run", "-f", "manifests"]).expect(3);
    assert!(refused.stderr.contains(&s.pid().0.to_string()), "{}", refused.stderr);
    assert_eq!(s.component("sleeper").pid, pid, "the first one is left alone");
    assert_eq!(s.pid().descendants().len(), 1);
}

#[test]
fn of_two_runs_at_once_one_is_refused() {
    let s = Supervisor::prepare(SLEEPER);
    let mut runs =
        [(), ()].map(|()| s.command(&["run", "-f", "manifests"]).stderr(Stdio::piped()).spawn().unwrap());
    let refused = eventually(
        "one of two to be refused",
        seconds(10),
        || runs.iter_mut().position(|run| run.try_wait().unwrap().is_some()),
        || format!("{:?}", s.processes()),
    );
    let [mut first, mut second] = runs;
    let (refused, runs) = if refused == 0 { (first, &mut second) } else { (second, &mut first) };
    let output = refused.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&runs.id().to_string()), "{told}");
    s.wait_ready("sleeper");
    assert_eq!(s.pid().descendants().len(), 1);
    s.cli(&["down"]).expect(0);
    assert_eq!(runs.wait().unwrap().code(), Some(0));
}

#[test]
fn of_many_ups_at_once_one_supervises() {
    let s = Supervisor::prepare(SLEEPER);
    let outputs = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| s.up())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    // Being already up is success, and so is waiting until it is.
    assert!(outputs.iter().any(|output| output.code == 0), "{outputs:?}");
    s.wait_ready("sleeper");
    let fixtures = s.processes().into_iter().filter(|pid| pid.command().contains("vitald-fixture"));
    assert_eq!(fixtures.count(), 1, "{:?}", s.processes());
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn who_asks_while_it_dies_is_told_what_it_leaves() {
    let mut s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    s.kill9();
    for args in [&["status"][..], &["stop", "sleeper"]] {
        // As while its last threads end: nobody listens any more, and its lock is held.
        let lock = File::open(s.state_dir().join("vitald.lock")).unwrap();
        lock.lock().unwrap();
        let mut asking = s.background(args);
        sleep(seconds(0.5));
        assert!(asking.goes_on(), "it may be about to listen: {:?}", asking.end(seconds(1)));
        drop(lock);
        let told = asking.end(seconds(10)).expect(3).stderr;
        assert!(told.contains("has died and left 1 component running"), "{args:?}: {told}");
    }
    s.cli(&["down"]).expect(0);
}

#[test]
fn down_stops_what_a_dead_supervisor_left() {
    let mut s = Supervisor::run(SLEEPER);
    let pid = s.wait_ready("sleeper").pid();
    s.kill9();
    sleep(seconds(0.3));
    assert!(pid.exists(), "a component goes on without its supervisor");
    s.cli(&["status"]).expect(3);
    let told = s.cli(&["down"]).expect(0).stdout;
    assert!(told.contains(&pid.0.to_string()), "{told}");
    assert!(!pid.exists());
    s.assert_nothing_left();
    let record = std::fs::read_to_string(s.state_dir().join("components/sleeper.json")).unwrap();
    assert!(record.contains("\"process\":null"), "{record}");
    let told = s.cli(&["down"]).expect(0).stdout;
    assert!(told.contains("nothing to stop"), "{told}");
    s.up().expect(0);
    assert_ne!(s.wait_pid("sleeper"), pid);
    s.cli(&["down"]).expect(0);
}

#[test]
fn down_finds_what_ran_away_from_a_dead_supervisor() {
    let mut s = Supervisor::run(
        "
        metadata: {name: daemoniser}
        spec: {command: [vitald-fixture, daemoniser]}
        ---
        metadata: {name: forker}
        spec: {command: [vitald-fixture, forker]}
        ",
    );
    s.wait_ready("daemoniser");
    s.wait_ready("forker");
    sleep(seconds(0.5));
    s.kill9();
    // Not even a record is needed: the lock tells.
    std::fs::remove_file(s.state_dir().join("components/forker.json")).unwrap();
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn next_supervisor_runs_one_process_where_a_dead_one_left_one() {
    let mut s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    s.kill9();
    s.start();
    s.wait_ready("sleeper");
    let fixtures = s.processes().into_iter().filter(|pid| pid.command().contains("vitald-fixture"));
    assert_eq!(fixtures.count(), 1, "{:?}", s.processes());
}

#[test]
fn failed_and_counters_survive_the_supervisor() {
    let mut s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '3', '50']
          restart: {maxRestarts: 2, backoff: {initialSeconds: 0.1}}
        ---
        metadata: {name: victim}
        spec:
          command: [vitald-fixture, sleep]
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    s.wait_state("crasher", "Failed", seconds(10));
    s.wait_ready("victim").pid().kill();
    s.wait_for("victim", "a second run", seconds(5), |c| c.restart_count == 1 && c.ready);
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let crashes = s.log("crasher").matches("crashing").count();

    s.start();
    let victim = s.wait_ready("victim");
    assert_eq!((victim.restart_count, victim.restarts_in_window), (1, 1));
    let failed = s.component("crasher");
    assert!(failed.is("Failed", "RestartLimitExceeded"), "{failed:?}");
    assert_eq!(s.log("crasher").matches("crashing").count(), crashes, "what Failed is not started");
    s.wait_log("victim", "up, run 3");
}

#[test]
fn supervisor_of_the_current_folder_is_found_without_being_named() {
    // An empty name is none: the default is below HOME, named after the folder.
    let mut s = Supervisor::prepare(SLEEPER).with_env("VITALD_STATE_DIR", "");
    s.start();
    s.wait_ready("sleeper");
    let state_dir = s.status().supervisor.state_dir;
    let home = s.path(".local/state/vitald");
    assert!(state_dir.starts_with(&home.display().to_string()), "{state_dir}");
    s.cli(&["status", "-f", "manifests"]).expect(0);
    s.cli(&["stop", "sleeper"]).expect(0);
}

#[test]
fn commands_in_one_project_do_not_reach_another() {
    let shared = Supervisor::prepare(SLEEPER);
    let state = shared.path("xdg").display().to_string();
    let project =
        || Supervisor::prepare(SLEEPER).with_env("VITALD_STATE_DIR", "").with_env("XDG_STATE_HOME", &state);
    let (mut other, this) = (project(), project());
    this.up().expect(0);
    this.cli(&["down"]).expect(0);
    other.start();
    let pid = other.wait_ready("sleeper").pid;
    for args in [&["stop", "sleeper"][..], &["restart", "sleeper"], &["status"]] {
        let output = this.cli(args).expect(3);
        assert!(output.stderr.contains("no supervisor"), "{args:?}: {}", output.stderr);
    }
    this.cli(&["down"]).expect(0);
    assert_eq!(other.component("sleeper").pid, pid);

    // Where none has been, the only supervisor is meant, such as that of another folder of manifests here;
    // before something is changed, it is named.
    let elsewhere = |args: &[&str]| Output::of(this.command(args).current_dir(this.path("tmp")));
    assert_eq!(elsewhere(&["status"]).expect(0).stderr, "");
    this.write("tmp/manifests/sleeper.yaml", "");
    assert_eq!(elsewhere(&["status"]).expect(0).stderr, "");
    let told = elsewhere(&["restart", "sleeper"]).expect(0).stderr;
    assert!(told.contains(&other.status().supervisor.state_dir), "{told}");
    assert_ne!(other.component("sleeper").pid, pid);
}

#[test]
fn path_that_does_not_exist_is_wrong_usage() {
    let s = Supervisor::prepare(SLEEPER).with_env("VITALD_STATE_DIR", "");
    for args in [
        &["status", "-f", "no/such"][..],
        &["down", "-f", "no/such"],
        &["stop", "sleeper", "-f", "no/such"],
        &["logs", "--filename", "no/such"],
        &["events", "--filename", "no/such"],
        &["up", "-f", "no/such"],
        &["run", "-f", "no/such"],
        &["validate", "-f", "no/such"],
    ] {
        let output = s.cli(args).expect(2);
        assert!(output.stderr.contains("no/such"), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn supervisor_that_is_stopped_is_named() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    let pid = s.pid();
    pid.signal(Signal::SIGSTOP);
    let outputs = std::thread::scope(|scope| {
        let s = &s;
        let runs = ["status", "down"].map(|command| scope.spawn(move || s.cli(&[command])));
        runs.map(|run| run.join().unwrap())
    });
    pid.signal(Signal::SIGCONT);
    for output in outputs {
        let told = output.expect(1).stderr;
        assert!(told.contains(&format!("kill -CONT {}", pid.0)), "{told}");
    }
}

//! One supervisor to a state dir; what a dead one leaves.

use std::process::Stdio;
use std::thread::sleep;

use vitald_tests::{Supervisor, eventually, seconds};

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
fn down_stops_what_a_dead_supervisor_left() {
    let mut s = Supervisor::run(SLEEPER);
    let pid = s.wait_ready("sleeper").pid();
    s.kill9();
    sleep(seconds(0.3));
    assert!(pid.exists(), "a component goes on without its supervisor");
    s.cli(&["status"]).expect(3);
    s.cli(&["down"]).expect(0);
    assert!(!pid.exists());
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

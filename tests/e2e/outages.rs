//! What dies, waits or has ended while no supervisor runs, and the counters over all of it.

use vitald_tests::{Pid, Supervisor, seconds};

use crate::adoption::kept;

#[test]
fn what_died_meanwhile_is_restarted_and_its_end_is_not_made_up() {
    let mut s = Supervisor::run(
        "
        metadata: {name: victim}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          restart: {backoff: {initialSeconds: 0.1}}
        ---
        metadata: {name: neighbour}
        spec: {command: [vitald-fixture, traced, TRACES, sleep]}
        ",
    );
    let victim = s.wait_ready("victim").pid();
    let neighbour = s.wait_ready("neighbour");
    s.kill9();
    victim.kill();
    victim.wait_gone(seconds(5));
    s.start();
    let after = s.wait_for("victim", "a second run", seconds(5), |c| c.restart_count == 1 && c.ready);
    let exit = after.last_exit();
    assert_eq!((exit.code, exit.reason.as_str()), (None, "Error"));
    // As long as nobody has reaped it, its signal can be read; else nobody knows, and that is said.
    if exit.signal.as_deref() != Some("SIGKILL") {
        assert_eq!(exit.signal, None);
        let told = s.cli(&["describe", "victim"]).expect(0).stdout;
        assert!(told.to_lowercase().contains("unknown"), "{told}");
    }
    assert_eq!(kept(&s.component("neighbour")), kept(&neighbour));
    s.traces().assert_never_doubled();
}

#[test]
fn delays_and_limits_go_on_over_deaths() {
    let mut s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, traced, TRACES, schedule, '3@200,3@200,3@200,3@200,3@200']
          restart: {maxRestarts: 3, backoff: {initialSeconds: 5, multiplier: 1}}
        ",
    );
    for run in 1..=4 {
        s.traces().wait("crasher", "end", run, seconds(15));
        if run == 4 {
            break;
        }
        let waits = s.wait_state("crasher", "Restarting", seconds(5));
        let left = waits.next_restart_seconds.unwrap();
        s.kill9();
        s.start();
        let after = s.component("crasher");
        assert!(after.is("Restarting", "CrashLoopBackOff"), "{after:?}");
        let left_now = after.next_restart_seconds.unwrap();
        assert!(left_now < left && left_now > 0.0, "{left_now} of {left}");
        assert_eq!(after.restarts_in_window, waits.restarts_in_window);
    }
    s.wait_state("crasher", "Failed", seconds(5));
    s.kill9();
    s.start();
    let failed = s.component("crasher");
    assert!(failed.is("Failed", "RestartLimitExceeded"), "{failed:?}");
    assert_eq!((failed.restart_count, failed.restarts_in_window), (3, 3));
    let (starts, ends) = (s.traces().all("crasher", "start"), s.traces().all("crasher", "end"));
    assert_eq!((starts.len(), ends.len()), (4, 4));
    for (end, start) in ends.iter().zip(&starts[1..]) {
        let delay = start.at - end.at;
        assert!((4950..9000).contains(&delay), "a delay of {delay} ms instead of 5000");
    }
    assert!(starts.iter().map(|start| start.run).eq(1..=4), "{starts:?}");
}

#[test]
fn what_has_ended_for_good_is_not_started_again() {
    let mut s = Supervisor::run(
        "
        metadata: {name: once}
        spec: {command: [vitald-fixture, traced, TRACES, schedule, '0@50'], restartPolicy: OnFailure}
        ---
        metadata: {name: never}
        spec: {command: [vitald-fixture, traced, TRACES, schedule, '5@50'], restartPolicy: Never}
        ---
        metadata: {name: after}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          dependsOn: [{name: once, condition: Completed}]
        ---
        metadata: {name: migration}
        spec: {command: [vitald-fixture, traced, TRACES, crash-when, done, '0'], restartPolicy: OnFailure}
        ",
    );
    s.wait_for("once", "Completed", seconds(5), |c| c.is("Stopped", "Completed"));
    s.wait_for("never", "Error", seconds(5), |c| c.is("Stopped", "Error"));
    s.wait_ready("after");
    s.traces().wait("migration", "start", 1, seconds(5));
    s.kill9();
    s.start();
    assert!(s.component("once").is("Stopped", "Completed"));
    assert!(s.component("never").is("Stopped", "Error"));
    // It ends under a supervisor that did not start it.
    s.write("manifests/done", "");
    s.wait_for("migration", "Completed", seconds(5), |c| c.is("Stopped", "Completed"));
    let traces = s.traces();
    assert_eq!(["once", "never", "after", "migration"].map(|name| traces.starts(name)), [1, 1, 1, 1]);
}

#[test]
fn restart_under_the_next_supervisor_inherits_what_the_first_one_gave() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: tell}
        spec:
          command: [vitald-fixture, tell]
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    )
    .with_env("TZ", "Europe/Vienna");
    s.start();
    s.wait_log("tell", "up, run 1");
    s.kill9();
    let mut s = s.with_env("TZ", "Asia/Tokyo").with_env("LC_ALL", "C");
    s.start();
    s.wait_pid("tell").kill();
    let log = s.wait_log("tell", "up, run 2");
    assert_eq!(log.matches("env TZ=Europe/Vienna").count(), 2, "{log}");
    assert!(!log.contains("Tokyo") && !log.contains("LC_ALL"), "{log}");
}

const TREE: &str = "
    metadata: {name: tree}
    spec:
      command: [vitald-fixture, traced, TRACES, runaways, TRACES, group]
      terminationGracePeriodSeconds: 0.5
";

#[test]
fn what_runs_without_a_record_is_ended_before_the_next_run() {
    let mut s = Supervisor::run(TREE);
    s.traces().wait("tree", "complete", 1, seconds(10));
    s.kill9();
    std::fs::remove_file(s.state_dir().join("components/tree.json")).unwrap();
    s.start();
    s.traces().wait("tree", "complete", 2, seconds(10));
    s.traces().assert_never_doubled();
    let mains = s.processes().into_iter().filter(|pid| pid.command().contains(" runaways "));
    assert_eq!(mains.count(), 1, "{:?}", s.processes());
}

#[test]
fn what_runs_without_its_lock_is_not_doubled() {
    let mut s = Supervisor::run(TREE);
    s.traces().wait("tree", "complete", 1, seconds(10));
    let pid = s.wait_pid("tree");
    s.kill9();
    // As in a copy, whose lock is another file.
    std::fs::remove_file(s.state_dir().join("locks/tree.lock")).unwrap();
    let told = s.cli(&["up", "-f", "manifests"]).expect(3).stderr;
    assert!(told.contains(&pid.0.to_string()), "{told}");
    assert_eq!((s.traces().starts("tree"), pid.exists()), (1, true));
    s.processes().into_iter().for_each(Pid::kill);
    pid.wait_gone(seconds(5));
}

#[test]
fn counters_survive_a_reboot_and_the_window_does_not() {
    let mut s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, traced, TRACES, schedule, '1@50,1@50']
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    let before = s.wait_for("crasher", "a third run", seconds(10), |c| c.ready && c.restart_count == 2);
    assert_eq!(before.restarts_in_window, 2);
    assert_eq!(s.ctrl_c(seconds(10)), 0);
    // Nobody can tell a test's reboot from one, but by what was written down about the boot.
    let record = s.state_dir().join("components/crasher.json");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains(boot.trim()), "{text}");
    std::fs::write(&record, text.replace(boot.trim(), "00000000-0000-4000-8000-000000000000")).unwrap();
    s.start();
    let after = s.wait_ready("crasher");
    assert_eq!((after.restart_count, after.restarts_in_window), (2, 0));
}

//! What others start: found, started, watched and stopped by the commands that the manifest gives.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command};

use vitald_tests::{Pid, Supervisor, program, seconds};

/// A daemon that writes its pid file, and commands for it. In the folder of the manifests, `hold` keeps it from
/// being stopped by its command.
const DAEMON: &str = "
    metadata: {name: daemon}
    spec:
      external:
        pidFile: ../daemon.pid
        processName: vitald-fixture
        startCommand: [vitald-fixture, daemon, daemon.pid, sleep]
        stopCommand: [sh, -c, 'test -e hold || kill $(cat daemon.pid)']
      workingDir: ..
      terminationGracePeriodSeconds: 2
      restart: {maxRestarts: 3, backoff: {initialSeconds: 0.1, maxSeconds: 0.1}}
";

/// The pid in the pid file.
#[track_caller]
fn written(s: &Supervisor) -> Pid {
    Pid(fs::read_to_string(s.path("daemon.pid")).unwrap().trim().parse().unwrap())
}

/// A process that this test has started by itself, ended with it.
struct Stranger(Child);

impl Stranger {
    fn new(words: &[&str]) -> Self {
        Self(Command::new(words[0]).args(&words[1..]).spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid(self.0.id().cast_signed())
    }

    #[track_caller]
    fn assert_is_well(&mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "it has been ended");
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleeper() -> Stranger {
    Stranger::new(&[program("vitald-fixture").to_str().unwrap(), "sleep"])
}

#[test]
fn a_daemon_is_started_restarted_counted_and_stopped_by_its_commands() {
    let s = Supervisor::prepare(DAEMON);
    s.up().expect(0);
    let first = s.component("daemon");
    assert_eq!(first.pid(), written(&s));
    assert!(s.log("daemon").contains(&format!("daemon {}", first.pid().0)), "the command writes to the log");
    let told = s.cli(&["describe", "daemon"]).expect(0).stdout;
    assert!(told.contains("external") && told.contains("daemon.pid, named vitald-fixture"), "{told}");

    first.pid().kill();
    let second = s.wait_for("daemon", "another run", seconds(20), |c| c.ready && c.pid != first.pid);
    assert_eq!((second.restart_count, second.pid()), (1, written(&s)));

    s.cli(&["stop", "daemon"]).expect(0);
    assert!(!second.pid().exists());
    assert!(s.component("daemon").is("Stopped", "StoppedByUser"));

    // What its stopCommand does not end within the grace period is killed.
    s.cli(&["start", "daemon"]).expect(0);
    let third = s.wait_ready("daemon").pid();
    s.write("hold", "");
    s.cli(&["stop", "daemon"]).expect(0);
    assert!(!third.exists());
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn what_runs_already_is_taken_as_it_is() {
    let s = Supervisor::prepare(DAEMON);
    let mut there = sleeper();
    s.write("daemon.pid", &there.pid().0.to_string());
    s.up().expect(0);
    assert_eq!(s.component("daemon").pid(), there.pid());
    assert!(!s.log("daemon").contains("daemon "), "its startCommand has run");
    there.assert_is_well();
    s.cli(&["down"]).expect(0);
    assert!(there.0.wait().is_ok(), "its stopCommand has ended it");
}

#[test]
fn neither_a_stale_file_nor_a_stranger_with_its_pid_is_taken_for_it() {
    let s = Supervisor::prepare(DAEMON);
    // The file was written long before this process began.
    let mut younger = sleeper();
    let file = s.write("daemon.pid", &younger.pid().0.to_string());
    let touched = Command::new("touch").args(["-d", "2000-01-01"]).arg(&file).status().unwrap();
    assert!(touched.success());
    s.up().expect(0);
    assert_ne!(s.component("daemon").pid(), younger.pid());
    s.cli(&["stop", "daemon"]).expect(0);

    // Another program has the pid.
    let mut other = Stranger::new(&["sleep", "1000"]);
    s.write("daemon.pid", &other.pid().0.to_string());
    s.cli(&["start", "daemon"]).expect(0);
    assert_ne!(s.wait_ready("daemon").pid(), other.pid());
    s.cli(&["stop", "daemon"]).expect(0);

    // Nobody has it.
    let mut gone = sleeper();
    let pid = gone.pid();
    gone.0.kill().unwrap();
    gone.0.wait().unwrap();
    s.write("daemon.pid", &pid.0.to_string());
    s.cli(&["start", "daemon"]).expect(0);
    s.wait_ready("daemon");
    s.cli(&["down"]).expect(0);
    younger.assert_is_well();
    other.assert_is_well();
    s.assert_nothing_left();
}

#[test]
fn without_commands_it_is_waited_for_watched_and_let_go_of() {
    let s = Supervisor::run(
        "
        metadata: {name: daemon}
        spec:
          external: {pidFile: ../daemon.pid, processName: vitald-fixture}
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    let waits = s.wait_state("daemon", "Starting", seconds(20));
    assert!(waits.message.contains("daemon.pid"), "{}", waits.message);
    let mut wrong = Stranger::new(&["sleep", "1000"]);
    s.write("daemon.pid", &wrong.pid().0.to_string());
    s.wait_log("daemon", "is not `vitald-fixture`");
    assert_eq!(s.component("daemon").state, "Starting");

    let first = sleeper();
    s.write("daemon.pid", &first.pid().0.to_string());
    assert_eq!(s.wait_ready("daemon").pid(), first.pid());
    drop(first);
    s.wait_state("daemon", "Starting", seconds(20));

    let mut second = sleeper();
    s.write("daemon.pid", &second.pid().0.to_string());
    assert_eq!(s.wait_ready("daemon").pid(), second.pid());
    s.cli(&["stop", "daemon"]).expect(0);
    let stopped = s.component("daemon");
    assert!(stopped.is("Stopped", "StoppedByUser") && stopped.message.contains("let go"), "{stopped:?}");
    second.assert_is_well();
    s.cli(&["start", "daemon"]).expect(0);
    assert_eq!(s.wait_ready("daemon").pid(), second.pid());
    s.cli(&["down"]).expect(0);
    second.assert_is_well();
    wrong.assert_is_well();
}

#[test]
fn who_listens_on_a_port_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let s = Supervisor::run(&format!("metadata: {{name: daemon}}\nspec: {{external: {{port: {port}}}}}"));
    assert_eq!(s.wait_ready("daemon").pid(), Pid(std::process::id().cast_signed()));
    s.cli(&["down"]).expect(0);
}

#[test]
fn a_process_that_replaces_itself_has_not_ended() {
    let s = Supervisor::prepare(DAEMON);
    s.up().expect(0);
    let old = s.component("daemon").pid();
    let new = sleeper();
    s.write("daemon.pid", &new.pid().0.to_string());
    old.kill();
    let replaced = s.wait_for("daemon", "the new process", seconds(20), |c| c.pid == Some(new.pid().0));
    assert_eq!((replaced.restart_count, replaced.ready), (0, true));
    s.cli(&["down"]).expect(0);
}

#[test]
fn a_restart_is_left_to_its_restart_command() {
    let manifest = DAEMON.replace(
        "stopCommand:",
        "restartCommand: [sh, -c, 'kill $(cat daemon.pid); vitald-fixture daemon daemon.pid sleep; echo again']
        stopCommand:",
    );
    let s = Supervisor::prepare(&manifest);
    s.write("hold", "");
    s.up().expect(0);
    let first = s.component("daemon").pid();
    s.cli(&["restart", "daemon"]).expect(0);
    let second = s.wait_for("daemon", "another run", seconds(20), |c| c.ready && c.pid != Some(first.0));
    assert!(!first.exists() && s.log("daemon").contains("again"));
    assert_eq!(second.restart_count, 0, "it was requested");
    fs::remove_file(s.path("hold")).unwrap();
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn the_next_supervisor_goes_on_with_it() {
    let mut s = Supervisor::prepare(DAEMON);
    s.up().expect(0);
    let pid = s.component("daemon").pid();
    s.kill_supervisors();
    assert!(pid.exists());
    s.up().expect(0);
    let adopted = s.component("daemon");
    assert_eq!((adopted.pid(), adopted.reason.as_str()), (pid, "Adopted"));
    s.kill_supervisors();
    s.cli(&["down"]).expect(0);
    assert!(!pid.exists(), "its stopCommand has ended it");
    s.assert_nothing_left();
}

#[test]
fn a_dead_supervisor_lets_go_of_what_it_only_watched() {
    let mut s = Supervisor::prepare("metadata: {name: daemon}\nspec: {external: {pidFile: ../daemon.pid}}");
    let mut there = sleeper();
    s.write("daemon.pid", &there.pid().0.to_string());
    s.up().expect(0);
    s.kill_supervisors();
    s.cli(&["down"]).expect(0);
    there.assert_is_well();
}

#[test]
fn starts_that_fail_use_up_the_limit() {
    let s = Supervisor::run(&DAEMON.replace("daemon, daemon.pid, sleep]", "crash, '3']"));
    let failed = s.wait_state("daemon", "Failed", seconds(60));
    assert!(failed.is("Failed", "RestartLimitExceeded"), "{failed:?}");
    assert!(failed.message.contains("startCommand: exited with status 3"), "{}", failed.message);
    assert_eq!(failed.restart_count, 3);
}

#[test]
fn what_is_sick_and_only_watched_is_told_and_another_is_waited_for() {
    let s = Supervisor::prepare(
        "
        metadata: {name: daemon}
        spec:
          external: {pidFile: ../daemon.pid}
          workingDir: ..
          restart: {backoff: {initialSeconds: 0.1}}
          livenessProbe:
            exec: {command: [vitald-fixture, once, well]}
            periodSeconds: 0.1
            timeoutSeconds: 5
        ",
    );
    let mut sick = sleeper();
    s.write("daemon.pid", &sick.pid().0.to_string());
    s.cli(&["up", "-f", "manifests", "--timeout", "1"]);
    let waits = s.wait_for("daemon", "another one to be waited for", seconds(20), |c| {
        c.state == "Starting" && c.restart_count == 1
    });
    assert_eq!(waits.pid, None);
    sick.assert_is_well();
    s.write("well", "");
    let well = sleeper();
    s.write("daemon.pid", &well.pid().0.to_string());
    assert_eq!(s.wait_ready("daemon").pid(), well.pid());
    s.cli(&["down"]).expect(0);
    sick.assert_is_well();
}

#[test]
fn a_start_that_only_waits_holds_nobody_up() {
    let s = Supervisor::run("metadata: {name: daemon}\nspec: {external: {pidFile: ../daemon.pid}}");
    s.wait_state("daemon", "Starting", seconds(20));
    s.cli(&["stop", "daemon"]).expect(0);
    assert!(s.component("daemon").is("Stopped", "StoppedByUser"));
    let s = Supervisor::run("metadata: {name: daemon}\nspec: {external: {pidFile: ../daemon.pid}}");
    s.wait_state("daemon", "Starting", seconds(20));
    s.cli(&["down", "--keep"]).expect(0);
}

//! The commands of what others start, at awkward moments: given up, interrupted, failing, slower than the process.

use std::fs;
use std::process::{Child, Command};

use vitald_tests::{Pid, Supervisor, eventually, free_port, program, seconds};

/// A daemon that is well while `well` is there, and its commands. `%` is where more of its block goes.
const DAEMON: &str = "
    metadata: {name: daemon}
    spec:
      external:
        pidFile: ../daemon.pid
        startCommand: [vitald-fixture, daemon, daemon.pid, sleep]
        %
      workingDir: ..
      restart: {backoff: {initialSeconds: 3, maxSeconds: 3}}
      livenessProbe:
        exec: {command: [vitald-fixture, once, well]}
        periodSeconds: 0.1
        timeoutSeconds: 5
";
const STOP: &str = "stopCommand: [sh, -c, 'kill $(cat daemon.pid); echo stopped']";
const RESTART: &str =
    "restartCommand: [sh, -c, 'kill $(cat daemon.pid); vitald-fixture daemon daemon.pid sleep; echo again']";

fn with(more: &[&str]) -> Supervisor {
    let s = Supervisor::prepare(&DAEMON.replace('%', &more.join("\n        ")));
    s.write("well", "");
    s
}

#[track_caller]
fn written(s: &Supervisor) -> Pid {
    Pid(fs::read_to_string(s.path("daemon.pid")).unwrap().trim().parse().unwrap())
}

/// A process that this test has started by itself, ended with it.
struct Stranger(Child);

impl Stranger {
    fn sleeper() -> Self {
        Self(Command::new(program("vitald-fixture")).arg("sleep").spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid(self.0.id().cast_signed())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It is sick, and runs on until its restartCommand is called, which is not yet.
#[track_caller]
fn falls_sick(s: &Supervisor) -> Pid {
    let pid = s.wait_ready("daemon").pid();
    fs::remove_file(s.path("well")).unwrap();
    let waits = s.wait_state("daemon", "Restarting", seconds(20));
    assert_eq!(waits.reason, "CrashLoopBackOff");
    assert!(pid.exists(), "what it was left to has run");
    pid
}

#[test]
fn what_waits_for_its_restart_command_is_stopped_by_a_stop_and_by_a_down() {
    for command in ["stop", "down", "down after the supervisor's death"] {
        let mut s = with(&[STOP, RESTART]);
        s.up().expect(0);
        let sick = falls_sick(&s);
        match command {
            "stop" => s.cli(&["stop", "daemon"]).expect(0),
            "down" => s.cli(&["down"]).expect(0),
            _ => {
                s.kill_supervisors();
                s.cli(&["down"]).expect(0)
            }
        };
        assert!(command == "stop" || !sick.exists(), "it was left running by `{command}`");
        sick.wait_gone(seconds(20));
        assert!(s.log("daemon").contains("stopped") && !s.log("daemon").contains("again"));
        s.cli(&["down"]).expect(0);
        s.assert_nothing_left();
    }
}

#[test]
fn what_waited_for_its_restart_command_is_restarted_by_the_next_supervisor() {
    let mut s = with(&[STOP, RESTART]);
    s.up().expect(0);
    let sick = falls_sick(&s);
    s.kill_supervisors();
    s.write("well", "");
    s.up().expect(0);
    let well = s.wait_ready("daemon");
    assert!(!sick.exists() && s.log("daemon").contains("again"), "{}", s.log("daemon"));
    assert_eq!((well.pid(), well.restart_count), (written(&s), 1));
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn what_a_start_has_begun_that_is_given_up_is_stopped_before_vitald_ends() {
    let s = Supervisor::prepare(
        "
        metadata: {name: daemon}
        spec:
          external:
            pidFile: ../daemon.pid
            startCommand: [sh, -c, 'vitald-fixture daemon daemon.pid sleep; echo begun; sleep 1000']
            stopCommand: [sh, -c, 'sleep 0.5; kill $(cat daemon.pid)']
          workingDir: ..
        ",
    );
    s.cli(&["up", "-f", "manifests", "--timeout", "0.1"]);
    s.wait_log("daemon", "begun");
    let pid = written(&s);
    s.cli(&["down"]).expect(0);
    assert!(!pid.exists(), "what its startCommand had begun goes on");
    s.assert_nothing_left();
}

#[test]
fn a_stop_lasts_as_long_as_its_command() {
    let s = with(&["stopCommand: [sh, -c, 'kill $(cat daemon.pid); sleep 1; rm daemon.pid; echo cleared']"]);
    s.up().expect(0);
    let first = s.component("daemon").pid();
    s.cli(&["restart", "daemon"]).expect(0);
    s.wait_log("daemon", "cleared");
    let second = s.wait_for("daemon", "another run", seconds(20), |c| c.ready && c.pid != Some(first.0));
    assert_eq!(
        second.pid(),
        written(&s),
        "the pid file of the new one was removed by the command for the old one"
    );
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn a_stop_command_that_hangs_is_ended_with_the_grace_period() {
    let manifest = DAEMON.replace('%', "stopCommand: [sh, -c, 'echo $$$$ > hangs; exec sleep 1000']");
    let s = Supervisor::prepare(
        &manifest.replace("workingDir", "terminationGracePeriodSeconds: 1\n      workingDir"),
    );
    s.write("well", "");
    s.up().expect(0);
    let pid = s.component("daemon").pid();
    s.cli(&["stop", "daemon"]).expect(0);
    let command = Pid(fs::read_to_string(s.path("hangs")).unwrap().trim().parse().unwrap());
    assert!(!pid.exists());
    command.wait_gone(seconds(10));
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn a_stop_command_that_fails_is_an_event() {
    let manifest = DAEMON.replace('%', "stopCommand: [sh, -c, 'echo no such service; exit 5']");
    let s = Supervisor::prepare(
        &manifest.replace("workingDir", "terminationGracePeriodSeconds: 1\n      workingDir"),
    );
    s.write("well", "");
    s.up().expect(0);
    s.cli(&["stop", "daemon"]).expect(0);
    let told = eventually(
        "an event that says so",
        seconds(20),
        || {
            s.events()
                .into_iter()
                .find(|event| event.message.contains("stopCommand: exited with status 5: no such"))
        },
        || format!("{:?}", s.events()),
    );
    assert_eq!(told.kind, "Warning");
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn a_start_that_a_dead_supervisor_was_at_is_not_made_twice() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: daemon}
        spec:
          external:
            pidFile: ../daemon.pid
            startCommand: [sh, -c, 'echo $$$$ >> begun; sleep 3; vitald-fixture daemon daemon.pid sleep']
            stopCommand: [sh, -c, 'kill $(cat daemon.pid)']
          workingDir: ..
        ",
    );
    s.cli(&["up", "-f", "manifests", "--timeout", "0.1"]);
    let begun = || fs::read_to_string(s.path("begun")).ok().filter(|text| text.ends_with('\n'));
    let first = eventually("its startCommand to run", seconds(20), begun, String::new);
    let first = Pid(first.trim().parse().unwrap());
    s.kill_supervisors();
    s.up().expect(0);
    assert!(!first.exists(), "two commands start it at once");
    assert_eq!(s.component("daemon").pid(), written(&s));
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn to_wait_for_others_is_said_and_holds_no_command_up() {
    let s = Supervisor::run("metadata: {name: daemon}\nspec: {external: {pidFile: ../daemon.pid}}");
    let waits =
        s.wait_for("daemon", "why it waits", seconds(20), |c| c.message.contains("there is no pid file"));
    assert_eq!((waits.state.as_str(), waits.pid), ("Starting", None));
    for command in ["start", "restart"] {
        let mut running = s.background(&[command, "daemon"]);
        eventually("the end of the command", seconds(20), || (!running.goes_on()).then_some(()), String::new);
    }
    s.write("daemon.pid", "1\n");
    s.wait_for("daemon", "what is wrong", seconds(20), |c| c.message.contains("process 1"));
    let there = Stranger::sleeper();
    s.write("daemon.pid", &there.pid().0.to_string());
    assert_eq!(s.wait_ready("daemon").pid(), there.pid());
    s.cli(&["down"]).expect(0);
}

#[test]
fn what_was_let_go_of_is_started_once_it_has_ended() {
    let s = with(&[]);
    let mut there = Stranger::sleeper();
    s.write("daemon.pid", &there.pid().0.to_string());
    s.up().expect(0);
    fs::remove_file(s.path("well")).unwrap();
    s.wait_for("daemon", "another one to be waited for", seconds(30), |c| {
        c.state == "Starting" && c.restart_count == 1
    });
    s.write("well", "");
    there.0.kill().unwrap();
    there.0.wait().unwrap();
    let new = s.wait_ready("daemon").pid();
    assert_ne!(new, there.pid());
    s.cli(&["down"]).expect(0);
    new.kill();
    new.wait_gone(seconds(10));
}

#[test]
fn the_master_of_those_who_listen_is_the_one_and_must_have_its_name() {
    let port = free_port();
    let mut master = Stranger(
        Command::new(program("vitald-fixture")).args(["master", &port.to_string()]).spawn().unwrap(),
    );
    let manifest = |name: &str| {
        format!(
            "metadata: {{name: daemon}}\nspec:\n  external: {{port: {port}, processName: {name}}}\n  \
             readinessProbe: {{allOf: [{{tcpSocket: {{port: {port}}}}}, {{pid: {{}}}}], periodSeconds: 0.1}}"
        )
    };
    let s = Supervisor::run(&manifest("nginx"));
    let wrong = s.wait_for("daemon", "the wrong name", seconds(20), |c| c.message.contains("is not `nginx`"));
    assert!(wrong.message.contains(&format!("on port {port}")), "{}", wrong.message);
    s.cli(&["down"]).expect(0);

    let s = Supervisor::run(&manifest("vitald-fixture"));
    assert_eq!(s.wait_ready("daemon").pid(), master.pid());
    // Its workers still listen when it has ended: that is an end all the same.
    master.0.kill().unwrap();
    master.0.wait().unwrap();
    let next = s.wait_for("daemon", "the end", seconds(20), |c| c.pid != Some(master.pid().0));
    assert!(next.restart_count <= 1, "{next:?}");
    s.cli(&["down"]).expect(0);
}

#[test]
fn what_has_become_another_program_is_not_killed() {
    let s = Supervisor::prepare(
        "
        metadata: {name: daemon}
        spec:
          external:
            pidFile: ../daemon.pid
            processName: sh
            stopCommand: ['true']
          workingDir: ..
          terminationGracePeriodSeconds: 0.5
        ",
    );
    let script = "until test -e go; do sleep 0.05; done; exec sleep 1000";
    let mut other =
        Stranger(Command::new("sh").args(["-c", script]).current_dir(s.path("")).spawn().unwrap());
    s.write("daemon.pid", &other.pid().0.to_string());
    s.up().expect(0);
    assert_eq!(s.component("daemon").pid(), other.pid());
    s.write("go", "");
    eventually(
        "another program",
        seconds(20),
        || other.pid().command().starts_with("sleep").then_some(()),
        || other.pid().command(),
    );
    let stop = s.background(&["stop", "daemon"]);
    eventually(
        "that it is not killed",
        seconds(20),
        || s.events().into_iter().find(|event| event.message.contains("is not `sh` any more")),
        || format!("{:?}", s.events()),
    );
    assert!(other.0.try_wait().unwrap().is_none(), "it has been killed");
    other.0.kill().unwrap();
    other.0.wait().unwrap();
    stop.end(seconds(20)).expect(0);
    s.cli(&["down"]).expect(0);
}

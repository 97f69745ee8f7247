//! In a container that somebody enters from outside (`docker exec`, nsenter): session and group are those of somebody
//! whom its pid namespace does not show, and getsid(2) and getpgrp(2) say 0.

use std::fs;

use vitald_tests::{Namespace, Output, Pid, Supervisor, eventually, seconds};

use crate::ward::{answers, libraries};

fn manifest(how: &str) -> String {
    format!(
        "
        metadata: {{name: patient}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            misbehave: {{how: {how}, while: sick}}
            periodSeconds: 0.2
            timeoutSeconds: 5
        ---
        metadata: {{name: neighbour}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {{steady: {{trace: beats}}, periodSeconds: 0.2, timeoutSeconds: 5}}
        "
    )
}

/// With both libraries; all commands are within the namespace.
fn place(ns: &Namespace, how: &str) -> Supervisor {
    let s = Supervisor::prepare(&manifest(how)).with_prefix(ns.prefix());
    for library in ["misbehaving", "steady"] {
        s.install(&libraries().library(library));
    }
    s
}

#[track_caller]
fn well(s: &Supervisor) -> [Pid; 2] {
    ["patient", "neighbour"]
        .map(|name| s.wait_for(name, "well", seconds(20), |c| answers(c, "Success")).pid())
}

#[track_caller]
fn fine(output: Output) -> Output {
    assert!(!output.all().contains("panicked"), "{output:?}");
    output.expect(0)
}

#[track_caller]
fn assert_no_panic(s: &Supervisor) {
    let said = fs::read_to_string(s.state_dir().join("vitald.log")).unwrap_or_default() + &s.said();
    assert!(!said.contains("panicked"), "{said}");
}

/// What is asked of a supervisor while all is well.
#[track_caller]
fn all_is_asked(s: &Supervisor) {
    fine(s.cli(&["status"]));
    fine(s.cli(&["probe", "run", "neighbour", "liveness"]));
    fine(s.cli(&["plugin", "reload"]));
    // Another file of the same library.
    let installed = s.install(&libraries().library("steady_again"));
    fs::rename(&installed, installed.with_file_name("libsteady.so")).unwrap();
    fine(s.cli(&["plugin", "reload"]));
    let again = |c: &vitald_tests::Component| c.probe("liveness").message.contains("steady again");
    s.wait_for("neighbour", "an answer of the new library", seconds(15), again);
}

#[test]
fn all_works_in_a_session_from_outside() {
    let Some(ns) = Namespace::new() else { return };
    let mut s = place(&ns, "Panic");
    fine(s.cli(&["validate", "-f", "manifests"]));
    fine(s.cli(&["check", "steady", "trace=beats"]));
    fine(s.up());
    let before = well(&s);
    all_is_asked(&s);
    s.kill_supervisors();
    fine(s.up());
    assert_eq!(well(&s), before, "what ran goes on");
    fine(s.cli(&["down"]));
    assert_no_panic(&s);
    s.assert_nothing_left();
}

#[test]
fn a_supervisor_in_a_session_from_outside_reaps_what_checks_leave() {
    let Some(ns) = Namespace::new() else { return };
    let mut s = place(&ns, "Orphan");
    // One in the background makes a session of its own.
    s.start();
    let before = well(&s);
    let pid = Pid(s.status().supervisor.pid);
    assert_eq!(of(&ns, pid)[1..], [0, 0], "group and session are somebody's outside");
    s.write("manifests/sick", "");
    let left = || zombies_of(&ns, pid);
    eventually(
        "what checks leave",
        seconds(15),
        || (left().len() >= 3).then_some(()),
        || format!("{:?}", left()),
    );
    fs::remove_file(s.path("manifests/sick")).unwrap();
    eventually(
        "that all is reaped",
        seconds(30),
        || left().is_empty().then_some(()),
        || format!("{:?}", left()),
    );
    all_is_asked(&s);
    s.kill_supervisors();
    s.start();
    assert_eq!(well(&s), before, "what ran goes on");
    fine(s.cli(&["down"]));
    assert_eq!(s.exit(seconds(10)), 0);
    assert_no_panic(&s);
    s.assert_nothing_left();
}

/// Parent, group and session, by their numbers in there.
fn of(ns: &Namespace, pid: Pid) -> [i32; 3] {
    let stat = fs::read_to_string(ns.proc(pid).join("stat")).unwrap_or_default();
    let words = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(1);
    let numbers: Vec<i32> = words.take(3).filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_default()
}

fn zombies_of(ns: &Namespace, parent: Pid) -> Vec<Pid> {
    let folder = ns.proc(parent).parent().map(fs::read_dir).unwrap().unwrap();
    let names = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid));
    names.filter(|pid| !ns.has(*pid) && of(ns, *pid)[0] == parent.0).collect()
}

//! Edits that are mistakes, that mean the same, that come too early or too quickly.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use vitald_tests::{Supervisor, seconds};

use crate::applying::{FIRST, first, ready, together, versioned, versions};

#[test]
fn invalid_edit_changes_nothing() {
    let s = Supervisor::run(&first());
    let before = ready(&s, &FIRST);
    let first = first();
    for broken in [
        first.replace("name: middle}]", "name: nobody}]"),
        first.replacen("spec:", "spce:", 1),
        "metadata: {name: top}\nspec: {command: [sleep, '1'], restartPolicy: Sometimes}".to_owned(),
    ] {
        s.write_manifests(&broken);
        for command in ["apply", "diff", "up"] {
            let told = s.cli(&[command, "-f", "manifests"]).expect(2).stderr;
            assert!(told.contains("test.yaml"), "{command}: {told}");
        }
    }
    let after = ready(&s, &FIRST);
    assert!(after.iter().zip(&before).all(|(now, then)| now.pid == then.pid), "{after:?}");
    assert_eq!(s.status().components.len(), FIRST.len());
}

#[test]
fn edits_that_mean_the_same_touch_nothing() {
    let mut s = Supervisor::run(&together(&[versioned("a", "one", ""), versioned("b", "one", "")]));
    let before = ready(&s, &["a", "b"]);
    let text = std::fs::read_to_string(s.path("manifests/test.yaml")).unwrap();
    let mut documents: Vec<&str> = text.split("\n---\n").collect();
    documents.reverse();
    let said_otherwise = documents
        .join("\n# A comment.\n---\n")
        .replace("metadata: {name: a}", "metadata:\n  name: a\n  labels: {tier: x}");
    std::fs::remove_file(s.path("manifests/test.yaml")).unwrap();
    s.write("manifests/other.yaml", &said_otherwise);
    s.cli(&["apply"]).expect(0);
    s.kill9();
    s.start();
    let after = ready(&s, &["a", "b"]);
    assert!(after.iter().zip(&before).all(|(now, then)| now.pid == then.pid), "{after:?}");
    assert_eq!((s.traces().starts("a"), s.traces().starts("b")), (1, 1));
}

#[test]
fn what_was_stopped_stays_so_under_a_new_spec() {
    let s = Supervisor::run(&versioned("one", "old", ""));
    s.wait_ready("one");
    s.cli(&["stop", "one"]).expect(0);
    s.write_manifests(&versioned("one", "new", ""));
    s.cli(&["apply"]).expect(0);
    assert!(s.component("one").is("Stopped", "StoppedByUser"));
    s.cli(&["start", "one"]).expect(0);
    s.wait_ready("one");
    assert_eq!(versions(&s, "one"), ["old", "new"]);
}

#[test]
fn new_spec_that_waits_for_its_start_is_what_the_next_supervisor_starts() {
    let gate = "
        metadata: {name: gate}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe: {exec: {command: [test, -e, open]}, periodSeconds: 0.1, failureThreshold: 1}";
    let manifest =
        |version| together(&[gate.to_owned(), versioned("one", version, "dependsOn: [{name: gate}]")]);
    let mut s = Supervisor::prepare(&manifest("old"));
    let open = s.write("manifests/open", "");
    s.start();
    s.wait_ready("one");
    std::fs::remove_file(&open).unwrap();
    s.wait_for("gate", "closed", seconds(5), |c| !c.ready);
    s.write_manifests(&manifest("new"));
    let apply = s.background(&["apply"]);
    s.traces().wait("one", "end", 1, seconds(5));
    s.kill_supervisors();
    let _ = apply.end(seconds(10));
    std::fs::write(&open, "").unwrap();
    s.start();
    s.wait_ready("one");
    s.wait_for("one", "the new spec", seconds(5), |c| {
        c.ready && versions(&s, "one").contains(&"new".to_owned())
    });
    assert_eq!(versions(&s, "one"), ["old", "new"]);
    assert_eq!(s.component("one").restart_count, 0);
}

#[test]
fn quick_changes_end_with_the_last_and_cost_no_restart() {
    let s = Supervisor::run(&versioned("one", "v0", ""));
    s.wait_ready("one");
    let supervisor = s.pid();
    for round in 1..=30 {
        s.write_manifests(&versioned("one", &format!("v{round}-soon-gone"), ""));
        supervisor.signal(Signal::SIGHUP);
        // The next one comes in the middle of the stop, of the start, or after both.
        thread::sleep(Duration::from_millis(round * 3));
        s.write_manifests(&versioned("one", &format!("v{round}"), ""));
        s.cli(&["apply"]).expect(0);
        let c = s.wait_ready("one");
        assert_eq!(c.restart_count, 0, "round {round}: {:?}\n{}", s.events_of("one"), s.traces().told("one"));
    }
    let last = s.wait_for("one", "the last version", seconds(10), |c| {
        c.ready && versions(&s, "one").last().is_some_and(|version| version == "v30")
    });
    assert_eq!((last.restart_count, last.restarts_in_window), (0, 0), "{:?}", s.events_of("one"));
    s.traces().assert_never_doubled();
}

//! Manifests change: what did not change is not touched.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use vitald_tests::{Component, Supervisor, eventually, seconds};

/// A component whose environment has a version; its trace tells which one a run was started with.
fn versioned(name: &str, version: &str, more: &str) -> String {
    format!(
        "
        metadata: {{name: {name}}}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          env: [{{name: VERSION, value: {version}}}]
          {more}"
    )
}

fn together(components: &[String]) -> String {
    components.join("\n        ---")
}

/// Base, middle and top depend on each other in this order; a base takes a moment to be ready.
fn first() -> String {
    let ready = "startupProbe: {exec: {command: [sleep, '0.4']}, periodSeconds: 0.5}";
    together(&[
        versioned("base", "one", ready),
        versioned("middle", "one", "dependsOn: [{name: base}]"),
        versioned("top", "one", "dependsOn: [{name: base}, {name: middle}]"),
        versioned("same", "one", ""),
        versioned("goes", "one", ""),
    ])
}

/// Base and top have changed, one has gone, one has come.
fn second() -> String {
    let ready = "startupProbe: {exec: {command: [sleep, '0.4']}, periodSeconds: 0.5}";
    together(&[
        versioned("comes", "one", ""),
        versioned("same", "one", ""),
        versioned("top", "two", "dependsOn: [{name: base}, {name: middle}]"),
        versioned("middle", "one", "dependsOn: [{name: base}]"),
        versioned("base", "two", ready),
    ])
}

fn versions(s: &Supervisor, name: &str) -> Vec<String> {
    s.traces().all(name, "start").into_iter().map(|mark| mark.more).collect()
}

fn ready(s: &Supervisor, names: &[&str]) -> Vec<Component> {
    names.iter().map(|name| s.wait_ready(name)).collect()
}

/// What the second manifests lead to, by whatever way they came.
fn assert_second(s: &Supervisor, before: &[Component]) {
    ready(s, &["base", "top", "comes"]);
    eventually(
        "the removed one to go",
        seconds(10),
        || s.status().components.iter().all(|c| c.name != "goes").then_some(()),
        || format!("{:?}", s.status()),
    );
    for old in before.iter().filter(|c| ["middle", "same"].contains(&c.name.as_str())) {
        assert_eq!(s.component(&old.name).pid, old.pid, "{} did not change", old.name);
    }
    for (name, expected) in [
        ("base", &["one", "two"][..]),
        ("top", &["one", "two"]),
        ("middle", &["one"]),
        ("same", &["one"]),
        ("goes", &["one"]),
        ("comes", &["one"]),
    ] {
        assert_eq!(versions(s, name), expected, "{name}: {}", s.traces().told(name));
    }
    assert_eq!(s.traces().all("goes", "term").len(), 1);
    assert!(s.status().components.iter().all(|c| c.restart_count == 0), "{:?}", s.status());
    // A start waits for what it depends on, this one, too.
    let second = |name| s.traces().all(name, "start")[1].at;
    assert!(second("top") >= second("base") + 350, "top began before base was ready");
    s.cli(&["diff"]).expect(0);
    s.traces().assert_never_doubled();
}

const FIRST: [&str; 5] = ["base", "middle", "top", "same", "goes"];

#[test]
fn apply_changes_what_changed_and_diff_tells_before() {
    let s = Supervisor::run(&first());
    let before = ready(&s, &FIRST);
    assert_eq!(s.cli(&["diff"]).expect(0).stdout, "");
    let told = s.cli(&["apply"]).expect(0).stdout;
    assert_eq!(told.matches("unchanged").count(), 5, "{told}");

    s.write_manifests(&second());
    let told = s.cli(&["diff"]).expect(1).stdout;
    for words in
        ["base: changed", "top: changed", "comes: new", "goes: not in the manifests", "-  - name: VERSION"]
    {
        let is_there = told.contains(words) || words.starts_with('-') && told.contains("value: two");
        assert!(is_there, "{words}: {told}");
    }
    assert!(!told.contains("same:") && !told.contains("middle:"), "{told}");
    let unchanged = ready(&s, &FIRST);
    assert!(unchanged.iter().zip(&before).all(|(now, then)| now.pid == then.pid), "a diff does nothing");

    let told = s.cli(&["apply"]).expect(0).stdout;
    for words in
        ["base changed", "top changed", "comes created", "goes removed", "same unchanged", "middle unchanged"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_second(&s, &before);
}

#[test]
fn up_on_a_running_supervisor_applies() {
    let s = Supervisor::prepare(&first());
    s.up().expect(0);
    let before = ready(&s, &FIRST);
    let supervisor = s.pid();
    s.write_manifests(&second());
    s.up().expect(0);
    assert_eq!(s.pid(), supervisor);
    assert_second(&s, &before);
    s.cli(&["down"]).expect(0);
}

#[test]
fn sighup_reads_the_manifests_again() {
    let s = Supervisor::run(&first());
    let before = ready(&s, &FIRST);
    s.write("manifests/test.yaml", "kind: [");
    s.pid().signal(Signal::SIGHUP);
    eventually(
        "the mistake to be told",
        seconds(5),
        || s.said().contains("test.yaml").then_some(()),
        || s.said(),
    );
    let same = ready(&s, &FIRST);
    assert!(
        same.iter().zip(&before).all(|(now, then)| now.pid == then.pid),
        "an invalid edit changes nothing"
    );
    s.write_manifests(&second());
    s.pid().signal(Signal::SIGHUP);
    s.wait_ready("comes");
    assert_second(&s, &before);
}

#[test]
fn next_supervisor_finds_changed_manifests() {
    let mut s = Supervisor::run(&first());
    let before = ready(&s, &FIRST);
    s.kill9();
    s.write_manifests(&second());
    s.start();
    assert_second(&s, &before);
    assert_eq!(s.component("same").reason, "Adopted");
}

#[test]
fn invalid_edit_changes_nothing() {
    let s = Supervisor::run(&first());
    let before = ready(&s, &FIRST);
    let second = second();
    for broken in [
        second.replace("name: middle}]", "name: nobody}]"),
        second.replacen("spec:", "spce:", 1),
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
fn apply_without_a_supervisor_is_refused() {
    let s = Supervisor::prepare(&first());
    for command in ["apply", "diff"] {
        s.cli(&[command]).expect(3);
    }
}

#[test]
fn apply_in_the_middle_of_which_the_supervisor_died_is_finished_once() {
    let manifest = |version: &str| {
        together(&[
            versioned("slow", version, "terminationGracePeriodSeconds: 1.5"),
            versioned("same", "one", ""),
        ])
        .replacen("sleep", "stubborn", 1)
    };
    let mut s = Supervisor::run(&manifest("old"));
    s.wait_log("slow", "up, run 1");
    let same = s.wait_ready("same").pid;
    s.write_manifests(&manifest("new"));
    let apply = s.background(&["apply"]);
    s.traces().wait("slow", "term", 1, seconds(5));
    s.kill_supervisors();
    let _ = apply.end(seconds(10));
    s.start();
    s.traces().wait("slow", "start", 2, seconds(10));
    s.wait_for("slow", "its new spec", seconds(10), |c| {
        c.ready && versions(&s, "slow").last().is_some_and(|v| v == "new")
    });
    assert_eq!(versions(&s, "slow"), ["old", "new"], "not once more with the old spec");
    assert_eq!(s.traces().all("slow", "term").len(), 1);
    assert_eq!((s.component("slow").restart_count, s.component("same").pid), (0, same));
    s.traces().assert_never_doubled();
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

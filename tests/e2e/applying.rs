//! Manifests change: what did not change is not touched.

use nix::sys::signal::Signal;
use vitald_tests::{Component, Supervisor, eventually, seconds};

use crate::midway::assert_told;

/// A component whose environment has a version; its trace tells which one a run was started with.
pub(crate) fn versioned(name: &str, version: &str, more: &str) -> String {
    format!(
        "
        metadata: {{name: {name}}}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          env: [{{name: VERSION, value: {version}}}]
          {more}"
    )
}

pub(crate) fn together(components: &[String]) -> String {
    components.join("\n        ---")
}

/// Base, middle and top depend on each other in this order; a base takes a moment to be ready.
pub(crate) fn first() -> String {
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

pub(crate) fn versions(s: &Supervisor, name: &str) -> Vec<String> {
    s.traces().all(name, "start").into_iter().map(|mark| mark.more).collect()
}

pub(crate) fn ready(s: &Supervisor, names: &[&str]) -> Vec<Component> {
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

pub(crate) const FIRST: [&str; 5] = ["base", "middle", "top", "same", "goes"];

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
    assert_told(&s, "slow");
    assert_eq!((s.component("slow").restart_count, s.component("same").pid), (0, same));
    s.traces().assert_never_doubled();
}

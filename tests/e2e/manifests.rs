//! Mistakes in manifests, as a user meets them. Each kind of mistake has its own test in the manifest crate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use vitald_tests::{Supervisor, program};

#[test]
fn bad_manifest_starts_nothing_and_says_all_that_is_wrong() {
    let s = Supervisor::prepare(
        "
        metadata: {name: good}
        spec: {command: [vitald-fixture, record, started, good]}
        ",
    );
    s.write(
        "manifests/z-bad.yaml",
        "apiVersion: vitald/v1
kind: Component
metadata:
  name: bad
spec:
  command: [vitald-fixture, sleep]
  livenessProbe:
    tcpSocket: {port: 80}
    periodSecond: 5
    timeoutSeconds: 0
",
    );
    for args in
        [&["run", "-f", "manifests"][..], &["up", "-f", "manifests"], &["validate", "-f", "manifests"]]
    {
        let output = s.cli(args).expect(2);
        let told = output.all();
        for words in [
            "z-bad.yaml:9",
            "z-bad.yaml:10",
            "periodSecond",
            "periodSeconds",
            "spec.livenessProbe.timeoutSeconds",
        ] {
            assert!(told.contains(words), "{args:?}: {words} is not in\n{told}");
        }
    }
    assert!(!s.path("manifests/started").exists(), "the good one was started all the same");
    s.cli(&["status"]).expect(3);
}

#[test]
fn warnings_are_errors_only_if_asked_for() {
    let s = Supervisor::prepare(
        "
        metadata: {name: odd}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe: {pid: {}, periodSeconds: 1, timeoutSeconds: 2}
        ",
    );
    let output = s.cli(&["validate", "-f", "manifests"]).expect(0);
    assert!(output.all().contains("timeoutSeconds"), "{}", output.all());
    s.cli(&["validate", "-f", "manifests", "--strict"]).expect(2);
}

#[test]
fn folders_are_read_with_all_below_and_names_must_differ() {
    let s = Supervisor::prepare(
        "
        metadata: {name: one}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    let two = "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: two}\nspec: {command: [vitald-fixture, sleep]}\n";
    s.write("manifests/below/two.yml", two);
    s.write("manifests/notes.txt", "no manifest");
    s.up().expect(0);
    let names: Vec<_> = s.status().components.into_iter().map(|c| c.name).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    s.cli(&["down"]).expect(0);

    s.write("manifests/again.yaml", two);
    let told = s.cli(&["validate", "-f", "manifests"]).expect(2).all();
    assert!(told.contains("two") && told.contains("again.yaml"), "{told}");
}

#[test]
fn manifests_of_this_repository_are_valid() {
    let demo = program("vitald-demo");
    let programs = demo.parent().unwrap();
    let s = Supervisor::prepare("");
    // A program that is not on PATH is worth a warning, and Temporal need not be there for this.
    let temporal = s.write("bin/temporal", "");
    fs::set_permissions(&temporal, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), temporal.parent().unwrap().display());
    let s = s.with_env("PATH", &path);
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let mut folders: Vec<_> = fs::read_dir(manifests).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 2, "{folders:?}");
    for folder in folders {
        s.cli(&["validate", "--strict", "-f", &folder.display().to_string()]).expect(0);
    }
}

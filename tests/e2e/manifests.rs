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

/// What is wrong with a handler or a kind, the fields of a spec, and what is said about it.
const MISTAKES: &[(&str, &str)] = &[
    ("temporal: {address: localhost}", "temporal.address: invalid value \"localhost\": must be `host:port`"),
    (
        "temporal: {taskQueue: q, maxPollAgeSeconds: 64}",
        "temporal.maxPollAgeSeconds: invalid value 64: must be at least 65",
    ),
    ("temporal: {taskQueue: q, taskQueueTypes: workflow}", "write a list: [workflow]"),
    (
        "temporal: {taskQueue: q, identity: pid}",
        "temporal.identity: invalid value \"pid\": must be spelt `Pid`",
    ),
    (
        "temporal: {identity: Pid}",
        "temporal.identity: invalid value \"Pid\": is about the workers of a task queue",
    ),
    ("temporal: {onServerUnavailable: Failure}", "expected Unknown or Fail"),
    ("temporal: {apiKey: hunter2}", "temporal.apiKey: invalid value"),
    ("logGrowth: {}", "needs one of maxSilenceSeconds, mustNotMatch and mustMatch"),
    (
        "logGrowth: {maxSilenceSeconds: -1}",
        "logGrowth.maxSilenceSeconds: invalid value -1: must be at least 0.1",
    ),
    (
        "logGrowth: {mustMatch: 'a('}",
        "logGrowth.mustMatch: invalid value \"a(\": must be a regular expression: unclosed group, at character 2",
    ),
    ("logGrowth: {mustNotMatch: 'a*'}", "must not match an empty line"),
    ("memory: {max: 512}", "memory.max: invalid value 512: must be at least 1Mi"),
    ("memory: {max: -1Gi}", "memory.max: invalid value \"-1Gi\": must not be negative"),
    ("notify: {watchdogSeconds: 0}", "notify.watchdogSeconds: invalid value 0: must be greater than 0"),
    ("notify: {watchdogSeconds: 1e30}", "notify.watchdogSeconds: invalid value 1e30: must be at most"),
    ("docker: {}", "the component is no container: name one in `container`"),
    (
        "docker: {container: db, maxRestartCount: -1}",
        "docker.maxRestartCount: invalid value -1: must be at least 0",
    ),
    (
        "docker: {container: db, mustNotMatch: '['}",
        "docker.mustNotMatch: invalid value \"[\": must be a regular expression",
    ),
];

#[test]
fn mistakes_in_each_handler_are_told_at_their_place() {
    let s = Supervisor::prepare("metadata: {name: good}\nspec: {command: [vitald-fixture, sleep]}");
    for (number, (handler, _)) in MISTAKES.iter().enumerate() {
        let head = "apiVersion: vitald/v1\nkind: Component";
        s.write(
            &format!("manifests/bad-{number}.yaml"),
            &format!(
                "{head}\nmetadata: {{name: bad-{number}}}\nspec:\n  command: [vitald-fixture, sleep]\n  \
                 livenessProbe:\n    {handler}\n"
            ),
        );
    }
    let told = s.cli(&["run", "-f", "manifests"]).expect(2).all();
    for (number, (handler, said)) in MISTAKES.iter().enumerate() {
        let place = format!("bad-{number}.yaml:7:");
        let about = told.split("\nerror[").find(|about| about.contains(&place));
        let about = about.unwrap_or_else(|| panic!("nothing is said of {handler}:\n{told}"));
        assert!(about.contains("spec.livenessProbe.") && about.contains(said), "{handler}:\n{about}");
    }
    s.cli(&["status"]).expect(3);
}

#[test]
fn a_handler_that_its_component_could_never_answer_is_a_mistake() {
    let s = Supervisor::prepare("metadata: {name: good}\nspec: {command: [vitald-fixture, sleep]}");
    for (spec, said) in [
        (
            "image: busybox\n  startupProbe: {notify: {}}",
            "spec.startupProbe.notify: forbidden: only a native process",
        ),
        (
            "external: {port: 80}\n  startupProbe: {notify: {}}",
            "spec.startupProbe.notify: forbidden: only a native process",
        ),
        (
            "external: {port: 80}\n  startupProbe: {docker: {}}",
            "spec.startupProbe.docker: required: the component is no container",
        ),
    ] {
        let head = "apiVersion: vitald/v1\nkind: Component\nmetadata: {name: bad}\nspec:";
        s.write("manifests/bad.yaml", &format!("{head}\n  {spec}\n"));
        let told = s.cli(&["validate", "-f", "manifests"]).expect(2).all();
        assert!(told.contains(said) && told.contains("1 error,"), "{told}");
    }
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
    let output = s.cli(&["validate", "-f", "manifests", "--strict"]).expect(2);
    assert!(output.stdout.contains("1 error, 0 warnings"), "{}", output.all());
    assert!(output.stderr.contains("error[") && !output.stderr.contains("warning["), "{}", output.all());
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
    // A program that is not on PATH is worth a warning, and these need not be there for this.
    for name in ["temporal", "stigmer", "python3"] {
        let program = s.write(&format!("bin/{name}"), "");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", programs.display(), s.path("bin").display());
    let s = s.with_env("PATH", &path);
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    let mut folders: Vec<_> = fs::read_dir(manifests).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() >= 2, "{folders:?}");
    for folder in folders {
        s.cli(&["validate", "--strict", "-f", &folder.display().to_string()]).expect(0);
    }
}

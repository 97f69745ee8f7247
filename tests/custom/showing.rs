//! A custom probe is shown and checked wherever a built-in is.

use serde_json::Value;
use vitald_tests::Supervisor;

use crate::ward::libraries;

fn place(handler: &str) -> Supervisor {
    let s = Supervisor::prepare(&format!(
        "
        metadata: {{name: asked}}
        spec:
          command: [vitald-fixture, sleep]
          livenessProbe:
            {handler}
        "
    ));
    s.install(&libraries().library("steady"));
    s
}

#[test]
fn mistakes_in_its_configuration_are_shown_in_their_line() {
    for (handler, place_of_it, words) in [
        ("steady: {trase: beats}", "test.yaml:7:14", &["trase", "trace"][..]),
        ("steady: {trace: 7}", "test.yaml:7:21", &["trace"]),
        ("steady: {trace: ''}", "test.yaml:7:21", &["must be the path of a file", "trace"]),
        ("steady: {}", "test.yaml:7", &["trace"]),
        ("staedy: {trace: beats}", "test.yaml:7:5", &["staedy", "steady"]),
    ] {
        let s = place(handler);
        let told = s.cli(&["validate", "-f", "manifests"]).expect(2).stderr;
        assert!(told.contains(place_of_it), "{handler}: no `{place_of_it}` in\n{told}");
        for word in words {
            assert!(told.contains(word), "{handler}: no `{word}` in\n{told}");
        }
    }
}

#[test]
fn it_stands_beside_the_built_ins() {
    let s = place("steady: {trace: beats}");
    let probes = s.cli(&["probe", "list"]).expect(0).stdout;
    let line = probes.lines().find(|line| line.starts_with("steady")).unwrap_or_else(|| panic!("{probes}"));
    assert!(line.contains("Always healthy."), "{line}");
    assert!(probes.contains("tcpSocket"), "{probes}");

    let schema: Value = serde_json::from_str(&s.cli(&["schema"]).expect(0).stdout).unwrap();
    assert!(schema.to_string().contains("File that gets a line for every check"), "{schema}");

    let explained = s.cli(&["explain", "spec.livenessProbe.steady.trace"]).expect(0).stdout;
    assert!(explained.contains("File that gets a line for every check"), "{explained}");

    let file = s.state_dir().join("plugins/libsteady.so").display().to_string();
    let inspected = s.cli(&["plugin", "inspect", &file]).expect(0).stdout;
    for words in ["steady", "0.1.0", "rustc", "trace"] {
        assert!(inspected.contains(words), "no `{words}` in\n{inspected}");
    }

    s.cli(&["check", "steady", "trace=beats"]).expect(0);
    assert!(s.path("beats").exists(), "it was not asked");
    let refused = s.cli(&["check", "steady", "trase=beats"]).expect(2);
    assert!(refused.stderr.contains("trase"), "{refused:?}");

    let limits = |flags: &[&str]| {
        let shown = s.cli(&[&["plugin", "inspect", &file], flags].concat()).expect(0).stdout;
        shown
            .lines()
            .find_map(|line| line.strip_prefix("Limits "))
            .unwrap_or_else(|| panic!("{shown}"))
            .trim()
            .to_owned()
    };
    assert_eq!(limits(&[]), "512Mi of memory and 256 open files for its process");
    let other = ["--plugin-memory=1Gi", "--plugin-open-files=100"];
    assert_eq!(limits(&other), "1Gi of memory and 100 open files for its process");

    s.up().expect(0);
    s.cli(&["probe", "run", "asked", "liveness"]).expect(0);
    assert_eq!(limits(&[]), "512Mi of memory and 256 open files for its process");
    let both = "1Gi of memory and 100 open files for its process here, 512Mi of memory and 256 open files in the \
                supervisor that runs";
    assert_eq!(limits(&other), both);
    let shown = s.cli(&[&["plugin", "inspect", "-o", "json", &file], &other[..]].concat()).expect(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["limits"], serde_json::json!({"memory": 1 << 30, "openFiles": 100}));
    assert_eq!(shown["limitsOfSupervisor"], serde_json::json!({"memory": 512 << 20, "openFiles": 256}));
}

#[test]
fn what_is_refused_is_named_where_its_probe_is_missed() {
    let s = place("lie: {how: Truth}");
    s.install(&libraries().library("other_version"));
    let told = s.cli(&["validate", "-f", "manifests"]).expect(2).stderr;
    assert!(told.contains("test.yaml:7:5") && told.contains("libother_version.so"), "{told}");
}

//! Custom probes in all that vitald says of probes, and of mistakes.

use std::fs;

use serde_json::Value;
use vitald_tests::{Output, Stranger, Supervisor, repository};

const NOTHING: &str = "metadata: {name: none}\nspec: {command: [sleep, '1']}";

fn prepare(manifests: &str) -> Supervisor {
    let s = Supervisor::prepare(manifests);
    let examples = Stranger::build("examples/custom-probes");
    for package in ["host-health", "postgres-query", "certificate-expiry"] {
        s.install(&examples.library(package));
    }
    s
}

#[track_caller]
fn assert_has(output: &Output, words: &[&str]) {
    let said = output.all();
    for words in words {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
}

#[test]
fn the_manifests_of_the_examples_are_right() {
    let s = prepare(NOTHING);
    let folder = repository().join("examples/custom-probes/manifests");
    let output = s.cli(&["validate", "-f", folder.to_str().unwrap()]).expect(0);
    assert_has(&output, &["5 components valid"]);
    // None of them is right without the libraries.
    let bare = Supervisor::prepare(NOTHING);
    let output = bare.cli(&["validate", "-f", folder.to_str().unwrap()]).expect(2);
    assert_has(&output, &["diskSpace", "fileAge", "postgres", "certificate"]);
}

#[test]
fn editors_know_the_probes_of_the_examples() {
    let examples = repository().join("examples/custom-probes");
    let kept: Value = serde_json::from_slice(&fs::read(examples.join("schema.json")).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(&prepare(NOTHING).cli(&["schema"]).expect(0).stdout).unwrap();
    assert!(
        kept == schema,
        "{0}/schema.json is not that of its libraries any more: build them, and `vitald --plugin-dir target/debug \
         schema > schema.json` there",
        examples.display()
    );
    for manifest in fs::read_dir(examples.join("manifests")).unwrap() {
        let text = fs::read_to_string(manifest.unwrap().path()).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=../schema.json\n"), "{text}");
    }
}

/// A probe, what of it is underlined, and what is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "fileAge: {path: x, maxAgeSeconds: 9, minSiz: 1}",
        "minSiz",
        "spec.readinessProbe.fileAge.minSiz: unknown field",
    ),
    (
        "diskSpace: {path: /, minFree: 101%}",
        "101%",
        "spec.readinessProbe.diskSpace.minFree: invalid value \"101%\": must be a share from 0% to 100%",
    ),
    (
        "diskSpace: {path: /, minFree: lots}",
        "lots",
        "spec.readinessProbe.diskSpace.minFree: invalid value \"lots\": must be a quantity, such as 512Mi; or a share, \
         such as 10%",
    ),
    ("diskSpace: {minFree: 1Gi}", "diskSpace", "spec.readinessProbe.diskSpace.path: required"),
    (
        "fileAge: {path: x, maxAgeSeconds: 0}",
        "0}",
        "spec.readinessProbe.fileAge.maxAgeSeconds: invalid value 0: must be greater than 0",
    ),
    (
        "fileAge: {path: x, maxAgeSeconds: soon}",
        "soon",
        "spec.readinessProbe.fileAge.maxAgeSeconds: invalid value \"soon\"",
    ),
    ("postgres: {port: sqll}", "sqll", "spec.readinessProbe.postgres.port: not found"),
    (
        "certificate: {file: a, host: b}",
        "host",
        "spec.readinessProbe.certificate.host: forbidden: goes with `port`, not with `file`",
    ),
];

const BEGINNING: &str = "apiVersion: vitald/v1
kind: Component
metadata: {name: bad}
spec:
  command: [sleep, '1']
  ports: [{name: sql, containerPort: 5432}]
  readinessProbe:
";

#[test]
fn mistakes_in_their_configuration_have_file_line_and_caret() {
    let s = prepare(NOTHING);
    for (probe, at, said) in MISTAKES {
        s.write("bad.yaml", &format!("{BEGINNING}    {probe}\n"));
        let output = s.cli(&["validate", "-f", "bad.yaml"]).expect(2);
        let column = "    ".len() + probe.find(at).unwrap() + 1;
        assert_has(&output, &[said, &format!("bad.yaml:8:{column}"), "1 error, 0 warnings"]);
        // Under the line as it stands, what it is about.
        let lines: Vec<Vec<char>> = output.stderr.lines().map(|line| line.chars().collect()).collect();
        let line: Vec<char> = format!("    {probe}").chars().collect();
        let shown = lines.iter().position(|shown| shown.ends_with(&line)).expect("the line itself");
        let begin = lines[shown].len() - line.len() + column - 1;
        let underlined = lines[shown + 1].iter().position(|c| *c == '^');
        assert_eq!(underlined, Some(begin), "{}", output.stderr);
    }
}

#[test]
fn what_tells_of_probes_tells_of_custom_ones() {
    let s = prepare(NOTHING);
    let library = s.state_dir().join("plugins/libhost_health.so");
    let library = library.to_str().unwrap();

    let schema: Value = serde_json::from_str(&s.cli(&["schema"]).expect(0).stdout).unwrap();
    let text = schema.to_string();
    for words in ["diskSpace", "minFreeInodes", "fileAge", "passwordFile", "`SELECT true`"] {
        assert!(text.contains(words), "{words} is not in the schema");
    }

    let explained = s.cli(&["explain", "spec.readinessProbe.diskSpace.minFree"]).expect(0);
    assert_has(&explained, &["minFree", "Least room: a quantity such as `5Gi`"]);
    let explained = s.cli(&["explain", "spec.livenessProbe"]).expect(0);
    assert_has(&explained, &["postgres", "certificate", "httpGet"]);

    let list = s.cli(&["probe", "list"]).expect(0);
    assert_has(&list, &["diskSpace", "Healthy while the file system of `path` has room left.", "tcpSocket"]);

    let healthy = s.cli(&["check", "diskSpace", "path=/", "minFree=1"]).expect(0);
    assert_has(&healthy, &["Success in "]);
    let unhealthy = s.cli(&["check", "diskSpace", "path=/nowhere", "minFree=1"]).expect(1);
    assert_has(&unhealthy, &["Failure in ", "/nowhere is not there"]);
    let mistaken = s.cli(&["check", "diskSpace", "path=/", "minFree=much"]).expect(2);
    assert_has(&mistaken, &["minFree", "must be a quantity"]);

    let list = s.cli(&["plugin", "list"]).expect(0);
    assert_has(&list, &["host-health", "0.1.0", "diskSpace", "fileAge", "postgres-query", "Loaded"]);
    let list: Value =
        serde_json::from_str(&s.cli(&["plugin", "list", "-o", "json"]).expect(0).stdout).unwrap();
    assert!(list.to_string().contains(library), "{list}");

    let about = s.cli(&["plugin", "inspect", library]).expect(0);
    assert_has(&about, &["host-health", "0.1.0", "diskSpace", "fileAge", "minFreeInodes", "rustc 1."]);
}

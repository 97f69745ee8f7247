//! The schema that editors get.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use vitald_manifest::schema;

/// The documents of a file as JSON, without those that are empty.
fn documents(path: &str) -> Vec<Value> {
    read(Path::new(path)).unwrap()
}

/// The same; `None` if it is no YAML, or has no counterpart in JSON.
fn read(path: &Path) -> Option<Vec<Value>> {
    let text = String::from_utf8(std::fs::read(path).unwrap()).ok()?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>().ok()?;
    Some(documents.into_iter().filter(|document| !document.is_null()).collect())
}

#[test]
fn it_is_json_schema_and_takes_what_is_good() {
    let schema = schema(&support::registry());
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = ["tests/good/everything.yaml", "tests/good/kinds.yaml"];
    for document in good.into_iter().flat_map(documents) {
        let mistakes: Vec<String> = validator.iter_errors(&document).map(|err| err.to_string()).collect();
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}

/// Bad manifests that are well-formed for JSON Schema, and why it cannot tell.
const BEYOND_SCHEMA: &[(&str, &str)] = &[
    ("backoff-above-max", "two fields are compared"),
    ("completed-but-always", "another component's field decides"),
    ("count-above-length", "a number is compared with a length"),
    ("cpu-mega", "how large a quantity is stands in its text"),
    ("cycle", "other components decide"),
    ("depends-on-itself-twice", "a name is compared with another"),
    ("depends-on-itself", "a name is compared with another"),
    ("depends-on-nobody", "other components decide"),
    ("duplicate-component", "other documents decide"),
    ("duplicate-env", "items of a list are compared"),
    ("duplicate-key", "JSON has the last of them"),
    ("duplicate-port-name", "items of a list are compared"),
    ("empty-document", "there is nothing to be checked"),
    ("empty-file", "there is nothing to be checked"),
    ("env-two-sources", "it may be there as null"),
    ("header-name", "the probe's own rule, told when it is built"),
    ("host-network-and-ports", "another field decides"),
    ("image-no-name", "no pattern here tells what an image may be called"),
    ("image-upper-case", "no pattern here tells what an image may be called"),
    ("memory-not-finite", "JSON has no such number"),
    ("memory-too-large", "how large a quantity is stands in its text"),
    ("memory-too-small", "how large a quantity is stands in its text"),
    ("memory-zero", "how large a quantity is stands in its text"),
    ("misspelt-dependency", "other components decide"),
    ("not-a-number", "JSON has no such number"),
    ("nul-in-command", "any text is a text"),
    ("only-comments", "there is nothing to be checked"),
    ("quoted-port", "a text is the name of a port"),
    ("two-files/a", "the other files decide"),
    ("two-files/nested/c", "the other files decide"),
    ("unknown-port-name", "another field decides"),
    ("volume-not-there", "what is on the disk decides"),
    ("volume-unknown", "another field decides"),
];

/// Bad manifests that others cannot read as YAML either, or not as JSON.
const NO_YAML: &[&str] = &[
    "bad-indentation",
    "binary",
    "control-character",
    "latin1-argument",
    "latin1",
    "list-as-key",
    "many",
    "missing-colon",
    "quote-left-out",
    "tab-indentation",
    "unclosed-bracket",
    "unknown-alias",
    "unknown-tag",
    "unterminated-name",
    "unterminated-string",
];

#[test]
fn it_refuses_what_is_bad_but_for_what_no_schema_can_tell() {
    let validator = jsonschema::validator_for(&schema(&support::registry())).unwrap();
    let (mut taken, mut unreadable) = (Vec::new(), Vec::new());
    for path in bad() {
        let name = path.strip_prefix("tests/bad").unwrap().with_extension("").display().to_string();
        match read(&path) {
            None => unreadable.push(name),
            Some(documents) if documents.iter().all(|document| validator.is_valid(document)) => {
                taken.push(name)
            }
            Some(_) => {}
        }
    }
    let names: Vec<&str> = BEYOND_SCHEMA.iter().map(|(name, _)| *name).collect();
    assert_eq!(taken, names, "the list of what JSON Schema cannot tell is out of date");
    assert_eq!(unreadable, NO_YAML, "the list of what is no YAML is out of date");
}

/// The files of `tests/bad`, in the order of their names.
fn bad() -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(Path::new("tests/bad"), &mut files);
    files.sort();
    assert!(files.len() > 100, "only {} bad manifests", files.len());
    files
}

#[test]
fn it_takes_null_where_manifests_may_have_it() {
    let registry = support::registry();
    let validator = jsonschema::validator_for(&schema(&registry)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    let options = vitald_manifest::LoadOptions { registry: &registry, env_path: None };
    let check = |spec: &str, good: bool| {
        let text = format!(
            "apiVersion: vitald/v1\nkind: Component\nmetadata: {{name: a, labels: }}\nspec: {{{spec}}}\n"
        );
        std::fs::write(&file, &text).unwrap();
        let loaded = vitald_manifest::load(std::slice::from_ref(&file), &options);
        assert_eq!(loaded.is_ok(), good, "validate: {text}\n{loaded:?}");
        let document = documents(file.to_str().unwrap()).remove(0);
        let mistakes: Vec<String> = validator.iter_errors(&document).map(|err| err.to_string()).collect();
        assert_eq!(mistakes.is_empty(), good, "schema: {text}\n{mistakes:?}");
    };
    for field in [
        "args",
        "workingDir",
        "env",
        "envFrom",
        "inheritEnv",
        "ports",
        "securityContext",
        "resources",
        "dependsOn",
        "restartPolicy",
        "restart",
        "terminationGracePeriodSeconds",
        "lifecycle",
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
    ] {
        check(&format!("command: [a], {field}: "), true);
    }
    check("command: [a], restart: {backoff: {jitter: }}", true);
    check("command: [a], env: [{name: A, value: , valueFrom: }]", true);
    check("command: [a], lifecycle: {preStop: }", true);
    check("command: [a], resources: {requests: , limits: {memory: , cpu: , openFiles: }}", true);
    check("command: [a], livenessProbe: {pid: , periodSeconds: }", true);
    check("command: [a], livenessProbe: {allOf: [{pid: }]}", true);
    check("command: [a], livenessProbe: {httpGet: {port: 80, scheme: , httpHeaders: }}", true);
    check("command: [a], imagePullPolicy: , hostNetwork: , volumes: , volumeMounts: ", true);
    check("command: [a], ports: [{containerPort: 1, hostPort: , hostIP: , protocol: }]", true);
    check("image: a, inheritEnv: , imagePullPolicy: ", true);
    check("external: {port: 1, processName: , startCommand: }, args: , resources: ", true);
    check("command: [a], image: ", false);
    check("image: a, external: ", false);
    check("external: ", false);
    check("external: {port: }", false);
    check("external: {port: 1, pidFile: }", false);
    check("image: a, inheritEnv: true", false);
    check("external: {port: 1}, ports: [{containerPort: 1, hostPort: 1}]", false);
    check("command: ", false);
    check("command: [null]", false);
    check("command: [a], lifecycle: {preStop: {exec: }}", false);
    check("command: [a], env: [null]", false);
    check("command: [a], livenessProbe: {}", false);
    check("command: [a], livenessProbe: {tcpSocket: }", false);
    check("command: [a], livenessProbe: {pid: , exec: }", false);
    check("command: [a], livenessProbe: {allOf: }", false);
    check("command: [a], livenessProbe: {allOf: [null]}", false);
    check("command: [a], livenessProbe: {pid: {}, allOf: }", false);
    check("command: [a], readinessProbe: {pid: {}, terminationGracePeriodSeconds: }", false);
}

#[test]
fn where_a_probe_runs_is_offered_beside_custom_ones_alone() {
    let probe = |probe: Value| {
        json!({
            "apiVersion": "vitald/v1",
            "kind": "Component",
            "metadata": { "name": "a" },
            "spec": { "command": ["a"], "livenessProbe": probe },
        })
    };
    let none = schema(&support::registry());
    assert!(!none.to_string().contains("InProcess"));
    assert!(!jsonschema::is_valid(&none, &probe(json!({ "pid": {}, "isolation": "Process" }))));

    let custom = schema(&support::registry_with_custom());
    jsonschema::meta::validate(&custom).unwrap();
    for (good, below) in [
        (true, json!({ "diskSpace": { "path": "/" } })),
        (true, json!({ "diskSpace": { "path": "/" }, "isolation": "InProcess" })),
        (true, json!({ "allOf": [{ "pid": {} }, { "diskSpace": { "path": "/" }, "isolation": "Process" }] })),
        (true, json!({ "pid": {}, "isolation": null })),
        (false, json!({ "pid": {}, "isolation": "InProcess" })),
        (false, json!({ "allOf": [{ "pid": {} }], "isolation": "InProcess" })),
        (false, json!({ "allOf": [{ "pid": {}, "isolation": "Process" }] })),
        (false, json!({ "diskSpace": { "path": "/" }, "isolation": "Thread" })),
        (false, json!({ "diskSpace": { "path": "/", "isolation": "Process" } })),
    ] {
        assert_eq!(jsonschema::is_valid(&custom, &probe(below.clone())), good, "{below}");
    }
}

#[test]
fn every_field_says_what_it_means() {
    fn walk(schema: &Value, path: &str, silent: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                if property.get("description").is_none() && property.get("$ref").is_none() {
                    silent.push(path.clone());
                }
                walk(property, &path, silent);
            }
        }
        for part in ["items", "anyOf", "oneOf"] {
            match schema.get(part) {
                Some(Value::Array(parts)) => parts.iter().for_each(|part| walk(part, path, silent)),
                Some(part) => walk(part, path, silent),
                None => {}
            }
        }
    }
    let schema = schema(&support::registry());
    let mut silent = Vec::new();
    walk(&schema, "", &mut silent);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        walk(definition, name, &mut silent);
    }
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn the_defaults_of_each_role_are_in_it() {
    let schema = schema(&support::registry());
    let default = |role: &str, field: &str| {
        schema["properties"]["spec"]["properties"][role]["properties"][field]["default"].clone()
    };
    assert_eq!(default("startupProbe", "failureThreshold"), json!(30));
    assert_eq!(default("livenessProbe", "periodSeconds"), json!(10));
    assert_eq!(default("readinessProbe", "timeoutSeconds"), json!(3));
}

//! The schema that editors get.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use vitald_manifest::schema;

/// The documents of a file as JSON, without those that are empty.
fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    use serde::Deserialize;
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
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

#[test]
fn it_refuses_what_is_bad() {
    let schema = schema(&support::registry());
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in [
        "misspelt-metadata",
        "misspelt-spec",
        "misspelt-handler",
        "misspelt-handler-field",
        "misspelt-value",
        "unknown-handler",
        "number-for-string",
        "string-for-list",
        "period-zero",
        "success-threshold-liveness",
        "grace-on-readiness",
        "port-out-of-range",
        "memory-unit",
        "memory-thousandths",
        "memory-negative",
        "memory-type",
        "requests-no-mapping",
        "no-handler",
        "two-handlers",
        "empty-all-of",
        "timing-in-all-of",
        "name-not-a-label",
        "name-too-long",
        "command-missing",
        "kind-missing",
        "kind-image-and-external",
        "kind-null",
        "process-with-fields-of-a-container",
        "container-with-fields-of-a-process",
        "external-with-fields-of-others",
        "external-found-twice",
        "external-not-found-at-all",
        "external-empty",
        "image-pull-policy",
        "volume-of-kubernetes",
        "wrong-api-version",
        "wrong-kind",
    ] {
        let documents = documents(&format!("tests/bad/{name}.yaml"));
        assert!(documents.iter().any(|document| !validator.is_valid(document)), "{name}");
    }
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

//! `explain`: the pages as people see them, and paths that lead nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use insta::assert_snapshot;
use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::registry::Registry;
use vitald_manifest::explain;

fn page(path: &str) -> String {
    explain(&support::registry(), path).unwrap().text(80).replace('\t', " ")
}

fn refused(path: &str) -> String {
    explain(&support::registry(), path).unwrap_err().to_string()
}

#[test]
fn a_handler() {
    assert_snapshot!("handler", page("spec.livenessProbe.grpc"));
}

#[test]
fn the_document_a_list_a_probe_and_one_value() {
    assert_snapshot!("document", page(""));
    assert_snapshot!("list", page("spec.dependsOn"));
    assert_snapshot!("value", page("spec.dependsOn.condition"));
    assert_snapshot!("probe", page("spec.readinessProbe"));
    assert_snapshot!("number", page("spec.restart.windowSeconds"));
}

#[test]
fn a_tree_ends_where_it_would_begin_again() {
    let tree = explain(&support::registry(), "spec.startupProbe").unwrap().tree(80).replace('\t', " ");
    assert_snapshot!("tree", tree);
}

#[test]
fn one_page_has_many_paths() {
    let ports = page("spec.ports");
    for path in ["component.spec.ports", "Component.spec.ports", "components.spec.ports[]", "spec.ports[2]"] {
        assert_eq!(page(path), ports, "{path}");
    }
    assert_eq!(page("Component"), page(""));
    let port = page("spec.livenessProbe.grpc.port");
    assert_eq!(page("spec.livenessProbe.allOf.grpc.port"), port);
    assert_eq!(page("spec.livenessProbe.allOf[0].anyOf[1].atLeast.of.grpc.port"), port);
    assert!(page("metadata.labels.tier").contains("tier <string>"));
}

#[test]
fn a_path_that_leads_nowhere_says_where_it_was_to_lead() {
    assert_snapshot!(refused("spec.livenesProbe").split_once(" There").unwrap().0, @"spec has no field `livenesProbe`; did you mean `livenessProbe`?");
    assert_snapshot!(refused("spec.livenessProbe.gprc"), @"spec.livenessProbe has no field `gprc`; did you mean `grpc`? There are: initialDelaySeconds, periodSeconds, timeoutSeconds, successThreshold, failureThreshold, terminationGracePeriodSeconds, allOf, anyOf, atLeast, isolation, exec, grpc, httpGet, pid, tcpSocket");
    assert_snapshot!(refused("maxRestarts"), @"a manifest has no field `maxRestarts`; did you mean `spec.restart.maxRestarts`? There are: apiVersion, kind, metadata, spec");
    assert_snapshot!(refused("grpc"), @"a manifest has no field `grpc`; did you mean `spec.startupProbe.grpc`, `spec.livenessProbe.grpc` or `spec.readinessProbe.grpc`? There are: apiVersion, kind, metadata, spec");
    assert_snapshot!(refused("metadata.kafka"), @"metadata has no field `kafka`; there are: name, labels, annotations");
    assert_snapshot!(refused("spec.restartPolicy.x"), @"spec.restartPolicy is of type string and has no fields");
    assert_snapshot!(refused("spec.readinessProbe.terminationGracePeriodSeconds"), @"spec.readinessProbe must not have `terminationGracePeriodSeconds`: a readiness probe never takes its component down, so it has no grace period");
    assert_snapshot!(refused("spec.livenessProbe.allOf.periodSeconds"), @"spec.livenessProbe.allOf must not have `periodSeconds`: timing and thresholds belong to the whole probe, not to a part of it");
}

#[test]
fn each_part_is_a_schema_of_its_own() {
    let registry = support::registry();
    for path in
        ["", "spec", "spec.livenessProbe", "spec.livenessProbe.allOf", "spec.livenessProbe.grpc", "spec.env"]
    {
        let explanation = explain(&registry, path).unwrap();
        let schema = explanation.schema();
        jsonschema::meta::validate(schema).unwrap_or_else(|err| panic!("{path}: {err}"));
        jsonschema::validator_for(schema).unwrap_or_else(|err| panic!("{path}: {err}"));
    }
    let all_of = explain(&registry, "spec.livenessProbe.allOf").unwrap();
    let validator = jsonschema::validator_for(all_of.schema()).unwrap();
    assert!(
        validator.is_valid(&serde_json::json!([{ "grpc": { "port": 1 } }, { "anyOf": [{ "pid": {} }] }]))
    );
    assert!(!validator.is_valid(&serde_json::json!([{ "grpc": {} }])));
    assert_eq!(explain(&registry, "").unwrap().schema(), &vitald_manifest::schema(&registry));
    let isolation = explain(&registry, "spec.livenessProbe.isolation").unwrap();
    assert_eq!(isolation.schema()["enum"], serde_json::json!(["Process", "InProcess"]));
}

/// Healthy while there is room.
///
/// ```yaml
/// room: {on: {path: /}}
/// ```
///
/// Kinds of room:
/// - bytes
/// - inodes
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only the schema is wanted")]
struct RoomSpec {
    /// What is looked at.
    on: Where,
    /// Share that must be free, in percent.
    #[schemars(range(min = 1, max = 99))]
    #[serde(default = "ten")]
    percent: u8,
    /// More than one place.
    more: Option<std::collections::BTreeMap<String, Vec<Where>>>,
    /// Anything.
    extra: Option<serde_json::Value>,
}

fn ten() -> u8 {
    10
}

/// A place, in one of two ways.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "only the schema is wanted")]
enum Where {
    /// A file on it.
    Path(String),
    /// A device.
    Device {
        /// Its name.
        name: String,
    },
    /// All there is.
    Everywhere,
}

struct Room;

impl ProbeKind for Room {
    const KEY: &'static str = "room";
    type Spec = RoomSpec;

    fn build(_spec: RoomSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        Ok(Self)
    }
}

#[async_trait]
impl HealthProbe for Room {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        ProbeResult::Success
    }
}

#[test]
fn a_custom_probe_is_explained_by_its_own_words() {
    let mut registry = Registry::new();
    registry.add::<Room>();
    let page = |path| explain(&registry, path).unwrap().text(60).replace('\t', " ");
    assert_snapshot!("custom", page("spec.livenessProbe.room"));
    assert_snapshot!("custom-field", page("spec.livenessProbe.room.on"));
    assert_snapshot!("custom-deep", page("spec.livenessProbe.room.more.x.device.name"));
}

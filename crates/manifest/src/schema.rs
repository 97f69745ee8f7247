//! The JSON Schema of a document, put together from the fields here and the declarations of the probes.

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value as Json, json};
use vitald_core::registry::Registry;
use vitald_core::spec::{ProbeRole, ProbeSpec};

use crate::kinds;
use crate::types::{Metadata, Spec, Timing};

pub(crate) const API_VERSION: &str = "vitald/v1";
pub(crate) const KIND: &str = "Component";

/// What JSON Schema this is.
pub(crate) const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Before a handler's key in the names of definitions.
pub(crate) const HANDLER: &str = "handler.";

/// How handlers are combined.
pub(crate) const COMBINATORS: [&str; 3] = ["allOf", "anyOf", "atLeast"];

/// The field beside a custom probe's handler that says where its code runs.
pub(crate) const ISOLATION: &str = "isolation";

/// JSON Schema (draft 2020-12) of a manifest's documents, for editors: `registry`'s probes included.
pub fn schema(registry: &Registry) -> Json {
    let mut schema = document(registry);
    if !registry.keys().any(|key| registry.is_custom(key)) {
        let roles = ProbeRole::ALL.map(|role| format!("/properties/spec/properties/{}", role.field()));
        for place in roles.into_iter().chain(["/$defs/Check".to_owned()]) {
            if let Some(probe) = schema.pointer_mut(&place) {
                probe["properties"][ISOLATION] = forbidden("there is no custom probe");
            }
        }
    }
    drop_forbidden(&mut schema);
    allow_null(&mut schema);
    let definitions = schema.get_mut("$defs").and_then(Json::as_object_mut);
    for (name, definition) in definitions.into_iter().flatten() {
        // `pid:` is `pid: {}`.
        if name.starts_with(HANDLER) && required(definition).is_empty() {
            nullable(definition);
        }
    }
    schema["properties"]["spec"]["allOf"] = kinds::schema();
    schema
}

/// The schema that manifests are checked with: beside what [`schema`] says, fields that must not be there,
/// with the reason.
pub(crate) fn document(registry: &Registry) -> Json {
    let mut spec = of::<Spec>();
    for role in ProbeRole::ALL {
        let field = &mut spec["properties"][role.field()];
        let description = field["description"].take();
        *field = probe(role, registry);
        field["description"] = description;
    }
    choose(&mut spec, "anyOf", &["command", "image", "external"]);
    choose(&mut spec["properties"]["external"], "oneOf", &["pidFile", "port"]);
    let mut definitions = Map::new();
    for key in registry.keys() {
        definitions.insert(definition(key), handler(registry, key));
    }
    definitions.insert("Check".to_owned(), check(registry));
    definitions.insert(
        "Checks".to_owned(),
        json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Check" } }),
    );
    json!({
        "$schema": DRAFT,
        "title": "vitald manifest",
        "description": "A component: a process or a container that vitald starts, probes and restarts, or something that others start.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "description": "Version of the manifest's format.", "enum": [API_VERSION] },
            "kind": { "description": "What the document describes: a component.", "enum": [KIND] },
            "metadata": of::<Metadata>(),
            "spec": spec,
        },
        "$defs": definitions,
    })
}

/// Names beside a handler that mean something else, so that no probe may have them.
pub fn reserved() -> Vec<String> {
    let timing = of::<Timing>();
    let fields = timing["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    fields.chain(COMBINATORS).chain([ISOLATION]).map(str::to_owned).collect()
}

/// Says that at least one (`anyOf`), or exactly one (`oneOf`), of some fields must be there, and not as null.
fn choose(schema: &mut Json, how: &str, fields: &[&str]) {
    for field in fields {
        if let Some(Json::Array(types)) = schema["properties"][*field].get_mut("type") {
            types.retain(|name| name != "null");
        }
    }
    schema[how] = fields.iter().map(|field| json!({ "required": [field] })).collect();
}

/// A handler's schema as it stands below its key; null for one that is not there.
pub(crate) fn handler(registry: &Registry, key: &str) -> Json {
    registry.schema(key).map(below_key).unwrap_or_default()
}

/// The schema of a handler's configuration as it stands below its key.
pub(crate) fn below_key(schema: &Schema) -> Json {
    let mut schema = schema.as_value().clone();
    if let Some(schema) = schema.as_object_mut() {
        schema.shift_remove("$schema");
        schema.shift_remove("title");
    }
    schema
}

fn definition(key: &str) -> String {
    format!("{HANDLER}{key}")
}

/// The schema of one of our types, without references.
fn of<T: JsonSchema>() -> Json {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let generator = settings.with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.shift_remove("$schema");
        schema.shift_remove("title");
    }
    schema
}

/// A probe of a component: its handler, and its timing with the defaults and rules of its role.
fn probe(role: ProbeRole, registry: &Registry) -> Json {
    let mut timing = of::<Timing>()["properties"].take();
    let defaults = ProbeSpec::new(role, vitald_core::check::Check::AllOf(Vec::new()));
    for (field, default) in [
        ("initialDelaySeconds", json!(defaults.initial_delay.as_secs())),
        ("periodSeconds", json!(defaults.period.as_secs())),
        ("timeoutSeconds", json!(defaults.timeout.as_secs())),
        ("successThreshold", json!(defaults.success_threshold)),
        ("failureThreshold", json!(defaults.failure_threshold)),
    ] {
        timing[field]["default"] = default;
    }
    if role == ProbeRole::Readiness {
        timing["terminationGracePeriodSeconds"] =
            forbidden("a readiness probe never takes its component down, so it has no grace period");
    } else {
        timing["successThreshold"]["description"] =
            format!("Successes in a row that make a success; exactly 1 for a {role} probe.").into();
        timing["successThreshold"]["maximum"] = json!(1);
    }
    one_of(registry, timing)
}

/// A part of `allOf` and the like: a handler alone.
fn check(registry: &Registry) -> Json {
    let mut timing = of::<Timing>()["properties"].take();
    for field in timing.as_object_mut().into_iter().flat_map(Map::values_mut) {
        *field = forbidden("timing and thresholds belong to the whole probe, not to a part of it");
    }
    let mut check = one_of(registry, timing);
    check["description"] = json!(
        "One handler, or several combined. A part has no timing and no thresholds of its own: those are the probe's."
    );
    check
}

/// `properties` and exactly one handler or combinator.
fn one_of(registry: &Registry, mut properties: Json) -> Json {
    let checks = |description: &str| json!({ "$ref": "#/$defs/Checks", "description": description });
    properties["allOf"] = checks("Handlers that must all succeed; one Failure decides.");
    properties["anyOf"] = checks("Handlers of which one must succeed; one Success decides.");
    properties["atLeast"] = json!({
        "description": "Handlers of which some must succeed: at least `count` of `of`.",
        "type": "object",
        "required": ["count", "of"],
        "additionalProperties": false,
        "properties": {
            "count": {
                "description": "How many must succeed, 1 to the length of `of`.",
                "type": "integer",
                "minimum": 1,
            },
            "of": checks("The handlers, each of which counts once."),
        },
    });
    properties[ISOLATION] = json!({
        "description": "Where the code of a custom probe runs. `Process`: in a process of its library, so that \
                        whatever it does harms nobody else. `InProcess`: in the supervisor, for speed.",
        "enum": ["Process", "InProcess"],
        "default": "Process",
    });
    for key in registry.keys() {
        properties[key] = json!({ "$ref": format!("#/$defs/{}", definition(key)) });
    }
    let handlers = registry.keys().chain(COMBINATORS);
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": handlers.map(|key| json!({ "required": [key] })).collect::<Vec<_>>(),
    });
    let custom = registry.keys().filter(|key| registry.is_custom(key));
    let custom: Vec<Json> = custom.map(|key| json!({ "required": [key] })).collect();
    if !custom.is_empty() {
        schema["if"] = json!({ "required": [ISOLATION], "properties": { ISOLATION: { "type": "string" } } });
        schema["then"] = json!({ "anyOf": custom });
    }
    schema
}

fn forbidden(why: &str) -> Json {
    json!({ "not": {}, "description": why })
}

/// Editors would offer what they then refuse; `additionalProperties` says the same.
fn drop_forbidden(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Object(properties)) = object.get_mut("properties") {
                properties.retain(|_, property| property.get("not") != Some(&json!({})));
            }
            object.values_mut().for_each(drop_forbidden);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_forbidden),
        _ => {}
    }
}

/// A field that may be left out may be null, as the API server of Kubernetes has it; that this is its default goes
/// without saying.
fn allow_null(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if object.get("default") == Some(&Json::Null) {
                object.shift_remove("default");
            }
            let required = object.get("required").map(strings).unwrap_or_default();
            // What is chosen by its being there is not there as null.
            let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| object.get(*key)?.as_array());
            let chosen: Vec<String> = alternatives.flatten().flat_map(self::required).collect();
            if let Some(Json::Object(properties)) = object.get_mut("properties") {
                let optional = properties
                    .iter_mut()
                    .filter(|(name, _)| !required.contains(name) && !chosen.contains(name));
                optional.for_each(|(_, property)| nullable(property));
            }
            object.values_mut().for_each(allow_null);
        }
        Json::Array(items) => items.iter_mut().for_each(allow_null),
        _ => {}
    }
}

/// Lets a schema take null, too. One that only refers to another stays as it is.
fn nullable(schema: &mut Json) {
    let null = json!({ "type": "null" });
    let Some(schema) = schema.as_object_mut() else { return };
    let is_object = schema.get("type") == Some(&json!("object"));
    if let Some(types) = schema.get_mut("type") {
        match types {
            Json::String(name) if name != "null" => *types = json!([name, "null"]),
            Json::Array(names) if !names.contains(&json!("null")) => names.push(json!("null")),
            _ => return,
        }
    }
    if let Some(Json::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Json::Null)
    {
        values.push(Json::Null);
    }
    for key in ["anyOf", "oneOf"] {
        let Some(Json::Array(alternatives)) = schema.get_mut(key) else { continue };
        if is_object {
            // They say which fields go together, and would all take null.
            for alternative in alternatives.iter_mut().filter_map(Json::as_object_mut) {
                alternative.insert("type".to_owned(), json!("object"));
            }
        }
        if !alternatives.contains(&null) {
            alternatives.push(null.clone());
        }
    }
}

fn required(schema: &Json) -> Vec<String> {
    schema.get("required").map(strings).unwrap_or_default()
}

fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

//! What a library says of its kinds, and whether they can be used.

use std::collections::BTreeMap;

use schemars::Schema;
use serde_json::Value;

use crate::wire::Hello;

/// Most letters of a key.
const LONGEST_KEY: usize = 63;

/// The kinds of a library, by key.
///
/// # Errors
/// They cannot be used, wherever it lies.
pub(super) fn of(hello: &Hello) -> Result<BTreeMap<String, Schema>, String> {
    let name = &hello.about.name;
    if hello.kinds.is_empty() {
        return Err(format!("{name} has no probes"));
    }
    let mut kinds = BTreeMap::new();
    for kind in &hello.kinds {
        let key = &kind.key;
        if !is_key(key) {
            return Err(format!(
                "{name} names a probe `{}`: a key begins with a small letter and goes on with letters and digits, {LONGEST_KEY} at most, such as `diskSpace`",
                key.escape_debug()
            ));
        }
        let schema =
            schema(&kind.schema).map_err(|what| format!("the schema of {name}'s probe `{key}` {what}"))?;
        if kinds.insert(key.clone(), schema).is_some() {
            return Err(format!("{name} has two probes that are named `{key}`"));
        }
    }
    Ok(kinds)
}

/// What a configuration must look like: a table of fields, all said in one place.
fn schema(schema: &Value) -> Result<Schema, &'static str> {
    let is_table =
        schema.as_object().is_some_and(|schema| schema.get("type").is_some_and(|is| is == "object"));
    if !is_table {
        return Err("is not that of an object with fields: its `Spec` must be a struct with named ones");
    }
    if refers(schema) {
        return Err("refers to itself (`$ref`): its `Spec` must not be recursive");
    }
    Schema::try_from(schema.clone()).map_err(|_| "is none")
}

fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.iter().any(|(key, value)| (key == "$ref" && value.is_string()) || refers(value))
        }
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

fn is_key(key: &str) -> bool {
    let mut letters = key.chars();
    key.len() <= LONGEST_KEY
        && letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_one_of_fields_and_stands_alone() {
        let check = |value| schema(&value).map(drop);
        assert!(check(json!({ "type": "object", "properties": {} })).is_ok());
        // A field may be called as it likes.
        assert!(check(json!({ "type": "object", "properties": { "$ref": { "type": "string" } } })).is_ok());
        assert!(check(json!({ "type": "string" })).unwrap_err().contains("fields"));
        assert!(check(json!(true)).unwrap_err().contains("fields"));
        let recursive = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        assert!(check(recursive).unwrap_err().contains("recursive"));
    }

    #[test]
    fn keys_read_like_those_that_are_built_in() {
        for good in ["disk", "diskSpace", "d2"] {
            assert!(is_key(good), "{good}");
        }
        assert!(!is_key(&"x".repeat(64)));
        for bad in ["", "DiskSpace", "disk-space", "disk_space", "2d", "dïsk", "disk space", "disk.space"] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}

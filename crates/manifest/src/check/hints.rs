//! What a schema tells about a value, for people.

use serde_json::{Map, Value as Json};

/// The names in `type`.
pub(super) fn types(schema: &Map<String, Json>) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(names) => strings(names),
        None => Vec::new(),
    }
}

pub(super) fn strings(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

pub(super) fn required(schema: &Json) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

/// The values of `const` and `enum`.
pub(super) fn constants(schema: &Json) -> Vec<&Json> {
    match (schema.get("const"), schema.get("enum").and_then(Json::as_array)) {
        (Some(value), _) => vec![value],
        (None, Some(values)) => values.iter().collect(),
        (None, None) => Vec::new(),
    }
}

pub(super) fn only_null(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
}

/// `{"not": {}}`: nothing may be there.
pub(super) fn forbidden(schema: &Json) -> bool {
    match schema {
        Json::Bool(allowed) => !allowed,
        schema => schema.get("not").and_then(Json::as_object).is_some_and(Map::is_empty),
    }
}

/// What a field means, and its default as one would write it.
pub(super) fn help(key: Option<&str>, schema: &Json) -> Option<String> {
    let description = schema.get("description").and_then(Json::as_str)?;
    let paragraph = description.split("\n\n").next().unwrap_or(description).replace('\n', " ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    let mut help = lower_first(sentence.trim_end_matches('.'));
    let told = |default: &&Json| match default {
        Json::Null | Json::Object(_) => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        _ => true,
    };
    let default = schema.get("default").filter(told);
    if let (Some(key), Some(default)) = (key, default) {
        let shown = match default {
            Json::String(text) => text.clone(),
            // `90`, not `90.0`.
            Json::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
            other => other.to_string(),
        };
        help = format!("{help}; leave it out for the default, `{key}: {shown}`");
    }
    Some(help)
}

/// `Seconds between …` goes on in lower case, `HTTP path` does not.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => sentence.to_owned(),
    }
}

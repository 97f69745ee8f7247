//! A handler's configuration from a command line: `vitald check grpc port=50051 service=x`.

use serde_json::{Map, Value as Json};
use vitald_core::registry::Registry;

use crate::nearest::{did_you_mean, list, nearest};
use crate::tree::{Tree, quote};
use crate::{check, read, schema};

/// Builds the configuration of the handler `key` from `field=value` arguments, and checks it.
///
/// Dots lead into nested fields. A value for a field that takes nothing but a string is that string as it
/// is; any other is read as YAML: `port=80`, `tls=true`, `command=["pg_isready","-q"]`.
///
/// # Errors
/// All mistakes, one a line.
pub fn handler_config(registry: &Registry, key: &str, args: &[String]) -> Result<Json, String> {
    if registry.schema(key).is_none() {
        let keys: Vec<&str> = registry.keys().collect();
        let help = match nearest(key, keys.iter().copied()) {
            Some(name) => did_you_mean(name),
            None => format!("there are {}", list(&keys, "and")),
        };
        return Err(format!("no handler is named `{key}` ({help})"));
    }
    let schema = schema::handler(registry, key);
    let mut config = Json::Object(Map::new());
    let mut mistakes = Vec::new();
    for arg in args {
        if let Err(mistake) = take(&mut config, &schema, arg) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() {
        let mut tree = Tree::from_json(&config);
        let found = check::check(&mut tree, Tree::ROOT, &schema, &schema, "");
        mistakes.extend(found.iter().map(|mistake| mistake.inline()));
    }
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes.join("\n")) }
}

/// Adds one argument to the configuration.
fn take(config: &mut Json, schema: &Json, arg: &str) -> Result<(), String> {
    let Some((path, text)) = arg.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        return Err(format!("{}: expected field=value", quote(arg)));
    };
    let mut at = config;
    let mut schema = schema;
    for step in path.split('.') {
        let Json::Object(fields) = at else {
            return Err(format!("{path}: given as a whole and in parts"));
        };
        schema = schema
            .pointer(&format!("/properties/{}", step.replace('~', "~0").replace('/', "~1")))
            .or_else(|| schema.get("additionalProperties"))
            .unwrap_or(&Json::Null);
        at = fields.entry(step).or_insert_with(|| Json::Object(Map::new()));
    }
    if *at != Json::Object(Map::new()) {
        return Err(format!("{path}: given twice"));
    }
    *at = if only_a_string(schema) {
        text.into()
    } else {
        value(text).map_err(|err| format!("{path}: {err}"))?
    };
    Ok(())
}

fn only_a_string(schema: &Json) -> bool {
    match schema.get("type") {
        Some(Json::String(name)) => name == "string",
        Some(Json::Array(names)) => {
            names.iter().all(|name| name == "string" || name == "null") && names.iter().any(|n| n == "string")
        }
        _ => schema.get("enum").is_some(),
    }
}

/// One value as YAML has it.
fn value(text: &str) -> Result<Json, String> {
    let mut documents = read::read(text);
    if let Some(mistake) = documents.mistakes.first() {
        return Err(mistake.message.clone());
    }
    match documents.trees.len() {
        0 => Ok("".into()),
        1 => {
            let tree = documents.trees.remove(0);
            let json = tree.to_json(Tree::ROOT);
            // A word stays what was typed: YAML would cut comments and surrounding space from it.
            Ok(if json.is_string() && !text.starts_with(['"', '\'']) { text.into() } else { json })
        }
        _ => Err("expected one value".to_owned()),
    }
}

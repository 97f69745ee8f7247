//! A handler's configuration from a command line: `vitald check grpc port=50051 service=x`.

use std::collections::{HashMap, HashSet};

use schemars::Schema;
use serde_json::{Map, Value as Json};
use vitald_core::probe::SpecError;
use vitald_core::registry::Registry;

use crate::check::samples::words;
use crate::mistake::{Code, Mistake};
use crate::nearest::{did_you_mean, list, nearest, or_refused};
use crate::tree::{Tree, Value, quote};
use crate::{check, read, schema};

/// Builds the configuration of the handler `key` from `field=value` arguments, and checks it.
///
/// Dots lead into nested fields. A value for a field that takes nothing but a string is that string as it
/// is; any other is read as YAML: `port=80`, `tls=true`, `command=["pg_isready","-q"]`. In a list of strings, every item
/// is one, since a shell takes the quotes of `["true"]` away; a single word is a list of one: `command=true`.
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
        let help = or_refused(help, registry.refused());
        return Err(format!("no handler is named `{key}` ({help})"));
    }
    let schema = schema::handler(registry, key);
    let mut config = Json::Object(Map::new());
    let mut mistakes = Vec::new();
    let mut samples = HashMap::new();
    let mut unread = HashSet::new();
    for arg in args {
        match take(&mut config, &schema, arg) {
            Ok(sample) => samples.extend(sample),
            Err(mistake) => {
                mistakes.push(mistake);
                unread.extend(arg.split(['=', '.']).next());
            }
        }
    }
    let mut tree = Tree::from_json(&config);
    let mut found = check::check(&mut tree, Tree::ROOT, (&schema, &schema), "", &[]);
    if !mistakes.is_empty() {
        // What is missing may be what could not be read.
        let is_read = |path: &str| !path.split(['.', '[']).next().is_some_and(|top| unread.contains(top));
        found.retain(|mistake| mistake.code != Code::Required && is_read(&mistake.path));
    }
    for mistake in &mut found {
        if let Some(sample) = samples.remove(&mistake.path) {
            mistake.help = Some(sample);
        }
    }
    mistakes.extend(found.iter().map(Mistake::inline));
    if mistakes.is_empty() { Ok(config) } else { Err(mistakes.join("\n")) }
}

/// Every mistake in a configuration of a handler, by its schema alone: paths begin below its key.
pub fn objections(schema: &Schema, config: &Json) -> Vec<SpecError> {
    let mut tree = Tree::from_json(config);
    let schema = schema::below_key(schema);
    let mistakes = check::check(&mut tree, Tree::ROOT, (&schema, &schema), "", &[]);
    mistakes
        .into_iter()
        .map(|mistake| SpecError { path: mistake.path, ..SpecError::new(mistake.message) })
        .collect()
}

/// Adds one argument to the configuration. Where a word is given for a list: the path, and how to write it.
fn take(config: &mut Json, schema: &Json, arg: &str) -> Result<Option<(String, String)>, String> {
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
    let wants_words = schema["type"] == "array" && schema["items"]["type"] == "string";
    *at = if only_a_string(schema) {
        text.into()
    } else {
        value(text, wants_words).map_err(|err| format!("{path}: {err}"))?
    };
    let is_list = matches!(at, Json::Array(_) | Json::Object(_));
    if !wants_words || is_list || text.trim().is_empty() {
        return Ok(None);
    }
    let typed = at.as_str().unwrap_or(text).trim();
    if !typed.contains(char::is_whitespace) {
        *at = Json::Array(vec![typed.into()]);
        return Ok(None);
    }
    let list = format!("[{}]", words(text)).replace('\'', r"'\''");
    Ok(Some((path.to_owned(), format!("write {path}='{list}'"))))
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

/// One value as YAML has it; the items of a list are strings if they are to be `words`.
fn value(text: &str, words: bool) -> Result<Json, String> {
    let mut documents = read::read(text);
    if let Some(mistake) = documents.mistakes.first() {
        return Err(mistake.message.clone());
    }
    match documents.trees.len() {
        0 => Ok("".into()),
        1 => {
            let mut tree = documents.trees.remove(0);
            if words {
                as_typed(&mut tree, text);
            }
            let json = tree.to_json(Tree::ROOT);
            // A word stays what was typed: YAML would cut comments and surrounding space from it.
            Ok(if json.is_string() && !text.starts_with(['"', '\'']) { text.into() } else { json })
        }
        _ => Err("expected one value".to_owned()),
    }
}

/// Makes the items of a list the strings that were typed.
fn as_typed(tree: &mut Tree, text: &str) {
    for item in tree.items(Tree::ROOT).to_vec() {
        let node = tree.node_mut(item);
        if matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
            node.value = Value::String(text.get(node.span.clone()).unwrap_or_default().to_owned());
        }
    }
}

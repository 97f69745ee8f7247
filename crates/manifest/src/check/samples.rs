//! What was probably meant by a value of the wrong shape, as one would write it.

use serde_json::{Map, Value as Json};

use super::{Checker, choice, hints};
use crate::scalar;
use crate::tree::{NodeId, Value, quote};

/// More than this is no word that somebody put where a list belongs.
const LONGEST: usize = 60;
/// More items than this are not shown.
const MOST: usize = 3;

impl<'a> Checker<'a> {
    /// What a value would be as a list, or as a mapping, of the schema.
    pub(super) fn sample(&self, id: NodeId, types: &[&str], outer: &'a Json) -> Option<String> {
        let shape = |name: &str| types.contains(&name).then(|| self.shape(outer, name))?;
        if let Some(items) = shape("array").and_then(|schema| schema.get("items")) {
            let list = match self.tree.value(id) {
                Value::Map(_) => return self.list_of_entries(id, items),
                value => self.word(value, id).and_then(|word| match self.resolve(items) {
                    items if items["type"] == "string" && items.get("enum").is_none() => Some(words(&word)),
                    items => self.names(&word, items).or_else(|| self.mapping(&word, items)),
                }),
            };
            return list.map(|list| format!("write a list: [{list}]"));
        }
        let word = self.word(self.tree.value(id), id)?;
        let schema = shape("object")?;
        if let Some((key, rest)) = word.split_once(':')
            && schema.get("properties").is_some_and(|properties| properties.get(key).is_some())
        {
            return Some(format!("put a space after the colon: `{key}: {rest}`"));
        }
        self.mapping(&word, schema).map(|mapping| format!("write {mapping}"))
    }

    /// `workflow, activity`, where an item is one of certain words, and these are some of them.
    fn names(&self, text: &str, items: &'a Json) -> Option<String> {
        let alternatives = items.as_object().and_then(super::alternatives).unwrap_or_default();
        let schemas = std::iter::once(items).chain(alternatives.iter().map(|schema| self.resolve(schema)));
        let known: Vec<&Json> = schemas.flat_map(hints::constants).collect();
        let words: Vec<&str> =
            text.split([',', ' ', '|']).map(str::trim).filter(|word| !word.is_empty()).collect();
        let all = words.iter().all(|word| known.iter().any(|name| name.as_str() == Some(word)));
        (all && !words.is_empty()).then(|| words.join(", "))
    }

    /// The part of a schema that is of a type.
    fn shape(&self, schema: &'a Json, name: &str) -> Option<&'a Json> {
        let schema = self.resolve(schema);
        let alternatives = schema.as_object().and_then(super::alternatives).unwrap_or_default();
        std::iter::once(schema)
            .chain(alternatives.iter().map(|schema| self.resolve(schema)))
            .find(|schema| schema.as_object().is_some_and(|schema| hints::types(schema).contains(&name)))
    }

    /// A scalar as it was typed.
    fn word(&self, value: &Value, id: NodeId) -> Option<String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                let source = self.text.get(self.tree.node(id).span.clone()).unwrap_or_default();
                if source.is_empty() { value.show()? } else { source.to_owned() }
            }
            _ => return None,
        };
        (!text.trim().is_empty() && text.len() < LONGEST).then_some(text)
    }

    /// `{name: postgres}`, where it is plain which field a word is for.
    fn mapping(&self, word: &str, schema: &'a Json) -> Option<String> {
        let schema = schema.as_object()?;
        let properties = schema.get("properties")?.as_object()?;
        if let Some(choice) = choice(schema) {
            let settings = self.resolve(properties.get(word).filter(|_| choice.has(word))?);
            let needs = hints::required(settings).next().is_some() || settings.get("items").is_some();
            let inner = match (needs, settings.get("items")) {
                (_, Some(_)) => "[{…}, {…}]",
                (true, None) => "{…}",
                (false, None) => "{}",
            };
            return Some(format!("{{{word}: {inner}}}"));
        }
        if has_name_and_value(properties) {
            let (name, value) = word.split_once('=').unwrap_or((word, "…"));
            return Some(pair(name, value));
        }
        let required: Vec<&str> = schema.get("required").map(hints::strings).unwrap_or_default();
        let [field] = required[..] else { return None };
        let property = self.resolve(properties.get(field)?).as_object()?;
        let value = match (&hints::types(property)[..], scalar::resolve(word)) {
            (["string"], _) => flow(word),
            (["array"], _) if self.resolve(property.get("items")?)["type"] == "string" => {
                format!("[{}]", words(word))
            }
            (types, Value::Int(number)) if types.contains(&"integer") => number.to_string(),
            _ => return None,
        };
        Some(format!("{{{field}: {value}}}"))
    }

    /// `{A: B}` where a list of `{name: A, value: "B"}` belongs.
    fn list_of_entries(&self, id: NodeId, items: &'a Json) -> Option<String> {
        let items = self.resolve(items);
        let properties = items.get("properties")?.as_object()?;
        let mut entries = self.tree.entries(id).peekable();
        entries.peek()?;
        if self.tree.entries(id).all(|(key, _)| properties.contains_key(key)) {
            let source = self.text.get(self.tree.node(id).span.clone()).unwrap_or_default();
            let short = source.starts_with('{') && source.len() < LONGEST && !source.contains('\n');
            let rest =
                if short { format!("[{source}]") } else { "put `- ` before its first line".to_owned() };
            return Some(format!("write a list: {rest}"));
        }
        let count = self.tree.entries(id).count();
        let item = |(key, child): (&str, NodeId)| {
            if key.len() >= LONGEST {
                return None;
            }
            match self.word(self.tree.value(child), child) {
                Some(value) if has_name_and_value(properties) => Some(pair(key, &value)),
                _ => self.mapping(key, items),
            }
        };
        let list: Option<Vec<String>> = entries.take(MOST).map(item).collect();
        let more = if count > MOST { ", …" } else { "" };
        Some(format!("write a list: [{}{more}]", list?.join(", ")))
    }
}

/// `"a", "b"`: the words of a command, each in quotes.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().map(quote).collect::<Vec<_>>().join(", ")
}

fn has_name_and_value(properties: &Map<String, Json>) -> bool {
    properties.contains_key("name") && properties.contains_key("value")
}

fn pair(name: &str, value: &str) -> String {
    format!("{{name: {}, value: {}}}", flow(name), quote(value))
}

/// A string within brackets or braces: without quotes where it needs none.
fn flow(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "/._".contains(c))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
        && matches!(scalar::resolve(text), Value::String(_));
    if plain { text.to_owned() } else { quote(text) }
}

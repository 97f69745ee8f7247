//! A tree against a schema: every mistake, each once, each at the key or value that is wrong.
//!
//! Knows what schemars emits of JSON Schema. What it does not know it takes for good; the types find it.

mod hints;
pub(crate) mod samples;
mod scalars;

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use crate::mistake::{Code, Mistake};
use crate::nearest::{did_you_mean, list, nearest, or_refused};
use crate::schema::ISOLATION;
use crate::tree::{NodeId, Tree, Value, push_key};

/// Checks the node `id` against `schema`, whose references mean definitions in `root`. What is wrong is
/// marked faulty. `text` is what the tree was read from. `refused` are libraries that may have had a handler that is
/// not known.
pub(crate) fn check(
    tree: &mut Tree,
    id: NodeId,
    (schema, root): (&Json, &Json),
    text: &str,
    refused: &[PathBuf],
) -> Vec<Mistake> {
    let mut checker = Checker { tree, root, text, refused, mistakes: Vec::new(), faulty: HashSet::new() };
    checker.value(id, schema, schema);
    let Checker { mistakes, faulty, .. } = checker;
    for id in faulty {
        tree.mark_faulty(id);
    }
    mistakes
}

/// Where a mistake about a whole value is shown: at the value, or, where that has many lines, at its key.
pub(crate) fn place_of(tree: &Tree, text: &str, id: NodeId) -> Range<usize> {
    let node = tree.node(id);
    let shown = text.get(node.span.clone()).unwrap_or_default();
    let block = match node.value {
        Value::Seq(_) => !shown.starts_with('['),
        Value::Map(_) => !shown.starts_with('{'),
        Value::Null => shown.is_empty(),
        _ => false,
    };
    if block { key_of(tree, id) } else { node.span.clone() }
}

/// The key of a node; for an item of a list the first key in it.
pub(crate) fn key_of(tree: &Tree, id: NodeId) -> Range<usize> {
    use crate::tree::Place;
    match &tree.node(id).place {
        Place::Key { span, .. } => span.clone(),
        Place::Root | Place::Item { .. } => match tree.value(id) {
            Value::Map(children) => match children.first().map(|child| &tree.node(*child).place) {
                Some(Place::Key { span, .. }) => span.clone(),
                _ => tree.node(id).span.clone(),
            },
            Value::Seq(_) => {
                let start = tree.node(id).span.start;
                start..start
            }
            _ => tree.node(id).span.clone(),
        },
    }
}

struct Checker<'a> {
    tree: &'a Tree,
    root: &'a Json,
    text: &'a str,
    refused: &'a [PathBuf],
    mistakes: Vec<Mistake>,
    faulty: HashSet<NodeId>,
}

impl<'a> Checker<'a> {
    /// Checks a value. `outer` is the schema as the field has it, with its description and default.
    fn value(&mut self, id: NodeId, schema: &'a Json, outer: &'a Json) {
        if self.mistakes.len() > crate::MOST {
            return;
        }
        let schema = self.resolve(schema);
        let Some(object) = schema.as_object() else { return };
        if let Some(Json::Array(all)) = object.get("allOf") {
            for part in all {
                self.value(id, part, outer);
            }
        }
        if let Some(alternatives) = alternatives(object) {
            return self.alternative(id, alternatives, outer);
        }
        if !self.type_matches(id, object, outer) {
            return;
        }
        self.enumerated(id, object, outer);
        match self.tree.value(id) {
            Value::Int(_) | Value::Float(_) => self.number(id, object, outer),
            Value::String(_) => self.string(id, object, outer),
            Value::Seq(_) => self.seq(id, object, outer),
            Value::Map(_) => self.map(id, object),
            // Only where an object may be empty: `pid:` is `pid: {}`.
            Value::Null if hints::types(object).contains(&"object") => self.map(id, object),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let mut schema = schema;
        // A chain of references that is longer than this goes in circles.
        for _ in 0..16 {
            let Some(target) = schema.get("$ref").and_then(Json::as_str) else { break };
            let target = target.strip_prefix('#').unwrap_or(target);
            let Some(found) = self.root.pointer(target) else { break };
            schema = found;
        }
        schema
    }

    /// Takes the alternative that the value was probably meant for, and tells its mistakes alone.
    fn alternative(&mut self, id: NodeId, alternatives: &'a [Json], outer: &'a Json) {
        let resolved: Vec<&Json> = alternatives.iter().map(|schema| self.resolve(schema)).collect();
        let constants: Vec<&Json> = resolved.iter().copied().flat_map(hints::constants).collect();
        let all_constant =
            resolved.iter().all(|schema| !hints::constants(schema).is_empty() || hints::only_null(schema));
        if all_constant {
            return self.one_of_constants(id, &constants, outer);
        }
        let fitting: Vec<&'a Json> = alternatives
            .iter()
            .filter(|schema| {
                let schema = self.resolve(schema);
                !hints::only_null(schema) && schema.as_object().is_none_or(|o| self.fits(id, o))
            })
            .collect();
        match fitting[..] {
            [] => {
                let mut types: Vec<&str> =
                    resolved.iter().filter_map(|schema| schema.as_object()).flat_map(hints::types).collect();
                types.dedup();
                if *self.tree.value(id) != Value::Null || !types.contains(&"null") {
                    self.wrong_type(id, &types, outer);
                }
            }
            [only] => self.value(id, only, outer),
            _ => {
                let attempt = |schema: &'a Json| {
                    let Checker { tree, root, text, refused, .. } = *self;
                    let (mistakes, faulty) = (Vec::new(), HashSet::new());
                    let mut checker = Checker { tree, root, text, refused, mistakes, faulty };
                    checker.value(id, schema, outer);
                    // A required field that is there tells which one is meant, where mistakes do not.
                    let named = hints::required(self.resolve(schema)).any(|key| tree.get(id, key).is_some());
                    (checker.mistakes.is_empty(), named, checker)
                };
                let best = fitting.into_iter().map(attempt).max_by_key(|(good, named, checker)| {
                    (*good, *named, usize::MAX - checker.mistakes.len())
                });
                if let Some((_, _, checker)) = best {
                    self.mistakes.extend(checker.mistakes);
                    self.faulty.extend(checker.faulty);
                }
            }
        }
    }

    fn seq(&mut self, id: NodeId, schema: &'a Map<String, Json>, outer: &'a Json) {
        let items = self.tree.items(id).to_vec();
        let bound = |name: &str| schema.get(name).and_then(Json::as_u64);
        if let Some(min) = bound("minItems").filter(|min| (items.len() as u64) < *min) {
            let rule = match min {
                1 => "must not be empty".to_owned(),
                _ => format!("must have at least {min} items"),
            };
            self.invalid(id, &rule, outer);
        }
        if let Some(max) = bound("maxItems").filter(|max| (items.len() as u64) > *max) {
            self.invalid(id, &format!("must have at most {max} items"), outer);
        }
        if let Some(schema) = schema.get("items") {
            for item in items {
                self.value(item, schema, schema);
            }
        }
    }

    fn map(&mut self, id: NodeId, schema: &'a Map<String, Json>) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let property = |name: &str| properties.and_then(|properties| properties.get(name));
        let required: Vec<&str> = schema.get("required").map(hints::strings).unwrap_or_default();
        let choice = choice(schema);
        let entries: Vec<(String, NodeId)> =
            self.tree.entries(id).map(|(key, child)| (key.to_owned(), child)).collect();
        let known: Vec<&str> = properties
            .into_iter()
            .flatten()
            .filter(|(_, property)| !hints::forbidden(property))
            .map(|(name, _)| name.as_str())
            .collect();
        let keys: HashSet<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        let is_there = |name: &str| keys.contains(name);
        // Where two are chosen, one has to go: what is wrong inside of it goes with it.
        let chosen_first = choice
            .as_ref()
            .filter(|choice| choice.only_one)
            .and_then(|choice| entries.iter().find(|(key, _)| choice.has(key)).map(|(_, child)| *child));
        // What a misspelt field was meant for is not missing as well.
        let mut meant: Vec<&str> = Vec::new();
        let mut stray = false;
        for (key, child) in &entries {
            let needed = required.contains(&key.as_str());
            let chosen = choice.as_ref().is_some_and(|choice| choice.has(key));
            match property(key) {
                Some(property) if hints::forbidden(property) => self.forbidden(*child, property),
                Some(_) if chosen && chosen_first.is_some_and(|first| first != *child) => {}
                Some(property) if *self.tree.value(*child) == Value::Null => {
                    self.null(*child, property, needed, chosen);
                }
                Some(property) => self.value(*child, property, property),
                None => match schema.get("additionalProperties") {
                    Some(Json::Bool(false)) => {
                        let owners: Vec<&str> = known
                            .iter()
                            .copied()
                            .filter(|name| property(name).is_some_and(|property| self.owns(property, key)))
                            .collect();
                        let handlers = choice.as_ref().filter(|choice| choice.has("allOf"));
                        let handlers = handlers.map(|choice| &choice.fields[..]);
                        let suggestion = self.unknown(*child, key, &known, &is_there, handlers, &owners);
                        stray |= suggestion.is_none();
                        meant.extend(suggestion);
                        meant.extend(owners);
                    }
                    Some(property) => self.value(*child, property, property),
                    None => {}
                },
            }
        }
        for name in required.iter().filter(|name| !is_there(name) && !meant.contains(name)) {
            self.required(id, name, property(name));
        }
        // Without what it must have, it cannot be read; what is around it can.
        let usable =
            |name: &str| entries.iter().any(|(key, child)| key == name && !self.faulty.contains(child));
        if !required.iter().all(|name| usable(name)) {
            self.faulty.insert(id);
        }
        if let Some(choice) = choice {
            let present: Vec<&(String, NodeId)> = entries.iter().filter(|(key, _)| choice.has(key)).collect();
            let misspelt = (stray && choice.has("allOf")) || meant.iter().any(|name| choice.has(name));
            match &present[..] {
                [] if misspelt => drop(self.faulty.insert(id)),
                [] => self.none_chosen(id, &choice),
                [(first, _), rest @ ..] if choice.only_one => self.several_chosen(first, rest, &choice),
                _ => {}
            }
        }
    }

    /// Whether an object of this schema has the field `key`: it was put a level too high.
    fn owns(&self, schema: &'a Json, key: &str) -> bool {
        let schema = self.resolve(schema);
        let parts = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
        std::iter::once(schema).chain(parts).any(|schema| {
            let schema = self.resolve(schema);
            schema.get("properties").and_then(|properties| properties.get(key)).is_some()
        })
    }

    fn null(&mut self, id: NodeId, property: &'a Json, needed: bool, chosen: bool) {
        let schema = self.resolve(property);
        let types = schema.as_object().map(hints::types).unwrap_or_default();
        if (needed || chosen) && !types.contains(&"null") {
            if types.contains(&"object") {
                self.value(id, property, property);
            } else {
                let path = self.tree.path(id);
                let mut mistake = Mistake::new(Code::Required, path, "required, and there is nothing")
                    .at(key_of(self.tree, id))
                    .label("needs a value");
                if let Some(help) = hints::help(self.tree.key(id), property) {
                    mistake = mistake.help(help);
                }
                self.say(id, mistake);
            }
        }
    }

    fn unknown(
        &mut self,
        id: NodeId,
        key: &str,
        known: &[&'a str],
        is_there: &dyn Fn(&str) -> bool,
        choice: Option<&[&str]>,
        owners: &[&str],
    ) -> Option<&'a str> {
        if self.mistakes.len() > crate::MOST {
            self.faulty.insert(id);
            return None;
        }
        let suggestion = nearest(key, known.iter().copied().filter(|name| !is_there(name)));
        let mut mistake =
            Mistake::new(Code::UnknownField, self.tree.path(id), "unknown field").at(key_of(self.tree, id));
        // What has settings of its own was meant to be one of the handlers.
        let parts = matches!(self.tree.value(id), Value::Map(_) | Value::Null);
        let choice = choice.filter(|_| parts);
        let refused = if choice.is_some() { self.refused } else { &[] };
        if let Some(name) = suggestion {
            mistake = mistake.label("no such field here").help(or_refused(did_you_mean(name), refused));
        } else if !owners.is_empty() {
            let owners: Vec<String> = owners.iter().map(|name| format!("`{name}`")).collect();
            let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
            let help = format!("it belongs into {}; indent it below", list(&owners, "or"));
            mistake = mistake.label("no such field here").help(help);
        } else if key == ISOLATION {
            mistake = mistake.label("no such field here").help("it stands beside a custom probe, not inside");
        } else {
            let (label, mut known) = match choice {
                Some(choice) => ("no handler has this name", choice.to_vec()),
                None => ("no such field here", known.to_vec()),
            };
            known.sort_unstable();
            mistake = mistake.label(label);
            mistake = match (&known[..], refused) {
                ([], _) => mistake.help("no field is known here"),
                (known, []) if choice.is_some() => mistake.help(format!(
                    "known here: {}; `vitald plugin list` shows where custom probes are looked for",
                    list(known, "and")
                )),
                (known, _) => {
                    mistake.help(or_refused(format!("known here: {}", list(known, "and")), refused))
                }
            };
        }
        self.say(id, mistake);
        suggestion
    }

    fn required(&mut self, id: NodeId, name: &str, property: Option<&'a Json>) {
        let mut path = self.tree.path(id);
        push_key(&mut path, name);
        let label = format!("`{name}` is missing");
        let mut mistake = Mistake::new(Code::Required, path, "required field is missing")
            .at(key_of(self.tree, id))
            .label(label);
        if let Some(help) = property.and_then(|property| hints::help(Some(name), property)) {
            mistake = mistake.help(help);
        }
        self.say(id, mistake);
    }

    fn none_chosen(&mut self, id: NodeId, choice: &Choice<'_>) {
        let message = format!("required: one of {}", list(&choice.fields, "or"));
        let label = match () {
            () if choice.has("allOf") => "does not say what to check",
            () if choice.has("command") => "does not say what runs",
            () => "does not say which one is meant",
        };
        let mistake =
            Mistake::new(Code::Required, self.tree.path(id), message).at(key_of(self.tree, id)).label(label);
        self.say(id, mistake);
    }

    fn several_chosen(&mut self, first: &str, rest: &[&(String, NodeId)], choice: &Choice<'_>) {
        for (_, id) in rest {
            let message = format!("forbidden beside `{first}`: only one is allowed");
            let mut mistake = Mistake::new(Code::Forbidden, self.tree.path(*id), message)
                .at(key_of(self.tree, *id))
                .label(format!("`{first}` is there already"));
            if choice.has("allOf") {
                mistake = mistake.help("combine them: `allOf: [{…}, {…}]`, or `anyOf`");
            }
            self.say(*id, mistake);
        }
    }

    fn forbidden(&mut self, id: NodeId, property: &Json) {
        let why = property.get("description").and_then(Json::as_str).unwrap_or("it means nothing here");
        let mistake = Mistake::new(Code::Forbidden, self.tree.path(id), format!("forbidden: {why}"))
            .at(key_of(self.tree, id))
            .label("must not be here");
        self.say(id, mistake);
    }

    fn say(&mut self, id: NodeId, mistake: Mistake) {
        self.mistakes.push(mistake);
        self.faulty.insert(id);
    }
}

/// The alternatives of a schema, unless they only say which fields go together.
fn alternatives(schema: &Map<String, Json>) -> Option<&[Json]> {
    let found = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    choice(schema).is_none().then_some(found)
}

/// Fields of which some must be there.
struct Choice<'a> {
    fields: Vec<&'a str>,
    /// Not more than one of them.
    only_one: bool,
}

impl Choice<'_> {
    fn has(&self, field: &str) -> bool {
        self.fields.contains(&field)
    }
}

/// Fields of which exactly one, or at least one, must be there: a `oneOf`, or an `anyOf`, of nothing but
/// `{"required": [field]}`.
fn choice(schema: &Map<String, Json>) -> Option<Choice<'_>> {
    schema.get("properties")?;
    let only_one = schema.contains_key("oneOf");
    let alternatives = schema.get(if only_one { "oneOf" } else { "anyOf" })?.as_array()?;
    let fields = alternatives.iter().map(|alternative| match hints::strings(&alternative["required"])[..] {
        [field] if alternative.as_object()?.len() == 1 => Some(field),
        _ => None,
    });
    Some(Choice { fields: fields.collect::<Option<_>>()?, only_one })
}

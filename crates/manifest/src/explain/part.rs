//! A part of a JSON Schema, read as a person would: references followed, alternatives seen together.

use serde_json::Value as Json;

use crate::explain::Field;

/// Deeper than anybody's configuration.
const DEEPEST: usize = 24;

/// A part of a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    root: &'a Json,
    schema: &'a Json,
    /// What is said about it elsewhere: where it is the only field of an alternative, that is what the words of the
    /// alternative are about.
    words: Option<&'a str>,
}

/// The definition that a schema refers to.
pub(crate) fn referred(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

impl<'a> Part<'a> {
    /// All of a schema.
    pub(crate) fn of(root: &'a Json) -> Self {
        Self { root, schema: root, words: None }
    }

    fn at(self, schema: &'a Json) -> Self {
        Self { schema, words: None, ..self }
    }

    /// The name of the definition that this part refers to.
    pub(crate) fn definition(self) -> Option<&'a str> {
        referred(self.schema)
    }

    /// A definition of the whole schema.
    pub(crate) fn definition_of(self, name: &str) -> Option<&'a Json> {
        self.root["$defs"].get(name)
    }

    /// Why there must be nothing here, if that is so.
    pub(crate) fn forbidden(self) -> Option<&'a str> {
        let nothing = self.schema.get("not").and_then(Json::as_object).is_some_and(|not| not.is_empty());
        nothing.then(|| self.schema["description"].as_str().unwrap_or_default())
    }

    /// With what it refers to in place of the reference, its own words first.
    pub(crate) fn merged(self) -> Json {
        let mut merged = self.schema.clone();
        if let (Some(own), Some(name)) = (merged.as_object_mut(), referred(self.schema)) {
            own.shift_remove("$ref");
            for (key, value) in self.definition_of(name).and_then(Json::as_object).into_iter().flatten() {
                own.entry(key).or_insert_with(|| value.clone());
            }
        }
        merged
    }

    /// What holds in any case: the part itself and what it refers to.
    fn always(self) -> Vec<&'a Json> {
        let mut layers = vec![self.schema];
        // One refers to another here at most twice; a schema that goes in circles ends, too.
        while let Some(next) = layers.last().and_then(|last| self.definition_of(referred(last)?)) {
            if layers.len() > 4 {
                break;
            }
            layers.push(next);
        }
        layers
    }

    /// The same, and what may hold beside it.
    fn layers(self) -> Vec<&'a Json> {
        let mut layers = self.always();
        let mut at = 0;
        while at < layers.len() && layers.len() < 200 {
            for key in ["allOf", "anyOf", "oneOf"] {
                layers.extend(layers[at].get(key).and_then(Json::as_array).into_iter().flatten());
            }
            at += 1;
        }
        layers
    }

    /// Where this is a list, what is in it.
    fn items(self) -> Option<Self> {
        self.layers().into_iter().find_map(|layer| layer.get("items")).map(|items| self.at(items))
    }

    /// What a map has under any name.
    fn values(self) -> Option<Self> {
        let of = |layer: &'a Json| layer.get("additionalProperties").filter(|values| values.is_object());
        self.layers().into_iter().find_map(of).map(|values| self.at(values))
    }

    /// What it is, or its items are.
    fn innermost(self) -> Self {
        let mut part = self;
        for _ in 0..DEEPEST {
            let Some(items) = part.items() else { break };
            part = items;
        }
        part
    }

    /// The fields of it, or of its items, each with whether it must be there.
    pub(crate) fn fields(self) -> Vec<(&'a str, Self, bool)> {
        let part = self.innermost();
        let always = part.always();
        let required: Vec<&str> = always.iter().flat_map(|layer| names(&layer["required"])).collect();
        let mut fields: Vec<(&str, Self, bool)> = Vec::new();
        for layer in part.layers() {
            let Some(properties) = layer.get("properties").and_then(Json::as_object) else { continue };
            let alone = properties.len() == 1 && !always.contains(&layer);
            let words = layer.get("description").and_then(Json::as_str).filter(|_| alone);
            for (name, field) in properties {
                if !fields.iter().any(|(other, _, _)| other == name) {
                    let field = Self { words, ..part.at(field) };
                    fields.push((name, field, required.contains(&name.as_str())));
                }
            }
        }
        fields.retain(|(_, field, _)| field.forbidden().is_none());
        fields
    }

    /// A field of it, or of its items, even one that must not be there.
    pub(crate) fn field(self, name: &str) -> Option<(Self, bool)> {
        let found = self.fields().into_iter().find(|(other, _, _)| *other == name);
        let part = self.innermost();
        found.map(|(_, field, required)| (field, required)).or_else(|| {
            let forbidden = part.layers().into_iter().find_map(|layer| layer.get("properties")?.get(name));
            forbidden.map(|field| part.at(field)).or_else(|| part.values()).map(|field| (field, false))
        })
    }

    /// `string`, `[]Object`, `map[string]string`, `integer or string` …
    pub(crate) fn kind(self) -> String {
        self.kind_within(0)
    }

    fn kind_within(self, depth: usize) -> String {
        let own: &str = match self.definition() {
            // What comes again and again has a name.
            Some(name) if !name.contains('.') => name,
            _ => "Object",
        };
        let mut kinds: Vec<String> = Vec::new();
        for layer in self.layers() {
            let kind = |name: &str| match name {
                "array" => format!("[]{}", self.items().map_or("any".into(), |items| items.below(depth))),
                "object" if self.fields().is_empty() && self.values().is_some() => {
                    format!("map[string]{}", self.values().map_or("any".into(), |values| values.below(depth)))
                }
                "object" => own.to_owned(),
                name => name.to_owned(),
            };
            let found = match layer.get("type") {
                Some(Json::String(name)) => vec![kind(name)],
                Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).map(kind).collect(),
                _ => given(layer).map(type_of).map(str::to_owned).collect(),
            };
            for kind in found {
                if kind != "null" && !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
        }
        if kinds.is_empty() { "any".to_owned() } else { kinds.join(" or ") }
    }

    fn below(self, depth: usize) -> String {
        if depth < DEEPEST { self.kind_within(depth + 1) } else { "any".to_owned() }
    }

    /// What is said about it where it is one of many: its own words, or else those of what it refers to.
    fn summary(self) -> String {
        let words = |layer: &&'a Json| {
            layer.get("description").and_then(Json::as_str).filter(|words| !words.is_empty())
        };
        self.always().iter().find_map(words).or(self.words).unwrap_or_default().to_owned()
    }

    /// All that is said about it: its own words, those of what it refers to, those about its items, and which of
    /// its fields exclude each other.
    fn description(self) -> String {
        let mut said: Vec<String> = self.words.map(str::to_owned).into_iter().collect();
        for layer in self.always().into_iter().chain(self.innermost().always()) {
            let words = layer.get("description").and_then(Json::as_str).unwrap_or_default();
            if !words.is_empty() && !said.iter().any(|other| other == words) {
                said.push(words.to_owned());
            }
        }
        for (key, how) in [("oneOf", "Exactly"), ("anyOf", "At least")] {
            for layer in self.innermost().always() {
                let choice =
                    layer.get(key).and_then(Json::as_array).map(|all| chosen(all)).unwrap_or_default();
                if choice.len() > 1 {
                    said.push(format!("{how} one of these must be there: {}.", choice.join(", ")));
                }
            }
        }
        said.join("\n\n")
    }

    /// What it, or its items, may be, where that is a short list.
    fn choices(self) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> = Vec::new();
        for layer in self.innermost().layers() {
            let meaning = match layer.get("const") {
                Some(_) => layer.get("description").and_then(Json::as_str).unwrap_or_default(),
                None => "",
            };
            for value in given(layer).filter(|value| !value.is_null()).map(shown) {
                if !values.iter().any(|(other, _)| *other == value) {
                    values.push((value, meaning.to_owned()));
                }
            }
        }
        values
    }

    fn default(self) -> Option<String> {
        let value = self.always().into_iter().find_map(|layer| layer.get("default"))?;
        let says_nothing = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        (!says_nothing).then(|| shown(value))
    }

    fn range(self) -> Option<String> {
        let number = |key: &str| self.layers().into_iter().find_map(|layer| layer.get(key)?.as_f64());
        let (least, above) = (number("minimum"), number("exclusiveMinimum"));
        let (most, below) = (number("maximum"), number("exclusiveMaximum"));
        let least_counts = above.is_none_or(|above| least.is_some_and(|least| least > above));
        let most_counts = below.is_none_or(|below| most.is_some_and(|most| most < below));
        let from =
            if least_counts { least.map(|n| ("at least", n)) } else { above.map(|n| ("more than", n)) };
        let to = if most_counts { most.map(|n| ("at most", n)) } else { below.map(|n| ("less than", n)) };
        match (from, to) {
            (None, None) => None,
            (Some(("at least", from)), Some(("at most", to))) if from == to => {
                Some(format!("exactly {}", digits(from)))
            }
            (Some(("at least", from)), Some(("at most", to))) => {
                Some(format!("{} to {}", digits(from), digits(to)))
            }
            (from, to) => {
                let ends = [from, to].into_iter().flatten();
                Some(ends.map(|(word, n)| format!("{word} {}", digits(n))).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Field {
    /// A field and all below it, but for the parts of a combination of handlers, which may be combinations again.
    pub(crate) fn of(part: Part<'_>, name: &str, required: bool) -> Self {
        Self::within(part, name, required, 0)
    }

    fn within(part: Part<'_>, name: &str, required: bool, depth: usize) -> Self {
        let again =
            |field: &Part<'_>| depth >= DEEPEST || field.definition().is_some_and(|name| !name.contains('.'));
        let fields = part.fields().into_iter().map(|(name, field, required)| match again(&field) {
            true => Self { fields: Vec::new(), ..Self::alone(field, name, required) },
            false => Self::within(field, name, required, depth + 1),
        });
        Self { fields: fields.collect(), ..Self::alone(part, name, required) }
    }

    fn alone(part: Part<'_>, name: &str, required: bool) -> Self {
        Self {
            name: name.to_owned(),
            kind: part.kind(),
            required,
            summary: part.summary(),
            description: part.description(),
            values: part.choices(),
            default: part.default(),
            range: part.range(),
            fields: Vec::new(),
        }
    }
}

/// The values that a layer names.
fn given(layer: &Json) -> impl Iterator<Item = &Json> {
    layer.get("enum").and_then(Json::as_array).into_iter().flatten().chain(layer.get("const"))
}

/// The fields that alternatives differ by, if that is all that they say.
fn chosen(alternatives: &[Json]) -> Vec<&str> {
    fn alone(alternative: &Json) -> Option<&Json> {
        alternative.as_object().filter(|alternative| alternative.len() == 1)?.get("required")
    }
    alternatives.iter().map(alone).collect::<Option<Vec<_>>>().into_iter().flatten().flat_map(names).collect()
}

fn names(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "[]any",
        Json::Object(_) => "Object",
    }
}

/// A value as it stands in a manifest.
fn shown(value: &Json) -> String {
    match value {
        Json::String(text) if !text.is_empty() => text.clone(),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), digits),
        other => other.to_string(),
    }
}

/// `10`, `0.01`, `1e9`.
fn digits(number: f64) -> String {
    let short = format!("{number:e}");
    let long = number.to_string();
    if long.ends_with("000000") { short } else { long }
}

//! Types, ranges and names of single values.

use serde_json::{Map, Value as Json};

use super::{Checker, hints, place_of};
use crate::mistake::{Code, Mistake};
use crate::nearest::{did_you_mean, list, nearest};
use crate::scalar;
use crate::tree::{NodeId, Value, quote};

/// A limit that stands for "not absurd" is not worth telling to who is below the range.
const ABSURD: f64 = 1e9;

impl<'a> Checker<'a> {
    /// Whether a value has one of the schema's types; says so where it has not.
    pub(super) fn type_matches(
        &mut self,
        id: NodeId,
        schema: &'a Map<String, Json>,
        outer: &'a Json,
    ) -> bool {
        let fits = self.fits(id, schema);
        if !fits {
            self.wrong_type(id, &hints::types(schema), outer);
        }
        fits
    }

    pub(super) fn fits(&self, id: NodeId, schema: &Map<String, Json>) -> bool {
        let types = hints::types(schema);
        let has = |name: &str| types.contains(&name);
        types.is_empty()
            || match self.tree.value(id) {
                // Below a key that is there, nothing means no settings.
                Value::Null => has("null") || (has("object") && self.tree.key(id).is_some()),
                Value::Bool(_) => has("boolean"),
                Value::Int(_) => has("integer") || has("number"),
                Value::Float(_) => has("number"),
                Value::String(_) => has("string"),
                Value::Seq(_) => has("array"),
                Value::Map(_) => has("object"),
            }
    }

    pub(super) fn wrong_type(&mut self, id: NodeId, types: &[&str], outer: &'a Json) {
        let value = self.tree.value(id);
        let names: Vec<&str> = types.iter().filter_map(|name| type_name(name)).collect();
        let mut rule = format!("expected {}", list(&names, "or"));
        if types.contains(&"boolean") {
            rule += "; write true or false";
        }
        let message = match self.show(id) {
            Some(shown) if *value != Value::Null => format!("invalid value {shown}: {rule}"),
            _ if *value == Value::Null => format!("invalid value: {rule}, found nothing"),
            _ => format!("invalid value: {rule}, found {}", value.kind()),
        };
        let mut mistake = Mistake::new(Code::Invalid, self.tree.path(id), message)
            .at(place_of(self.tree, self.text, id))
            .label(rule);
        if let Some(help) = self.mend(id, types, outer).or_else(|| hints::help(self.tree.key(id), outer)) {
            mistake = mistake.help(help);
        }
        self.say(id, mistake);
    }

    /// What was probably meant by a value of the wrong type.
    fn mend(&self, id: NodeId, types: &[&str], outer: &'a Json) -> Option<String> {
        let source = self.text.get(self.tree.node(id).span.clone()).unwrap_or_default();
        match self.tree.value(id) {
            // Where a number would do, too, what is neither is no string without quotes.
            Value::Bool(_) | Value::Int(_) | Value::Float(_)
                if types.contains(&"string") && !types.contains(&"number") =>
            {
                Some(format!("quote it: {}", quote(if source.is_empty() { return None } else { source })))
            }
            Value::String(text) => match scalar::resolve(text) {
                Value::Int(_) if types.contains(&"integer") || types.contains(&"number") => {
                    Some(format!("remove the quotes: {text}"))
                }
                Value::Float(_) if types.contains(&"number") => Some(format!("remove the quotes: {text}")),
                Value::Bool(_) if types.contains(&"boolean") => Some(format!("remove the quotes: {text}")),
                _ => self.sample(id, types, outer),
            },
            _ => self.sample(id, types, outer),
        }
    }

    pub(super) fn enumerated(&mut self, id: NodeId, schema: &'a Map<String, Json>, outer: &'a Json) {
        let constants: Vec<&Json> = match (schema.get("const"), schema.get("enum")) {
            (Some(value), _) => vec![value],
            (None, Some(Json::Array(values))) => values.iter().collect(),
            _ => return,
        };
        self.one_of_constants(id, &constants, outer);
    }

    pub(super) fn one_of_constants(&mut self, id: NodeId, constants: &[&Json], _outer: &'a Json) {
        let json = self.tree.to_json(id);
        if json.is_null() || constants.contains(&&json) {
            return;
        }
        let names: Vec<String> = constants
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let value = self.tree.value(id);
        let shown = self.show(id).unwrap_or_else(|| value.kind().to_owned());
        let rule = format!("expected {}", list(&names, "or"));
        let suggestion = self.tree.text(id).and_then(|text| nearest(text, names.iter().copied()));
        let mut mistake =
            Mistake::new(Code::Unsupported, self.tree.path(id), format!("unsupported value {shown}: {rule}"))
                .at(place_of(self.tree, self.text, id))
                .label(rule);
        if let Some(name) = suggestion {
            mistake = mistake.help(did_you_mean(name));
        }
        self.say(id, mistake);
    }

    pub(super) fn number(&mut self, id: NodeId, schema: &'a Map<String, Json>, outer: &'a Json) {
        let value = match self.tree.value(id) {
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            _ => return,
        };
        if !value.is_finite() {
            return self.invalid(id, "must be a finite number", outer);
        }
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let (format_min, format_max) = format_range(schema.get("format").and_then(Json::as_str));
        let above = bound("exclusiveMinimum");
        let min = bound("minimum").into_iter().chain(format_min).reduce(f64::max);
        let max = bound("maximum").into_iter().chain(format_max).reduce(f64::min);
        let below = bound("exclusiveMaximum");
        let told_max = max.filter(|max| *max < ABSURD);
        let rule = if above.is_some_and(|above| value <= above) {
            format!("must be greater than {}", above.unwrap_or_default())
        } else if min.is_some_and(|min| value < min) || max.is_some_and(|max| value > max) {
            match (min, told_max) {
                (Some(min), Some(max)) if min == max => format!("must be exactly {min}"),
                (Some(min), Some(max)) => format!("must be from {min} to {max}"),
                (Some(min), None) if value < min => format!("must be at least {min}"),
                _ => format!("must be at most {}", max.unwrap_or_default()),
            }
        } else if below.is_some_and(|below| value >= below) {
            format!("must be less than {}", below.unwrap_or_default())
        } else {
            return;
        };
        self.invalid(id, &rule, outer);
    }

    pub(super) fn string(&mut self, id: NodeId, schema: &'a Map<String, Json>, outer: &'a Json) {
        let length = self.tree.text(id).map_or(0, |text| text.chars().count()) as u64;
        let bound = |name: &str| schema.get(name).and_then(Json::as_u64);
        if let Some(min) = bound("minLength").filter(|min| length < *min) {
            let rule = match min {
                1 => "must not be empty".to_owned(),
                _ => format!("must have at least {min} characters"),
            };
            self.invalid(id, &rule, outer);
        } else if let Some(max) = bound("maxLength").filter(|max| length > *max) {
            self.invalid(id, &format!("must have at most {max} characters"), outer);
        }
    }

    /// A value as it was written, where that is short: `1.10` is not `1.1` to its author.
    fn show(&self, id: NodeId) -> Option<String> {
        let node = self.tree.node(id);
        match node.value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                let source = self.text.get(node.span.clone()).filter(|text| (1..40).contains(&text.len()));
                source.map(str::to_owned).or_else(|| node.value.show())
            }
            _ => node.value.show(),
        }
    }

    /// `invalid value 0: must be greater than 0`.
    pub(super) fn invalid(&mut self, id: NodeId, rule: &str, outer: &'a Json) {
        let message = match self.show(id) {
            Some(shown) => format!("invalid value {shown}: {rule}"),
            None => format!("invalid value: {rule}"),
        };
        let mut mistake = Mistake::new(Code::Invalid, self.tree.path(id), message)
            .at(place_of(self.tree, self.text, id))
            .label(rule);
        if let Some(help) = hints::help(self.tree.key(id), outer) {
            mistake = mistake.help(help);
        }
        self.say(id, mistake);
    }
}

fn type_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "string" => "a string",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "a boolean",
        "array" => "a list",
        "object" => "a mapping",
        _ => return None,
    })
}

/// The ranges of Rust's integers, as schemars names them.
fn format_range(format: Option<&str>) -> (Option<f64>, Option<f64>) {
    match format {
        Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
        Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
        Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
        Some("uint64" | "uint") => (Some(0.0), Some(u64::MAX as f64)),
        Some("int8") => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
        Some("int16") => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
        Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
        Some("int64" | "int") => (Some(i64::MIN as f64), Some(i64::MAX as f64)),
        _ => (None, None),
    }
}

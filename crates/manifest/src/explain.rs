//! What a field of the manifest means: `vitald explain`, as kubectl has it.
//!
//! It is all taken from the schema, so that the docs of a custom probe's fields are told like those of the
//! fields here.

mod part;
mod text;

use serde_json::{Map, Value as Json, json};
use thiserror::Error;
use vitald_core::registry::{Origin, Registry};

use crate::explain::part::Part;
use crate::nearest::{list, nearest};
use crate::schema;

/// A field of the manifest, or the whole document.
#[derive(Debug, Clone)]
pub struct Explanation {
    field: Field,
    is_document: bool,
    library: Option<Origin>,
    schema: Json,
}

/// A field as people are told about it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: String,
    /// `string`, `[]Object`, `integer or string` …
    kind: String,
    required: bool,
    /// Paragraphs, not wrapped: where it is one of many, and on its own page.
    summary: String,
    description: String,
    /// What it may be, each with what that means, if that is said.
    values: Vec<(String, String)>,
    default: Option<String>,
    range: Option<String>,
    fields: Vec<Field>,
}

/// Why a path leads nowhere, and where it may have been meant to lead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NoSuchField(String);

/// Explains a field by its path, such as `spec.livenessProbe.grpc`: an empty one is the document. It may begin with
/// `component.`, and have indices as diagnostics do: `spec.ports[0].name`.
///
/// # Errors
/// There is no such field.
pub fn explain(registry: &Registry, path: &str) -> Result<Explanation, NoSuchField> {
    let document = schema::document(registry);
    let steps = steps(path);
    let (part, required) = find(&document, &steps)?;
    let published = schema::schema(registry);
    let schema = match find(&published, &steps) {
        Ok(_) if steps.is_empty() => published.clone(),
        Ok((published, _)) => self_contained(published),
        // Editors are offered no field that means nothing without custom probes.
        Err(_) => self_contained(part),
    };
    let name = steps.last().copied().unwrap_or(schema::KIND);
    // The key of a handler, by whatever way one came to it.
    let library = part.definition().and_then(|name| registry.origin(name.strip_prefix(schema::HANDLER)?));
    Ok(Explanation {
        field: Field::of(part, name, required),
        is_document: steps.is_empty(),
        library: library.filter(|origin| *origin != Origin::BuiltIn),
        schema,
    })
}

impl Explanation {
    /// The field's part of [`schema()`](crate::schema()), as a schema of its own.
    pub fn schema(&self) -> &Json {
        &self.schema
    }

    /// For people, no line longer than `width` if it can be helped.
    pub fn text(&self, width: usize) -> String {
        text::page(self, width)
    }

    /// For people: names and types of all that is below.
    pub fn tree(&self, width: usize) -> String {
        text::tree(self, width)
    }
}

/// The names in a path, without what only says which item of a list is meant.
fn steps(path: &str) -> Vec<&str> {
    let name = |step: &'_ str| step.find('[').unwrap_or(step.len());
    let mut steps: Vec<&str> =
        path.split('.').map(|step| &step[..name(step)]).filter(|step| !step.is_empty()).collect();
    let first = steps.first().map(|step| step.to_lowercase()).unwrap_or_default();
    if first == "component" || first == "components" {
        steps.remove(0);
    }
    steps
}

/// The part of a schema that a path leads to, and whether it must be there.
fn find<'a>(root: &'a Json, steps: &[&str]) -> Result<(Part<'a>, bool), NoSuchField> {
    let (mut part, mut required) = (Part::of(root), false);
    for (depth, step) in steps.iter().enumerate() {
        let above = match steps[..depth].join(".") {
            path if path.is_empty() => "a manifest".to_owned(),
            path => path,
        };
        let Some((next, is_required)) = part.field(step) else {
            return Err(NoSuchField(no_such_field(root, part, &above, step)));
        };
        if let Some(why) = next.forbidden() {
            return Err(NoSuchField(format!("{above} must not have `{step}`: {why}")));
        }
        (part, required) = (next, is_required);
    }
    Ok((part, required))
}

fn no_such_field(root: &Json, part: Part<'_>, above: &str, step: &str) -> String {
    let fields = part.fields();
    let names: Vec<&str> = fields.iter().map(|(name, _, _)| *name).collect();
    let elsewhere = paths_of(&Field::of(Part::of(root), schema::KIND, false), step);
    let meant: Vec<String> = match nearest(step, names.iter().copied()) {
        Some(name) => vec![format!("`{name}`")],
        None => elsewhere.iter().take(3).map(|path| format!("`{path}`")).collect(),
    };
    let meant: Vec<&str> = meant.iter().map(String::as_str).collect();
    let hint =
        if meant.is_empty() { String::new() } else { format!("; did you mean {}?", list(&meant, "or")) };
    if names.is_empty() {
        return format!("{above} is of type {} and has no fields{hint}", part.kind());
    }
    let end = if hint.is_empty() { "; there are" } else { " There are" };
    format!("{above} has no field `{step}`{hint}{end}: {}", names.join(", "))
}

/// Where a field of this name is, the nearest to the top first.
fn paths_of(field: &Field, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut level: Vec<(String, &Field)> = vec![(String::new(), field)];
    while !level.is_empty() {
        let mut below = Vec::new();
        for (path, field) in level {
            for field in &field.fields {
                let path =
                    if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
                if field.name.eq_ignore_ascii_case(name) {
                    found.push(path.clone());
                }
                below.push((path, field));
            }
        }
        level = below;
    }
    found
}

/// A part with the definitions that it refers to.
fn self_contained(part: Part<'_>) -> Json {
    let mut schema = part.merged();
    let mut definitions = Map::new();
    while let Some(name) = missing(&schema, &definitions) {
        let definition = part.definition_of(&name).cloned().unwrap_or(Json::Bool(true));
        definitions.insert(name, definition);
    }
    if let Some(object) = schema.as_object_mut() {
        object.shift_insert(0, "$schema".to_owned(), json!(schema::DRAFT));
        if !definitions.is_empty() {
            object.insert("$defs".to_owned(), Json::Object(definitions));
        }
    }
    schema
}

/// A definition that is referred to, and not among these.
fn missing(schema: &Json, definitions: &Map<String, Json>) -> Option<String> {
    fn referred<'a>(schema: &'a Json, names: &mut Vec<&'a str>) {
        match schema {
            Json::Object(object) => {
                names.extend(part::referred(schema));
                object.values().for_each(|value| referred(value, names));
            }
            Json::Array(items) => items.iter().for_each(|item| referred(item, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    referred(schema, &mut names);
    definitions.values().for_each(|definition| referred(definition, &mut names));
    names.into_iter().find(|name| !definitions.contains_key(*name)).map(str::to_owned)
}

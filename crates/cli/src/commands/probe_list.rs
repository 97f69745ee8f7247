//! `vitald probe list`.

use comfy_table::ColumnConstraint;
use serde::Serialize;
use serde_json::Value;
use vitald_core::registry::Registry;

use crate::cli::{Format, Listing};
use crate::exit::{Exit, Outcome};
use crate::format::plain;
use crate::places::Places;
use crate::{output, plugins, table};

/// A kind of probe, as it declares itself.
#[derive(Debug, Serialize)]
pub(super) struct Kind {
    key: String,
    /// `built-in`, or the file of a library.
    from: String,
    summary: String,
    fields: Vec<Field>,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    required: bool,
    description: String,
}

/// Shows what probes there are.
pub(crate) async fn run(args: &Listing, places: &Places) -> Outcome {
    let kinds = kinds(&plugins::of_folder(places).await?.registry);
    match args.output {
        Format::Json => output::json(&kinds)?,
        Format::Yaml => output::yaml(&kinds)?,
        Format::Table => {
            let mut table = table::new(&["KEY", "FROM", "CHECKS", "FIELDS"], output::colour());
            for kind in &kinds {
                let fields: Vec<_> = kind.fields.iter().map(|field| field.name.as_str()).collect();
                table.add_row([kind.key.as_str(), &kind.from, &kind.summary, &fields.join(", ")]);
            }
            table::fit(&mut table, &[2, 3], output::width());
            output::line(table::text(&table))?;
        }
        Format::Wide => output::line(fields_table(&kinds, true, output::colour()))?,
    }
    Ok(Exit::Done)
}

fn kinds(registry: &Registry) -> Vec<Kind> {
    let kind = |key: &str| {
        let from = registry.origin(key)?.to_string();
        Some(Kind::of(key, &from, registry.schema(key)?.as_value()))
    };
    registry.keys().filter_map(kind).collect()
}

impl Kind {
    /// What a schema tells of it.
    pub(super) fn of(key: &str, from: &str, schema: &Value) -> Self {
        let required = schema["required"].as_array();
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
        let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| Field {
            name: plain(name),
            required: is_required(name),
            description: first_line(&field["description"]),
        });
        Self {
            key: key.to_owned(),
            from: plain(from),
            summary: first_line(&schema["description"]),
            fields: fields.collect(),
        }
    }
}

/// A row a field, those of a kind below it; with `from`, where each kind is from.
pub(super) fn fields_table(kinds: &[Kind], from: bool, colour: bool) -> String {
    let mut table = table::new(&["KEY", "FROM", "FIELD", "REQUIRED", "MEANING"], colour);
    for kind in kinds {
        table.add_row([kind.key.as_str(), &kind.from, "", "", &kind.summary]);
        for field in &kind.fields {
            let required = if field.required { "yes" } else { "no" };
            table.add_row(["", "", &field.name, required, &field.description]);
        }
    }
    table::fit(&mut table, &[4], output::width());
    if let Some(column) = table.column_mut(1).filter(|_| !from) {
        column.set_constraint(ColumnConstraint::Hidden);
    }
    table::text(&table)
}

/// The first paragraph, as one line.
fn first_line(description: &Value) -> String {
    let text = description.as_str().unwrap_or_default();
    plain(text.split("\n\n").next().unwrap_or_default()).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;

    #[test]
    fn every_probe_says_what_it_is_for() {
        for kind in kinds(&builtin::registry()) {
            assert!(!kind.summary.is_empty(), "{}", kind.key);
            for field in kind.fields {
                assert!(!field.description.is_empty(), "{}.{}", kind.key, field.name);
            }
        }
    }

    #[test]
    fn descriptions_are_one_line() {
        assert_eq!(first_line(&Value::from("One\nline.\n\nMore.")), "One line.");
    }
}

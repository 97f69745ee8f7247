//! `vitald probe list`.

use serde::Serialize;
use serde_json::Value;
use vitald_core::registry::Registry;

use crate::cli::{Format, Listing};
use crate::exit::{Exit, Outcome};
use crate::{builtin, output, table};

/// A kind of probe, as it declares itself.
#[derive(Debug, Serialize)]
struct Kind {
    key: String,
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
pub(crate) fn run(args: &Listing) -> Outcome {
    let kinds = kinds(&builtin::registry());
    match args.output {
        Format::Json => output::json(&kinds)?,
        Format::Yaml => output::yaml(&kinds)?,
        Format::Table => {
            let mut table = table::new(&["KEY", "CHECKS", "FIELDS"], output::colour());
            for kind in &kinds {
                let fields: Vec<_> = kind.fields.iter().map(|field| field.name.as_str()).collect();
                table.add_row([kind.key.as_str(), &kind.summary, &fields.join(", ")]);
            }
            output::line(table::text(&table))?;
        }
        Format::Wide => {
            let mut table = table::new(&["KEY", "FIELD", "REQUIRED", "MEANING"], output::colour());
            for kind in &kinds {
                table.add_row([kind.key.as_str(), "", "", &kind.summary]);
                for field in &kind.fields {
                    let required = if field.required { "yes" } else { "no" };
                    table.add_row(["", &field.name, required, &field.description]);
                }
            }
            output::line(table::text(&table))?;
        }
    }
    Ok(Exit::Done)
}

fn kinds(registry: &Registry) -> Vec<Kind> {
    let kind = |key: &str| {
        let schema = registry.schema(key)?.as_value();
        let required = schema["required"].as_array();
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
        let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| Field {
            name: name.clone(),
            required: is_required(name),
            description: first_line(&field["description"]),
        });
        Some(Kind {
            key: key.to_owned(),
            summary: first_line(&schema["description"]),
            fields: fields.collect(),
        })
    };
    registry.keys().filter_map(kind).collect()
}

/// The first paragraph, as one line.
fn first_line(description: &Value) -> String {
    let text = description.as_str().unwrap_or_default();
    text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

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

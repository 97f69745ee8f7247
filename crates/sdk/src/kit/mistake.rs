//! How a mistake in a configuration reads in the manifest.

use serde_json::Value;
use vitald_core::probe::{SpecError, SpecErrorKind};

/// `spec.livenessProbe.KEY.FIELD: invalid value …: …`.
pub(super) fn headline(key: &str, config: &Value, mistake: &SpecError) -> String {
    let mut path = format!("spec.livenessProbe.{key}");
    if !mistake.path.is_empty() {
        let separator = if mistake.path.starts_with('[') { "" } else { "." };
        path = format!("{path}{separator}{}", mistake.path);
    }
    let rule = &mistake.message;
    match mistake.kind {
        SpecErrorKind::Invalid => match find(config, &mistake.path) {
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => {
                format!("{path}: invalid: {rule}")
            }
            Some(value) => format!("{path}: invalid value {value}: {rule}"),
        },
        SpecErrorKind::NotFound => format!("{path}: not found: {rule}"),
        SpecErrorKind::Required => format!("{path}: required: {rule}"),
        SpecErrorKind::Forbidden => format!("{path}: forbidden: {rule}"),
    }
}

/// What is at `httpHeaders[0].name`.
fn find<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
    steps.filter(|step| !step.is_empty()).try_fold(config, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

//! A configuration that holds others of its kind, so that its schema refers to itself.

/// Nested.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nested {
    /// What is inside.
    pub inside: Option<Box<Nested>>,
}

odd::well!(WellProbe, "nested", Nested);
vitald_sdk::export_probe!(WellProbe);

//! A later `steady`, whose schema has rules that its code does not have.

use std::path::PathBuf;

/// Always healthy.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct ChoosySpec {
    /// File of traces, with a short name.
    #[schemars(length(max = 4))]
    pub trace: PathBuf,
    /// Since when.
    #[schemars(required)]
    pub since: Option<String>,
}

odd::well!(SteadyProbe, "steady", ChoosySpec);
vitald_sdk::export_probe!(SteadyProbe);

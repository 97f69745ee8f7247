//! A later `steady`, which wants to be told more than the one before.

/// Always healthy.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrictSpec {
    /// How strict to be.
    pub strictness: u32,
}

odd::well!(SteadyProbe, "steady", StrictSpec);
vitald_sdk::export_probe!(SteadyProbe);

//! `exists`: healthy while a file is there. What `cargo xtask bench plugins` asks in every way that there is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};

/// Healthy while a file is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExistsSpec {
    /// The file. Relative to the component's directory.
    pub path: PathBuf,
}

/// Looks for the file.
pub struct ExistsProbe(PathBuf);

impl ProbeKind for ExistsProbe {
    const KEY: &'static str = "exists";
    type Spec = ExistsSpec;

    fn build(spec: ExistsSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        Ok(Self(component.working_dir.join(spec.path)))
    }
}

#[async_trait]
impl HealthProbe for ExistsProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        match self.0.try_exists() {
            Ok(true) => ProbeResult::Success,
            Ok(false) => ProbeResult::failure(format!("{} does not exist", self.0.display())),
            Err(err) => ProbeResult::unknown(format!("{}: {err}", self.0.display())),
        }
    }
}

vitald_sdk::export_probe!(ExistsProbe);

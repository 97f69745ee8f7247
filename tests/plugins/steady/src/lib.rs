//! `steady`: well at all times, and says when it was asked.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};

/// Always healthy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SteadySpec {
    /// File that gets a line for every check: milliseconds since 1970. Relative to the component's directory.
    pub trace: PathBuf,
}

/// Writes its line.
pub struct SteadyProbe(PathBuf);

impl ProbeKind for SteadyProbe {
    const KEY: &'static str = "steady";
    type Spec = SteadySpec;

    fn build(spec: SteadySpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if spec.trace.as_os_str().is_empty() {
            return Err(SpecError::new("must be the path of a file").at("trace"));
        }
        Ok(Self(component.working_dir.join(spec.trace)))
    }
}

#[async_trait]
impl HealthProbe for SteadyProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let file = File::options().create(true).append(true).open(&self.0);
        match file.and_then(|mut file| writeln!(file, "{}", now.as_millis())) {
            Ok(()) => ProbeResult::Success,
            Err(err) => ProbeResult::unknown(format!("{}: {err}", self.0.display())),
        }
    }
}

vitald_sdk::export_probe!(SteadyProbe);

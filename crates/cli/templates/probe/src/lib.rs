//! `heartbeatFile`: healthy while a file is there and was written lately.
//!
//! It works as it stands. Put what you want to know in its place.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError,
};

/// Healthy while a file is there and was written lately.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeartbeatFileSpec {
    /// The file, relative to the component's working directory.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
    /// Seconds since it was last written, after which it is too old; more than 0. Defaults to 60.
    #[serde(default = "a_minute")]
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0))]
    pub max_age_seconds: f64,
}

fn a_minute() -> f64 {
    60.0
}

/// Looks at the file of a [`HeartbeatFileSpec`].
pub struct HeartbeatFileProbe {
    path: PathBuf,
    max_age: Duration,
}

impl ProbeKind for HeartbeatFileProbe {
    const KEY: &'static str = "heartbeatFile";
    type Spec = HeartbeatFileSpec;

    /// Called for every run of a component, and to check manifests: it looks at nothing yet.
    fn build(spec: HeartbeatFileSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let max_age = Duration::try_from_secs_f64(spec.max_age_seconds)
            .ok()
            .filter(|age| !age.is_zero())
            .ok_or_else(|| SpecError::new("must be greater than 0").at("maxAgeSeconds"))?;
        Ok(Self {
            path: component.working_dir.join(spec.path),
            max_age,
        })
    }
}

#[async_trait]
impl HealthProbe for HeartbeatFileProbe {
    /// One attempt. When, how often and for how long to ask is up to the manifest.
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        let path = self.path.display();
        let written = match tokio::fs::metadata(&self.path)
            .await
            .and_then(|file| file.modified())
        {
            Ok(time) => time,
            Err(err) if err.kind() == ErrorKind::NotFound => {
                return ProbeResult::failure(format!("{path} is not there"));
            }
            // Nothing is known then, which never leads to a restart.
            Err(err) => return ProbeResult::unknown(format!("cannot look at {path}: {err}")),
        };
        // In the future after a change of the clock: that is not old.
        let age = SystemTime::now()
            .duration_since(written)
            .unwrap_or_default();
        if age <= self.max_age {
            return ProbeResult::Success;
        }
        ProbeResult::failure(format!("{path} was written {:.1} s ago", age.as_secs_f64()))
    }
}

vitald_sdk::export_probe!(HeartbeatFileProbe);

#[cfg(test)]
mod tests {
    use vitald_sdk::kit::{self, Kit, Value, json};

    use super::*;

    async fn check(config: Value) -> ProbeResult {
        let kit = Kit::new().working_dir(env!("CARGO_MANIFEST_DIR"));
        kit.check::<HeartbeatFileProbe>(config).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_that_was_written_lately_is_healthy() {
        let result = check(json!({ "path": "Cargo.toml", "maxAgeSeconds": 1e9 })).await;
        assert_eq!(result, ProbeResult::Success);
    }

    #[tokio::test]
    async fn one_that_is_old_or_missing_is_not() {
        let old = check(json!({ "path": "Cargo.toml", "maxAgeSeconds": 0.001 })).await;
        assert!(
            matches!(&old, ProbeResult::Failure(why) if why.contains(" s ago")),
            "{old:?}"
        );
        let missing = check(json!({ "path": "nothing" })).await;
        assert!(
            missing.message().ends_with("nothing is not there"),
            "{missing:?}"
        );
    }

    #[test]
    fn a_mistake_is_told_at_its_field() {
        let mistake =
            kit::mistake::<HeartbeatFileProbe>(json!({ "path": "x", "maxAgeSeconds": -1 }));
        let words = "maxAgeSeconds: invalid value -1: must be greater than 0";
        assert!(
            mistake.as_ref().is_some_and(|told| told.ends_with(words)),
            "{mistake:?}"
        );
    }
}

//! `misbehave`: does what no probe should, for as long as a file is there, and is well without it.

mod deeds;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};

/// Does what no probe should.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MisbehaveSpec {
    /// What it does.
    pub how: How,
    /// It does so while this file exists. Relative to the component's directory.
    pub r#while: PathBuf,
}

/// What a probe can do to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum How {
    // Panics, wherever its code is run.
    Panic,
    PanicOfNoText,
    PanicWhenBuilt,
    PanicWhenDropped,
    PanicWhenPanicIsDropped,
    // Ends its process.
    Segfault,
    StackOverflow,
    Abort,
    Exit,
    ExitAtOnce,
    KillGroup,
    // Does not come back.
    Spin,
    Block,
    BlockWhenBuilt,
    Pending,
    SlowToLetGo,
    Stop,
    // Takes what others need.
    Leak,
    OpenFiles,
    Fork,
    ForkDaemon,
    Orphan,
    SpinBeside,
    // Says what nobody asked.
    Flood,
    Rubbish,
    CloseAll,
    HugeMessage,
    OddMessage,
    // Changes what all of a process share.
    Surroundings,
}

/// Does it.
pub struct MisbehaveProbe {
    how: How,
    r#while: PathBuf,
}

impl ProbeKind for MisbehaveProbe {
    const KEY: &'static str = "misbehave";
    type Spec = MisbehaveSpec;

    fn build(spec: MisbehaveSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let probe = Self { how: spec.how, r#while: component.working_dir.join(spec.r#while) };
        if probe.r#while.exists() {
            deeds::when_built(probe.how);
        }
        Ok(probe)
    }
}

#[async_trait]
impl HealthProbe for MisbehaveProbe {
    async fn check(&self, _cx: &CheckContext) -> ProbeResult {
        if self.r#while.exists() {
            return deeds::when_asked(self.how).await;
        }
        ProbeResult::Success
    }
}

vitald_sdk::export_probe!(MisbehaveProbe);

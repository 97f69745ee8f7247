//! `exec`: healthy when a command exits with status 0.
//!
//! As the kubelet has it: the command is run as it stands, without a shell, and any status but 0 is a
//! failure. A command that could not be started at all says nothing about the component: unknown.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecRequest, Exit};
use vitald_core::wording::excerpt;

/// Healthy when a command exits with status 0.
///
/// It runs where the component runs, with its user and environment; for a container, inside it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecSpec {
    /// Program and arguments. No shell is involved: for pipes and variables write `[sh, -c, …]`.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Directory to run the command in, relative to the component's own. Defaults to the component's own.
    pub working_dir: Option<PathBuf>,
    /// Environment variables beside those of the component; the same name here wins.
    #[serde(default)]
    pub env: Vec<EnvVar>,
}

/// One environment variable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvVar {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its value, taken literally. Defaults to the empty string.
    #[serde(default)]
    pub value: String,
}

/// In which part of the deadline the command must have begun.
const BEGIN_WITHIN: f64 = 0.9;

/// Runs the command of an [`ExecSpec`] where the component runs.
pub struct ExecProbe {
    program: String,
    request: ExecRequest,
}

impl ProbeKind for ExecProbe {
    const KEY: &'static str = "exec";
    type Spec = ExecSpec;

    fn build(spec: ExecSpec, _component: &ComponentContext) -> Result<Self, SpecError> {
        let program = match spec.command.first() {
            None => return Err(SpecError::new("must name a program").at("command")),
            Some(program) if program.is_empty() => {
                return Err(SpecError::new("must name a program").at("command[0]"));
            }
            Some(program) => program.clone(),
        };
        if let Some(i) = spec.command.iter().position(|arg| arg.contains('\0')) {
            return Err(SpecError::new("must not contain NUL").at(format!("command[{i}]")));
        }
        for (i, var) in spec.env.iter().enumerate() {
            if var.name.is_empty() || var.name.contains(['=', '\0']) {
                let mistake = SpecError::new("must be a name, without `=`");
                return Err(mistake.at("name").at(format!("env[{i}]")));
            }
            if var.value.contains('\0') {
                return Err(SpecError::new("must not contain NUL").at("value").at(format!("env[{i}]")));
            }
        }
        let request = ExecRequest {
            command: spec.command,
            working_dir: spec.working_dir,
            env: spec.env.into_iter().map(|var| (var.name, var.value)).collect(),
            begin_within: None,
        };
        Ok(Self { program, request })
    }
}

#[async_trait]
impl HealthProbe for ExecProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let program = &self.program;
        // What runs it may be away, which is no failure of the component's.
        let begin_within = Some(cx.timeout.mul_f64(BEGIN_WITHIN));
        let request = ExecRequest { begin_within, ..self.request.clone() };
        let output = match cx.executor.exec(request).await {
            Ok(output) => output,
            Err(err) => return ProbeResult::unknown(err.to_string()),
        };
        let said = match excerpt(&output.output) {
            said if said.is_empty() => said,
            said => format!(": {said}"),
        };
        match output.exit {
            Exit::Code(0) => ProbeResult::Success,
            exit @ Exit::Unknown => ProbeResult::unknown(format!("`{program}` {exit}{said}")),
            exit => ProbeResult::failure(format!("`{program}` {exit}{said}")),
        }
    }
}

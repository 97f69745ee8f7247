//! `exec` against real commands.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, Exit, StartError};
use vitald_probe_exec::ExecProbe;

/// Runs commands in the test's own environment.
struct Here;

#[async_trait]
impl Executor for Here {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let (program, args) = request.command.split_first().expect("checked by the probe");
        let output = Command::new(program)
            .args(args)
            .envs(request.env)
            .current_dir(request.working_dir.unwrap_or_else(|| ".".into()))
            .stdin(Stdio::null())
            .output()
            .map_err(|_| StartError::NotFound { program: program.clone(), searched: " on PATH".into() })?;
        let said = [output.stdout, output.stderr].concat();
        let exit = output.status.code().map_or_else(|| Exit::Signal("SIGKILL".into()), Exit::Code);
        Ok(ExecOutput { exit, output: String::from_utf8_lossy(&said).into_owned() })
    }
}

/// Cannot tell how anything ended.
struct Blind;

#[async_trait]
impl Executor for Blind {
    async fn exec(&self, _request: ExecRequest) -> Result<ExecOutput, StartError> {
        Ok(ExecOutput { exit: Exit::Unknown, output: String::new() })
    }
}

fn build(spec: Value) -> Result<ExecProbe, SpecError> {
    let spec = serde_json::from_value(spec).map_err(|err| SpecError::new(err.to_string()))?;
    ExecProbe::build(spec, &ComponentContext::default())
}

async fn check_with(executor: Arc<dyn Executor>, spec: Value) -> ProbeResult {
    let cx = CheckContext { timeout: Duration::from_secs(5), run: None, executor };
    build(spec).expect("a good spec").check(&cx).await
}

async fn check(spec: Value) -> ProbeResult {
    check_with(Arc::new(Here), spec).await
}

#[tokio::test]
async fn status_0_is_success_whatever_was_said() {
    assert_eq!(check(json!({"command": ["true"]})).await, ProbeResult::Success);
    assert_eq!(check(json!({"command": ["sh", "-c", "echo trouble >&2"]})).await, ProbeResult::Success);
}

#[tokio::test]
async fn another_status_is_a_failure_with_what_was_said() {
    let result = check(json!({"command": ["sh", "-c", "echo no response; echo really >&2; exit 2"]})).await;
    assert_eq!(result, ProbeResult::failure("`sh` exited with status 2: no response really"));
    assert_eq!(
        check(json!({"command": ["false"]})).await,
        ProbeResult::failure("`false` exited with status 1")
    );
    let result = check(json!({"command": ["sh", "-c", "kill -9 $$"]})).await;
    assert_eq!(result, ProbeResult::failure("`sh` was ended by SIGKILL"));
}

#[tokio::test]
async fn much_output_is_cut() {
    let result = check(json!({"command": ["sh", "-c", "yes | head -c 10000; exit 1"]})).await;
    assert_eq!(result.message(), format!("`sh` exited with status 1: {}…", "y ".repeat(100)));
}

#[tokio::test]
async fn what_could_not_be_asked_is_unknown() {
    let result = check(json!({"command": ["no-such-program"]})).await;
    assert_eq!(result, ProbeResult::unknown("no such file: `no-such-program` on PATH"));
    let result = check_with(Arc::new(Blind), json!({"command": ["true"]})).await;
    assert_eq!(result, ProbeResult::unknown("`true` ended, and its exit status is unknown"));
}

#[tokio::test]
async fn no_shell_is_involved() {
    assert_eq!(check(json!({"command": ["test", "$HOME", "=", "$HOME"]})).await, ProbeResult::Success);
    assert_eq!(check(json!({"command": ["test", "~", "=", "~"]})).await, ProbeResult::Success);
}

#[tokio::test]
async fn directory_and_environment_are_passed_on() {
    let spec = json!({
        "command": ["sh", "-c", "test \"$(pwd) $A $B\" = '/ 1 '"],
        "workingDir": "/",
        "env": [{"name": "A", "value": "1"}, {"name": "B"}],
    });
    assert_eq!(check(spec).await, ProbeResult::Success);
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |spec| build(spec).err().map(|err| err.to_string()).unwrap_or_default();
    assert_eq!(mistake(json!({"command": []})), "command: must name a program");
    assert_eq!(mistake(json!({"command": [""]})), "command[0]: must name a program");
    assert_eq!(mistake(json!({"command": ["a", "\0"]})), "command[1]: must not contain NUL");
    assert_eq!(
        mistake(json!({"command": ["a"], "env": [{"name": "A"}, {"name": "B=C"}]})),
        "env[1].name: must be a name, without `=`"
    );
    assert_eq!(
        mistake(json!({"command": ["a"], "env": [{"name": "A", "value": "\0"}]})),
        "env[0].value: must not contain NUL"
    );
    assert!(mistake(json!({"command": "true"})).contains("expected a sequence"));
    assert!(mistake(json!({"comand": ["true"]})).contains("unknown field `comand`"));
    assert!(mistake(json!({})).contains("missing field `command`"));
}

//! Commands that run where a component runs: exec probes and hooks, inside its container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use tokio::runtime::Handle;
use tokio::time::timeout;
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, Exit, MAX_EXEC_OUTPUT, StartError};
use vitald_process::expand_with;

use crate::component::Component;
use crate::engine::{Engine, EngineError, SOON};
use crate::failure;
use crate::run::own_process;
use crate::watch::inspect;

const DOING: &str = "running a command in the container";

/// How a shell, and the engine, tell that a command could not be executed.
const CANNOT_EXECUTE: [i64; 2] = [126, 127];

/// How soon it is asked again whether a command has ended whose output has.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long a command that was given up may take to show which process it is.
const APPEAR_WITHIN: u32 = 100;

/// Runs commands in a component's container, as its user and with its environment.
///
/// When the future is dropped, the command is killed. The engine has no way to do that, so it takes this machine's
/// own: where the engine's processes are not to be seen from here, as with a virtual machine in between, the command
/// runs on until it or its container ends.
pub(crate) struct ContainerExecutor(Arc<Component>);

impl ContainerExecutor {
    pub(crate) fn of_component(component: Arc<Component>) -> Self {
        Self(component)
    }
}

#[async_trait]
impl Executor for ContainerExecutor {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let done = self.run(request).await?;
        // Before it is cut to what is shown, and a secret with it.
        Ok(ExecOutput { output: self.0.redact(done.output), ..done })
    }
}

impl ContainerExecutor {
    async fn run(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let program = request.command.first().cloned().unwrap_or_default();
        let (patience, begin) = (request.begin_within, self.begin(request));
        let (running, output) = match patience {
            None => begin.await?,
            Some(patience) => timeout(patience, begin).await.unwrap_or_else(|_| {
                let slow = format!("it gives no answer within {:.1} s", patience.as_secs_f64());
                Err(self.0.engine.away(slow).at(DOING))
            })?,
        };
        running.finish(output, &program).await
    }

    /// Begins a command; gives it, and what it will say.
    async fn begin(&self, request: ExecRequest) -> Result<(Running, StartExecResults), StartError> {
        let engine = &self.0.engine;
        let doing = |err: EngineError| err.at(DOING);
        let Some(container) = self.0.target() else {
            return Err(StartError::System { doing: DOING.into(), reason: "there is none".into() });
        };
        let program = request.command.first().cloned().unwrap_or_default();
        let inspected = inspect(engine, &container).await.map_err(doing)?;
        let config = inspected.config.unwrap_or_default();
        let environment: BTreeMap<String, String> = config
            .env
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let command = exec_config(request, &environment, config.working_dir);
        let created = engine
            .ask(SOON, |client| {
                let container = container.clone();
                async move { client.create_exec(&container, command).await }
            })
            .await
            .map_err(doing)?;
        let mut running = Running { engine: Arc::clone(engine), id: created.id, container, done: false };
        let id = running.id.clone();
        match engine.ask(SOON, |client| async move { client.start_exec(&id, None).await }).await {
            Ok(output) => Ok((running, output)),
            Err(EngineError::Refused { status, message }) => {
                running.done = true;
                let refused = failure::of_program(&message, &program);
                Err(refused.unwrap_or_else(|| doing(EngineError::Refused { status, message })))
            }
            Err(err) => Err(doing(err)),
        }
    }
}

fn exec_config(
    request: ExecRequest,
    environment: &BTreeMap<String, String>,
    working_dir: Option<String>,
) -> ExecConfig {
    let mut all = environment.clone();
    let mut further = Vec::new();
    for (name, value) in &request.env {
        let value = expand_with(value, &all);
        further.push(format!("{name}={value}"));
        all.insert(name.clone(), value);
    }
    let own = working_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".into());
    let dir = request.working_dir.map(|within| std::path::Path::new(&own).join(within).display().to_string());
    ExecConfig {
        cmd: Some(request.command.iter().map(|word| expand_with(word, &all)).collect()),
        env: Some(further),
        working_dir: dir,
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ExecConfig::default()
    }
}

/// A command. Dropped before it is done, it is killed.
struct Running {
    engine: Arc<Engine>,
    id: String,
    container: String,
    done: bool,
}

impl Running {
    async fn finish(mut self, output: StartExecResults, program: &str) -> Result<ExecOutput, StartError> {
        let doing = |err: EngineError| err.at(DOING);
        let mut kept = Vec::new();
        if let StartExecResults::Attached { mut output, input: _input } = output {
            while let Some(piece) = output.next().await {
                // The end of the connection is the end of the output.
                let Ok(piece) = piece else { break };
                let piece = piece.into_bytes();
                let room = MAX_EXEC_OUTPUT - kept.len();
                kept.extend_from_slice(&piece[..piece.len().min(room)]);
            }
        }
        let code = loop {
            let state = inspect_exec(&self.engine, &self.id).await.map_err(doing)?;
            if state.running != Some(true) {
                break state.exit_code;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        };
        self.done = true;
        let output = text(&kept);
        if code.is_some_and(|code| CANNOT_EXECUTE.contains(&code))
            && output.starts_with("OCI runtime exec failed")
        {
            return Err(failure::of_program(&output, program).unwrap_or(StartError::System {
                doing: format!("running `{program}` in the container"),
                reason: output.trim().to_owned(),
            }));
        }
        let exit = code.and_then(|code| i32::try_from(code).ok()).map_or(Exit::Unknown, Exit::Code);
        Ok(ExecOutput { exit, output })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (engine, id, container) = (Arc::clone(&self.engine), self.id.clone(), self.container.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { end(&engine, &id, &container).await });
        }
    }
}

/// Kills a command that was given up, as soon as it can be seen which process it is.
async fn end(engine: &Engine, id: &str, container: &str) {
    for _ in 0..APPEAR_WITHIN {
        let Ok(state) = inspect_exec(engine, id).await else { return };
        let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        match state.running {
            Some(true) if pid > 0 => {
                if let Some(process) = own_process(pid, container) {
                    // It leads a session and a group of its own; what it started goes with it.
                    let _ = vitald_process::signal_group_of(&process, Signal::SIGKILL);
                }
                return;
            }
            // Started and ended.
            Some(false) if state.exit_code.is_some() => return,
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

async fn inspect_exec(
    engine: &Engine,
    id: &str,
) -> Result<bollard::models::ExecInspectResponse, EngineError> {
    engine.ask(SOON, |client| async move { client.inspect_exec(id).await }).await
}

fn text(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        // The cap may have cut the last character.
        Err(err) if err.error_len().is_none() => &bytes[..err.valid_up_to()],
        _ => bytes,
    };
    String::from_utf8_lossy(whole).into_owned()
}

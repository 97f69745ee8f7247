//! Commands in tests, run for real.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, Exit, MAX_EXEC_OUTPUT, StartError};

/// Runs commands in one folder, as who runs the test. When a check is dropped, its command is killed, though not
/// what that has begun itself.
#[derive(Debug, Clone)]
pub struct Commands {
    dir: PathBuf,
}

impl Commands {
    /// Runs commands in this folder.
    pub fn within(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }
}

#[async_trait]
impl Executor for Commands {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        let system = |doing: &str, err: io::Error| StartError::System {
            doing: doing.to_owned(),
            reason: err.to_string(),
        };
        let (program, args) = match &*request.command {
            [] => return Err(system("starting a command", io::ErrorKind::InvalidInput.into())),
            [program, args @ ..] => (program.clone(), args),
        };
        let dir =
            request.working_dir.as_ref().map_or_else(|| self.dir.clone(), |within| self.dir.join(within));
        if !dir.is_dir() {
            return Err(StartError::WorkingDir { dir, reason: "no such directory".to_owned() });
        }
        let (read, write) = io::pipe().map_err(|err| system("making a pipe", err))?;
        let also = write.try_clone().map_err(|err| system("making a pipe", err))?;
        let mut child = Command::new(&program)
            .args(args)
            .current_dir(dir)
            .envs(request.env)
            .stdin(Stdio::null())
            .stdout(write)
            .stderr(also)
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| match err.kind() {
                io::ErrorKind::NotFound => StartError::NotFound { program, searched: String::new() },
                io::ErrorKind::PermissionDenied => {
                    StartError::NotExecutable { program, reason: err.to_string() }
                }
                _ => system("starting a command", err),
            })?;
        let output = Receiver::from_owned_fd(read.into()).map_err(|err| system("reading its output", err))?;
        let mut kept = Vec::new();
        let mut open = true;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                readable = output.readable(), if open => {
                    open = readable.is_ok() && keep(&mut kept, |buffer| output.try_read(buffer));
                }
            }
        };
        let status = status.map_err(|err| system("waiting for a command", err))?;
        // Past tokio, which may not have heard yet that there is something.
        let output = output.into_nonblocking_fd().map_err(|err| system("reading its output", err))?;
        let mut output = File::from(output);
        keep(&mut kept, |buffer| output.read(buffer));
        Ok(ExecOutput { exit: exit(status), output: String::from_utf8_lossy(&kept).into_owned() })
    }
}

/// Reads what is there, as much as a pipe can hold, and keeps the first of it. False once nobody can write any more.
fn keep(kept: &mut Vec<u8>, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> bool {
    let mut buffer = [0; 16 * 1024];
    for _ in 0..64 {
        match read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                let room = MAX_EXEC_OUTPUT - kept.len();
                kept.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(err) => return err.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

fn exit(status: ExitStatus) -> Exit {
    let name = |signal| match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        13 => "SIGPIPE".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(name(signal)),
        (None, None) => Exit::Unknown,
    }
}

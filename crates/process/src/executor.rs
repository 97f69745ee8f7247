//! Commands that run where a component runs: exec probes and hooks.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use nix::sys::signal::Signal;
use tokio::net::unix::pipe::Receiver;
use vitald_core::restarter::{ExecOutput, ExecRequest, Executor, MAX_EXEC_OUTPUT, StartError};

use crate::cgroup::Entrance;
use crate::component::Component;
use crate::environment::{Environment, expand_with};
use crate::launch::{Launch, ProcessSettings, system};
use crate::restarter::blocking;
use crate::tree::Whole;
use crate::unclaimed::Unclaimed;
use crate::{mark, procfs};

/// Killed commands that may be on their way out at once. More are not started: these do not die, and
/// there must not be ever more of them.
const MOST_DYING: usize = 8;

/// Runs commands on this machine, each in a session and group of its own.
///
/// A command is done when its own process has ended. What it leaves behind in its group is killed then, so
/// that a probe never piles up processes; what has made itself a session of its own is left alone. When the
/// future is dropped, all of it is killed.
///
/// `$(NAME)` in the command stands for what NAME is in its environment, as in Kubernetes.
pub struct LocalExecutor {
    place: Place,
    dying: Arc<Dying>,
}

#[derive(Clone)]
enum Place {
    Fixed { dir: PathBuf, environment: Environment, settings: ProcessSettings },
    Component(Arc<Component>),
}

impl Place {
    fn redact(&self, text: String) -> String {
        match self {
            Self::Fixed { .. } => text,
            Self::Component(component) => component.redact(text),
        }
    }
}

impl LocalExecutor {
    /// Runs commands in `working_dir` (absolute), with just this environment, as `settings` say.
    pub fn new(working_dir: PathBuf, env: Vec<(String, String)>, settings: ProcessSettings) -> Self {
        let environment = env.into_iter().collect();
        Self { place: Place::Fixed { dir: working_dir, environment, settings }, dying: Arc::default() }
    }

    /// Runs commands in our own working directory, with our own environment, as who we are.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn here() -> io::Result<Self> {
        let env = std::env::vars_os();
        let env = env.filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
        Ok(Self::new(std::env::current_dir()?, env.collect(), ProcessSettings::default()))
    }

    pub(crate) fn of_component(component: Arc<Component>) -> Self {
        let dying = component.dying();
        Self { place: Place::Component(component), dying }
    }
}

/// Commands that were killed and are not gone yet: of one executor, or of all those of a component.
#[derive(Default)]
pub(crate) struct Dying(Arc<()>);

impl Dying {
    fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

#[async_trait]
impl Executor for LocalExecutor {
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError> {
        if self.dying.count() >= MOST_DYING {
            return Err(system(
                "starting a command",
                format!("{MOST_DYING} earlier ones were killed and have not died"),
            ));
        }
        let (place, dying) = (self.place.clone(), Arc::downgrade(&self.dying.0));
        let (running, output) = blocking(move || launch(&place, &request, dying)).await?;
        let output = Receiver::from_owned_fd(output).map_err(|err| system("reading its output", err))?;
        let done = finish(running, &output).await;
        // Before it is cut to what is shown, and a secret with it.
        Ok(ExecOutput { output: self.place.redact(done.output), ..done })
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn launch(place: &Place, request: &ExecRequest, dying: Weak<()>) -> Result<(Unclaimed, OwnedFd), StartError> {
    let (dir, mut environment, settings) = match place {
        Place::Fixed { dir, environment, settings } => (dir.as_path(), environment.clone(), settings.clone()),
        Place::Component(component) => {
            (component.working_dir(), component.environment_of_commands()?, component.settings())
        }
    };
    for (name, value) in &request.env {
        let value = expand_with(value, &environment);
        environment.insert(name.clone(), value);
    }
    let mark = format!("{}-{}", procfs::own_pid(), next_number());
    let entry = format!("{}={mark}", mark::EXEC);
    if let Place::Component(component) = place {
        environment.extend(component.mark_of_commands()?);
    }
    environment.insert(mark::EXEC.to_owned(), mark);
    let dir = request.working_dir.as_ref().map_or_else(|| dir.to_owned(), |within| dir.join(within));
    let (read, write) = io::pipe().map_err(|err| system("making a pipe", err))?;
    let newborn = Launch {
        command: &request.command,
        environment: &environment,
        pid_variables: &[],
        dir: &dir,
        user: settings.identity()?,
        settings: &settings,
        output: write.into(),
        lock: None,
        lock_note: Vec::new(),
        cage: Entrance::default(),
    }
    .start()?;
    let running = Unclaimed::new(newborn, Whole::marked(vec![entry]), dying)
        .map_err(|err| system("watching the command", err))?;
    Ok((running, read.into()))
}

/// Waits for the end of a command and gathers its output.
async fn finish(running: Unclaimed, output: &Receiver) -> ExecOutput {
    let mut kept = Kept::default();
    let exit = {
        let exited = running.child().exited();
        tokio::pin!(exited);
        let mut open = true;
        loop {
            tokio::select! {
                exit = &mut exited => break exit,
                readable = output.readable(), if open => {
                    open = readable.is_ok() && kept.read(|buffer| output.try_read(buffer));
                }
            }
        }
    };
    let (child, _) = running.claim();
    // What it left in its group may write on for ever.
    let _ = child.signal_group(Signal::SIGKILL);
    // Past tokio, which may not have heard yet that there is something.
    kept.read(|buffer| Ok(rustix::io::read(output, buffer)?));
    child.reap();
    ExecOutput { exit, output: kept.text() }
}

/// The first bytes of an output.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Kept {
    /// Reads what is there, as much as a pipe can hold; keeps the first of it. False once nobody can write
    /// any more.
    fn read(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..64 {
            match read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    let room = MAX_EXEC_OUTPUT - self.0.len();
                    self.0.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(err) => return err.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn text(&self) -> String {
        let bytes = match std::str::from_utf8(&self.0) {
            // The cap may have cut the last character.
            Err(err) if err.error_len().is_none() => &self.0[..err.valid_up_to()],
            _ => &self.0,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_are_started_while_too_many_are_dying() {
        let executor = LocalExecutor::here().unwrap();
        let request = ExecRequest { command: vec!["true".to_owned()], ..ExecRequest::default() };
        let mut dying = vec![Arc::clone(&executor.dying.0); MOST_DYING];
        let refusal = executor.exec(request.clone()).await.unwrap_err();
        assert!(refusal.to_string().contains("have not died"), "{refusal}");
        dying.pop();
        executor.exec(request).await.unwrap();
    }
}

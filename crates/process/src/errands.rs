//! Commands that start and stop what is no child of ours: what they leave running is theirs to leave.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use nix::sys::signal::Signal;
use vitald_core::restarter::{ExecOutput, Executor, Exit, MAX_EXEC_OUTPUT, StartError};
use vitald_core::spec::ProcessSpec;

use crate::cgroup::Entrance;
use crate::child::Child;
use crate::component::Component;
use crate::executor::LocalExecutor;
use crate::launch::{Launch, system};
use crate::restarter::{Paths, blocking};
use crate::tree::Whole;
use crate::unclaimed::Unclaimed;
use crate::{commands, mark, procfs};

/// Runs the commands of one component that others start.
///
/// Each has a session of its own, and writes to the component's log; so does what it leaves running, for as long
/// as that keeps its stdout. Unlike the command of a probe, it may leave something in its group.
pub struct Errands {
    component: Arc<Component>,
    log: PathBuf,
}

impl Errands {
    /// `spec` says how the commands run; its own command is not looked at. `inherited` is what they get of the
    /// supervisor's environment.
    pub fn new(
        name: &str,
        spec: &ProcessSpec,
        paths: Paths,
        inherited: impl Into<Arc<BTreeMap<String, String>>>,
    ) -> Self {
        let log = paths.log.clone();
        Self { component: Arc::new(Component::new(name, spec, paths, inherited.into())), log }
    }

    /// Makes the component's lock file, by which a state dir that was copied is told, and ends the commands that an
    /// earlier supervisor left running: of probes and hooks, and such as these. Blocks.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn prepare(&self) -> Result<(), StartError> {
        let instance = self.component.open_lock()?.instance();
        commands::end(&self.component.name, &instance)
            .and_then(|()| commands::end_errands(&self.component.name, &beginning_of_mark(&instance)))
            .map_err(|err| system("ending commands that an earlier supervisor left running", err))
    }

    /// Runs probes and hooks where these commands run.
    pub fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(LocalExecutor::of_component(Arc::clone(&self.component)))
    }

    /// Bytes ever written to the component's log.
    pub fn log_end(&self) -> u64 {
        self.component.log_end()
    }

    /// The text without the values of secrets.
    pub fn redact(&self, text: String) -> String {
        self.component.redact(text)
    }

    /// Writes a line to the component's log, in the name of vitald. Blocks.
    pub fn note(&self, line: &str) {
        if let Ok((mut log, _)) = vitald_log::append(&self.log) {
            // What cannot be noted is no reason to stop.
            let _ = log.write_all(format!("vitald: {}\n", self.component.redact(line.to_owned())).as_bytes());
        }
    }

    /// Runs a command to its end. Gives how it ended, and the first that it wrote. Dropping the future kills the
    /// command's group.
    ///
    /// # Errors
    /// It could not be started.
    pub async fn run(&self, command: &[String]) -> Result<ExecOutput, StartError> {
        let (component, log, command) = (Arc::clone(&self.component), self.log.clone(), command.to_owned());
        let (running, offset) = blocking(move || launch(&component, &log, &command)).await?;
        // Nothing of it is ended here but its group, and only where nobody waits for it any more.
        let (child, _) = running.claim();
        let mut group = Group(Some(child));
        let exit = match &group.0 {
            Some(child) => child.exited().await,
            None => Exit::Unknown,
        };
        if let Some(child) = group.0.take() {
            child.reap();
        }
        let log = self.log.clone();
        let output = blocking(move || Ok(written_since(&log, offset))).await?;
        Ok(ExecOutput { exit, output: self.component.redact(output) })
    }
}

/// What the marks of all commands of one component begin with.
fn beginning_of_mark(instance: &str) -> String {
    format!("errand-{instance}-")
}

/// The group of a command, which is killed when this is dropped.
struct Group(Option<Arc<Child>>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            let _ = child.signal_group(Signal::SIGKILL);
        }
    }
}

fn launch(
    component: &Component,
    log: &std::path::Path,
    command: &[String],
) -> Result<(Unclaimed, u64), StartError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let settings = component.settings();
    let mut environment = component.environment_of_commands()?;
    let (beginning, number) =
        (beginning_of_mark(&component.instance()?), NEXT.fetch_add(1, Ordering::Relaxed));
    let mark = format!("{beginning}{}-{number}", procfs::own_pid());
    let entry = format!("{}={mark}", mark::EXEC);
    environment.insert(mark::EXEC.to_owned(), mark);
    let (output, offset) = vitald_log::append(log).map_err(|err| system("opening the log", err))?;
    let newborn = Launch {
        command,
        environment: &environment,
        pid_variables: &[],
        dir: component.working_dir(),
        user: settings.identity()?,
        settings: &settings,
        output: output.into(),
        lock: None,
        lock_note: Vec::new(),
        cage: Entrance::default(),
    }
    .start()?;
    let running = Unclaimed::new(newborn, Whole::marked(vec![entry]), Weak::new())
        .map_err(|err| system("watching the command", err))?;
    Ok((running, offset))
}

/// The first of what has been written to a log since then; what cannot be read is left out.
fn written_since(log: &std::path::Path, offset: u64) -> String {
    let mut bytes = vec![0; MAX_EXEC_OUTPUT];
    let read = vitald_log::LogReader::open(log).and_then(|mut reader| {
        reader.seek(offset)?;
        reader.read(&mut bytes)
    });
    let count = match read {
        Ok(vitald_log::Read::Bytes(count)) => count,
        _ => 0,
    };
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

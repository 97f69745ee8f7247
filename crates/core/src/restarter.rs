//! The contract of what starts and stops components: [`Restarter`] for a kind of component, one
//! [`RunHandle`] for each of its runs.
//!
//! A restarter decides nothing. When to start, signal or kill is the [lifecycle](crate::lifecycle)'s
//! business; a restarter does it and reports what happened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::notify::{Heard, Notified};

/// The number of a run: 1 for the first start ever of a component, then counting up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A process that cannot be mistaken for another: pids are reused, this triple is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// The pid.
    pub pid: i32,
    /// When the process started, in clock ticks since boot: field 22 of `/proc/PID/stat`, proc(5).
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id` at that time.
    pub boot_id: String,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal ended it: its name, such as `SIGKILL`.
    Signal(String),
    /// The kernel's out-of-memory killer ended it.
    OomKilled,
    /// It is gone, and nobody can tell how.
    Unknown,
}

impl Exit {
    /// Whether it ended well: exit status 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(signal) => write!(f, "was ended by {signal}"),
            Self::OomKilled => f.write_str("was killed for using too much memory"),
            Self::Unknown => f.write_str("ended, and its exit status is unknown"),
        }
    }
}

/// What a start that is under way does, where that takes its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartStep {
    /// Gets the image of a container from where it is kept.
    PullingImage {
        /// As the manifest has it.
        image: String,
        /// How far it has come, for people: `3 of 7 layers, 41 MiB of 120 MiB`. Empty before anything is known.
        progress: String,
    },
    /// Has got it.
    PulledImage {
        /// As the manifest has it.
        image: String,
    },
    /// Does nothing but wait for what others start, so that it can be given up at any time.
    Waiting {
        /// What is missing: in one sentence, without a full stop.
        why: String,
    },
}

/// Told whenever a start has come to another step, a few times a second at most.
pub type TellStep = Arc<dyn Fn(RunId, StartStep) + Send + Sync>;

/// Starts the runs of one component. One instance a component, for as long as its spec is the same.
#[async_trait]
pub trait Restarter: Send + Sync + 'static {
    /// Starts run `run`. On success its main process executes the component's program; a program that
    /// could not be executed is an error, one that ends at once is not.
    ///
    /// What an earlier supervisor left running under the component's name is ended first.
    ///
    /// # Errors
    /// Why the run did not begin. Each uses up one restart.
    async fn start(&self, run: RunId) -> Result<Arc<dyn RunHandle>, StartError>;

    /// Waits until nothing is left of a start that was given up: what its future was dropped in the middle of may
    /// still come to its end. One whose starts leave nothing has nothing to wait for.
    async fn start_given_up(&self) {}

    /// From now on, `tell` is told what starts that are under way do. One that starts at once has nothing to tell.
    fn on_step(&self, tell: TellStep) {
        drop(tell);
    }

    /// Takes over run `run`, which an earlier supervisor began and did not see the end of, and touches
    /// nothing of it. `process` is its main process, if that supervisor came to write it down; else the run
    /// is looked for, and may never have begun. `log_offset` is where its output begins.
    ///
    /// What that supervisor left running of the component's probes and hooks is ended.
    ///
    /// # Errors
    /// Whether something of it runs cannot be told now. It is asked again for a while; only then is it started
    /// anew, which ends what there is first.
    async fn adopt(
        &self,
        run: RunId,
        process: Option<&ProcessIdentity>,
        log_offset: u64,
    ) -> Result<Adoption, StartError>;

    /// Nothing of it is to run from now on, and no start is under way: ends what no run answers for, such as what
    /// was left as it was for the next start to restart, or what a start has begun that was given up.
    ///
    /// # Errors
    /// It has not ended: why, in one sentence.
    async fn settle(&self) -> Result<(), String> {
        Ok(())
    }

    /// The process that was left as it was for the next start to restart. It is on record, and the next supervisor
    /// tells its restarter as that of the run before.
    fn left_to_restart(&self) -> Option<ProcessIdentity> {
        None
    }

    /// The run that was begun last, by its own account, while something holds the component's name: for when
    /// an earlier supervisor could not write down what it did. Cheap, and touches nothing.
    fn newest(&self) -> Option<RunId> {
        None
    }

    /// Bytes ever written to the component's log so far: where a run that is started now begins in it.
    fn log_end(&self) -> u64;

    /// Runs commands (probes, hooks) where the component runs.
    fn executor(&self) -> Arc<dyn Executor>;

    /// The text without the values of the component's secrets. Everything that a probe, a hook or a failed
    /// start has to say passes through here before anybody sees it.
    fn redact(&self, text: String) -> String {
        text
    }
}

/// What is there of a run that an earlier supervisor began.
pub enum Adoption {
    /// Its main process is alive.
    Running(Arc<dyn RunHandle>),
    /// Its main process has ended, as [`RunHandle::exited`] tells at once; others of its tree may live on.
    Ended(Arc<dyn RunHandle>),
    /// It began, by its own account, and nothing of it is there: it has ended, nobody knows how.
    Gone,
    /// Nothing that is known to be of it: it never began, or has ended, nobody knows how.
    Nothing,
}

/// What may be asked of a run by its probes: looking changes nothing.
#[async_trait]
pub trait RunView: Send + Sync + 'static {
    /// The main process.
    fn process(&self) -> ProcessIdentity;

    /// Where this run's output begins in the component's log: bytes ever written to it before.
    fn log_offset(&self) -> u64;

    /// The pids of all its processes, as this machine numbers them.
    ///
    /// # Errors
    /// They cannot be told.
    async fn pids(&self) -> std::io::Result<Vec<i32>> {
        Ok(vec![self.process().pid])
    }

    /// Bytes of memory that all its processes use together.
    ///
    /// # Errors
    /// It cannot be told.
    async fn memory(&self) -> std::io::Result<u64> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// What it has told of itself by now (sd_notify(3)).
    ///
    /// # Errors
    /// Nobody can hear it: why, in one sentence.
    async fn heard(&self) -> Result<Heard, String> {
        Err("it is given no socket to tell on: only native processes are".into())
    }

    /// The container's id, where the run is one.
    fn container(&self) -> Option<String> {
        None
    }
}

/// One run of a component, from its start until nothing of it is left.
#[async_trait]
pub trait RunHandle: RunView {
    /// Waits until the main process has ended, as told by the kernel. May be called again and again.
    async fn exited(&self) -> Exit;

    /// Whether anything of the run's process tree is alive. The main process counts until it has ended.
    fn is_alive(&self) -> bool;

    /// Waits until nothing of the run's process tree is left.
    async fn gone(&self);

    /// Asks the whole tree to end: SIGTERM, then SIGCONT so that a stopped process can hear it.
    ///
    /// # Errors
    /// The signal could not be sent.
    fn terminate(&self) -> std::io::Result<()>;

    /// As [`terminate`](Self::terminate), where a start follows: what restarts by itself may wait for that.
    ///
    /// # Errors
    /// The signal could not be sent.
    fn terminate_to_restart(&self) -> std::io::Result<()> {
        self.terminate()
    }

    /// Ends the whole tree by SIGKILL, descendants that left the process group included.
    ///
    /// # Errors
    /// The signal could not be sent.
    fn kill(&self) -> std::io::Result<()>;

    /// What is still alive of the run, for people: `4242 (sleep, state D)`.
    fn survivors(&self) -> Vec<String>;

    /// Waits until it has told something of itself, so that all of it is not `known` any more, and gives all of
    /// it. May change what [`process`](RunView::process) is. Never comes back where nobody listens.
    async fn news(&self, _known: &Notified) -> Notified {
        std::future::pending().await
    }

    /// Waits until something has gone wrong that no call has told, and says what in one sentence. Never comes back
    /// where all goes well.
    async fn trouble(&self) -> String {
        std::future::pending().await
    }

    /// What it told an earlier supervisor, before this one took it over.
    fn remember(&self, _told: Notified) {}

    /// What the manifest asks for and this machine does not give, in sentences for people: limits without
    /// a cgroup to set them on.
    fn shortcomings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why a run did not begin.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StartError {
    /// The program does not exist.
    #[error("no such file: `{program}`{searched}")]
    NotFound {
        /// As the manifest has it.
        program: String,
        /// Empty, or ` on PATH …`.
        searched: String,
    },
    /// The program, or something on the way to it, may not be used.
    #[error("`{program}` cannot be executed: {reason}")]
    NotExecutable {
        /// The file.
        program: String,
        /// The system's word for why.
        reason: String,
    },
    /// The working directory cannot be entered.
    #[error("working directory {} cannot be entered: {reason}", dir.display())]
    WorkingDir {
        /// The directory.
        dir: PathBuf,
        /// The system's word for why.
        reason: String,
    },
    /// A user or group does not exist, or may not be switched to.
    #[error("cannot run as {who}: {reason}")]
    User {
        /// `user nobody`.
        who: String,
        /// Why not.
        reason: String,
    },
    /// An environment file or key is missing or unreadable.
    #[error("environment: {0}")]
    Environment(String),
    /// Something still runs under this component's name and could not be ended.
    #[error("already running: {0}")]
    Occupied(String),
    /// Anything else the system refused.
    #[error("{doing}: {reason}")]
    System {
        /// What was being done.
        doing: String,
        /// The system's word for why.
        reason: String,
    },
}

/// Runs commands where a component runs: same directory, user and environment.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Runs a command to its end, in a process group of its own. Dropping the future kills that group.
    ///
    /// # Errors
    /// The command could not be started.
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, StartError>;
}

/// A command for an [`Executor`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecRequest {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
    /// Working directory, relative to the component's own; `None` for that one.
    pub working_dir: Option<PathBuf>,
    /// Further environment variables, over the component's own.
    pub env: Vec<(String, String)>,
    /// How soon it must have begun, where that depends on others: later than that, it is an error that it has not.
    /// `None` for no such limit.
    pub begin_within: Option<Duration>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecOutput {
    /// How it ended.
    pub exit: Exit,
    /// The first 10 KiB of stdout and stderr, in the order written, as far as they are UTF-8.
    pub output: String,
}

/// Most bytes of a command's output that are kept, as the kubelet's exec probe has it.
pub const MAX_EXEC_OUTPUT: usize = 10 * 1024;

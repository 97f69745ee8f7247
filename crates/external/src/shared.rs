//! What a restarter and its runs share: the commands, how it is looked for, and what is left to be done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle, StartError};
use vitald_core::spec::ExternalSpec;
use vitald_process::{Errands, Stranger, procfs};

use crate::found;
use crate::run::Run;

/// How often it is looked for: at first, and when it has been waited for in vain for a while.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(1);

/// What a restarter and its runs share.
pub(crate) struct Shared {
    pub(crate) spec: ExternalSpec,
    pub(crate) errands: Errands,
    /// The process that was let go of so that the next start restarts it.
    restart_from: Mutex<Option<ProcessIdentity>>,
    /// There has been a run of it.
    pub(crate) has_run: AtomicBool,
    /// A start was given up after its command had begun.
    pub(crate) is_half_started: AtomicBool,
}

impl Shared {
    /// `previous` is what an earlier supervisor watched last, or left to be restarted.
    pub(crate) fn new(spec: ExternalSpec, errands: Errands, previous: Option<ProcessIdentity>) -> Self {
        Self {
            spec,
            errands,
            has_run: AtomicBool::new(previous.is_some()),
            restart_from: Mutex::new(previous),
            is_half_started: AtomicBool::new(false),
        }
    }

    /// The next start is a restart of this process.
    pub(crate) fn restart_from(&self, process: ProcessIdentity) {
        *self.restart_from.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
    }

    /// That process.
    pub(crate) fn left(&self) -> Option<ProcessIdentity> {
        self.restart_from.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That process, if it is alive; the next start is no restart of it any more.
    pub(crate) fn take_left(&self) -> Option<ProcessIdentity> {
        let left = self.restart_from.lock().unwrap_or_else(PoisonError::into_inner).take();
        left.filter(is_alive)
    }

    /// Runs one of its commands, whose field is `name`, to its end.
    pub(crate) async fn run(&self, name: &str, command: &[String]) -> Result<(), StartError> {
        let done = self.errands.run(command).await?;
        let reason = match (done.exit, done.output.trim()) {
            (Exit::Code(0), _) => return Ok(()),
            (exit, "") => exit.to_string(),
            (exit, output) => format!("{exit}: {output}"),
        };
        Err(StartError::System { doing: format!("running its {name}"), reason })
    }

    /// Tells something in the component's log.
    pub(crate) async fn note(self: &Arc<Self>, line: String) {
        let shared = Arc::clone(self);
        // What cannot be noted is no reason to stop.
        let _ = spawn_blocking(move || shared.errands.note(&line)).await;
    }

    pub(crate) async fn look(self: &Arc<Self>) -> Result<ProcessIdentity, String> {
        let shared = Arc::clone(self);
        let found = spawn_blocking(move || found::look(&shared.spec)).await;
        found.unwrap_or_else(|err| Err(err.to_string()))
    }

    /// Looks until it is there. What is found instead is told.
    pub(crate) async fn wait_for(self: &Arc<Self>, wanted: &mut Wanted<'_>) -> Option<Stranger> {
        let mut pause = LOOK_AGAIN;
        loop {
            let why = match self.look().await {
                Ok(found) if Some(&found) == wanted.but => format!("process {} is still there", found.pid),
                Ok(found) => match Stranger::open(&found) {
                    Ok(Some(stranger)) => return Some(stranger),
                    Ok(None) => format!("process {} has ended", found.pid),
                    Err(err) => format!("process {} cannot be watched: {err}", found.pid),
                },
                Err(why) => why,
            };
            if wanted.but.is_some_and(|process| wanted.until_it_ends && !is_alive(process)) {
                return None;
            }
            if wanted.why != why {
                self.note(format!("waits: {why}")).await;
                (wanted.tell)(&why);
                wanted.why = why;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_AT_MOST);
        }
    }

    /// Begins a run of it.
    pub(crate) fn begin(self: &Arc<Self>, process: Stranger, log_offset: u64) -> Arc<dyn RunHandle> {
        self.has_run.store(true, Ordering::SeqCst);
        Arc::new(Run::new(Arc::clone(self), process, log_offset))
    }
}

/// What is waited for.
pub(crate) struct Wanted<'a> {
    /// Not this one.
    pub(crate) but: Option<&'a ProcessIdentity>,
    /// No longer than that one lives.
    pub(crate) until_it_ends: bool,
    /// Why it is not there, as it was told last.
    pub(crate) why: String,
    /// Told why, whenever that is another reason.
    pub(crate) tell: &'a (dyn Fn(&str) + Sync),
}

fn is_alive(process: &ProcessIdentity) -> bool {
    procfs::stat_of(process).is_some_and(|process| !process.is_dead())
}

/// A start that may be given up in the middle: what it has begun is to be stopped then.
pub(crate) struct Unfinished(Option<Arc<Shared>>);

impl Unfinished {
    pub(crate) fn begin(shared: &Arc<Shared>) -> Self {
        Self(Some(Arc::clone(shared)))
    }

    /// It has come to its end.
    pub(crate) fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.is_half_started.store(true, Ordering::SeqCst);
        }
    }
}

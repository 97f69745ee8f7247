//! One run of what others start: from when it was found until it has ended, or is let go of.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};
use tokio::task::{AbortHandle, spawn_blocking};
use vitald_core::async_trait;
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle, RunView};
use vitald_core::spec::FoundBy;
use vitald_process::{Stranger, procfs};

use crate::found;
use crate::shared::Shared;

/// A run, found or taken over.
pub(crate) struct Run {
    shared: Arc<Shared>,
    process: Mutex<Arc<Stranger>>,
    log_offset: u64,
    exit: OnceCell<Exit>,
    /// Nobody looks after it any more, whether it lives or not.
    let_go: watch::Sender<bool>,
    /// What stops it has been called: an end is one, whoever takes its place.
    stopping: AtomicBool,
    /// Its stopCommand, while that runs.
    stop_command: watch::Sender<Option<AbortHandle>>,
    /// What went wrong that nobody has heard of.
    trouble: watch::Sender<Option<String>>,
    runtime: Handle,
}

impl Run {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(shared: Arc<Shared>, process: Stranger, log_offset: u64) -> Self {
        Self {
            shared,
            process: Mutex::new(Arc::new(process)),
            log_offset,
            exit: OnceCell::new(),
            let_go: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
            stop_command: watch::Sender::new(None),
            trouble: watch::Sender::new(None),
            runtime: Handle::current(),
        }
    }

    fn stranger(&self) -> Arc<Stranger> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_let_go(&self) -> bool {
        *self.let_go.borrow()
    }

    fn let_go(&self) {
        self.let_go.send_replace(true);
    }

    /// The process that has taken the place of one that ended: who still listens on a port does not tell.
    async fn successor(&self, ended: &ProcessIdentity) -> Option<Stranger> {
        if self.stopping.load(Ordering::SeqCst) || !matches!(self.shared.spec.found_by, FoundBy::PidFile(_)) {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        let found = spawn_blocking(move || found::look(&shared.spec)).await.ok()?.ok()?;
        Stranger::open(&found).ok().flatten().filter(|_| found != *ended)
    }

    async fn end(&self) -> Exit {
        let mut let_go = self.let_go.subscribe();
        loop {
            let process = self.stranger();
            let exit = tokio::select! {
                exit = process.exited() => exit,
                _ = let_go.wait_for(|gone| *gone) => return Exit::Unknown,
            };
            let Some(successor) = self.successor(process.identity()).await else { return exit };
            let (old, new) = (process.identity().pid, successor.identity().pid);
            self.shared.note(format!("process {old} has ended, and {new} has taken its place")).await;
            *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(successor);
        }
    }

    /// Runs its stopCommand beside everything else, unless it does so already.
    fn stop(&self, command: Vec<String>) {
        self.stopping.store(true, Ordering::SeqCst);
        let (shared, running, trouble) =
            (Arc::clone(&self.shared), self.stop_command.clone(), self.trouble.clone());
        self.stop_command.send_if_modified(|task| {
            let begins = task.is_none();
            if begins {
                let task_of_it = self.runtime.spawn(async move {
                    if let Err(why) = shared.run("stopCommand", &command).await {
                        shared.note(why.to_string()).await;
                        trouble.send_replace(Some(why.to_string()));
                    }
                    running.send_replace(None);
                });
                *task = Some(task_of_it.abort_handle());
            }
            begins
        });
    }

    /// What is to end it has not, or has, and is not done yet: it has had its time.
    fn give_up_stop_command(&self) {
        if let Some(task) = self.stop_command.send_replace(None) {
            task.abort();
        }
    }
}

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.stranger().identity().clone()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    /// With all that descends from it.
    async fn pids(&self) -> io::Result<Vec<i32>> {
        let main = self.process().pid;
        spawn_blocking(move || {
            let mut all = procfs::processes()?;
            all.retain(|process| !process.is_dead());
            let mut pids = vec![main];
            let mut seen = 0;
            while seen < pids.len() {
                let parent = pids[seen];
                pids.extend(all.iter().filter(|process| process.ppid == parent).map(|process| process.pid));
                seen += 1;
            }
            Ok(pids)
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Of all its processes, added up: whatever cgroup it is in may hold others, too.
    async fn memory(&self) -> io::Result<u64> {
        let pids = self.pids().await?;
        let sum = move || pids.into_iter().map(procfs::memory).sum();
        spawn_blocking(sum).await.map_err(io::Error::other)?
    }
}

#[async_trait]
impl RunHandle for Run {
    async fn exited(&self) -> Exit {
        self.exit.get_or_init(|| self.end()).await.clone()
    }

    /// A stopCommand that is not done is a part of it: what follows might be undone by it.
    fn is_alive(&self) -> bool {
        self.stop_command.borrow().is_some() || !self.is_let_go() && !self.exit.initialized()
    }

    async fn gone(&self) {
        self.exited().await;
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.stop_command.subscribe().wait_for(Option::is_none).await;
    }

    fn terminate(&self) -> io::Result<()> {
        match self.shared.spec.stop_command.clone() {
            Some(command) => self.stop(command),
            None => self.let_go(),
        }
        Ok(())
    }

    fn terminate_to_restart(&self) -> io::Result<()> {
        let spec = &self.shared.spec;
        if spec.restart_command.is_none() && spec.stop_command.is_some() {
            return self.terminate();
        }
        self.shared.restart_from(self.process());
        self.let_go();
        Ok(())
    }

    /// Only where it may be stopped at all, and is still the one that is meant.
    fn kill(&self) -> io::Result<()> {
        if self.shared.spec.stop_command.is_none() {
            self.let_go();
            return Ok(());
        }
        self.stopping.store(true, Ordering::SeqCst);
        self.give_up_stop_command();
        let process = self.stranger();
        let Some(now) = procfs::stat_of(process.identity()) else { return Ok(()) };
        if let Err(why) = found::check_name(&now, self.shared.spec.process_name.as_deref()) {
            return Err(io::Error::other(format!("{why} any more")));
        }
        process.kill()
    }

    fn survivors(&self) -> Vec<String> {
        if !self.is_alive() {
            return Vec::new();
        }
        let alive = procfs::stat_of(&self.process()).filter(|process| !process.is_dead());
        alive.iter().map(procfs::Stat::describe).collect()
    }

    async fn trouble(&self) -> String {
        let mut trouble = self.trouble.subscribe();
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = trouble.wait_for(Option::is_some).await;
        self.trouble.send_replace(None).unwrap_or_default()
    }
}

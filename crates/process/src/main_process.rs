//! Which process of a run is the main one: the one that was started, until another takes its place.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use vitald_core::restarter::{Exit, ProcessIdentity};

use crate::adopted::Adopted;
use crate::notify::Hearing;
use crate::root::Main;
use crate::tree::Tree;

/// The main process of a run, whichever that is by now.
pub(crate) struct MainProcess {
    /// The one that the run was begun or taken over with, which its tree grows from.
    first: Main,
    current: watch::Sender<Main>,
    tree: Arc<Tree>,
    /// Whether the end of the run's main process has been told: from then on no other can be it.
    over: Mutex<bool>,
}

impl MainProcess {
    pub(crate) fn new(first: Main, tree: Arc<Tree>) -> Self {
        Self { current: watch::Sender::new(first.clone()), first, tree, over: Mutex::default() }
    }

    pub(crate) fn identity(&self) -> ProcessIdentity {
        self.current.borrow().identity().clone()
    }

    /// Whether this pid is the main process's, and can be nobody else's.
    pub(crate) fn is_pid_of(&self, pid: i32) -> bool {
        let current = self.current.borrow();
        current.identity().pid == pid && current.is_there()
    }

    /// Another process of its tree is the main one from now on. `None` if it is so already, or the run's main
    /// process is known to have ended. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It cannot be watched, or has ended.
    pub(crate) fn become_process(&self, process: &ProcessIdentity) -> io::Result<Option<ProcessIdentity>> {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if *over || self.identity() == *process {
            return Ok(None);
        }
        let main = if self.first.identity() == process {
            self.first.clone()
        } else {
            let adopted = Adopted::open(process)?.ok_or_else(|| io::Error::other("it has ended"))?;
            Main::Adopted(Arc::new(adopted))
        };
        self.tree.know(process);
        self.current.send_replace(main);
        Ok(Some(process.clone()))
    }

    /// Waits for the end of the main process, whichever it is then. `hearing` catches up
    /// with what was said before it: one that puts another in its place may end at once.
    pub(crate) async fn exited(&self, hearing: Option<&Hearing>) -> Exit {
        let mut changes = self.current.subscribe();
        loop {
            let main = changes.borrow_and_update().clone();
            let exit = tokio::select! {
                exit = main.exited() => exit,
                _ = changes.changed() => continue,
            };
            if let Some(hearing) = hearing {
                hearing.catch_up().await;
            }
            let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
            if *changes.borrow().identity() == *main.identity() {
                *over = true;
                return exit;
            }
        }
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.current.borrow().has_exited()
    }

    /// Lets go of all that were main processes, as far as they have ended.
    pub(crate) fn reap(&self) {
        self.current.borrow().reap();
        self.first.reap();
    }
}

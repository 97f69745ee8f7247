//! One run of a component.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle};

use crate::cgroup::Cage;
use crate::root::Main;
use crate::tree::Tree;

/// A run, begun by us or taken over.
pub(crate) struct Run {
    main: Main,
    tree: Arc<Tree>,
    cage: Arc<Cage>,
    log_offset: u64,
    exit: OnceCell<Exit>,
    gone: AtomicBool,
    /// Whether its cgroups have been removed.
    is_tidied: AtomicBool,
}

impl Run {
    pub(crate) fn new(main: Main, tree: Arc<Tree>, cage: Arc<Cage>, log_offset: u64) -> Self {
        Self {
            main,
            tree,
            cage,
            log_offset,
            exit: OnceCell::new(),
            gone: AtomicBool::new(false),
            is_tidied: AtomicBool::new(false),
        }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

#[async_trait]
impl RunHandle for Run {
    fn process(&self) -> ProcessIdentity {
        self.main.identity().clone()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    async fn exited(&self) -> Exit {
        let told = async {
            match self.main.exited().await {
                Exit::Signal(signal) if signal == "SIGKILL" && self.cage.has_killed_for_memory() => {
                    Exit::OomKilled
                }
                exit => exit,
            }
        };
        self.exit.get_or_init(|| told).await.clone()
    }

    fn is_alive(&self) -> bool {
        if self.is_gone() {
            return false;
        }
        // Where nothing can be found out, nothing is said to be gone.
        let alive = !self.main.has_exited() || self.tree.members().map_or(true, |left| !left.is_empty());
        // Its cgroups are not needed any more once they have told how it ended. Now, while no next run is
        // there: who hears that it is over may not wait for `gone`.
        if !alive && self.exit.initialized() && !self.is_tidied.swap(true, Ordering::AcqRel) {
            self.cage.remove();
        }
        alive
    }

    async fn gone(&self) {
        if self.is_gone() {
            return;
        }
        self.exited().await;
        self.tree.empty().await;
        self.gone.store(true, Ordering::Release);
        self.main.reap();
        if self.is_tidied.swap(true, Ordering::AcqRel) {
            return;
        }
        let cage = Arc::clone(&self.cage);
        // What cannot be removed now is removed by the next start.
        let _ = spawn_blocking(move || cage.remove()).await;
    }

    fn terminate(&self) -> io::Result<()> {
        if self.is_gone() { Ok(()) } else { self.tree.terminate() }
    }

    fn kill(&self) -> io::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        if !self.main.has_exited() {
            // From now on it is us.
            self.cage.forgive();
        }
        self.tree.kill()
    }

    fn survivors(&self) -> Vec<String> {
        if self.is_gone() { Vec::new() } else { self.tree.survivors() }
    }

    fn shortcomings(&self) -> Vec<String> {
        self.cage.shortcomings().to_vec()
    }
}

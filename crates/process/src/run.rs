//! One run of a component.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use vitald_core::restarter::{Exit, ProcessIdentity, RunHandle};

use crate::child::Child;
use crate::tree::Tree;

/// A run whose main process is a child of ours.
pub(crate) struct Run {
    child: Arc<Child>,
    tree: Arc<Tree>,
    log_offset: u64,
    gone: AtomicBool,
}

impl Run {
    pub(crate) fn new(child: Arc<Child>, tree: Arc<Tree>, log_offset: u64) -> Self {
        Self { child, tree, log_offset, gone: AtomicBool::new(false) }
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

#[async_trait]
impl RunHandle for Run {
    fn process(&self) -> ProcessIdentity {
        self.child.identity().clone()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    async fn exited(&self) -> Exit {
        self.child.exited().await
    }

    fn is_alive(&self) -> bool {
        if self.is_gone() {
            return false;
        }
        // Where nothing can be found out, nothing is said to be gone.
        !self.child.has_exited() || self.tree.members().map_or(true, |left| !left.is_empty())
    }

    async fn gone(&self) {
        if self.is_gone() {
            return;
        }
        self.child.exited().await;
        self.tree.empty().await;
        self.gone.store(true, Ordering::Release);
        self.child.reap();
    }

    fn terminate(&self) -> io::Result<()> {
        if self.is_gone() { Ok(()) } else { self.tree.terminate() }
    }

    fn kill(&self) -> io::Result<()> {
        if self.is_gone() { Ok(()) } else { self.tree.kill() }
    }

    fn survivors(&self) -> Vec<String> {
        if self.is_gone() { Vec::new() } else { self.tree.survivors() }
    }
}

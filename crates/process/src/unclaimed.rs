//! A process that has been started, and that nobody has taken charge of yet.

use std::io;
use std::sync::{Arc, Weak};

use crate::child::Child;
use crate::lock::LockFile;
use crate::spawn::Newborn;
use crate::tree::{Root, Tree};

/// A new process with its tree. Dropped before it is [claimed](Self::claim), it is killed as a whole, and
/// reaped in the background: whoever wanted it has gone away.
pub(crate) struct Unclaimed {
    child: Arc<Child>,
    tree: Arc<Tree>,
    claimed: bool,
    dying: Weak<()>,
}

impl Unclaimed {
    /// Takes over from the spawn. Must be called within a tokio runtime. Where it is killed, `dying` is held
    /// until nothing is left.
    pub(crate) fn new(
        newborn: Newborn,
        mark: Vec<String>,
        lock: Option<LockFile>,
        dying: Weak<()>,
    ) -> io::Result<Self> {
        let child = Arc::new(Child::new(newborn)?);
        let tree = Arc::new(Tree::new(Root::Child(Arc::clone(&child)), mark, lock));
        Ok(Self { child, tree, claimed: false, dying })
    }

    pub(crate) fn child(&self) -> &Child {
        &self.child
    }

    /// From now on somebody else looks after it.
    pub(crate) fn claim(mut self) -> (Arc<Child>, Arc<Tree>) {
        self.claimed = true;
        (Arc::clone(&self.child), Arc::clone(&self.tree))
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if self.claimed {
            return;
        }
        // There is nobody to tell if it fails; it is tried again while something is left.
        let _ = self.tree.kill();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (child, tree, dying) = (Arc::clone(&self.child), Arc::clone(&self.tree), self.dying.upgrade());
        runtime.spawn(async move {
            child.exited().await;
            tree.empty().await;
            child.reap();
            drop(dying);
        });
    }
}

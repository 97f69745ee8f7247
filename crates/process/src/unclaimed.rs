//! A process that has been started, and that nobody has taken charge of yet.

use std::io;
use std::sync::{Arc, Weak};

use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;

use crate::child::Child;
use crate::root::{Main, Root};
use crate::spawn::Newborn;
use crate::tree::{Tree, Whole};

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
    pub(crate) fn new(newborn: Newborn, whole: Whole, dying: Weak<()>) -> io::Result<Self> {
        let child = Arc::new(Child::new(newborn)?);
        let tree = Arc::new(Tree::new(Root::Main(Main::Child(Arc::clone(&child))), whole));
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
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // There is nobody to tell if it fails.
            let _ = self.tree.kill();
            return;
        };
        // A look at all processes would hold up the runtime. What is stopped goes no further meanwhile, and
        // keeps its children where they can be found.
        let _ = self.child.signal_group(Signal::SIGSTOP);
        let (child, tree, dying) = (Arc::clone(&self.child), Arc::clone(&self.tree), self.dying.upgrade());
        let doomed = Doomed(Arc::clone(&self.child));
        runtime.spawn(async move {
            let killed = Arc::clone(&tree);
            // What fails is tried again while something is left.
            let _ = spawn_blocking(move || (killed.kill(), drop(doomed))).await;
            child.exited().await;
            tree.empty().await;
            child.reap();
            drop(dying);
        });
    }
}

/// A group that is killed when this is dropped: also where the runtime ends before it gets to the rest.
struct Doomed(Arc<Child>);

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.signal_group(Signal::SIGKILL);
    }
}

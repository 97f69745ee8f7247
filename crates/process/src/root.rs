//! The process that a tree grows from.

use std::io;
use std::sync::Arc;

use nix::sys::signal::Signal;
use vitald_core::restarter::{Exit, ProcessIdentity};

use crate::adopted::Adopted;
use crate::child::Child;
use crate::procfs::{self, Stat};

/// What a tree grows from.
pub(crate) enum Root {
    /// A process that we watch: its group and session are its own until it is reaped.
    Main(Main),
    /// A process that is not watched, if one is known: its group and session are trusted while it is there.
    Stranger(Option<ProcessIdentity>),
}

/// The main process of a run, or of a command.
#[derive(Clone)]
pub(crate) enum Main {
    /// Started by us.
    Child(Arc<Child>),
    /// Started by an earlier supervisor.
    Adopted(Arc<Adopted>),
}

impl Main {
    pub(crate) fn identity(&self) -> &ProcessIdentity {
        match self {
            Self::Child(child) => child.identity(),
            Self::Adopted(adopted) => adopted.identity(),
        }
    }

    /// Waits for its end.
    pub(crate) async fn exited(&self) -> Exit {
        match self {
            Self::Child(child) => child.exited().await,
            Self::Adopted(adopted) => adopted.exited().await,
        }
    }

    pub(crate) fn has_exited(&self) -> bool {
        match self {
            Self::Child(child) => child.has_exited(),
            Self::Adopted(adopted) => adopted.has_exited(),
        }
    }

    /// Lets go of it, if it has ended.
    pub(crate) fn reap(&self) {
        match self {
            Self::Child(child) => drop(child.reap()),
            Self::Adopted(adopted) => adopted.reap(),
        }
    }

    /// Whether its pid, group and session are still its own.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Child(child) => !child.is_reaped(),
            Self::Adopted(adopted) => adopted.is_there(),
        }
    }
}

impl Root {
    /// Its pid, if one is known, whoever has it now.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Self::Main(main) => Some(main.identity().pid),
            Self::Stranger(identity) => identity.as_ref().map(|identity| identity.pid),
        }
    }

    /// Its pid, if nobody else can have it.
    pub(crate) fn leader(&self) -> Option<i32> {
        match self {
            Self::Main(main) => main.is_there().then_some(main.identity().pid),
            Self::Stranger(identity) => procfs::stat_of(identity.as_ref()?).map(|stat| stat.pid),
        }
    }

    /// When the first of the tree may have started, and whose pid is its own though it is waited for.
    pub(crate) fn oldest(&self) -> (u64, Option<i32>) {
        match self {
            Self::Main(main) => (main.identity().start_time, Some(main.identity().pid)),
            // What carries its mark may be of a run before the one that is known.
            Self::Stranger(_) => (0, None),
        }
    }

    /// Whether a signal to the group reaches this process.
    pub(crate) fn has_in_group(&self, process: &Stat) -> bool {
        matches!(self, Self::Main(main) if main.identity().pid == process.group && main.is_there())
    }

    /// Sends a signal to its group, if there still is one.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        match self {
            Self::Main(Main::Child(child)) => child.signal_group(signal),
            Self::Main(Main::Adopted(adopted)) => adopted.signal_group(signal),
            // Its group may pass to another any time: one by one, then.
            Self::Stranger(_) => Ok(()),
        }
    }
}

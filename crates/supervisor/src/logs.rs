//! Who keeps the components' logs, as far as a supervisor has to know: that somebody does, and ends in time.

use std::sync::{Mutex, PoisonError};

use vitald_core::lifecycle::Notice;
use vitald_core::spec::LogsSpec;

/// Keeps the logs of components until it is dropped, which may wait for a rotation under way.
pub trait LogKeeper: Send + Sync {
    /// Keeps a component's log like this from now on. It need not exist yet. Does not wait.
    fn keep(&self, component: &str, logs: &LogsSpec);

    /// Leaves a component's log alone from now on. Its files stay.
    fn forget(&self, component: &str);
}

/// Takes what people may want to know of a component's log; with an empty name, of all.
pub type TellOfLogs = Box<dyn FnMut(&str, &Notice) + Send>;

/// Begins to keep the logs of a state dir whose lock is held, none at first.
pub type LogKeeperFactory = Box<dyn FnOnce(TellOfLogs) -> Box<dyn LogKeeper> + Send>;

/// The keeper, until the end.
pub(crate) struct Logs(Mutex<Option<Box<dyn LogKeeper>>>);

impl Logs {
    pub(crate) fn new(keeper: Box<dyn LogKeeper>) -> Self {
        Self(Mutex::new(Some(keeper)))
    }

    pub(crate) fn keep(&self, component: &str, logs: &LogsSpec) {
        if let Some(keeper) = self.keeper().as_ref() {
            keeper.keep(component, logs);
        }
    }

    pub(crate) fn forget(&self, component: &str) {
        if let Some(keeper) = self.keeper().as_ref() {
            keeper.forget(component);
        }
    }

    /// Returns once nobody rotates anything any more, so that the next supervisor may.
    pub(crate) async fn end(&self) {
        let keeper = self.keeper().take();
        // Fails only when the runtime ends, and the keeper with it.
        let _ = tokio::task::spawn_blocking(move || drop(keeper)).await;
    }

    fn keeper(&self) -> std::sync::MutexGuard<'_, Option<Box<dyn LogKeeper>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

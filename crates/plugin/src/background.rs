//! The thread that all libraries are asked from: away from whoever asks, so that these may block or be blocked.

use std::io;
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::child;

/// Threads for libraries in this process that may block them.
const MOST_BLOCKING: usize = 64;
/// How long the processes of libraries are waited for at the end, and then what these have started.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// A runtime on a thread of its own. It ends with this, and all that runs on it is dropped.
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    id: ThreadId,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(MOST_BLOCKING)
            .thread_name("custom-probes")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("custom-probes".to_owned()).spawn(move || {
            // An error says that nobody is there to stop it any more: the same.
            let _ = runtime.block_on(stopped);
            // What blocks a thread of it is not waited for any longer than that.
            runtime.shutdown_timeout(LAST_WAIT);
        })?;
        let id = thread.thread().id();
        Ok(Self { handle, stop: Some(stop), thread: Some(thread), id })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take().filter(|_| std::thread::current().id() != self.id) {
            // It has panicked: there is nothing left to end.
            let _ = thread.join();
            child::wait_for_ends(LAST_WAIT);
        }
    }
}

//! The thread that all libraries are asked from: away from whoever asks, so that these may block or be blocked.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::child::Living;
use crate::strays;

/// Threads for libraries in this process that may block them.
const MOST_BLOCKING: usize = 64;
/// How long a library in this process that blocks a thread is waited for at the end.
const FOR_BLOCKED: Duration = Duration::from_millis(100);
/// How long the processes of libraries are waited for then: they are ended, and that takes no longer than it must.
const FOR_CHILDREN: Duration = Duration::from_secs(2);

/// A runtime on a thread of its own, from when it is needed first. It ends with this, and all that runs on it is
/// dropped; so do the processes of libraries that were started from it.
#[derive(Default)]
pub(crate) struct Background {
    running: Mutex<Option<Running>>,
    pub(crate) children: Arc<Living>,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Where to run something; starts the thread, if need be.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn handle(&self) -> io::Result<Handle> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match &*running {
            Some(running) => Ok(running.handle.clone()),
            None => Ok(running.insert(start()?).handle.clone()),
        }
    }
}

fn start() -> io::Result<Running> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MOST_BLOCKING)
        .thread_name("custom-probes")
        .build()?;
    let handle = runtime.handle().clone();
    handle.spawn(async {
        loop {
            tokio::time::sleep(strays::PERIOD).await;
            strays::reap();
        }
    });
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new().name("custom-probes".to_owned()).spawn(move || {
        // An error says that nobody is there to stop it any more: the same.
        let _ = runtime.block_on(stopped);
        runtime.shutdown_timeout(FOR_BLOCKED);
    })?;
    Ok(Running { handle, stop, thread })
}

impl Drop for Background {
    fn drop(&mut self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, thread, .. }) = running else { return };
        drop(stop);
        if std::thread::current().id() != thread.thread().id() {
            // It has panicked: there is nothing left to end.
            let _ = thread.join();
        }
        self.children.wait(FOR_CHILDREN);
    }
}

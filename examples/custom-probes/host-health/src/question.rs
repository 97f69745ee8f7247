//! What is asked of a file system blocks for as long as that is away, and cannot be taken back.

use std::io;

use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

/// A question that blocks its thread. There is never more than one under way, so that a file system that is away
/// for a day holds one thread, not one for each check.
pub(crate) struct Question<T>(Mutex<Option<JoinHandle<io::Result<T>>>>);

impl<T: Send + 'static> Question<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Asks; or waits for the answer to what an earlier check, which has been given up, asked.
    pub(crate) async fn ask(&self, ask: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let mut under_way = self.0.lock().await;
        // Nobody waited for that answer, and it is old.
        under_way.take_if(|earlier| earlier.is_finished());
        let answer = under_way.get_or_insert_with(|| spawn_blocking(ask)).await;
        *under_way = None;
        answer.unwrap_or_else(|err| Err(io::Error::other(err)))
    }
}

//! What a library was waited for in vain, so that nobody waits for it again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host_client::CallFailure;

/// Who has waited for this long has waited: less than any limit, more than a crash takes.
const LONG: Duration = Duration::from_secs(3);

/// Whether the process of a library has kept somebody waiting without an answer, and how that ended. It counts until
/// somebody begins anew.
#[derive(Default)]
pub(crate) struct Silence(Mutex<Option<String>>);

impl Silence {
    /// Asks, unless that was in vain before: `None` then.
    pub(crate) fn unless<T>(
        &self,
        ask: impl FnOnce() -> Result<T, CallFailure>,
    ) -> Option<Result<T, CallFailure>> {
        if self.held().is_some() {
            return None;
        }
        let since = Instant::now();
        let answer = ask();
        if let Err(CallFailure::Host(why)) = &answer
            && since.elapsed() >= LONG
        {
            *self.held() = Some(why.clone());
        }
        Some(answer)
    }

    /// How that ended.
    pub(crate) fn why(&self) -> String {
        self.held().clone().unwrap_or_default()
    }

    /// Who asks from now on waits again.
    pub(crate) fn end(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

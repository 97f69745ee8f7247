//! The library's own tokio: a library cannot use that of whoever loads it, since each has its own copy of tokio's
//! code and globals.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::panics::caught;

/// Threads that run checks. A check that blocks one of them leaves the other to the rest.
const WORKERS: usize = 2;

/// The runtime that checks run on. It begins with the first call, and never ends.
///
/// # Errors
/// It could not begin: no more threads or descriptors may be had. The next call tries again.
pub(crate) fn runtime() -> io::Result<Handle> {
    static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    // Tokio panics where a thread cannot be had.
    let begin =
        || Builder::new_multi_thread().worker_threads(WORKERS).thread_name("probe").enable_all().build();
    let begun = caught(begin).map_err(io::Error::other)??;
    Ok(runtime.insert(begun).handle().clone())
}

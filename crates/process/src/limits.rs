//! The limit on open files: ours is raised, a component gets back what we were given.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

static ORIGINAL: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises our own limit on open files to the most that is allowed, and remembers what it was: processes
/// started from now on get that. Calling it again does nothing. getrlimit(2).
///
/// # Errors
/// The limit cannot be read or set; nothing has changed then.
pub fn raise_open_files() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let (original_soft, _) = *ORIGINAL.get_or_init(|| (soft, hard));
    if original_soft == soft && soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Soft and hard limit for a process that is to be started; `None` where ours will do.
pub(crate) fn for_child(open_files: Option<u64>) -> Option<(u64, u64)> {
    open_files.map(|most| (most, most)).or_else(|| ORIGINAL.get().copied())
}

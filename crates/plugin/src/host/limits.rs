//! What the process of a library may use.

use std::io;

use rustix::process::{Resource, Rlimit};

/// Bytes of memory, as far as it can be written to.
const MEMORY: u64 = 512 * 1024 * 1024;
/// Open files.
const FILES: u64 = 256;
/// How much sooner than others it is ended where the machine's memory is used up, of 1000.
const FIRST_TO_GO: &str = "500";

/// Sets all limits: for good, where the system lets nobody raise them again.
///
/// # Errors
/// The system refuses.
pub(super) fn set() -> io::Result<()> {
    lower(Resource::Data, MEMORY)?;
    lower(Resource::Nofile, FILES)?;
    // What a crash leaves is of no use to anybody without the library's sources, and may hold secrets.
    lower(Resource::Core, 0)?;
    // Sandboxes may have no such file, and then no such choice.
    let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    Ok(())
}

/// Never raises what is lower already.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let least = |now: Option<u64>| Some(now.map_or(to, |now| now.min(to)));
    let limit = Rlimit { current: least(now.current), maximum: least(now.maximum) };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

//! What the process of a library has started, wherever it went: told by a variable that it inherits.
//!
//! A process group does not hold who leaves it, as daemons do.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal};

/// The variable. Its value is another one for each process that is started.
pub(crate) const MARK: &str = "VITALD_PROBE_HOST";

/// Who forks while it is looked for is found the next time.
const ROUNDS: usize = 5;

/// A value that no process has.
pub(crate) fn new_mark() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{}.{}.{since_epoch}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Ends all processes with this mark but this one, and says which they were. Those of other users are not seen.
pub(crate) fn end(mark: &str) -> Vec<Pid> {
    let variable = format!("{MARK}={mark}");
    let mut ended = Vec::new();
    for _ in 0..ROUNDS {
        let found = marked(variable.as_bytes()).unwrap_or_default();
        if found.is_empty() {
            break;
        }
        for pid in found {
            // It may just have ended.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            ended.push(pid);
        }
    }
    ended
}

/// Who has ended has no variables any more.
fn marked(variable: &[u8]) -> io::Result<Vec<Pid>> {
    let own = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
        if let Ok(variables) = std::fs::read(entry.path().join("environ"))
            && variables.split(|byte| *byte == 0).any(|is| is == variable)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

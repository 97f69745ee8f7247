//! The environments of processes: `/proc/PID/environ`.

use std::fs;
use std::thread;
use std::time::Duration;

use super::stat;

/// For a moment in execve(2), which may last on a busy machine, the old environment is gone and the new one
/// not yet there.
const EXEC_TRIES: u32 = 100;
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// What a variable is in the environment that a process was started with. `None` where it may not be read.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    value_in(environment(pid).split(|b| *b == 0), name)
}

/// What a variable is among these entries.
pub(crate) fn value_in<'a>(mut entries: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<String> {
    let value = |entry: &[u8]| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec());
    String::from_utf8(entries.find_map(value)?).ok()
}

/// The environment that a process was started with, each entry ended by a NUL. Empty where it may not be
/// read.
pub(crate) fn environment(pid: i32) -> Vec<u8> {
    let read = || fs::read(format!("/proc/{pid}/environ")).ok();
    let mut environment = read();
    for _ in 0..EXEC_TRIES {
        if environment.as_ref().is_none_or(|e| !e.is_empty()) || stat(pid).is_none_or(|s| !s.between_programs)
        {
            break;
        }
        thread::sleep(EXEC_PAUSE);
        environment = read();
    }
    environment.unwrap_or_default()
}

//! How much memory a process uses.

use std::fs;
use std::io;

/// Bytes of a process's memory that are in RAM, of what it shares with others its part (PSS); all of it (RSS) where
/// we may not know or the kernel does not tell: shared pages count more than once then. 0 once it has ended.
///
/// # Errors
/// It cannot be told.
pub fn memory(pid: i32) -> io::Result<u64> {
    if let Some(part) = field(&format!("/proc/{pid}/smaps_rollup"), "Pss:").ok().flatten() {
        return Ok(part);
    }
    match field(&format!("/proc/{pid}/status"), "VmRSS:") {
        Ok(all) => Ok(all.unwrap_or(0)),
        // ESRCH: it was reaped between open and read.
        Err(err) if err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ESRCH) => Ok(0),
        Err(err) => Err(err),
    }
}

/// Such as `VmRSS:     1234 kB`, in bytes.
fn field(path: &str, name: &str) -> io::Result<Option<u64>> {
    let text = fs::read_to_string(path)?;
    let number = |line: &str| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok();
    Ok(text.lines().find_map(number).map(|kilobytes| kilobytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::own_pid;

    #[test]
    fn what_is_taken_is_seen() {
        let before = memory(own_pid()).unwrap();
        let taken = std::hint::black_box(vec![b'x'; 64 << 20]);
        let with = memory(own_pid()).unwrap();
        assert!(with > before + (48 << 20), "{before}, then {with}");
        drop(taken);
    }

    #[test]
    fn a_zombie_uses_none() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !crate::procfs::stat(pid).is_some_and(|stat| stat.is_dead()) {
            assert!(std::time::Instant::now() < deadline, "`true` did not end");
            std::thread::yield_now();
        }
        assert_eq!(memory(pid).unwrap(), 0);
        child.wait().unwrap();
        assert_eq!(memory(pid).unwrap(), 0, "nor does one that is gone");
    }
}

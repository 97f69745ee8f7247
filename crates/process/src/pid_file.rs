//! Files in which others write down the pid of what they have started, and whether a process is what they mean.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// The first line of a pid file, without the blanks around it, and when the file was written.
///
/// # Errors
/// There is none, it cannot be read, or is no regular file.
pub fn read(path: &Path) -> io::Result<(String, SystemTime)> {
    const MOST: u64 = 4096;
    // Opening a FIFO waits for a writer, and opening a device may do things: hence the look beforehand, and
    // no waiting if the file is replaced in between.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut content = Vec::new();
    (&file).take(MOST).read_to_end(&mut content)?;
    let content = String::from_utf8_lossy(&content);
    let line = content.lines().next().unwrap_or_default().trim().to_owned();
    Ok((line, file.metadata()?.modified()?))
}

/// How long ago a process started, by its `start_time` in clock ticks since boot.
pub fn age(start_time: u64) -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
    now.saturating_sub(Duration::from_millis(
        start_time.saturating_mul(1000) / clock_ticks_per_second().max(1),
    ))
}

/// Whether a process goes by a name: that of its program file, of its first argument, or its `comm`, of which the
/// kernel keeps 15 bytes. The first two as far as one may see them.
pub fn is_named(pid: i32, comm: &str, wanted: &str) -> bool {
    let ends_in_it = |path: &str| path.rsplit('/').next() == Some(wanted);
    let has_program = |program: PathBuf| ends_in_it(program.to_string_lossy().trim_end_matches(" (deleted)"));
    if comm == String::from_utf8_lossy(&wanted.as_bytes()[..wanted.len().min(15)])
        || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(has_program)
    {
        return true;
    }
    // The last to be asked: it is read from the process's own memory, which may have to be waited for.
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    ends_in_it(&String::from_utf8_lossy(first))
}

//! Which process is meant.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use vitald_core::restarter::ProcessIdentity;
use vitald_core::spec::{ExternalSpec, FoundBy};
use vitald_core::wording::{excerpt, system_error};
use vitald_process::procfs::{self, Stat};

use crate::port;

/// File systems differ in the precision of their times.
const SLACK: Duration = Duration::from_secs(1);

/// Looks for the process that is meant. Blocks for a moment.
///
/// # Errors
/// Why there is none: in one sentence, without a full stop.
pub(crate) fn look(spec: &ExternalSpec) -> Result<ProcessIdentity, String> {
    match &spec.found_by {
        FoundBy::PidFile(path) => by_file(path, spec.process_name.as_deref()),
        FoundBy::Port(number) => by_port(*number, spec.process_name.as_deref()),
    }
}

fn by_file(path: &Path, name: Option<&str>) -> Result<ProcessIdentity, String> {
    let shown = path.display();
    let (content, written) = read(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => format!("there is no pid file {shown}"),
        _ => format!("pid file {shown} cannot be read: {}", system_error(&err)),
    })?;
    let line = content.lines().next().unwrap_or_default().trim();
    let pid = match line.parse::<i32>() {
        Ok(pid) if pid > 0 => pid,
        _ if line.is_empty() => return Err(format!("pid file {shown} is empty")),
        _ => return Err(format!("pid file {shown} holds no pid: `{}`", excerpt(line))),
    };
    let Some(process) = procfs::stat(pid).filter(|process| !process.is_dead()) else {
        return Err(format!("pid file {shown} is stale: there is no process {pid}"));
    };
    let file_age = SystemTime::now().duration_since(written).unwrap_or_default();
    if file_age > age(&process) + SLACK {
        let it = told(&process);
        return Err(format!("pid file {shown} is stale: process {it} started after it was written"));
    }
    check_name(&process, name)?;
    check_it_may_be_meant(&process, name)?;
    Ok(procfs::identity_of(&process))
}

fn by_port(number: u16, name: Option<&str>) -> Result<ProcessIdentity, String> {
    let owners = port::owners(number)?;
    let mut wrong = Err(format!("nobody listens on port {number}"));
    let fitting: Vec<&Stat> = owners
        .iter()
        .filter(|process| {
            match check_name(process, name).and_then(|()| check_it_may_be_meant(process, name)) {
                Ok(()) => true,
                Err(why) => {
                    wrong = Err(format!("on port {number}, {why}"));
                    false
                }
            }
        })
        .collect();
    // The children of a server listen on the socket that it has opened.
    let is_child = |process: &Stat| fitting.iter().any(|other| other.pid == process.ppid);
    let first = fitting.iter().filter(|process| !is_child(process));
    match first.min_by_key(|process| (process.start_time, process.pid)) {
        Some(process) => Ok(procfs::identity_of(process)),
        None => wrong,
    }
}

/// Checks that a process has the name that it must have: that of its program file, of its first argument, or its
/// `comm`.
pub(crate) fn check_name(process: &Stat, wanted: Option<&str>) -> Result<(), String> {
    let Some(wanted) = wanted else { return Ok(()) };
    let comm = String::from_utf8_lossy(&wanted.as_bytes()[..wanted.len().min(15)]).into_owned();
    match process.comm == comm || names(process.pid).iter().any(|name| name == wanted) {
        true => Ok(()),
        false => Err(format!("process {} is not `{wanted}`", told(process))),
    }
}

/// Checks that a process is not the system's first, unless that is asked for by its name: it opens the ports of
/// others, too, and a file with a `1` in it is a mistake. Nor vitald, which would end itself.
fn check_it_may_be_meant(process: &Stat, wanted: Option<&str>) -> Result<(), String> {
    match process.pid {
        1 if wanted.is_none() => Err(format!(
            "process {} is the first of the system, and counts only where processName says so",
            told(process)
        )),
        pid if pid == procfs::own_pid() => Err(format!("process {} is vitald itself", told(process))),
        _ => Ok(()),
    }
}

/// The names of its program file and of its first argument, as far as one may see them.
fn names(pid: i32) -> [String; 2] {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    let program = program.to_string_lossy();
    [program.trim_end_matches(" (deleted)"), &String::from_utf8_lossy(first)]
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
}

/// For people: `4242 (nginx)`.
pub(crate) fn told(process: &Stat) -> String {
    format!("{} ({})", process.pid, excerpt(&process.comm))
}

fn age(process: &Stat) -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
    now.saturating_sub(Duration::from_millis(process.start_time * 1000 / clock_ticks_per_second().max(1)))
}

/// A pid file's beginning, and when it was written.
fn read(path: &Path) -> io::Result<(String, SystemTime)> {
    const MOST: u64 = 4096;
    // Opening a FIFO waits for a writer: hence the look beforehand, and no waiting should it be replaced.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let mut content = Vec::new();
    (&file).take(MOST).read_to_end(&mut content)?;
    Ok((String::from_utf8_lossy(&content).into_owned(), file.metadata()?.modified()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pid: i32) -> Result<ProcessIdentity, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{pid}\n")).unwrap();
        by_file(file.path(), None)
    }

    #[test]
    fn neither_the_first_process_nor_vitald_is_taken_for_it() {
        let refused = written(1).unwrap_err();
        assert!(refused.contains("process 1 (") && refused.contains("processName"), "{refused}");
        let refused = written(procfs::own_pid()).unwrap_err();
        assert!(refused.contains("vitald itself"), "{refused}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = by_port(listener.local_addr().unwrap().port(), None).unwrap_err();
        assert!(refused.contains("vitald itself"), "{refused}");
    }
}

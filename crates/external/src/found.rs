//! Which process is meant.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use vitald_core::restarter::ProcessIdentity;
use vitald_core::spec::{ExternalSpec, FoundBy};
use vitald_core::wording::{excerpt, system_error};
use vitald_process::pid_file;
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
    let (line, written) = pid_file::read(path).map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => format!("there is no pid file {shown}"),
        _ => format!("pid file {shown} cannot be read: {}", system_error(&err)),
    })?;
    let pid = match line.parse::<i32>() {
        Ok(pid) if pid > 0 => pid,
        _ if line.is_empty() => return Err(format!("pid file {shown} is empty")),
        _ => return Err(format!("pid file {shown} holds no pid: `{}`", excerpt(&line))),
    };
    let Some(process) = procfs::stat(pid).filter(|process| !process.is_dead()) else {
        return Err(format!("pid file {shown} is stale: there is no process {pid}"));
    };
    let file_age = SystemTime::now().duration_since(written).unwrap_or_default();
    if file_age > pid_file::age(process.start_time) + SLACK {
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
    match pid_file::is_named(process.pid, &process.comm, wanted) {
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

/// For people: `4242 (nginx)`.
pub(crate) fn told(process: &Stat) -> String {
    format!("{} ({})", process.pid, excerpt(&process.comm))
}

#[cfg(test)]
mod tests {
    use std::fs;

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

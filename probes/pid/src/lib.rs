//! `pid`: healthy while the component's main process is alive, no zombie, and the one that was started.
//!
//! Pids are reused: a process counts only if it is the one that is meant. The supervisor's own are known
//! by their start time and boot; one that a pid file names must have started before the file was written.
//! Clocks can be set, so they alone never make a process fail: one that seems too young is `Unknown`, and
//! one that was taken for the right one stays it until it ends or the file changes.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::ProcessIdentity;
use vitald_core::wording::{excerpt, system_error};
use vitald_process::{pid_file, procfs};

/// Healthy while the component's main process is alive, no zombie, and the one that was started.
///
/// The end of a process is seen at once without any probe. This one is a part of others, such as `allOf`, or for
/// what others start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PidSpec {
    /// File whose first line is the pid to look at, relative to the component's working directory. For what
    /// others start; defaults to none: the component's main process.
    pub pid_file: Option<PathBuf>,
    /// Name that the process must have: that of its program file, its first argument, or its `comm`.
    /// Defaults to none: any name.
    #[schemars(length(min = 1))]
    pub process_name: Option<String>,
}

/// Looks at the process of a [`PidSpec`].
pub struct PidProbe {
    pid_file: Option<PathBuf>,
    process_name: Option<String>,
    /// What the last look at the pid file took for the right process.
    accepted: Mutex<Option<Named>>,
}

/// A pid file, and the process that has the pid in it.
#[derive(Clone, Copy, PartialEq)]
struct Named {
    written: SystemTime,
    pid: i32,
    /// In clock ticks since boot.
    start_time: u64,
}

/// Whether a process is the one that a pid file is about.
#[derive(Debug, PartialEq)]
enum Meant {
    Yes,
    No,
    Unclear,
}

impl Named {
    /// Judges by what was accepted last, and only where that says nothing by the clocks.
    fn is_meant(&self, accepted: Option<&Self>, seems_too_young: bool) -> Meant {
        match accepted {
            Some(accepted) if accepted == self => Meant::Yes,
            Some(accepted) if (accepted.written, accepted.pid) == (self.written, self.pid) => Meant::No,
            _ if seems_too_young => Meant::Unclear,
            _ => Meant::Yes,
        }
    }
}

impl ProbeKind for PidProbe {
    const KEY: &'static str = "pid";
    type Spec = PidSpec;

    fn build(spec: PidSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        if spec.pid_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(SpecError::new("must be a path").at("pidFile"));
        }
        if spec.process_name.as_ref().is_some_and(|name| name.is_empty() || name.contains('/')) {
            return Err(SpecError::new("must be a name without a directory").at("processName"));
        }
        let pid_file = spec.pid_file.map(|path| component.working_dir.join(path));
        Ok(Self { pid_file, process_name: spec.process_name, accepted: Mutex::new(None) })
    }
}

#[async_trait]
impl HealthProbe for PidProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let found = match (&self.pid_file, &cx.process()) {
            (Some(path), _) => self.named_by(path).await,
            (None, Some(process)) => same_as(process),
            (None, None) => return ProbeResult::unknown("nothing to look at: no process and no pidFile"),
        };
        match found.and_then(|process| self.check_name(&process)) {
            Ok(()) => ProbeResult::Success,
            Err(verdict) => verdict,
        }
    }
}

impl PidProbe {
    /// Finds the process whose pid is in a file, provided that the file is about that process.
    async fn named_by(&self, path: &Path) -> Result<Process, ProbeResult> {
        let shown = path.display();
        let owned = path.to_owned();
        let read = tokio::task::spawn_blocking(move || pid_file::read(&owned)).await;
        let (line, written) =
            read.map_err(io::Error::other).and_then(|read| read).map_err(|err| match err.kind() {
                io::ErrorKind::NotFound => ProbeResult::failure(format!("pid file {shown} does not exist")),
                _ => ProbeResult::unknown(format!("pid file {shown} cannot be read: {}", system_error(&err))),
            })?;
        let pid = match line.parse::<i32>() {
            Ok(pid) if pid > 0 => pid,
            _ if line.is_empty() => return Err(ProbeResult::failure(format!("pid file {shown} is empty"))),
            _ => {
                let found = excerpt(&line);
                return Err(ProbeResult::failure(format!("pid file {shown} holds no pid: `{found}`")));
            }
        };
        let process = living(pid)?;
        // A second of slack: file systems differ in the precision of their times.
        let file_age = SystemTime::now().duration_since(written).unwrap_or_default();
        let seems_too_young = file_age > pid_file::age(process.start_time) + Duration::from_secs(1);
        let named = Named { written, pid, start_time: process.start_time };
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        match named.is_meant(accepted.as_ref(), seems_too_young) {
            Meant::Yes => {
                *accepted = Some(named);
                Ok(process)
            }
            Meant::No => Err(ProbeResult::failure(format!(
                "pid file {shown} is stale: process {process} started after it was written"
            ))),
            Meant::Unclear => Err(ProbeResult::unknown(format!(
                "process {process} seems to have started after pid file {shown} was written: the file is \
                 stale, or the clock was set"
            ))),
        }
    }

    fn check_name(&self, process: &Process) -> Result<(), ProbeResult> {
        let Some(wanted) = &self.process_name else { return Ok(()) };
        match pid_file::is_named(process.pid, &process.comm, wanted) {
            true => Ok(()),
            false => Err(ProbeResult::failure(format!("process {process} is not `{wanted}`"))),
        }
    }
}

/// Finds the process that the supervisor started, and no other.
fn same_as(started: &ProcessIdentity) -> Result<Process, ProbeResult> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|err| {
        ProbeResult::unknown(format!("this boot's id cannot be read: {}", system_error(&err)))
    })?;
    if boot_id.trim() != started.boot_id {
        return Err(ProbeResult::failure(format!("process {} was started before this boot", started.pid)));
    }
    let process = living(started.pid)?;
    if process.start_time != started.start_time {
        return Err(ProbeResult::failure(format!(
            "process {} has ended: its pid now belongs to another one, {process}",
            started.pid
        )));
    }
    Ok(process)
}

/// A living process.
struct Process {
    pid: i32,
    comm: String,
    /// In clock ticks since boot.
    start_time: u64,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, excerpt(&self.comm))
    }
}

fn living(pid: i32) -> Result<Process, ProbeResult> {
    procfs::check_own()
        .map_err(|err| ProbeResult::unknown(format!("process {pid} cannot be looked at: {err}")))?;
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read(&path).map_err(|err| match Errno::from_io_error(&err) {
        Some(Errno::NOENT | Errno::SRCH) if is_hidden(pid) => {
            ProbeResult::unknown(format!("process {pid} is hidden from us: /proc is mounted with hidepid"))
        }
        Some(Errno::NOENT | Errno::SRCH) => ProbeResult::failure(format!("process {pid} does not exist")),
        _ => ProbeResult::unknown(format!("{path} cannot be read: {}", system_error(&err))),
    })?;
    let stat = Stat::parse(&String::from_utf8_lossy(&stat))
        .ok_or_else(|| ProbeResult::unknown(format!("{path} is not as proc(5) has it")))?;
    let process = Process { pid, comm: stat.comm, start_time: stat.start_time };
    if stat.ended {
        return Err(ProbeResult::failure(format!("process {process} has ended and is a zombie")));
    }
    Ok(process)
}

/// Whether there is a process that `/proc` does not show: another user's, whom we may not signal either.
fn is_hidden(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::PERM))
}

struct Stat {
    comm: String,
    ended: bool,
    start_time: u64,
}

impl Stat {
    /// Reads `/proc/PID/stat`, proc(5); `comm` may contain blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (comm, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        // Numbered as in proc(5), from 3 on.
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        // A main thread that has ended is a zombie as long as others run: the process is alive then.
        let zombie = matches!(field(3)?, "Z" | "X") && field(20)?.parse::<u32>().ok()? <= 1;
        Some(Self { comm: comm.to_owned(), ended: zombie, start_time: field(22)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Meant, Named, Stat};

    #[test]
    fn a_clock_that_was_set_fails_no_process() {
        let written = SystemTime::UNIX_EPOCH;
        let seen = Named { written, pid: 7, start_time: 100 };
        assert_eq!(seen.is_meant(None, false), Meant::Yes);
        assert_eq!(seen.is_meant(None, true), Meant::Unclear);
        assert_eq!(seen.is_meant(Some(&seen), true), Meant::Yes, "accepted before the clock was set");

        let pid_reused = Named { start_time: 200, ..seen };
        assert_eq!(pid_reused.is_meant(Some(&seen), false), Meant::No, "another process, the same file");
        let rewritten = Named { written: written + Duration::from_secs(5), ..pid_reused };
        assert_eq!(rewritten.is_meant(Some(&seen), false), Meant::Yes);
        assert_eq!(rewritten.is_meant(Some(&seen), true), Meant::Unclear);
    }

    fn stat(comm: &str, state: char, threads: u32) -> Option<(String, bool, u64)> {
        let line = format!("7 ({comm}) {state} 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 159784 0 0");
        Stat::parse(&line).map(|stat| (stat.comm, stat.ended, stat.start_time))
    }

    #[test]
    fn stat_is_read_as_proc_5_has_it() {
        assert_eq!(stat("a) R (b", 'S', 1), Some(("a) R (b".into(), false, 159_784)));
        assert_eq!(stat("sh", 'Z', 1), Some(("sh".into(), true, 159_784)));
        assert_eq!(stat("sh", 'Z', 2), Some(("sh".into(), false, 159_784)), "other threads run");
        assert!(Stat::parse("7 (sh) S 1").is_none());
    }
}

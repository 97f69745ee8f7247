//! `pid`: healthy while the component's main process is alive, no zombie, and the one that was started.
//!
//! Pids are reused: a process counts only if it is the one that is meant. The supervisor's own are known
//! by their start time and boot; one that a pid file names must have started before the file was written.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::Deserialize;
use vitald_core::async_trait;
use vitald_core::probe::{CheckContext, ComponentContext, HealthProbe, ProbeKind, ProbeResult, SpecError};
use vitald_core::restarter::ProcessIdentity;
use vitald_core::wording::{excerpt, system_error};

/// Healthy while the component's main process is alive, no zombie, and the one that was started.
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
        Ok(Self { pid_file, process_name: spec.process_name })
    }
}

#[async_trait]
impl HealthProbe for PidProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let found = match (&self.pid_file, &cx.process) {
            (Some(path), _) => named_by(path),
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
    fn check_name(&self, process: &Process) -> Result<(), ProbeResult> {
        let Some(wanted) = &self.process_name else { return Ok(()) };
        if process.names().iter().any(|name| name == wanted) || process.comm == comm_of(wanted) {
            return Ok(());
        }
        Err(ProbeResult::failure(format!("process {process} is not `{wanted}`")))
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

/// Finds the process whose pid is in a file, provided that the file is about that process.
fn named_by(path: &Path) -> Result<Process, ProbeResult> {
    let shown = path.display();
    let unreadable = |err: io::Error| match err.kind() {
        io::ErrorKind::NotFound => ProbeResult::failure(format!("pid file {shown} does not exist")),
        _ => ProbeResult::unknown(format!("pid file {shown} cannot be read: {}", system_error(&err))),
    };
    let content = fs::read(path).map_err(unreadable)?;
    let written = fs::metadata(path).and_then(|file| file.modified()).map_err(unreadable)?;
    let content = String::from_utf8_lossy(&content);
    let line = content.lines().next().unwrap_or_default().trim();
    let pid = match line.parse::<i32>() {
        Ok(pid) if pid > 0 => pid,
        _ if line.is_empty() => return Err(ProbeResult::failure(format!("pid file {shown} is empty"))),
        _ => {
            let found = excerpt(line);
            return Err(ProbeResult::failure(format!("pid file {shown} holds no pid: `{found}`")));
        }
    };
    let process = living(pid)?;
    // A second of slack: file systems differ in the precision of their times.
    let file_age = SystemTime::now().duration_since(written).unwrap_or_default();
    if file_age > process.age() + Duration::from_secs(1) {
        return Err(ProbeResult::failure(format!(
            "pid file {shown} is stale: process {process} started after it was written"
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

impl Process {
    fn age(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let ticks_per_second = clock_ticks_per_second().max(1);
        now.saturating_sub(Duration::from_millis(self.start_time * 1000 / ticks_per_second))
    }

    /// The names of its program file and of its first argument, as far as one may see them.
    fn names(&self) -> Vec<String> {
        let program = fs::read_link(format!("/proc/{}/exe", self.pid)).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = program.to_string_lossy();
        [program.trim_end_matches(" (deleted)"), &String::from_utf8_lossy(first)]
            .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
            .to_vec()
    }
}

/// What the kernel keeps of a name in `comm`: 15 bytes.
fn comm_of(name: &str) -> String {
    String::from_utf8_lossy(&name.as_bytes()[..name.len().min(15)]).into_owned()
}

fn living(pid: i32) -> Result<Process, ProbeResult> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read(&path).map_err(|err| match Errno::from_io_error(&err) {
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
    use super::Stat;

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

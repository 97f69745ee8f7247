//! What `/proc` tells about processes: proc(5).

mod environ;
mod locks;
mod memory;
mod own;

use std::fs;
use std::io::{self, Read};
use std::sync::OnceLock;

use nix::unistd::{getegid, geteuid};
use vitald_core::restarter::ProcessIdentity;

pub(crate) use environ::{environment, value_in, variable};
pub use locks::holds_lock;
pub(crate) use locks::locked_files;
pub use memory::memory;
pub use own::check_own;

/// A line of `/proc/PID/stat`, as far as it is of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: i32,
    /// Its name, of at most 15 bytes; may hold spaces and parentheses.
    pub comm: String,
    /// `R`, `S`, `D`, `Z` …
    pub state: char,
    /// Its parent, or who took it over.
    pub ppid: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// How many threads it has.
    pub threads: i64,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// How it ended, as wait(2) would tell; of use only once it [is dead](Self::is_dead), and 0, too, where
    /// we are not permitted to know.
    pub(crate) wait_status: i32,
    /// Where its program, its stack, its heap and its environment lie: another program's lie elsewhere. All 0
    /// where its environment may not be read.
    pub(crate) memory: [u64; 5],
    /// Whether it is in the midst of execve(2), and has no environment for the moment. Not to be told where
    /// its environment may not be read.
    pub between_programs: bool,
}

/// A kernel thread, among the flags of a process: `include/linux/sched.h`.
const PF_KTHREAD: u64 = 0x0020_0000;

impl Stat {
    /// Whether it has ended and only waits to be reaped.
    ///
    /// A process whose first thread has ended shows as `Z`, too, while its other threads live on.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'X' | 'x') || (self.state == 'Z' && self.threads <= 1)
    }

    /// For people: `4242 (sleep, state D)`.
    pub fn describe(&self) -> String {
        format!("{} ({}, state {})", self.pid, self.comm, self.state)
    }
}

/// Reads `/proc/PID/stat`. `None` if there is no such process, or it cannot be read.
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(pid).ok().flatten()
}

/// `None` if there is no such process, which is not the same as being out of descriptors, or as looking at the
/// processes of [another namespace](check_own).
pub(crate) fn read_stat(pid: i32) -> io::Result<Option<Stat>> {
    check_own()?;
    match read_line(&format!("/proc/{pid}/stat")) {
        Ok(line) => Ok(parse_stat(&line)),
        // ESRCH: it was reaped between open and read.
        Err(err) if err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ESRCH) => {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// By as few calls as can be: this is read most of all.
fn read_line(path: &str) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(2048);
    fs::File::open(path)?.read_to_end(&mut line)?;
    Ok(line)
}

fn parse_stat(line: &[u8]) -> Option<Stat> {
    // The name is the only field that may hold anything at all, so count from its last parenthesis.
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    let rest: Vec<&str> =
        std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    // `rest` begins with field 3.
    let field = |number: usize| rest.get(number - 3).copied();
    Some(Stat {
        pid,
        comm,
        state: field(3)?.chars().next()?,
        ppid: field(4)?.parse().ok()?,
        group: field(5)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        threads: field(20)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
        wait_status: field(52).and_then(|status| status.parse().ok()).unwrap_or(0),
        memory: [26, 28, 47, 50, 51]
            .map(|number| field(number).and_then(|address| address.parse().ok()).unwrap_or(0)),
        between_programs: field(51) == Some("0")
            && field(9)?.parse::<u64>().ok()? & PF_KTHREAD == 0
            && field(3) != Some("Z"),
    })
}

/// Whether we are permitted to know how a zombie ended: whether its ids are ours, or we may look into any
/// process, as ptrace(2) has it. For want of permission, `/proc/PID/stat` shows 0.
pub(crate) fn may_know_end(pid: i32) -> bool {
    // That it has no memory any more makes this file root's; the permission asked for is the same.
    if fs::read(format!("/proc/{pid}/io")).is_ok() {
        return true;
    }
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let all_are = |name: &str, own: u32| {
        let ids = status.lines().find_map(|line| line.strip_prefix(name));
        ids.is_some_and(|ids| ids.split_ascii_whitespace().take(3).all(|id| id.parse() == Ok(own)))
    };
    all_are("Uid:", geteuid().as_raw()) && all_are("Gid:", getegid().as_raw())
}

/// All processes that can be seen, those that end while this looks left out.
///
/// # Errors
/// `/proc` cannot be read, or is not [ours](check_own).
pub fn processes() -> io::Result<Vec<Stat>> {
    let mut all = Vec::new();
    each_process(|process| all.push(process))?;
    Ok(all)
}

/// As [`processes`], one by one.
pub(crate) fn each_process(mut see: impl FnMut(Stat)) -> io::Result<()> {
    check_own()?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) {
            match read_stat(pid) {
                Ok(found) => found.into_iter().for_each(&mut see),
                // One that is not to be seen, by hidepid or a security module, hides no other.
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {}
                Err(err) => return Err(err),
            }
        }
    }
    Ok(())
}

/// Our own children, those that fell to us as subreaper included. One that ends while this looks may be
/// missed.
///
/// # Errors
/// `/proc` cannot be read, or is not [ours](check_own).
pub fn own_children() -> io::Result<Vec<i32>> {
    check_own()?;
    let own = std::process::id();
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{own}/task"))? {
        // Missing on kernels without CONFIG_PROC_CHILDREN, and once a thread has ended.
        match fs::read_to_string(task?.path().join("children")) {
            Ok(list) => children.extend(list.split_ascii_whitespace().filter_map(|p| p.parse::<i32>().ok())),
            Err(_) => return own_children_by_parent(),
        }
    }
    Ok(children)
}

fn own_children_by_parent() -> io::Result<Vec<i32>> {
    let own = own_pid();
    Ok(processes()?.into_iter().filter(|p| p.ppid == own).map(|p| p.pid).collect())
}

/// Our own pid, as `/proc` has it.
pub fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

/// This boot: `/proc/sys/kernel/random/boot_id`. Empty where the kernel does not tell.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    })
}

/// The identity of a process. `None` if there is none of this pid.
pub fn identity(pid: i32) -> Option<ProcessIdentity> {
    stat(pid).map(|stat| identity_of(&stat))
}

/// The identity of a process that was seen in this boot.
pub fn identity_of(stat: &Stat) -> ProcessIdentity {
    ProcessIdentity { pid: stat.pid, start_time: stat.start_time, boot_id: boot_id().to_owned() }
}

/// Whether this very process is alive: not ended, and its pid not passed on to another.
pub fn is_same(process: &ProcessIdentity) -> bool {
    stat_of(process).is_some_and(|stat| !stat.is_dead())
}

/// The process of this identity, be it alive or a zombie.
pub fn stat_of(process: &ProcessIdentity) -> Option<Stat> {
    if process.boot_id != boot_id() {
        return None;
    }
    stat(process.pid).filter(|stat| stat.start_time == process.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_is_read() {
        let line =
            b"42 (a) b (c) S 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 123456 1 2 18446744073709551615\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.pid, stat.comm.as_str(), stat.state), (42, "a) b (c", 'S'));
        assert_eq!((stat.ppid, stat.group, stat.session), (7, 40, 39));
        assert_eq!((stat.threads, stat.start_time), (3, 123_456));
    }

    #[test]
    fn a_process_is_not_dead_while_one_of_its_threads_lives() {
        let with_threads = |count: i64| {
            let line = format!("42 (x) Z 7 40 39 0 -1 0 1 2 3 4 5 6 7 8 20 0 {count} 0 123456 1 2");
            parse_stat(line.as_bytes()).unwrap().is_dead()
        };
        assert!(with_threads(1));
        assert!(!with_threads(2));
    }

    #[test]
    fn rubbish_is_no_process() {
        for line in [&b""[..], b"42", b"42 (x", b"42 (x) S 1", b") S ("] {
            assert_eq!(parse_stat(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn we_are_ourselves_and_not_one_started_earlier() {
        let me = identity(own_pid()).unwrap();
        assert!(is_same(&me));
        assert!(!is_same(&ProcessIdentity { start_time: me.start_time - 1, ..me.clone() }));
        assert!(!is_same(&ProcessIdentity { boot_id: "another boot".into(), ..me }));
    }

    #[test]
    fn a_zombie_is_not_the_process_any_more() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !stat(pid).unwrap().is_dead() {
            assert!(std::time::Instant::now() < deadline, "`true` did not end: {:?}", stat(pid));
            std::thread::yield_now();
        }
        assert!(!is_same(&identity(pid).unwrap()));
        child.wait().unwrap();
        assert_eq!(identity(pid), None);
    }
}

//! Processes, as `/proc` shows them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::eventually;

/// A process by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid(pub i32);

impl Pid {
    /// Whether it lives; a zombie does not.
    pub fn exists(self) -> bool {
        self.stat().is_some_and(|stat| stat.state != 'Z')
    }

    /// SIGKILL.
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal; to a process that is gone, it does nothing.
    pub fn signal(self, signal: Signal) {
        let _ = kill(nix::unistd::Pid::from_raw(self.0), signal);
    }

    /// Panics unless it is gone soon.
    #[track_caller]
    pub fn wait_gone(self, within: Duration) {
        let what = format!("the end of process {}: {}", self.0, self.command());
        eventually(&what, within, || (!self.exists()).then_some(()), || format!("{:?}", self.stat()));
    }

    /// The command line, for people.
    pub fn command(self) -> String {
        fs::read(format!("/proc/{}/cmdline", self.0))
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned())
            .unwrap_or_default()
    }

    /// `S` sleeping, `T` stopped by a signal, and so on; `-` when there is none.
    pub fn state(self) -> char {
        self.stat().map_or('-', |stat| stat.state)
    }

    /// Who started it, or took it over.
    pub fn parent(self) -> Option<Pid> {
        self.stat().map(|stat| Pid(stat.parent))
    }

    /// Seconds of processor time so far.
    pub fn cpu_seconds(self) -> f64 {
        self.stat().map_or(0.0, |stat| stat.ticks as f64 / 100.0)
    }

    /// The folder of its cgroup of version 2, if the machine has any and it is not the root.
    pub fn cgroup(self) -> Option<PathBuf> {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.0)).ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.find(|words| words.get(2) == Some(&"cgroup2"))?[1].to_owned();
        (!path.is_empty()).then(|| Path::new(&mount).join(path))
    }

    /// The same, if it is one that vitald makes for components.
    pub fn cgroup_of_a_component(self) -> Option<PathBuf> {
        self.cgroup().filter(|dir| dir.parent().is_some_and(|above| above.ends_with("vitald")))
    }

    /// All that descends from it and is alive.
    pub fn descendants(self) -> Vec<Pid> {
        let all: Vec<(Pid, i32)> =
            Self::all().into_iter().filter_map(|pid| Some((pid, pid.stat()?.parent))).collect();
        let mut found = vec![self];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            found.extend(all.iter().filter(|(_, of)| *of == parent.0).map(|(pid, _)| *pid));
            next += 1;
        }
        found.into_iter().skip(1).filter(|pid| pid.exists()).collect()
    }

    /// Every live process that has this text in its environment or its arguments: a test's folder marks all
    /// that the test started, however it has run away since.
    pub fn marked(text: &str) -> Vec<Pid> {
        let has_it = |pid: &Pid| {
            ["environ", "cmdline"].iter().any(|file| {
                fs::read(format!("/proc/{}/{file}", pid.0))
                    .is_ok_and(|words| words.windows(text.len()).any(|window| window == text.as_bytes()))
            })
        };
        Self::all().into_iter().filter(has_it).filter(|pid| pid.exists()).collect()
    }

    fn all() -> Vec<Pid> {
        let entries = fs::read_dir("/proc").expect("/proc is mounted");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid)).collect()
    }

    fn stat(self) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
        // `utime` and `stime` are fields 14 and 15 of proc_pid_stat(5); these were 3 and 4.
        let ticks = fields.skip(9).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some(Stat { state, parent, ticks })
    }
}

#[derive(Debug)]
struct Stat {
    state: char,
    parent: i32,
    ticks: u64,
}

//! A run to check, as a test would have it.

use std::fs;
use std::io;

use async_trait::async_trait;
use vitald_core::notify::{Heard, Notified};
use vitald_core::restarter::{ProcessIdentity, RunView};

/// A run of which is told what a test says.
#[derive(Debug, Clone)]
pub struct Run {
    process: ProcessIdentity,
    log_offset: u64,
    pids: Vec<i32>,
    memory: Option<u64>,
    heard: Option<Heard>,
    container: Option<String>,
}

impl Run {
    /// A run with this main process and no other, such as `Run::of(std::process::id())`. Nothing else is known of it.
    /// The process need not be there.
    pub fn of(pid: u32) -> Self {
        let pid = i32::try_from(pid).unwrap_or(i32::MAX);
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let process = ProcessIdentity {
            pid,
            start_time: start_time(pid).unwrap_or_default(),
            boot_id: boot_id.trim().to_owned(),
        };
        Self { process, log_offset: 0, pids: vec![pid], memory: None, heard: None, container: None }
    }

    /// Where its output begins in the component's log, in bytes.
    pub fn log_offset(mut self, offset: u64) -> Self {
        self.log_offset = offset;
        self
    }

    /// All its processes.
    pub fn pids(mut self, pids: impl IntoIterator<Item = i32>) -> Self {
        self.pids = pids.into_iter().collect();
        self
    }

    /// Bytes of memory that they use together.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// It has told this of itself, just now, on the socket that it was given.
    pub fn heard(mut self, notified: Notified) -> Self {
        self.heard = Some(Heard {
            notified,
            silent: std::time::Duration::ZERO,
            has_more_time: false,
            missed: false,
            passed_over: None,
        });
        self
    }

    /// It is this container.
    pub fn container(mut self, id: impl Into<String>) -> Self {
        self.container = Some(id.into());
        self
    }
}

/// Field 22 of `/proc/PID/stat`, behind the name, which may hold anything.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

#[async_trait]
impl RunView for Run {
    fn process(&self) -> ProcessIdentity {
        self.process.clone()
    }

    fn log_offset(&self) -> u64 {
        self.log_offset
    }

    async fn pids(&self) -> io::Result<Vec<i32>> {
        Ok(self.pids.clone())
    }

    async fn memory(&self) -> io::Result<u64> {
        self.memory.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    async fn heard(&self) -> Result<Heard, String> {
        self.heard.clone().ok_or_else(|| "it is given no socket to tell on".to_owned())
    }

    fn container(&self) -> Option<String> {
        self.container.clone()
    }
}

//! What the process of a library may use.

use std::ffi::{OsStr, OsString};
use std::io;

use rustix::process::{Resource, Rlimit};

/// How much sooner than others it is ended where the machine's memory is used up, of 1000.
const FIRST_TO_GO: &str = "500";

const MEMORY: &str = "--memory=";
const OPEN_FILES: &str = "--open-files=";

/// What the process of a library may use, as far as the system allows as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, as far as it can be written to.
    pub memory: u64,
    /// Open files.
    pub open_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 512 * 1024 * 1024, open_files: 256 }
    }
}

impl Limits {
    /// What of it the system allows: never more than is allowed to us.
    pub fn allowed(self) -> Self {
        Self {
            memory: allowed(Resource::Data, self.memory),
            open_files: allowed(Resource::Nofile, self.open_files),
        }
    }

    /// As the process is told: nothing of what is so by default.
    pub(crate) fn args(self) -> impl Iterator<Item = OsString> {
        let usual = Self::default();
        let memory = (self.memory != usual.memory).then(|| format!("{MEMORY}{}", self.memory).into());
        let files =
            (self.open_files != usual.open_files).then(|| format!("{OPEN_FILES}{}", self.open_files).into());
        memory.into_iter().chain(files)
    }

    /// Takes what the process is told; `false` if it is something else.
    pub(super) fn take(&mut self, arg: &OsStr) -> bool {
        let number = |name: &str| arg.to_str()?.strip_prefix(name)?.parse().ok();
        if let Some(memory) = number(MEMORY) {
            self.memory = memory;
        } else if let Some(files) = number(OPEN_FILES) {
            self.open_files = files;
        } else {
            return false;
        }
        true
    }

    /// Sets them for this process: for good, where the system lets nobody raise them again.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn set(self) -> io::Result<()> {
        limit(Resource::Data, self.memory)?;
        limit(Resource::Nofile, self.open_files)?;
        // What a crash leaves is of no use to anybody without the library's sources, and may hold secrets.
        limit(Resource::Core, 0)?;
        // Sandboxes may have no such file, and then no such choice.
        let _ = std::fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
        Ok(())
    }
}

fn allowed(resource: Resource, wanted: u64) -> u64 {
    rustix::process::getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted))
}

fn limit(resource: Resource, to: u64) -> io::Result<()> {
    let limit = Some(allowed(resource, to));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for limits in [
            Limits::default(),
            Limits { memory: 1 << 30, ..Limits::default() },
            Limits { memory: 1 << 40, open_files: 4096 },
        ] {
            let mut understood = Limits::default();
            assert!(limits.args().all(|arg| understood.take(&arg)));
            assert_eq!(understood, limits);
        }
        assert_eq!(Limits::default().args().count(), 0);
        assert!(!Limits::default().take("/plugins/--memory=1".as_ref()));
    }
}

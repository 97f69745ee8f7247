//! Waiting for logs to grow, for nobody to read them any more, and for the end of who writes them.

use std::fs::File;
use std::io::{self, PipeReader};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use vitald_log::FolderWatch;
use vitald_supervisor::StateDir;

use crate::known;

/// How often to look whether anything still runs that a dead supervisor left: nothing tells when it ends.
const LOOK: Duration = Duration::from_secs(1);

/// Wakes whoever follows the logs of a state dir. Asleep while nothing happens.
pub(crate) struct LogWatch {
    state_dir: StateDir,
    folder: FolderWatch,
    /// Hangs up when the supervisor's lock is free.
    supervisor: Option<PipeReader>,
    looked: Option<Instant>,
}

impl LogWatch {
    /// Make it before reading: what is written meanwhile is not missed then.
    pub(crate) fn new(state_dir: &StateDir) -> Self {
        let folder = FolderWatch::new(&state_dir.path().join("logs"));
        let supervisor = when_free(state_dir);
        Self { state_dir: state_dir.clone(), folder, supervisor, looked: None }
    }

    /// Whether nothing runs that might write, and nobody who would start it: what is there by now is all.
    pub(crate) fn is_over(&mut self) -> bool {
        if self.supervisor.as_ref().is_some_and(|held| !has_hung_up(held)) {
            return false;
        }
        self.supervisor = None;
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return false;
        }
        self.looked = Some(Instant::now());
        if self.state_dir.holder().is_some() {
            self.supervisor = when_free(&self.state_dir);
            return false;
        }
        known::left_running(&self.state_dir) == 0
    }

    /// Waits until something may have happened. Blocks: whoever follows logs does nothing else.
    pub(crate) fn wait(&self) {
        let stdout = io::stdout();
        // Nothing is asked of it: that nobody reads it is told unasked.
        let mut others = vec![PollFd::new(&stdout, PollFlags::empty())];
        others.extend(self.supervisor.iter().map(|held| PollFd::new(held, PollFlags::empty())));
        let at_most = if self.supervisor.is_some() { None } else { Some(LOOK) };
        self.folder.wait_beside(&others, at_most);
    }
}

/// A pipe that hangs up when nobody holds the supervisor's lock. `None` if it cannot be had.
fn when_free(state_dir: &StateDir) -> Option<PipeReader> {
    let lock = File::open(state_dir.lock_file()).ok()?;
    let (held, hang_up) = io::pipe().ok()?;
    let wait = move || {
        // Had for a moment: who wants it has the patience. What goes wrong here is seen by who looks then.
        let _ = lock.lock_shared();
        drop(lock);
        drop(hang_up);
    };
    // Ends with this process at the latest.
    std::thread::Builder::new().name("lock".into()).spawn(wait).ok()?;
    Some(held)
}

fn has_hung_up(pipe: &PipeReader) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    rustix::event::poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_wakes_for_what_is_written_and_for_the_end() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        let lock = dir.lock().unwrap();
        let mut watch = LogWatch::new(&dir);
        assert!(!watch.is_over());
        let (mut log, _) = vitald_log::append(&dir.log("web")).unwrap();
        log.write_all(b"one\n").unwrap();
        watch.wait();
        assert!(!watch.is_over());

        let end = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
        });
        while !watch.is_over() {
            watch.wait();
        }
        end.join().unwrap();
        // Somebody else has it now: it goes on.
        let _lock = dir.lock().unwrap();
        watch.looked = None;
        assert!(!watch.is_over());
        assert!(watch.supervisor.is_some());
    }
}

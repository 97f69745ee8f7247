//! The threads that a supervisor cannot do without.
//!
//! Its runtime panics where the system refuses it a thread and there is no other that could do the work: an end would be
//! lost, and the supervisor itself might never end. So whether it can begin at all is found out before it does, and one
//! thread is always kept, since a component that starts too many processes takes ours, too.

use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::exit::Failure;

/// What is begun at once: the runtime's two, that of the logs, that of the account, and some for what blocks.
const AT_FIRST: usize = 8;

/// For how long the runtime keeps a thread that is idle, one of those that do what blocks.
pub(crate) const KEPT: Duration = Duration::from_secs(60 * 60);
/// How often one of them is given something to do, so that there is always one. So seldom that it costs nothing.
const BEAT: Duration = Duration::from_secs(20 * 60);

/// Whether the system lets a supervisor have the threads that it needs at first. To be asked before any are begun.
///
/// # Errors
/// It does not, as when its memory or the number of its processes is limited.
pub(crate) fn are_allowed() -> Result<(), Failure> {
    begin_together(AT_FIRST).map_err(|err| {
        Failure::not(format!(
            "the system does not allow the threads that a supervisor needs: {err}; look at its limits on processes \
             (`ulimit -u`, pids.max of its cgroup) and memory (`ulimit -v`, `ulimit -d`)"
        ))
    })
}

fn begin_together(number: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // None ends before all have begun.
        let _closed = gate.lock();
        (0..number).try_for_each(|_| {
            thread::Builder::new().spawn_scoped(scope, || drop(gate.lock()))?;
            Ok(())
        })
    })
}

/// Keeps, from now on, one of the threads that do what blocks: where no more are allowed, what they all had to do waits
/// for this one. Must be called within a tokio runtime whose threads are [`KEPT`].
pub(crate) fn keep_one() {
    tokio::spawn(async {
        // Ends with the runtime.
        while spawn_blocking(|| ()).await.is_ok() {
            tokio::time::sleep(BEAT).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_tried_do_not_wait_for_ever() {
        begin_together(50).unwrap();
    }
}

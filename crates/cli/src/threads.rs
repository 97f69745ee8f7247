//! The threads that a supervisor cannot do without.
//!
//! Its runtime panics where the system refuses it a thread that it needs, and may then never end. So whether it can
//! begin at all is found out before it does.

use std::io;
use std::sync::Mutex;
use std::thread;

use crate::exit::Failure;

/// What is begun at once: the runtime's two, that of the logs, that of the account, and some for what blocks.
const AT_FIRST: usize = 8;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_tried_do_not_wait_for_ever() {
        begin_together(50).unwrap();
    }
}

//! The end of a library's process: with its supervisor, and with all that it has started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::offspring;

/// Seconds after which it ends, however far it has come.
const AT_LAST: u32 = 2;
/// Enough for a thread that waits, and then looks through `/proc`.
const STACK: usize = 256 * 1024;

/// Waits, on a thread of its own, for the supervisor to go away. That thread needs nothing that the library could have
/// broken: no lock, no memory.
///
/// # Errors
/// The system has no thread for it.
pub(super) fn watch(socket: &UnixStream) -> io::Result<()> {
    // One that somebody has stopped could not see it.
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    let socket = OwnedFd::from(socket.try_clone()?);
    let wait = move || {
        let mut polled = [PollFd::new(&socket, PollFlags::RDHUP)];
        while !matches!(rustix::event::poll(&mut polled, None), Ok(1..)) {}
        now()
    };
    std::thread::Builder::new().name("supervisor".to_owned()).stack_size(STACK).spawn(wait)?;
    Ok(())
}

/// Ends now: nothing of the library is run any more, and none of its threads is waited for.
pub(super) fn now() -> ! {
    // What follows allocates, and a library may have broken that.
    nix::unistd::alarm::set(AT_LAST);
    if let Ok(mark) = std::env::var(offspring::MARK) {
        offspring::end(&mark);
    }
    // The group that it leads, and not the one that it may have joined.
    let own = rustix::process::getpid();
    loop {
        let _ = rustix::process::kill_process_group(own, Signal::KILL);
        let _ = rustix::process::kill_process(own, Signal::KILL);
    }
}

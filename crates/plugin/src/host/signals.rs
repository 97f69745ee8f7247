//! What happens to the process of a library when it does to memory what it must not.
#![allow(unsafe_code)]

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Lets the system end the process at the first fault, also at one that somebody sends.
///
/// Rust's own handler looks whether the stack of a thread has overflowed, and goes on otherwise so that the fault comes
/// again. It knows no threads of libraries, and a signal that was sent does not come again.
///
/// # Errors
/// The system refuses.
pub(super) fn restore() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: no handler of ours is put there, only the system's own way restored.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(())
}

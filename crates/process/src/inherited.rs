//! What whoever started this process has done to its signals, and they have left to it: signal(7).
#![allow(unsafe_code)]

use std::sync::Once;

use nix::sys::signal::SigSet;

/// Sets right what of signals is inherited and would do harm. To be called before any thread is begun and any program
/// started, which inherit it in turn.
///
/// - None is blocked any more: neither SIGTERM nor Ctrl-C would reach us.
/// - SIGCHLD is not ignored any more: the kernel would reap our children, and how they ended be lost.
/// - SIGXFSZ is ignored: what would be written beyond the limit on the size of files (`ulimit -f`) is refused, as on
///   a full disk, and ends nobody.
///
/// What else is ignored stays so, as `nohup` wants it.
pub fn set_signals_right() {
    children_stay_until_waited_for();
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // It cannot fail: the set is one, and so is the way to set it.
    let _ = SigSet::empty().thread_set_mask();
}

/// Whoever started us may have had SIGCHLD ignored, which is inherited; children would then be reaped by
/// the kernel, and their status lost: wait(2).
pub(crate) fn children_stay_until_waited_for() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `current` is written before it is read; SIG_DFL runs no code of ours.
        unsafe {
            let mut current: libc::sigaction = std::mem::zeroed();
            let got = libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut current);
            if got == 0 && current.sa_sigaction == libc::SIG_IGN {
                libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            }
        }
    });
}

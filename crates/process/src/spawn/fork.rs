//! The fork itself: fork(2), or clone3(2) where the child is to be born in a cgroup.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid, fork};

/// What a fork has come to, on either side of it.
pub(super) enum Forked {
    Parent { pid: Pid, pidfd: Option<OwnedFd> },
    Child { in_tree: bool },
}

/// Forks, the child being born in a cgroup where that can be had.
pub(super) fn fork_into(cgroup: Option<&OwnedFd>) -> nix::Result<Forked> {
    if let Some(cgroup) = cgroup {
        // Refused by an older kernel, by a container's filter, or by a cgroup that takes no processes.
        if let Ok(done) = clone_into(cgroup) {
            return Ok(done);
        }
    }
    // SAFETY: the child's side calls only async-signal-safe functions and never returns.
    Ok(match unsafe { fork() }? {
        ForkResult::Parent { child } => Forked::Parent { pid: child, pidfd: None },
        ForkResult::Child => Forked::Child { in_tree: false },
    })
}

/// As fork(2) does, with clone3(2), which the C library has no function for: the child is in the cgroup before
/// it runs, and comes with a pidfd.
fn clone_into(cgroup: &OwnedFd) -> nix::Result<Forked> {
    let mut pidfd: c_int = -1;
    let arguments = CloneArguments {
        flags: libc::CLONE_PIDFD as u64 | CLONE_INTO_CGROUP,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.as_raw_fd() as u64,
        ..CloneArguments::default()
    };
    // SAFETY: the memory is copied, as with fork(2), and the child goes on here with a copy of this stack. It
    // calls only async-signal-safe functions, none of which asks the C library which thread it is, and
    // never returns.
    let done = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    Ok(match Errno::result(done)? {
        0 => Forked::Child { in_tree: true },
        // SAFETY: the kernel has just made this descriptor, for us alone.
        pid => Forked::Parent {
            pid: Pid::from_raw(pid as i32),
            pidfd: Some(unsafe { OwnedFd::from_raw_fd(pidfd) }),
        },
    })
}

/// `struct clone_args` of `include/uapi/linux/sched.h`.
#[derive(Default)]
#[repr(C, align(8))]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

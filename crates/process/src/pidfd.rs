//! A process held by a descriptor, so that a signal reaches it or nobody: pidfd_open(2).
//!
//! Unsafe where there is no safe way: to let tokio wait on a descriptor ([`watch`]), and for what rustix has
//! no function for ([`wait_status`], [`signal_group`]).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use vitald_core::restarter::ProcessIdentity;

use crate::procfs::{self, Stat};

/// One process, pinned.
pub(crate) struct Pinned(OwnedFd);

impl Pinned {
    /// Pins the process that was seen as `seen`. `None` if it is gone, or its pid has passed on; not being
    /// able to tell is an error.
    pub(crate) fn open(seen: &Stat) -> io::Result<Option<Self>> {
        Self::open_as(seen.pid, seen.start_time)
    }

    /// Pins the process of this pid that started then.
    pub(crate) fn open_as(pid: i32, start_time: u64) -> io::Result<Option<Self>> {
        let fd = match open(pid) {
            Ok(fd) => fd,
            Err(err) if is_gone(&err) => return Ok(None),
            Err(err) => return Err(err),
        };
        // The descriptor names whoever has the pid now; the start time says whether it is the one meant.
        let now = procfs::read_stat(pid)?;
        Ok(now.is_some_and(|now| now.start_time == start_time).then_some(Self(fd)))
    }

    /// The descriptor.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Sends a signal; to one that has ended, it is sent to nobody.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.0, native(signal)?) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) {
        match watch(self.0) {
            Ok(fd) => wait_readable(&fd).await,
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Sends a signal to this very process; whether it was there to get it.
///
/// # Errors
/// The signal could not be sent.
pub fn signal_process(process: &ProcessIdentity, signal: Signal) -> io::Result<bool> {
    if process.boot_id != procfs::boot_id() {
        return Ok(false);
    }
    match Pinned::open_as(process.pid, process.start_time)? {
        Some(pinned) => pinned.signal(signal).map(|()| true),
        None => Ok(false),
    }
}

/// Sends a signal to the group that this very process leads; whether it was there.
///
/// # Errors
/// The signal could not be sent.
pub fn signal_group_of(process: &ProcessIdentity, signal: Signal) -> io::Result<bool> {
    let Some(pinned) = Pinned::open_as(process.pid, process.start_time)? else { return Ok(false) };
    match signal_group(&pinned.0, signal) {
        // Its pid is its own for as long as it is pinned and has not been reaped.
        Err(err) if err.kind() == io::ErrorKind::Unsupported && procfs::is_same(process) => {
            match nix::sys::signal::killpg(nix::unistd::Pid::from_raw(process.pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => Ok(true),
                Err(err) => Err(err.into()),
            }
        }
        result => result.map(|()| true),
    }
}

/// Whether this says that there is no such process.
fn is_gone(err: &io::Error) -> bool {
    // EINVAL: the pid is a thread's by now, and leads no group of threads. ENOENT since Linux 6.14.
    matches!(err.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::EINVAL))
}

/// How long to wait before looking again where waiting on a descriptor does not help.
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// Opens a pidfd.
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Makes a pidfd one that can be waited on. Must be called within a tokio runtime.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, and it is the `AsyncFd` that
    // drops it, after it has taken it from the poller.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Waits until a pidfd tells the end of its process. It stays readable from then on.
pub(crate) async fn wait_readable(fd: &AsyncFd<OwnedFd>) {
    loop {
        match fd.ready(Interest::READABLE).await {
            Ok(guard) if guard.ready().is_readable() || guard.ready().is_read_closed() => return,
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Whether the process has ended.
pub(crate) fn has_ended(fd: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// How a process ended, as wait(2) would tell, also to who is not its parent: PIDFD_GET_INFO, Linux 6.15 or
/// later. `None` while it is alive, while its parent has not reaped it yet, and on older kernels.
pub(crate) fn wait_status(fd: &impl AsFd) -> Option<i32> {
    const GET_INFO: Opcode = opcode::read_write::<Info>(0xff, 11);
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel reads and writes no more than the size that is part of the opcode, which is this
    // struct's; all of its bit patterns are valid.
    unsafe { ioctl(fd, Updater::<GET_INFO, Info>::new(&mut info)) }.ok()?;
    (info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

/// `struct pidfd_info` as it was first, in `include/uapi/linux/pidfd.h`.
#[derive(Default)]
#[repr(C)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// pid, thread group, parent, and eight user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

const INFO_EXIT: u64 = 1 << 3;

/// Sends a signal to the process group that the process leads. An error that is not
/// [`io::ErrorKind::Unsupported`] is about the group.
///
/// The descriptor names the group, too, whoever has its number: Linux 6.9 or later.
pub(crate) fn signal_group(fd: &impl AsFd, signal: Signal) -> io::Result<()> {
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    let fd = fd.as_fd().as_raw_fd();
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers and a null pointer, which is allowed: pidfd_send_signal(2).
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as libc::c_int, no_info, PROCESS_GROUP)
    };
    match Errno::result(sent) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(Errno::EINVAL) => Err(io::ErrorKind::Unsupported.into()),
        Err(err) => Err(err.into()),
    }
}

/// A signal as rustix has it.
pub(crate) fn native(signal: Signal) -> io::Result<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(signal as i32).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_seen_is_pinned() {
        let me = procfs::stat(procfs::own_pid()).unwrap();
        assert!(Pinned::open(&me).unwrap().is_some());
        assert!(Pinned::open(&Stat { start_time: me.start_time - 1, ..me.clone() }).unwrap().is_none());
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let seen = procfs::stat(child.id().cast_signed()).unwrap();
        assert!(Pinned::open(&seen).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Pinned::open(&seen).unwrap().is_none());
    }

    #[test]
    fn who_cannot_be_pinned_is_not_said_to_be_gone() {
        let gone = |number| is_gone(&io::Error::from_raw_os_error(number));
        assert!(gone(libc::ESRCH) && gone(libc::ENOENT));
        assert!(!gone(libc::EMFILE) && !gone(libc::ENFILE) && !gone(libc::EPERM) && !gone(libc::ENOMEM));
    }
}

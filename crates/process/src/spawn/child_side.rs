//! What the child does before it executes the program: execve(2).
//!
//! Between fork and exec only one thread exists, and any lock, the allocator's included, may be held by one
//! that does not: the child calls nothing but what is async-signal-safe (signal-safety(7)), and all that it
//! needs has been prepared before.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, setsid};

use super::{Refusal, Step};

/// The child's file mode creation mask: what services usually get, whatever the supervisor's is.
const UMASK: Mode = Mode::from_bits_truncate(0o022);

const LAST_SIGNAL: c_int = 64;

/// Where close_range(2) is missing, descriptors are looked for up to here.
const MANY_DESCRIPTORS: RawFd = 65_536;

/// While a program's file is open for writing anywhere, it cannot be executed. Somebody who has just written
/// it may have forked before closing it, as we fork ourselves, so that this passes: tries, and the pause
/// between them in nanoseconds.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: libc::c_long = 10_000_000;

/// Digits of the largest number that a pid can be.
pub(super) const PID_DIGITS: usize = 10;

/// The child's half of the plan, in a shape that needs no memory any more.
pub(super) struct ChildSide<'a> {
    pub program: &'a CString,
    pub arguments: &'a [*const c_char],
    pub environment: &'a [*const c_char],
    /// Each with room for the digits of the child's pid, and a NUL.
    pub pid_places: &'a [*mut u8],
    pub dir: &'a CString,
    pub null: RawFd,
    pub output: RawFd,
    pub lock: Option<RawFd>,
    pub lock_note: &'a [u8],
    pub open_files: Option<(u64, u64)>,
    pub user: Option<(Uid, Gid, &'a [Gid])>,
    pub no_new_privileges: bool,
    pub limits: &'a [RawFd],
    pub tree: Option<RawFd>,
}

impl ChildSide<'_> {
    /// Only async-signal-safe calls from here on. None of them may be one that the C library makes in all of
    /// its threads at once, as it does to change users: it may believe that the parent's are here, too.
    pub(super) fn become_program(&self, in_tree: bool) -> Result<Infallible, Refusal> {
        for place in self.limits.iter().copied().chain(self.tree.filter(|_| !in_tree)) {
            // What is refused is missed by the parent, or by nobody: the rest works without.
            // SAFETY: reads one byte of what outlives the call.
            unsafe { libc::write(place, c"0".as_ptr().cast(), 1) };
        }
        let pid = step(Step::Session, setsid())?;
        self.put_pid(pid.as_raw());
        for (from, to) in [(self.null, 0), (self.output, 1), (self.output, 2)] {
            // SAFETY: both are numbers; whatever `to` was is ours to replace in this process.
            step(Step::Output, Errno::result(unsafe { libc::dup2(from, to) }))?;
        }
        self.leave_no_descriptor();
        default_all_signals();
        umask(UMASK);
        if let Some((soft, hard)) = self.open_files {
            step(Step::OpenFiles, setrlimit(Resource::RLIMIT_NOFILE, soft, hard))?;
        }
        if let Some((uid, gid, groups)) = self.user {
            become_user(uid, gid, groups)?;
        }
        if self.no_new_privileges {
            step(Step::NoNewPrivileges, nix::sys::prctl::set_no_new_privs())?;
        }
        // As the user that it will be: a directory may be closed to us, or to them.
        step(Step::WorkingDir, chdir(self.dir.as_c_str()))?;
        if let Some(lock) = self.lock {
            // For a supervisor that finds nothing else of this any more. On a full disk it finds nothing.
            // SAFETY: reads what outlives the call.
            unsafe { libc::pwrite(lock, self.lock_note.as_ptr().cast(), self.lock_note.len(), 0) };
        }
        let _ = SigSet::empty().thread_set_mask();
        for _ in 0..BUSY_TRIES {
            let pause = libc::timespec { tv_sec: 0, tv_nsec: BUSY_PAUSE };
            // SAFETY: the path ends with NUL, both arrays with a null pointer, and what they point to
            // outlives the calls.
            unsafe {
                libc::execve(self.program.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr());
                if Errno::last() != Errno::ETXTBSY {
                    break;
                }
                libc::nanosleep(&raw const pause, std::ptr::null_mut());
                Errno::ETXTBSY.set();
            }
        }
        Err(Step::Exec.refused(Errno::last()))
    }

    /// Completes the environment, in this process's own copy of it.
    fn put_pid(&self, pid: i32) {
        let (mut digits, mut count, mut rest) = ([0_u8; PID_DIGITS], 0, pid.unsigned_abs());
        while count < PID_DIGITS {
            digits[count] = b'0' + (rest % 10) as u8;
            (count, rest) = (count + 1, rest / 10);
            if rest == 0 {
                break;
            }
        }
        for variable in self.pid_places {
            for (place, digit) in digits[..count].iter().rev().enumerate() {
                // SAFETY: there is room for so many digits and a NUL, and nobody else has this copy.
                unsafe { variable.add(place).write(*digit) };
            }
        }
    }

    /// Everything above stderr is closed by the exec, but for the lock.
    fn leave_no_descriptor(&self) {
        let all_in_one_go = close_on_exec(3);
        // SAFETY: changes flags of descriptors of this process, and touches no memory.
        unsafe {
            if !all_in_one_go {
                // An older kernel, or a container's filter.
                for fd in 3..MANY_DESCRIPTORS {
                    libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            if let Some(lock) = self.lock {
                libc::fcntl(lock, libc::F_SETFD, 0);
            }
        }
    }
}

/// Lets the exec close all descriptors from this one on. False where the kernel refuses.
fn close_on_exec(first: libc::c_uint) -> bool {
    let last = libc::c_uint::MAX;
    // SAFETY: changes flags of descriptors of this process, and touches no memory.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) == 0 }
}

/// Whether descriptors can be closed in one go: close_range(2).
pub(crate) fn has_close_range() -> bool {
    // There is none of this number.
    close_on_exec(libc::c_uint::MAX)
}

fn step<T>(step: Step, result: nix::Result<T>) -> Result<T, Refusal> {
    result.map_err(|errno| step.refused(errno))
}

/// Changes groups, group and user of this one thread, past the C library.
fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> Result<(), Refusal> {
    #[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
    use libc::{SYS_setgid, SYS_setgroups, SYS_setuid};
    // The calls without the number take ids of 16 bits there.
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    use libc::{SYS_setgid32 as SYS_setgid, SYS_setgroups32 as SYS_setgroups, SYS_setuid32 as SYS_setuid};
    // SAFETY: a `Gid` is laid out as a gid_t; the kernel reads as many as there are.
    let done = unsafe { libc::syscall(SYS_setgroups, groups.len(), groups.as_ptr()) };
    step(Step::Groups, Errno::result(done))?;
    // SAFETY: takes a number.
    step(Step::Group, Errno::result(unsafe { libc::syscall(SYS_setgid, gid.as_raw()) }))?;
    // SAFETY: takes a number.
    step(Step::User, Errno::result(unsafe { libc::syscall(SYS_setuid, uid.as_raw()) }))?;
    Ok(())
}

/// Ignored signals stay ignored over an exec, SIGPIPE in every Rust program among them: signal(7). Past
/// the C library, which will not touch the two signals of its own that its posix_spawn leaves ignored.
fn default_all_signals() {
    // All zero: SIG_DFL, no flags, an empty mask. At least as large as the kernel's struct anywhere.
    let action = [0_u64; 8];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads no more than `action` has, and writes nothing. It refuses SIGKILL and
        // SIGSTOP, which is as well.
        unsafe {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, number, action.as_ptr(), old, size_of::<u64>());
        }
    }
}

/// Tells the parent what failed, and ends.
pub(super) fn report(pipe: &OwnedFd, refusal: Refusal) -> ! {
    let record = [refusal.step as c_int, refusal.errno as c_int];
    // SAFETY: reads the record's own bytes. `_exit` ends this process without running anything of the
    // parent's.
    unsafe {
        libc::write(pipe.as_raw_fd(), record.as_ptr().cast(), size_of_val(&record));
        libc::_exit(127)
    }
}

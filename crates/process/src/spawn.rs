//! The fork and what the child does before it executes the program: fork(2), execve(2).
//!
//! Between fork and exec only one thread exists, and any lock, the
//! allocator's included, may be held by one that does not: the child calls nothing but what is
//! async-signal-safe (signal-safety(7)), and all that it needs has been prepared before. `std` has no
//! such spawn that also tells which step failed, keeps a signal from being lost between fork and exec,
//! and leaves a script without `#!` alone.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Once;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, chdir, fork, setsid};
use rustix::io::fcntl_dupfd_cloexec;

use crate::cgroup::Entrance;
use crate::{pidfd, reaper};

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
const PID_DIGITS: usize = 10;

/// All that the child will be.
pub(crate) struct Plan {
    /// Path of the program.
    pub program: CString,
    /// What it finds as its arguments, its own name first.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// `NAME=`: a further variable, set to the pid that the child turns out to have.
    pub pid_variable: CString,
    /// Working directory.
    pub dir: CString,
    /// Becomes stdout and stderr.
    pub output: OwnedFd,
    /// Stays open in the child under the number it has here; closed here as soon as the child has it.
    pub lock: Option<OwnedFd>,
    /// Soft and hard limit of open files.
    pub open_files: Option<(u64, u64)>,
    /// Whom to become, with which groups.
    pub user: Option<(Uid, Gid, Vec<Gid>)>,
    /// Whether set-user-ID programs give no privileges.
    pub no_new_privileges: bool,
    /// The cgroups to live in.
    pub cage: Entrance,
}

/// What the child did when it failed. Goes through a pipe as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Fork,
    Session,
    Output,
    OpenFiles,
    Groups,
    Group,
    User,
    NoNewPrivileges,
    WorkingDir,
    Exec,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Fork,
        Self::Session,
        Self::Output,
        Self::OpenFiles,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::NoNewPrivileges,
        Self::WorkingDir,
        Self::Exec,
    ];
}

/// A step that the system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub step: Step,
    pub errno: Errno,
}

impl Step {
    fn refused(self, errno: Errno) -> Refusal {
        Refusal { step: self, errno }
    }
}

/// A child that executes its program, registered, and that nobody looks after yet: killed and reaped when
/// it is dropped.
pub(crate) struct Newborn {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    kept: bool,
}

impl Newborn {
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// A descriptor for it.
    pub(crate) fn pidfd(&self) -> io::Result<OwnedFd> {
        self.pidfd.as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()
    }

    /// From now on somebody else looks after it.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if !self.kept {
            // Its group, too, if it has come to be one.
            let _ = killpg(self.pid, Signal::SIGKILL);
            let _ = kill(self.pid, Signal::SIGKILL);
            let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(self.pid), ended) == Err(Errno::EINTR) {}
            // Its pid may be another child's as soon as it is reaped, and that one registers under this lock.
            let mut registered = reaper::registered();
            let _ = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
            registered.remove(self.pid.as_raw());
        }
    }
}

/// Starts the child and waits until it executes its program. May take long where the program lies on a
/// slow filesystem.
pub(crate) fn spawn(plan: Plan) -> Result<Newborn, Refusal> {
    let system =
        |err: io::Error| Step::Fork.refused(Errno::from_raw(err.raw_os_error().unwrap_or(libc::EIO)));
    children_stay_until_waited_for();
    let null = above_stdio(File::open("/dev/null").map_err(system)?.into()).map_err(system)?;
    let output = above_stdio(plan.output).map_err(system)?;
    let Plan { program, dir, lock, open_files, user, no_new_privileges, cage, .. } = plan;
    let limits: Vec<RawFd> = cage.limits.iter().map(AsRawFd::as_raw_fd).collect();
    let arguments = pointers(&plan.arguments);
    let mut pid_variable = plan.pid_variable.into_bytes();
    let pid_place = pid_variable.len();
    pid_variable.resize(pid_place + PID_DIGITS + 1, 0);
    let mut environment = pointers(&plan.environment);
    environment.insert(0, pid_variable.as_ptr().cast());
    let child = ChildSide {
        program: &program,
        arguments: &arguments,
        environment: &environment,
        pid_place: pid_variable[pid_place..].as_mut_ptr(),
        dir: &dir,
        null: null.as_raw_fd(),
        output: output.as_raw_fd(),
        lock: lock.as_ref().map(AsRawFd::as_raw_fd),
        open_files,
        user: user.as_ref().map(|(uid, gid, groups)| (*uid, *gid, groups.as_slice())),
        no_new_privileges,
        limits: &limits,
        tree: cage.tree.as_ref().map(AsRawFd::as_raw_fd),
    };

    let (mut newborn, outcome) = {
        let mut registered = reaper::registered();
        // Made in here, so that no other child of ours gets a copy, and keeps it open until its own exec.
        let (outcome, write) = io::pipe().map_err(system)?;
        let write = above_stdio(write.into()).map_err(system)?;
        // A signal that reaches the child before its handlers are gone would run one of ours there, and be
        // lost. It waits until they are.
        let mask =
            SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(|e| Step::Fork.refused(e))?;
        let forked = fork_into(cage.birthplace.as_ref());
        if let Ok(Forked::Child { in_tree }) = forked {
            let Err(refusal) = child.become_program(in_tree);
            report(&write, refusal);
        }
        let _ = mask.thread_set_mask();
        let Forked::Parent { pid, pidfd } = forked.map_err(|errno| Step::Fork.refused(errno))? else {
            return Err(Step::Fork.refused(Errno::UnknownErrno));
        };
        registered.insert(pid.as_raw());
        drop(lock);
        (Newborn { pid, pidfd, kept: false }, outcome)
    };
    if newborn.pidfd.is_none() {
        newborn.pidfd = Some(pidfd::open(newborn.pid()).map_err(system)?);
    }
    match refusal_from(outcome).map_err(system)? {
        None => Ok(newborn),
        Some(refusal) => Err(refusal),
    }
}

/// What a fork has come to, on either side of it.
enum Forked {
    Parent { pid: Pid, pidfd: Option<OwnedFd> },
    Child { in_tree: bool },
}

/// Forks, the child being born in a cgroup where that can be had.
fn fork_into(cgroup: Option<&OwnedFd>) -> nix::Result<Forked> {
    if let Some(cgroup) = cgroup {
        match clone_into(cgroup) {
            // An older kernel, a container's filter, or a cgroup that takes no processes.
            Err(_) => {}
            done => return done,
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

/// The child's half of the plan, in a shape that needs no memory any more.
struct ChildSide<'a> {
    program: &'a CString,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    /// Room for the digits of the child's pid, and a NUL.
    pid_place: *mut u8,
    dir: &'a CString,
    null: RawFd,
    output: RawFd,
    lock: Option<RawFd>,
    open_files: Option<(u64, u64)>,
    user: Option<(Uid, Gid, &'a [Gid])>,
    no_new_privileges: bool,
    limits: &'a [RawFd],
    tree: Option<RawFd>,
}

impl ChildSide<'_> {
    /// Only async-signal-safe calls from here on. None of them may be one that the C library makes in all of
    /// its threads at once, as it does to change users: it may believe that the parent's are here, too.
    fn become_program(&self, in_tree: bool) -> Result<Infallible, Refusal> {
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
        for (place, digit) in digits[..count].iter().rev().enumerate() {
            // SAFETY: there is room for so many digits and a NUL, and nobody else has this copy.
            unsafe { self.pid_place.add(place).write(*digit) };
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
fn report(pipe: &OwnedFd, refusal: Refusal) -> ! {
    let record = [refusal.step as c_int, refusal.errno as c_int];
    // SAFETY: reads the record's own bytes. `_exit` ends this process without running anything of the
    // parent's.
    unsafe {
        libc::write(pipe.as_raw_fd(), record.as_ptr().cast(), size_of_val(&record));
        libc::_exit(127)
    }
}

/// Nothing, if the pipe was closed by the exec, or by a death before it.
fn refusal_from(mut pipe: io::PipeReader) -> io::Result<Option<Refusal>> {
    let mut record = Vec::new();
    pipe.read_to_end(&mut record)?;
    let (numbers, _) = record.as_chunks::<4>();
    let [step, errno] = numbers else { return Ok(None) };
    let [step, errno] = [step, errno].map(|bytes| i32::from_ne_bytes(*bytes));
    let step = Step::ALL.into_iter().find(|known| *known as i32 == step).unwrap_or(Step::Exec);
    Ok(Some(step.refused(Errno::from_raw(errno))))
}

/// A descriptor that the child's stdio does not overwrite.
fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 { Ok(fd) } else { Ok(fcntl_dupfd_cloexec(&fd, 3)?) }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Whoever started us may have had SIGCHLD ignored, which is inherited; children would then be reaped by
/// the kernel, and their status lost: wait(2).
fn children_stay_until_waited_for() {
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

/// A path for the system; `None` if it holds a NUL.
pub(crate) fn c_path(path: &Path) -> Option<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).ok()
}

//! Starting a process: what it needs is prepared, then comes the [`fork`], then the [`child_side`] until it
//! executes the program.
//!
//! `std` has no such spawn that also tells which step failed, keeps a signal from being lost between fork and
//! exec, leaves a script without `#!` alone, and lets a child be born in a cgroup.
#![allow(unsafe_code)]

mod child_side;
mod fork;

use std::ffi::{CString, c_char};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{Gid, Pid, Uid};
use rustix::io::fcntl_dupfd_cloexec;

use crate::cgroup::Entrance;
use crate::{inherited, launch, pidfd, reaper};

pub(crate) use child_side::has_close_range;
use child_side::{ChildSide, PID_DIGITS, report};
use fork::{Forked, fork_into};

/// All that the child will be.
pub(crate) struct Plan {
    /// Path of the program.
    pub program: CString,
    /// What it finds as its arguments, its own name first.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// `NAME=`: further variables, set to the pid that the child turns out to have.
    pub pid_variables: Vec<CString>,
    /// Working directory.
    pub dir: CString,
    /// Becomes stdout and stderr.
    pub output: OwnedFd,
    /// Stays open in the child under the number it has here; closed here as soon as the child has it.
    pub lock: Option<OwnedFd>,
    /// Goes to the beginning of the lock file when the program is about to be executed.
    pub lock_note: Vec<u8>,
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
    /// Of the parent: to have a descriptor for the child.
    Hold,
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
    const ALL: [Self; 11] = [
        Self::Fork,
        Self::Hold,
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
    inherited::children_stay_until_waited_for();
    let null = above_stdio(File::open("/dev/null").map_err(system)?.into()).map_err(system)?;
    let output = above_stdio(plan.output).map_err(system)?;
    let Plan { program, dir, lock, open_files, user, no_new_privileges, cage, .. } = plan;
    let limits: Vec<RawFd> = cage.limits.iter().map(AsRawFd::as_raw_fd).collect();
    let arguments = pointers(&plan.arguments);
    let mut pid_variables: Vec<Vec<u8>> = plan.pid_variables.into_iter().map(CString::into_bytes).collect();
    let mut pid_places = Vec::new();
    let mut environment = pointers(&plan.environment);
    for variable in &mut pid_variables {
        let place = variable.len();
        variable.resize(place + PID_DIGITS + 1, 0);
        pid_places.push(variable[place..].as_mut_ptr());
        environment.insert(0, variable.as_ptr().cast());
    }
    let child = ChildSide {
        program: &program,
        arguments: &arguments,
        environment: &environment,
        pid_places: &pid_places,
        dir: &dir,
        null: null.as_raw_fd(),
        output: output.as_raw_fd(),
        lock: lock.as_ref().map(AsRawFd::as_raw_fd),
        lock_note: &plan.lock_note,
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
        let opened = pidfd::open(newborn.pid()).map_err(|err| Step::Hold.refused(launch::errno_of(&err)))?;
        newborn.pidfd = Some(opened);
    }
    match refusal_from(outcome).map_err(system)? {
        None => Ok(newborn),
        Some(refusal) => Err(refusal),
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

/// A path for the system; `None` if it holds a NUL.
pub(crate) fn c_path(path: &Path) -> Option<CString> {
    use std::os::unix::ffi::OsStrExt;
    CString::new(path.as_os_str().as_bytes()).ok()
}

//! The process of a library, as its parent sees it: started, waited for, and ended with all that it has started.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::sync::watch;

use crate::host::Limits;
use crate::model::HostCommand;
use crate::{offspring, strays};

/// What a supervisor's own service manager has told it, and nobody else is meant to answer.
const NOT_FOR_HOSTS: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Enough for a thread that waits.
const STACK: usize = 128 * 1024;

/// How many children there are that have not ended with all that they have started.
#[derive(Default)]
pub(crate) struct Living {
    number: Mutex<usize>,
    fewer: Condvar,
}

impl Living {
    /// Waits until there are none, or for so long.
    pub(crate) fn wait(&self, limit: Duration) {
        let number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.fewer.wait_timeout_while(number, limit, |number| *number > 0));
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number = change(*number);
        self.fewer.notify_all();
    }
}

/// A process with a library, in a process group of its own. Dropping this ends the group.
pub(crate) struct Child {
    group: Arc<Group>,
    ended: watch::Receiver<Option<String>>,
}

/// A child, and both connections to it.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// Where it listens and answers.
    pub(crate) socket: UnixStream,
    /// What it prints.
    pub(crate) output: PipeReader,
}

/// A process group whose number is its own until the leader has been reaped.
struct Group {
    leader: Pid,
    reaped: Mutex<bool>,
}

impl Group {
    fn kill(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It may just have ended, or left its group.
            let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
            let _ = rustix::process::kill_process(self.leader, Signal::KILL);
        }
    }
}

/// Starts the process for a library.
///
/// It is in our session, so that who reaps the orphans of other sessions leaves it to us. The thread that starts it
/// waits for it, too: the kernel ends it when that thread ends (PR_SET_PDEATHSIG follows the thread, not the process).
///
/// # Errors
/// The program could not be started.
pub(crate) fn spawn(
    command: &HostCommand,
    limits: Limits,
    file: &Path,
    living: &Arc<Living>,
) -> io::Result<Spawned> {
    let (ours, theirs) = UnixStream::pair()?;
    let (output, printed) = io::pipe()?;
    let mut host = Command::new(&command.program);
    host.arg0(&command.name)
        .args(&command.args)
        .args(limits.args())
        .arg(file)
        .stdin(OwnedFd::from(theirs))
        .stdout(printed.try_clone()?)
        .stderr(printed)
        .process_group(0);
    for name in NOT_FOR_HOSTS {
        host.env_remove(name);
    }
    let mark = offspring::new_mark();
    host.env(offspring::MARK, &mark);
    let (begun, begins) = std::sync::mpsc::sync_channel(1);
    let (tell_end, ended) = watch::channel(None);
    let living = Arc::clone(living);
    std::thread::Builder::new().name("probe-host".to_owned()).stack_size(STACK).spawn(move || {
        living.change(|number| number + 1);
        live(host, &mark, &begun, &tell_end);
        living.change(|number| number - 1);
    })?;
    let leader = begins.recv().map_err(|_gone| io::Error::other("its thread ended"))??;
    let group = leader;
    Ok(Spawned { child: Child { group, ended }, socket: ours, output })
}

/// The life of a child, on a thread of its own.
fn live(
    mut host: Command,
    mark: &str,
    begun: &std::sync::mpsc::SyncSender<io::Result<Arc<Group>>>,
    tell_end: &watch::Sender<Option<String>>,
) {
    let mut leaders = strays::leaders();
    let mut child = match host.spawn() {
        Ok(child) => child,
        Err(err) => return drop(begun.send(Err(err))),
    };
    let leader = Pid::from_child(&child);
    leaders.insert(leader.as_raw_nonzero().get());
    drop(leaders);
    // Our copies of what the child was given: only where they are closed is its end seen at the other side.
    drop(host);
    let group = Arc::new(Group { leader, reaped: Mutex::new(false) });
    if begun.send(Ok(Arc::clone(&group))).is_err() {
        group.kill();
    }
    wait_for(leader);
    group.kill();
    let status = {
        let mut reaped = group.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        *reaped = true;
        child.wait()
    };
    tell_end.send_replace(Some(status.map_or_else(|err| format!("ended: {err}"), how)));
    // What of the group has fallen to us, a subreaper; then what had left the group.
    reap_group(leader, WaitOptions::empty());
    offspring::reap(offspring::end(mark));
    // And what falls to us only now, since its parent had left. Nobody else waits for it: it is in our session. Does
    // not wait itself, should the number be another group's by now.
    reap_group(leader, WaitOptions::NOHANG);
    strays::leaders().remove(&leader.as_raw_nonzero().get());
    strays::reap();
}

/// Waits for a leader without reaping it: as long as it is there, the group's number is nobody else's. What else of the
/// group is a child of ours has lost its parent, and is reaped as it ends: nobody else waits for it.
fn wait_for(leader: Pid) {
    let raw = nix::unistd::Pid::from_raw(leader.as_raw_nonzero().get());
    loop {
        match waitid(Id::PGid(raw), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).map(|ended| ended.pid()) {
            Ok(Some(orphan)) if orphan != raw => drop(waitpid(orphan, Some(WaitPidFlag::WNOHANG))),
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    // It may have left its group.
    while let Err(Errno::EINTR) = waitid(Id::Pid(raw), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
}

fn reap_group(leader: Pid, options: WaitOptions) {
    while matches!(rustix::process::waitpgid(leader, options), Ok(Some(_)) | Err(rustix::io::Errno::INTR)) {}
}

/// `was ended by SIGSEGV`, `exited with status 1`.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {signal}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

impl Child {
    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.group.leader.as_raw_nonzero().get()
    }

    /// Ends it and its group, now.
    pub(crate) fn kill(&self) {
        self.group.kill();
    }

    /// Waits until it has ended, and says how: `was ended by SIGSEGV`. May be called again and again.
    pub(crate) async fn ended(&mut self) -> String {
        match self.ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or_default(),
            Err(_) => "ended".to_owned(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

//! Names of signals, and how a process ended.

use nix::sys::signal::Signal;
use rustix::process::WaitIdStatus;
use vitald_core::restarter::Exit;

/// `SIGKILL`, `SIGRTMIN+3`; `signal 99` where there is no such signal: signal(7).
pub fn name(number: i32) -> String {
    if let Ok(signal) = Signal::try_from(number) {
        return signal.as_str().to_owned();
    }
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    match number {
        _ if number == first => "SIGRTMIN".to_owned(),
        _ if number == last => "SIGRTMAX".to_owned(),
        _ if (first..last).contains(&number) => format!("SIGRTMIN+{}", number - first),
        _ => format!("signal {number}"),
    }
}

/// What waitid(2) told of an end.
pub(crate) fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(name(signal)),
        (None, None) => Exit::Unknown,
    }
}

/// What a status of wait(2) tells of an end.
pub(crate) fn exit_of_wait(status: i32) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Exit::Signal(name(libc::WTERMSIG(status)))
    } else {
        Exit::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_usual_names() {
        assert_eq!(name(libc::SIGKILL), "SIGKILL");
        assert_eq!(name(libc::SIGRTMIN()), "SIGRTMIN");
        assert_eq!(name(libc::SIGRTMIN() + 3), "SIGRTMIN+3");
        assert_eq!(name(libc::SIGRTMAX()), "SIGRTMAX");
        assert_eq!(name(99), "signal 99");
    }

    #[test]
    fn a_wait_status_tells_the_end() {
        assert_eq!(exit_of_wait(42 << 8), Exit::Code(42));
        assert_eq!(exit_of_wait(libc::SIGTERM), Exit::Signal("SIGTERM".into()));
        assert_eq!(exit_of_wait(libc::SIGSEGV | 0x80), Exit::Signal("SIGSEGV".into()), "it dumped core");
        assert_eq!(exit_of_wait(0x7f), Exit::Unknown, "it is only stopped");
    }
}

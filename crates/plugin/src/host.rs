//! The process of one library: what a supervisor starts for it, and talks to over its stdin.
//!
//! Its main thread builds no probes and runs no checks: it can always be told to give one up.

mod end;
mod limits;
mod service;
mod signals;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::FileType;

pub use limits::Limits;

/// Where the connection is moved to, out of the way of what counts its descriptors from zero.
const OUT_OF_THE_WAY: i32 = 200;
/// Threads for calls that may block: they build probes, and end them.
const MOST_BLOCKING: usize = 32;

/// Is the process of a library, until the supervisor that has started it goes away. Not for people: the supervisor is
/// at its stdin. Not to be called within a runtime: it has one of its own.
///
/// `args` are those that the supervisor has appended to its own: limits, and last the library's file.
///
/// It never comes back once it serves: it ends itself by SIGKILL, whatever threads of the library do.
pub fn serve(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut limits = Limits::default();
    let file = args.into_iter().find(|arg| !limits.take(arg)).map(PathBuf::from).unwrap_or_default();
    match connect().and_then(|socket| run(socket, &file, limits)) {
        Ok(never) => match never {},
        Err(err) => {
            let sentence = format!("cannot be the process of {}: {err}\n", file.display());
            let _ = io::Write::write_all(&mut io::stderr(), sentence.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Takes the connection away from stdin, where a library might read it.
fn connect() -> io::Result<UnixStream> {
    let stdin = io::stdin();
    let found = rustix::fs::fstat(&stdin)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(io::Error::other("its stdin is no connection to a supervisor, who is to start this"));
    }
    // All of the group ends with this: it must be nobody else's.
    if nix::unistd::getpgrp() != nix::unistd::getpid() {
        rustix::process::setpgid(None, None)?;
    }
    let moved = |at_least| rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), at_least);
    // Who started us may allow for fewer descriptors than that.
    let socket: OwnedFd = moved(OUT_OF_THE_WAY).or_else(|_| moved(0))?;
    let nothing = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&nothing)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn run(socket: UnixStream, file: &Path, limits: Limits) -> io::Result<std::convert::Infallible> {
    // For `ps` and `top`, which show this where they do not show the arguments.
    rustix::thread::set_name(c"vitald-probes")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MOST_BLOCKING)
        .thread_name("probes")
        .build()?;
    limits.set()?;
    signals::restore()?;
    end::watch(&socket)?;
    // An error says that nobody is there who could be told.
    let _ = runtime.block_on(service::serve(socket, file));
    end::now()
}

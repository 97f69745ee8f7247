//! The Unix socket: mode 0600 from its first connection on, at a path of any length, for one user.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use axum::serve::Listener;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// The socket's name in its folder; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct SocketFile {
    folder: OwnedFd,
    name: OsString,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nothing is lost if that fails: the next supervisor replaces it.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// Replaces `path` by a socket that listens.
pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket needs a folder and a name"));
    };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(err) => return Err(err.into()),
    }

    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // An address holds 108 bytes (sun_path, unix(7)); by way of the opened folder, every path fits.
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    rustix::net::bind(&socket, &SocketAddrUnix::new(short)?)?;
    let file = SocketFile { folder, name: name.to_owned() };
    // Nobody can connect before `listen`, so nobody gets in before the mode is right.
    rustix::fs::chmodat(&file.folder, &file.name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
    rustix::net::listen(&socket, 128)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
    Ok((listener, file))
}

/// Accepts connections of root and of the user that runs this; closes all others unread.
pub(crate) struct PeerChecked(pub(crate) UnixListener);

impl Listener for PeerChecked {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Waits out errors such as too many open files.
            let (stream, addr) = Listener::accept(&mut self.0).await;
            if stream.peer_cred().is_ok_and(|peer| may_control(peer.uid())) {
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Whether a user may command this supervisor.
fn may_control(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn replaces_a_stale_socket_at_a_long_path_and_removes_its_own() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("x".repeat(120)).join("y".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("vitald.sock");
        std::fs::write(&path, "").unwrap();

        let (listener, file) = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let short = format!("/proc/self/fd/{}/vitald.sock", file.folder.as_raw_fd());
        let (accepted, connected) =
            tokio::join!(PeerChecked(listener).accept_once(), UnixStream::connect(short));
        connected.unwrap();
        drop(accepted);
        drop(file);
        assert!(!path.exists());
    }

    impl PeerChecked {
        async fn accept_once(mut self) -> UnixStream {
            self.accept().await.0
        }
    }

    #[test]
    fn others_may_not() {
        let own = rustix::process::geteuid().as_raw();
        assert!(may_control(own) && may_control(0));
        assert!(!may_control(own + 4242));
    }
}

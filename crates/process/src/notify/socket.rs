//! A run's own socket: where it lies, and who may send to it.
//!
//! It is a file and not an abstract name, for that is reached from other network namespaces, too, and is known
//! to all who speak this. It cannot lie in the state dir, which may be too deep for a socket's address (108
//! bytes, unix(7)), and which only we may enter. Nor in `XDG_RUNTIME_DIR`, which goes when its user logs out.
//! So it lies in `/run/vitald` if we are root, else in `/tmp/vitald-UID`, under a name that is the run's own: the
//! next supervisor finds it without having been told. That folder is ours, and others may only pass through.
//!
//! A run that has a user of its own is alone in being able to send. One that is root may become any user
//! later, as servers do that bind a port first: there, everybody may, and is not heard.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use nix::unistd::geteuid;
use rustix::fs::OFlags;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use vitald_core::restarter::RunId;

use crate::user;

/// Others may pass through to what they know the name of, and not list it.
const FOLDER_MODE: u32 = 0o711;

/// How old a socket is at least that is removed because nobody listens to it.
const DEAD_AFTER: Duration = Duration::from_secs(60);

/// A socket that is bound, and that the kernel adds the sender's credentials to. Dropped before it is
/// [kept](Self::keep), it leaves nothing behind.
pub(crate) struct NotifySocket {
    socket: Option<OwnedFd>,
    path: PathBuf,
}

impl NotifySocket {
    /// Binds that of a run; `instance` names the component among all of this machine. What earlier runs left
    /// there is removed.
    pub(crate) fn bind(instance: &str, run: RunId, user: Option<&user::Identity>) -> io::Result<Self> {
        let folder = folder()?;
        let name = format!("{instance}.{run}");
        clear(&folder, instance)?;
        let path = folder.join(name);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        set_socket_passcred(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
        let bound = Self { socket: Some(socket), path };
        let switched = user.filter(|user| user.uid != geteuid());
        if let Some(user) = switched {
            nix::unistd::chown(&bound.path, Some(user.uid), None)?;
        }
        let everybody = switched.is_none() && geteuid().is_root();
        fs::set_permissions(&bound.path, Permissions::from_mode(if everybody { 0o666 } else { 0o600 }))?;
        Ok(bound)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on somebody else looks after it: the socket, and the file that is to be removed with the run.
    pub(crate) fn keep(mut self) -> (Option<OwnedFd>, PathBuf) {
        (self.socket.take(), self.path.clone())
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if self.socket.is_some() {
            // What cannot be removed now is removed by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what earlier runs left, and, once, what nobody listens to any more: of state dirs that are gone. Should
/// its supervisor come back all the same, it binds its own anew.
fn clear(folder: &Path, instance: &str) -> io::Result<()> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| clear_the_dead(folder));
    let start = format!("{instance}.");
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&start) {
            match fs::remove_file(entry.path()) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}

fn clear_the_dead(folder: &Path) {
    // One that is younger may be about to be bound.
    let old = |path: &Path| Some(path.metadata().ok()?.modified().ok()?.elapsed().ok()? > DEAD_AFTER);
    let Ok(asker) = UnixDatagram::unbound() else { return };
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let refused =
            || asker.connect(&path).is_err_and(|err| err.kind() == io::ErrorKind::ConnectionRefused);
        if old(&path) == Some(true) && refused() {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The folder of all sockets of this user.
fn folder() -> io::Result<PathBuf> {
    let in_tmp = PathBuf::from(format!("/tmp/vitald-{}", geteuid()));
    if geteuid().is_root() { own("/run/vitald".into()).or_else(|_| own(in_tmp)) } else { own(in_tmp) }
}

/// Makes it where it is missing. Where anybody may make folders, somebody else may have been first.
fn own(folder: PathBuf) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(FOLDER_MODE).create(&folder) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => {
            return Err(io::Error::new(err.kind(), format!("{}: {err}", folder.display())));
        }
        Ok(()) | Err(_) => {}
    }
    let no_link = i32::try_from((OFlags::DIRECTORY | OFlags::NOFOLLOW).bits()).map_err(io::Error::other)?;
    let of_another = |uid: u32| {
        let words = format!("{} belongs to another user (uid {uid})", folder.display());
        io::Error::new(io::ErrorKind::PermissionDenied, words)
    };
    let opened: File = OpenOptions::new().read(true).custom_flags(no_link).open(&folder).map_err(|err| {
        // What is somebody else's can often not even be opened.
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.uid() != geteuid().as_raw() => of_another(found.uid()),
            Ok(_) | Err(_) => io::Error::new(err.kind(), format!("{}: {err}", folder.display())),
        }
    })?;
    let metadata = opened.metadata()?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(of_another(metadata.uid()));
    }
    if metadata.mode() & 0o777 != FOLDER_MODE {
        opened.set_permissions(Permissions::from_mode(FOLDER_MODE))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_folder_is_ours_or_refused() {
        let temp = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let made = own(temp.path().join("new")).unwrap();
        assert_eq!(mode(&made), FOLDER_MODE);
        fs::set_permissions(&made, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(mode(&own(made.clone()).unwrap()), FOLDER_MODE);
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(&made, &link).unwrap();
        assert!(own(link).is_err());
        if geteuid().is_root() {
            std::os::unix::fs::chown(&made, Some(65534), None).unwrap();
            let refused = own(made).unwrap_err().to_string();
            assert!(refused.contains("belongs to another user (uid 65534)"), "{refused}");
        }
    }

    #[test]
    fn what_nobody_listens_to_any_more_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        // Its own path may be too long for an address.
        let folder = File::open(temp.path()).unwrap();
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        let path = |name| short.join(name);
        let live = UnixDatagram::bind(path("live")).unwrap();
        for dead in ["old", "young"] {
            drop(UnixDatagram::bind(path(dead)).unwrap());
        }
        let long_ago = SystemTime::now() - 2 * DEAD_AFTER;
        for old in ["live", "old"] {
            let ago = nix::sys::time::TimeSpec::from_duration(long_ago.duration_since(UNIX_EPOCH).unwrap());
            nix::sys::stat::utimensat(
                nix::fcntl::AT_FDCWD,
                &path(old),
                &ago,
                &ago,
                nix::sys::stat::UtimensatFlags::NoFollowSymlink,
            )
            .unwrap();
        }
        clear_the_dead(&short);
        assert_eq!(["live", "old", "young"].map(|name| path(name).exists()), [true, false, true]);
        drop(live);
    }

    #[test]
    fn one_run_has_one_socket_and_leaves_none() {
        let instance = format!("test-{}", std::process::id());
        let first = NotifySocket::bind(&instance, RunId(1), None).unwrap();
        let (_socket, left) = first.keep();
        assert!(left.exists());
        let second = NotifySocket::bind(&instance, RunId(2), None).unwrap();
        let path = second.path().to_owned();
        assert!(!left.exists() && path.exists() && path != left);
        assert!(path.as_os_str().len() < 100, "there is room for it in an address");
        drop(second);
        assert!(!path.exists());
    }
}

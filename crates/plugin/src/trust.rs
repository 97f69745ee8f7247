//! Whether others could have put their code into a library: as sshd treats keys.

mod private_group;

use std::cell::OnceCell;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

const GROUP: u32 = 0o020;
const OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Why a library is not trusted.
#[derive(Debug, Error)]
pub(crate) enum Distrust {
    /// It, or something above it, cannot be looked at.
    #[error("{} cannot be looked at: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is a folder, a pipe, a device.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// Somebody else owns it.
    #[error(
        "{path} belongs to user {owner}, who could put other code there: {path} must belong to root or to user \
         {us}, who runs this (`chown`), or allow it with --allow-unsafe-plugins",
        path = path.display()
    )]
    Owner { path: PathBuf, owner: u32, us: u32 },
    /// Others may write to it, and to the rest.
    #[error(
        "{path} may be written to by others (mode {mode:04o}), who could put their code there: \
         `chmod go-w {path}{rest}`, or allow it with --allow-unsafe-plugins",
        path = path.display(),
        rest = rest.iter().map(|path| format!(" {}", path.display())).collect::<String>()
    )]
    Writable { path: PathBuf, mode: u32, rest: Vec<PathBuf> },
}

/// Whether nobody but root and us can change the file or put another in its place: it and every folder above it,
/// those on the way through symbolic links included.
///
/// # Errors
/// Which of them is at fault, and how.
pub(crate) fn check(file: &Path) -> Result<(), Distrust> {
    check_for(file, &Us::here())
}

fn check_for(file: &Path, us: &Us) -> Result<(), Distrust> {
    is_file(file)?;
    judge_all(&look(file, |path| std::path::absolute(path))?, 0, us)
}

/// Whether nobody but root and us can put files into the folder.
///
/// # Errors
/// What is at fault, and how.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Distrust> {
    judge_all(&look(folder, |path| std::path::absolute(path))?, 1, &Us::here())
}

/// Who may write without being others: we, and the group of which we are alone.
struct Us {
    uid: u32,
    /// Looked up where it matters.
    group: OnceCell<Option<u32>>,
}

impl Us {
    fn here() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), group: OnceCell::new() }
    }

    /// Whether anybody else may write to what was found.
    fn share(&self, path: &Path, found: &Metadata) -> bool {
        let is_ours = || *self.group.get_or_init(|| private_group::of(self.uid)) == Some(found.gid());
        let is_alone = || is_ours() && !private_group::has_access_list(path);
        found.mode() & OTHERS != 0 || found.mode() & GROUP != 0 && !is_alone()
    }
}

/// Whether it is a file at all: nobody waits for what comes out of a pipe.
///
/// # Errors
/// It is not.
pub(crate) fn is_file(file: &Path) -> Result<(), Distrust> {
    match look(file, |path| std::fs::metadata(path))?.is_file() {
        true => Ok(()),
        false => Err(Distrust::NotAFile(file.to_owned())),
    }
}

/// Judges a path and all above it. `depth` 0 is the file itself, 1 the folder that it lies in.
fn judge_all(path: &Path, depth: usize, us: &Us) -> Result<(), Distrust> {
    let mut writable = Vec::new();
    walk(path, depth, us, &mut writable)?;
    // Where all that is made is writable for the group, that is all of them: one command mends it.
    let mut writable = writable.into_iter();
    let Some((path, mode)) = writable.next() else { return Ok(()) };
    let mut rest: Vec<PathBuf> = Vec::new();
    for (other, _) in writable {
        if other != path && !rest.contains(&other) {
            rest.push(other);
        }
    }
    Err(Distrust::Writable { path, mode, rest })
}

/// Collects what others may write to. Ends, since the system has followed the links before.
fn walk(path: &Path, depth: usize, us: &Us, writable: &mut Vec<(PathBuf, u32)>) -> Result<(), Distrust> {
    path.ancestors().enumerate().try_for_each(|(above, path)| judge(path, depth + above, us, writable))
}

fn judge(path: &Path, depth: usize, us: &Us, writable: &mut Vec<(PathBuf, u32)>) -> Result<(), Distrust> {
    let found = look(path, |path| std::fs::symlink_metadata(path))?;
    let owner = found.uid();
    if owner != 0 && owner != us.uid {
        return Err(Distrust::Owner { path: path.to_owned(), owner, us: us.uid });
    }
    // A link's own mode says nothing; what it leads to is judged by itself.
    if found.is_symlink() {
        let target = look(path, |path| std::fs::read_link(path))?;
        let folder = path.parent().unwrap_or(path);
        return walk(&folder.join(target), depth, us, writable);
    }
    let mode = found.mode() & 0o7777;
    // In a folder such as /tmp nobody can replace what is not theirs; what lies right in it may have been put there
    // by anybody, all the same.
    let is_shared_ancestor = depth > 1 && mode & STICKY != 0;
    if !is_shared_ancestor && us.share(path, &found) {
        writable.push((path.to_owned(), mode));
    }
    Ok(())
}

fn look<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> Result<T, Distrust> {
    with(path).map_err(|source| Distrust::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// `DIR/plugins/lib.so` below /tmp, whose modes only we may write to.
    fn library() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let file = folder.join("lib.so");
        fs::write(&file, "").unwrap();
        for (path, mode) in [(&folder, 0o755), (&file, 0o644)] {
            set_mode(path, mode);
        }
        (dir, file)
    }

    /// Who has no group for themselves.
    fn check(file: &Path) -> Result<(), Distrust> {
        check_for(file, &Us { group: OnceCell::from(None), ..Us::here() })
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    fn refused(file: &Path, at_fault: &Path, mode: &str) {
        let sentence = check(file).unwrap_err().to_string();
        assert!(sentence.starts_with(&format!("{} may be written to", at_fault.display())), "{sentence}");
        assert!(sentence.contains(&format!("(mode {mode})")), "{sentence}");
        assert!(sentence.contains(&format!("`chmod go-w {}`", at_fault.display())), "{sentence}");
    }

    #[test]
    fn our_own_below_a_sticky_folder_is_fine() {
        let (_dir, file) = library();
        check(&file).unwrap();
        check_folder(file.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_others_may_write_to_is_refused() {
        let (_dir, file) = library();
        set_mode(&file, 0o664);
        refused(&file, &file, "0664");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_wherever_it_is() {
        let (dir, file) = library();
        let folder = file.parent().unwrap();
        set_mode(folder, 0o757);
        refused(&file, folder, "0757");
        // Who may write to the folder itself may leave files there, sticky or not.
        set_mode(folder, 0o1777);
        refused(&file, folder, "1777");
        assert!(check_folder(folder).is_err());
        set_mode(folder, 0o755);
        set_mode(dir.path(), 0o775);
        refused(&file, dir.path(), "0775");
    }

    #[test]
    fn what_a_group_of_ours_alone_may_write_to_is_ours() {
        let (dir, file) = library();
        let all = [file.as_path(), file.parent().unwrap(), dir.path()];
        all.iter().for_each(|path| set_mode(path, 0o775));
        let gid = fs::metadata(&file).unwrap().gid();
        let alone = Us { group: OnceCell::from(Some(gid)), ..Us::here() };
        check_for(&file, &alone).unwrap();
        assert!(check_for(&file, &Us { group: OnceCell::from(Some(gid + 1)), ..Us::here() }).is_err());
        set_mode(&file, 0o777);
        assert!(check_for(&file, &alone).is_err(), "and others may write to it");
        set_mode(&file, 0o775);

        // user::rwx, user:65534:rwx, group::r-x, mask::rwx, other::r-x; version 2. acl(5)
        let entries =
            [(1u16, 7u16, u32::MAX), (2, 7, 65534), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(permissions.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(&file, "system.posix_acl_access", &list, flags) {
            Ok(()) => assert!(check_for(&file, &alone).is_err(), "another user is on its list"),
            // Where there are no such lists, the mode says all.
            Err(rustix::io::Errno::OPNOTSUPP) => check_for(&file, &alone).unwrap(),
            Err(err) => panic!("{err}"),
        }
    }

    #[test]
    fn all_that_others_may_write_to_is_told_at_once() {
        let (dir, file) = library();
        let folder = file.parent().unwrap();
        for path in [file.as_path(), folder, dir.path()] {
            set_mode(path, 0o775);
        }
        let link = folder.join("link.so");
        symlink(&file, &link).unwrap();
        let all = format!("`chmod go-w {} {} {}`", file.display(), folder.display(), dir.path().display());
        for library in [&file, &link] {
            let sentence = check(library).unwrap_err().to_string();
            assert!(sentence.contains(&all), "no {all} in {sentence}");
        }
    }

    #[test]
    fn a_link_is_as_good_as_both_its_ends() {
        let (dir, file) = library();
        let link = dir.path().join("link.so");
        symlink(&file, &link).unwrap();
        check(&link).unwrap();
        set_mode(&file, 0o646);
        refused(&link, &file, "0646");

        set_mode(&file, 0o644);
        let through = dir.path().join("through");
        symlink(file.parent().unwrap(), &through).unwrap();
        check(&through.join("lib.so")).unwrap();
        set_mode(file.parent().unwrap(), 0o777);
        refused(&through.join("lib.so"), file.parent().unwrap(), "0777");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (_dir, file) = library();
        let folder = file.parent().unwrap();
        assert!(matches!(check(folder), Err(Distrust::NotAFile(_))));
        assert!(matches!(check(&folder.join("missing.so")), Err(Distrust::Unreadable { .. })));
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        let (_dir, file) = library();
        if !rustix::process::geteuid().is_root() {
            // Only root can give files away.
            assert!(std::env::var_os("CI").is_none(), "CI runs this as root");
            eprintln!("skipped: only root can give a file to somebody else");
            return;
        }
        std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
        let sentence = check(&file).unwrap_err().to_string();
        assert!(sentence.starts_with(&format!("{} belongs to user 65534", file.display())), "{sentence}");
    }
}

//! The state dirs of this user: those below the base, and those that somebody chose, to which links lead.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use vitald_supervisor::StateDir;
use vitald_supervisor::clock::SystemClock;
use vitald_supervisor::survivors;

/// The folder of links, below the base.
const LINKS: &str = ".chosen";

/// All state dirs that there are, in name order. Links that lead nowhere any more are removed.
pub(crate) fn all(base: &Path) -> Vec<StateDir> {
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
    let mut dirs: Vec<_> = entries(base).into_iter().filter(|path| !hidden(path) && path.is_dir()).collect();
    for link in entries(&base.join(LINKS)) {
        match std::fs::read_link(&link) {
            Ok(dir) if StateDir::new(dir.clone()).lock_file().exists() => dirs.push(dir),
            // Whoever else looks removes it, too.
            _ => drop(std::fs::remove_file(&link)),
        }
    }
    dirs.sort();
    dirs.dedup();
    dirs.into_iter().map(StateDir::new).collect()
}

/// Makes a state dir known that somebody chose.
///
/// # Errors
/// The link cannot be made.
pub(crate) fn remember(base: &Path, dir: &StateDir) -> io::Result<()> {
    if dir.path().parent() == Some(base) {
        return Ok(());
    }
    let link = link(base, dir);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(base.join(LINKS))?;
    match std::os::unix::fs::symlink(dir.path(), &link) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Takes it back: nothing of it runs any more.
pub(crate) fn forget(base: &Path, dir: &StateDir) {
    // One that stays is removed by whoever looks, once its state dir is gone.
    let _ = std::fs::remove_file(link(base, dir));
}

/// The components of which something runs, as far as can be told without the lock: those that a dead supervisor
/// left.
pub(crate) fn left_running(dir: &StateDir) -> usize {
    let runs = |component: &survivors::StoredComponent| {
        component.process.as_ref().is_some_and(vitald_process::is_same) || component.is_locked()
    };
    survivors::look(dir, &SystemClock).unwrap_or_default().iter().filter(|component| runs(component)).count()
}

fn link(base: &Path, dir: &StateDir) -> PathBuf {
    base.join(LINKS).join(format!("{:016x}", fnv1a(dir.path().as_os_str().as_encoded_bytes())))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// FNV-1a, 64 bits: the same in every build, unlike the standard library's hasher.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_book() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn chosen_ones_are_known_until_they_are_gone() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().join("state/vitald");
        assert_eq!(all(&base), []);
        let [own, chosen] = [base.join("app-1"), temp.path().join("chosen")].map(StateDir::new);
        for dir in [&own, &chosen] {
            drop(dir.lock().unwrap());
            remember(&base, dir).unwrap();
            remember(&base, dir).unwrap();
        }
        assert_eq!(all(&base), [chosen.clone(), own.clone()]);

        std::fs::remove_dir_all(chosen.path()).unwrap();
        assert_eq!(all(&base), std::slice::from_ref(&own));
        assert!(entries(&base.join(LINKS)).is_empty(), "a link that leads nowhere is removed");

        drop(chosen.lock().unwrap());
        remember(&base, &chosen).unwrap();
        forget(&base, &chosen);
        assert_eq!(all(&base), [own]);
    }

    #[test]
    fn what_holds_its_lock_or_is_recorded_runs() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(temp.path().join("state"));
        drop(dir.lock().unwrap());
        let file = std::fs::File::create(dir.component_lock("web")).unwrap();
        assert_eq!(left_running(&dir), 0);
        file.lock().unwrap();
        assert_eq!(left_running(&dir), 1);
    }
}

//! File systems to try things on: what a log's rotation does depends on them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statfs::{EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs};
use tempfile::TempDir;

use crate::skip;

/// What a file system can do for who rotates files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext4, and what can do the same: the beginning of a file can be taken out, and the rest moves up.
    Ext4,
    /// The beginning can only be given back: it reads as zeros.
    Tmpfs,
}

/// A folder on a file system of some kind. Dropped, it is removed, and unmounted if it was mounted for it.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
    mounted: Option<PathBuf>,
}

impl Disk {
    /// On a file system of this kind that there is, with this much room. `None` where there is none; that has been told.
    pub fn of(kind: Kind, room: u64) -> Option<Self> {
        let candidates = match kind {
            Kind::Ext4 => vec![std::env::temp_dir(), "/var/tmp".into(), beside_the_test()],
            Kind::Tmpfs => vec!["/dev/shm".into(), "/run".into(), std::env::temp_dir()],
        };
        let fits = |dir: &PathBuf| is(kind, dir) && has(room, dir);
        let found = candidates.iter().filter(|dir| fits(dir));
        let made = found.filter_map(|dir| tempfile::Builder::new().prefix("vl").tempdir_in(dir).ok()).next();
        if made.is_none() {
            skip(&format!("none of {candidates:?} is {kind:?} with {} MiB of room", room >> 20));
        }
        made.map(|dir| Self { dir, mounted: None })
    }

    /// One of its own, that is full with so many MiB. `None` where none can be mounted; that has been told.
    pub fn small(kind: Kind, mebibytes: u64) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("vl").tempdir().expect("a temporary folder");
        let at = dir.path().join("disk");
        fs::create_dir(&at).expect("a folder to mount at");
        let mut mount = Command::new("mount");
        match kind {
            Kind::Tmpfs => {
                mount
                    .args(["-t", "tmpfs", "-o"])
                    .arg(format!("size={mebibytes}m,mode=700"))
                    .arg("vitald-e2e");
            }
            Kind::Ext4 => {
                let image = dir.path().join("image");
                let file = fs::File::create(&image).expect("a file");
                file.set_len(mebibytes << 20).expect("a sparse file");
                run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
                mount.args(["-o", "loop"]).arg(image);
            }
        }
        run(mount.arg(&at))?;
        Some(Self { dir, mounted: Some(at) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.mounted.as_deref().unwrap_or(self.dir.path())
    }

    /// Bytes that there is room for.
    pub fn room(&self) -> u64 {
        let about = statfs(self.path()).expect("a file system");
        about.blocks_available() * u64::try_from(about.block_size()).unwrap_or(0)
    }

    /// Fills it up but for so many bytes, with a file to be removed; gives that.
    pub fn fill(&self, but: u64) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = fs::File::options().create(true).append(true).open(&path).expect("a file");
        let block = vec![1; 64 * 1024];
        while let Some(rest) = self.room().checked_sub(but).filter(|rest| *rest > 0) {
            let piece = usize::try_from(rest).unwrap_or(usize::MAX).min(block.len());
            if ballast.write_all(&block[..piece]).is_err() || ballast.sync_all().is_err() {
                break;
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(at) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(at).status();
        }
    }
}

/// Runs what only some may do; if it is refused, says so.
fn run(command: &mut Command) -> Option<()> {
    match command.output() {
        Ok(output) if output.status.success() => Some(()),
        refused => {
            skip(&format!("no file system can be mounted: {command:?}: {refused:?}"));
            None
        }
    }
}

fn is(kind: Kind, dir: &Path) -> bool {
    let wanted: &[_] = match kind {
        Kind::Ext4 => &[EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC],
        Kind::Tmpfs => &[TMPFS_MAGIC],
    };
    statfs(dir).is_ok_and(|about| wanted.contains(&about.filesystem_type()))
}

fn has(room: u64, dir: &Path) -> bool {
    statfs(dir)
        .is_ok_and(|about| about.blocks_available() * u64::try_from(about.block_size()).unwrap_or(0) >= room)
}

fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.parent().unwrap_or(Path::new(".")).to_owned()
}

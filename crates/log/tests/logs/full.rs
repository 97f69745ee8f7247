//! A disk that fills up and is freed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use vitald_log::{Keeper, LogError, Notice, OnDiskFull, Policy, Rotated, Settings, extent};

use crate::bed::{assert_same, lines, open_append, read_all, rotating, settings, skip, write};

const MIB: u64 = 1024 * 1024;

/// A file system of its own; unmounted in the end.
pub(crate) struct Disk(pub(crate) PathBuf, #[allow(dead_code)] tempfile::TempDir);

impl Disk {
    fn of(mib: u64) -> Option<Self> {
        Self::mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "vitald-log-test"])
    }

    pub(crate) fn mount(what: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(what).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir.path().to_owned(), dir)),
            refused => {
                skip(&format!("no file system can be mounted: {refused:?}"));
                None
            }
        }
    }

    fn fill(&self, leave: u64) {
        let stat = rustix_free(&self.0);
        fs::write(self.0.join("ballast"), vec![1; usize::try_from(stat - leave).unwrap()]).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn rustix_free(folder: &Path) -> u64 {
    let output = Command::new("df").args(["-B1", "--output=avail"]).arg(folder).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn kept_until_there_is_room_again() {
    let Some(disk) = Disk::of(20) else { return };
    let log = disk.0.join("web.log");
    let mut component = open_append(&log);
    let mut kept = rotating(&log, settings(MIB, 10));
    let text = lines('a', 0..40_000);
    write(&mut component, &text);
    disk.fill(100 * 1024);
    for _ in 0..3 {
        assert!(matches!(kept.rotate(), Err(LogError::NoSpace { needed: MIB, .. })));
        assert_same(&read_all(&log).0, &text, "on a full disk");
    }
    // Nothing that was begun takes the last room from the component.
    assert!(!disk.0.join("web.log.draft").exists());
    assert!(rustix_free(&disk.0) >= 80 * 1024);
    fs::remove_file(disk.0.join("ballast")).unwrap();
    assert_eq!(kept.rotate().unwrap(), Rotated { archived: MIB, dropped: 0 });
    assert_same(&read_all(&log).0, &text, "afterwards");
}

#[test]
fn the_keeper_tells_once_that_it_is_full_and_once_that_it_is_not() {
    let Some(disk) = Disk::of(20) else { return };
    let log = disk.0.join("web.log");
    let (tell, told) = channel();
    let keeper = Keeper::start(&disk.0, Policy::default(), move |notice| drop(tell.send(notice))).unwrap();
    keeper.keep("web", settings(MIB, 10));
    let mut component = open_append(&log);
    let text = lines('a', 0..20_000);
    disk.fill(text.len() as u64 + 100 * 1024);
    write(&mut component, &text);
    let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(next(), Notice::DiskFull { needed: MIB, .. }));
    fs::remove_file(disk.0.join("ballast")).unwrap();
    assert!(matches!(next(), Notice::Rotated { .. }));
    assert!(matches!(next(), Notice::RoomAgain { .. }));
    drop(keeper);
    assert_same(&read_all(&log).0, &text, "afterwards");
}

#[test]
fn room_is_noticed_soon_however_long_there_was_none() {
    let Some(disk) = Disk::of(20) else { return };
    let log = disk.0.join("web.log");
    let (tell, told) = channel();
    let keeper = Keeper::start(&disk.0, Policy::default(), move |notice| drop(tell.send(notice))).unwrap();
    keeper.keep("web", settings(MIB, 10));
    let text = lines('a', 0..20_000);
    disk.fill(text.len() as u64 + 100 * 1024);
    write(&mut open_append(&log), &text);
    let within = |seconds| told.recv_timeout(Duration::from_secs(seconds)).unwrap();
    assert!(matches!(within(20), Notice::DiskFull { .. }));
    // By now it is tried every 8 s only.
    std::thread::sleep(Duration::from_secs(8));
    fs::remove_file(disk.0.join("ballast")).unwrap();
    assert!(matches!(within(5), Notice::Rotated { .. }));
    drop(keeper);
    assert_same(&read_all(&log).0, &text, "afterwards");
}

#[test]
fn a_disk_without_any_room_is_told_though_nothing_is_due() {
    let Some(disk) = Disk::of(20) else { return };
    let (tell, told) = channel();
    let keeper = Keeper::start(&disk.0, Policy::default(), move |notice| drop(tell.send(notice))).unwrap();
    keeper.keep("web", settings(50 * MIB, 5));
    let mut component = open_append(&disk.0.join("web.log"));
    write(&mut component, b"hello\n");
    disk.fill(200 * 1024);
    let line = [b'a'; 4096];
    while std::io::Write::write_all(&mut component, &line).is_ok() {}
    let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(matches!(next(), Notice::FolderFull));
    fs::remove_file(disk.0.join("ballast")).unwrap();
    assert!(matches!(next(), Notice::FolderFreed));
    drop(keeper);
    assert_eq!(told.iter().count(), 0, "once");
}

#[test]
fn the_oldest_go_first_and_then_what_is_there() {
    let Some(disk) = Disk::of(20) else { return };
    let log = disk.0.join("web.log");
    let mut component = open_append(&log);
    let mut kept = rotating(&log, Settings { on_disk_full: OnDiskFull::DropOldest, ..settings(MIB, 10) });
    let text = lines('a', 0..40_000);
    write(&mut component, &text);
    assert_eq!(kept.rotate().unwrap().archived, MIB);
    disk.fill(0);
    // The archive made room for itself, but not for what is left to the component.
    let done = kept.rotate().unwrap();
    assert_eq!(done, Rotated { archived: 0, dropped: 2 * MIB }, "the archive, and what should have been one");
    assert_eq!(read_all(&log).0.len() as u64, text.len() as u64 - 2 * MIB);
    let extent = extent(&log).unwrap();
    assert_eq!((extent.oldest, extent.end), (2 * MIB, text.len() as u64));
    assert_same(&read_all(&log).0, &text[2 * MIB as usize..], "what is left");
    write(&mut component, b"more\n");
    assert!(read_all(&log).0.ends_with(b"more\n"));
}

#[test]
fn without_an_archive_and_without_a_byte_of_room_it_is_dropped() {
    let Some(disk) = Disk::of(20) else { return };
    let log = disk.0.join("web.log");
    let mut component = open_append(&log);
    let mut kept = rotating(&log, Settings { on_disk_full: OnDiskFull::DropOldest, ..settings(MIB, 10) });
    let text = lines('a', 0..40_000);
    write(&mut component, &text);
    disk.fill(0);
    assert_eq!(kept.rotate().unwrap(), Rotated { archived: 0, dropped: MIB });
    assert!(rustix_free(&disk.0) >= MIB - 8192);
    write(&mut component, b"more\n");
    assert!(read_all(&log).0.ends_with(b"more\n"));
    assert_eq!(extent(&log).unwrap().oldest, MIB);
}

//! File systems that are not the usual ones.

use std::path::Path;
use std::process::Command;

use vitald_log::{Keeper, Notice, Policy, Rotated};

use crate::bed::{assert_same, lines, open_append, read_all, rotating, settings, skip, write};
use crate::full::Disk;

/// Two rotations, and everything is there.
fn rotates(folder: &Path) {
    let log = folder.join("web.log");
    let mut component = open_append(&log);
    let mut kept = rotating(&log, settings(64 * 1024, 10));
    let text = lines('a', 0..2500);
    write(&mut component, &text);
    for _ in 0..2 {
        assert_eq!(kept.rotate().unwrap(), Rotated { archived: 64 * 1024, dropped: 0 });
    }
    assert_eq!(kept.rotate().unwrap(), Rotated::default());
    assert_same(&read_all(&log).0, &text, "rotated");
}

#[test]
fn one_that_states_no_size_has_room() {
    let Some(disk) = Disk::mount(&["-t", "tmpfs", "-o", "size=0", "vitald-log-test"]) else { return };
    rotates(&disk.0);
    let (tell, told) = std::sync::mpsc::channel();
    let keeper = Keeper::start(&disk.0, Policy::default(), move |notice| drop(tell.send(notice))).unwrap();
    keeper.keep("api", settings(64 * 1024, 10));
    write(&mut open_append(&disk.0.join("api.log")), &lines('a', 0..1500));
    // Past the look at the folder, too.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    drop(keeper);
    let told: Vec<_> = told.iter().collect();
    assert!(matches!(told[..], [Notice::Rotated { .. }]), "{told:?}");
}

#[test]
fn one_of_small_blocks_whose_files_are_small() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-b", "1024"]).arg(&image).output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        return skip(&format!("no ext4 can be made: {made:?}"));
    }
    let Some(disk) = Disk::mount(&["-o", "loop", image.to_str().unwrap()]) else { return };
    rotates(&disk.0);
}

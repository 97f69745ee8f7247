//! Who rotates is killed again and again while the component writes as it likes.

use std::time::Duration;

use crate::bed::{Bed, LINE, assert_same, beds, cat, check_lines, helper, lines, read_all, wait_for};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_gibibyte_with_twenty_kills_loses_no_line() {
    let Some(bed) = Bed::ordinary() else { return };
    killed(&bed, 1024 * MIB, 50 * MIB, 20);
    let count = std::fs::read_dir(bed.path()).unwrap().count();
    assert!(count > 20, "{count} files: it was hardly rotated");
    drop(bed);
}

#[test]
fn where_files_can_only_be_punched_nothing_is_lost_either() {
    let Some(bed) = Bed::memory() else { return };
    killed(&bed, 128 * MIB, 4 * MIB, 20);
}

fn killed(bed: &Bed, bytes: u64, max_size: u64, kills: u64) {
    let log = bed.log();
    let count = bytes / LINE as u64;
    // About four seconds of writing, so that the kills fall into it.
    let pause = 4_000_000 / (count / 1024);
    let mut writer = helper("write", &log, &[u64::from(b'a'), count, pause]);
    wait_for("the writer", || log.exists());
    let followed = log.clone();
    let follower = std::thread::spawn(move || check_lines(&followed, 'a', count));
    for kill in 0..kills {
        let mut keeper = helper("keep", &log, &[max_size, 100, 0]);
        std::thread::sleep(Duration::from_millis(60 + 37 * (kill % 5)));
        keeper.kill().unwrap();
        keeper.wait().unwrap();
    }
    let mut keeper = helper("keep", &log, &[max_size, 100, 0]);
    assert!(writer.wait().unwrap().success());
    wait_for("the last rotation", || {
        let extent = vitald_log::extent(&log).unwrap();
        assert_eq!(extent.oldest, 0);
        extent.end == bytes && extent.end - extent.live <= max_size
    });
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    follower.join().unwrap();
    check_lines(&log, 'a', count);
}

#[test]
fn three_writers_at_once() {
    for bed in beds() {
        let log = bed.log();
        let mut keeper = helper("keep", &log, &[256 * 1024, 1000, 0]);
        let count = 100_000;
        let writers = ['a', 'b', 'c'].map(|mark| helper("write", &log, &[mark as u64, count, 300]));
        for mut writer in writers {
            assert!(writer.wait().unwrap().success());
        }
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        let (there, gone) = read_all(&log);
        assert_eq!((there.len() as u64, gone), (3 * count * LINE as u64, 0));
        for mark in ['a', 'b', 'c'] {
            let own: Vec<u8> =
                there.chunks(LINE).filter(|line| line[13] == mark as u8).flatten().copied().collect();
            assert_same(&own, &lines(mark, 0..count), "one writer's lines");
        }
        if bed.way == vitald_log::Way::Collapse {
            let mut kept = crate::bed::rotating(&log, crate::bed::settings(MIB, 1000));
            while kept.rotate().unwrap() != vitald_log::Rotated::default() {}
            assert_same(&cat(&log), &there, "cat");
        }
    }
}

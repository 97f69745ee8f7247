//! Reading a log that nobody has kept yet, and that is kept and rotated from then on.

use std::fs::{self, File};
use std::path::Path;

use vitald_log::{LogReader, Read, Rotated, append};

use crate::bed::{Bed, LINE, assert_same, beds, lines, open_append, rotating, settings, write};

/// All that comes until the end.
fn take(reader: &mut LogReader, into: &mut Vec<u8>) {
    let mut buffer = [0; 5000];
    loop {
        let before = reader.offset();
        match reader.read(&mut buffer).unwrap() {
            Read::Bytes(length) => into.extend_from_slice(&buffer[..length]),
            Read::End => return,
            other => panic!("{other:?} at {before}"),
        }
    }
}

/// What a reader gets that stood in the log, having read `read` lines of 300, before there was a meta; 200
/// lines come after the meta, and so many again after each rotation.
fn read_across(bed: &Bed, read: u64, looks: bool) {
    let log = bed.log();
    let what = format!("{read} lines read, extent asked: {looks}, {:?}", bed.way);
    let mut component = open_append(&log);
    write(&mut component, &lines('a', 0..300));
    let mut reader = LogReader::open(&log).unwrap();
    let mut got = Vec::new();
    let mut buffer = vec![0; LINE];
    for _ in 0..read {
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Bytes(LINE));
        got.extend_from_slice(&buffer);
    }
    let mut next = 300;
    let mut kept = rotating(&log, settings(8192, 100));
    for round in 0..3 {
        write(&mut component, &lines('a', next..next + 200));
        next += 200;
        if looks {
            assert_eq!(reader.extent().unwrap().end, next * LINE as u64, "{what}, round {round}");
            assert_eq!(reader.offset(), got.len() as u64, "{what}, round {round}");
        }
        while kept.rotate().unwrap() != Rotated::default() {}
        if looks {
            assert_eq!(reader.extent().unwrap().end, next * LINE as u64, "{what}, rotated in {round}");
        }
        if round > 0 {
            take(&mut reader, &mut got);
            assert_eq!(reader.offset(), next * LINE as u64, "{what}, round {round}");
        }
    }
    assert_same(&got, &lines('a', 0..next), &what);
    forget(&log);
}

fn forget(log: &Path) {
    for entry in fs::read_dir(log.parent().unwrap()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn who_reads_before_the_first_meta_reads_on_across_the_first_rotations() {
    for bed in beds() {
        for read in [0, 1, 200, 300] {
            read_across(&bed, read, false);
            read_across(&bed, read, true);
        }
    }
}

#[test]
fn the_first_rotation_is_nothing_new_to_who_has_read_all() {
    for bed in beds() {
        for (max_size, max_files) in [(8192, 100), (8192, 2), (8192, 1), (4096, 3), (1, 3)] {
            for earlier in [0, 500] {
                let log = bed.log();
                let what = format!("{max_size} x {max_files}, {earlier} lines before, {:?}", bed.way);
                let (mut component, _) = append(&log).unwrap();
                write(&mut component, &lines('a', 0..earlier));
                let (mut component, begin) = append(&log).unwrap();
                assert_eq!(begin, earlier * LINE as u64);
                let mut reader = LogReader::open(&log).unwrap();
                reader.seek(begin).unwrap();
                let (end, mut got) = (700, Vec::new());
                write(&mut component, &lines('a', earlier..end));
                take(&mut reader, &mut got);
                assert_same(&got, &lines('a', earlier..end), &what);
                let mut kept = rotating(&log, settings(max_size, max_files));
                while kept.rotate().unwrap() != Rotated::default() {
                    assert_eq!(reader.extent().unwrap().end, end * LINE as u64, "{what}");
                }
                take(&mut reader, &mut got);
                assert_eq!(got.len() as u64, (end - earlier) * LINE as u64, "{what}: something twice");
                assert_eq!(reader.offset(), end * LINE as u64, "{what}");
                forget(&log);
            }
        }
    }
}

#[test]
fn who_waits_for_a_log_before_there_is_a_file_reads_all_of_it() {
    for bed in beds() {
        for kept_first in [false, true] {
            let log = bed.log();
            let mut reader = LogReader::open(&log).unwrap();
            let mut got = Vec::new();
            take(&mut reader, &mut got);
            let early = kept_first.then(|| rotating(&log, settings(8192, 100)));
            take(&mut reader, &mut got);
            let mut component: File = open_append(&log);
            write(&mut component, &lines('a', 0..500));
            let mut kept = early.unwrap_or_else(|| rotating(&log, settings(8192, 100)));
            while kept.rotate().unwrap() != Rotated::default() {}
            assert_eq!(reader.extent().unwrap().end, 500 * LINE as u64, "kept first: {kept_first}");
            take(&mut reader, &mut got);
            assert_same(&got, &lines('a', 0..500), &format!("kept first: {kept_first}, {:?}", bed.way));
            assert_eq!(reader.offset(), got.len() as u64);
            forget(&log);
        }
    }
}

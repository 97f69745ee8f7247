//! Reading while it is written and rotated; last lines; runs.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use vitald_log::{FolderWatch, LogReader, Read, Rotated, append};

use crate::bed::{LINE, assert_same, beds, lines, open_append, rotating, settings, wait_for, write};

/// Follows until so many bytes have come.
fn follow(log: &Path, bytes: usize) -> Vec<u8> {
    let watch = FolderWatch::new(log.parent().unwrap());
    let mut reader = LogReader::open(log).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 10_000]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while all.len() < bytes {
        match reader.read(&mut buffer).unwrap() {
            Read::Bytes(length) => all.extend_from_slice(&buffer[..length]),
            Read::End => {
                assert!(Instant::now() < deadline, "{} of {bytes} bytes came", all.len());
                watch.wait(Some(Duration::from_secs(5)));
            }
            other => panic!("{other:?} at {}", reader.offset()),
        }
    }
    assert_eq!(reader.read(&mut buffer).unwrap(), Read::End);
    assert_eq!(reader.offset(), bytes as u64);
    all
}

#[test]
fn three_followers_see_every_byte_once_through_rotations() {
    for bed in beds() {
        let log = bed.log();
        let count = 400_000;
        let mut component = open_append(&log);
        let followers = [(); 3].map(|()| {
            let log = log.clone();
            thread::spawn(move || follow(&log, count * LINE))
        });
        let writer = thread::spawn(move || {
            for next in (0..count as u64).step_by(500) {
                write(&mut component, &lines('a', next..next + 500));
                thread::sleep(Duration::from_millis(1));
            }
        });
        let mut kept = rotating(&log, settings(128 * 1024, 1000));
        let mut rotations = 0;
        while !writer.is_finished() {
            rotations += u32::from(kept.rotate().unwrap() != Rotated::default());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(rotations >= 10, "only {rotations} rotations");
        for follower in followers {
            assert_same(&follower.join().unwrap(), &lines('a', 0..count as u64), "followed");
        }
    }
}

#[test]
fn a_slow_reader_is_told_what_is_gone() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 2));
        let mut reader = LogReader::open(&log).unwrap();
        let mut buffer = [0; 64];
        let mut written = Vec::new();
        for number in 0..10_u64 {
            let text = lines('a', number * 200..(number + 1) * 200);
            write(&mut component, &text);
            written.extend(text);
            if number == 0 {
                assert_eq!(reader.read(&mut buffer).unwrap(), Read::Bytes(64));
            }
            while kept.rotate().unwrap() != Rotated::default() {}
        }
        let oldest = vitald_log::extent(&log).unwrap().oldest;
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Gone(oldest - 64));
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Bytes(64));
        assert_same(&buffer, &written[oldest as usize..][..64], "after the gap");

        // By hand, while it is not being read.
        let mut reader = LogReader::open(&log).unwrap();
        assert_eq!(reader.offset(), oldest);
        std::fs::remove_file(log.with_extension("log.1")).unwrap();
        let live = vitald_log::extent(&log).unwrap().live;
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Gone(live - oldest));
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Bytes(64));
        assert_same(&buffer, &written[live as usize..][..64], "after the second gap");
        drop(kept);
        let mut kept = rotating(&log, settings(8192, 2));
        write(&mut component, &lines('a', 0..400));
        kept.rotate().unwrap();
        assert_eq!(vitald_log::extent(&log).unwrap().oldest, live);
    }
}

#[test]
fn runs_and_last_lines_are_right_across_rotations() {
    for bed in beds() {
        let log = bed.log();
        let mut written = Vec::new();
        let mut runs = Vec::new();
        let mut kept = rotating(&log, settings(8192, 1000));
        let long = [b"\xff\0".repeat(512 * 1024), b"\n".to_vec()].concat();
        for run in 0..6_u64 {
            let (mut component, begin) = append(&log).unwrap();
            runs.push(begin);
            let mut text = lines('a', run * 300..(run + 1) * 300);
            if run == 3 {
                text.extend_from_slice(&long);
            }
            if run == 5 {
                text.extend_from_slice(b"no end");
            }
            component.write_all(&text).unwrap();
            written.extend(text);
            while kept.rotate().unwrap() != Rotated::default() {}
        }
        let end = written.len() as u64;
        runs.push(end);
        let mut reader = LogReader::open(&log).unwrap();
        for run in 0..6 {
            let (from, to) = (runs[run], runs[run + 1]);
            reader.seek(from).unwrap();
            let (mut text, mut buffer) = (Vec::new(), vec![0; 7777]);
            while let Read::Bytes(length) = reader.read_until(to, &mut buffer).unwrap() {
                text.extend_from_slice(&buffer[..length]);
            }
            assert_same(&text, &written[from as usize..to as usize], "a run");
            for count in [0, 1, 2, 299, 301, 10_000] {
                let found = reader.tail_start(from..to, count).unwrap();
                assert_eq!(found, from + naive_tail(&text, count) as u64, "{count} lines of run {run}");
            }
        }
        assert_eq!(reader.tail_start(0..u64::MAX, 302).unwrap(), naive_tail(&written, 302) as u64);
        assert_eq!(reader.tail_start(0..u64::MAX, 1).unwrap(), end - 6);
    }
}

fn naive_tail(text: &[u8], count: usize) -> usize {
    let pieces: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    pieces[..pieces.len().saturating_sub(count)].iter().map(|piece| piece.len()).sum()
}

#[test]
fn a_follower_at_the_end_waits_without_looking() {
    for bed in beds() {
        let log = bed.log();
        let watch = FolderWatch::new(bed.path());
        let before = Instant::now();
        watch.wait(Some(Duration::from_millis(100)));
        assert!(before.elapsed() >= Duration::from_millis(100), "woken by nothing");
        let waiting = thread::spawn(move || watch.wait(None));
        write(&mut open_append(&log), b"hello\n");
        wait_for("the follower", || waiting.is_finished());
    }
}

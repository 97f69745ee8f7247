//! Components and people that do with a log what they should not.

use std::fs;
use std::io::Write;
use std::path::Path;

use vitald_log::{Finding, LogReader, Read, Rotated, append, extent};

use crate::bed::{
    assert_same, beds, lines, open_append, open_at_own_offset, read_all, rotating, settings, write,
};

fn all_rest(reader: &mut LogReader) -> (Vec<u8>, Vec<Read>) {
    let (mut bytes, mut said, mut buffer) = (Vec::new(), Vec::new(), vec![0; 1000]);
    for _ in 0..100_000 {
        match reader.read(&mut buffer).unwrap() {
            Read::Bytes(length) => bytes.extend_from_slice(&buffer[..length]),
            Read::End => return (bytes, said),
            other => said.push(other),
        }
    }
    panic!("it never ends: {said:?}");
}

#[test]
fn truncated_by_the_component() {
    for bed in beds() {
        for watched in [true, false] {
            let log = bed.log();
            let mut component = open_append(&log);
            let mut kept = rotating(&log, settings(8192, 10));
            write(&mut component, &lines('a', 0..300));
            kept.rotate().unwrap();
            let before = kept.look().unwrap();
            let mut follower = LogReader::open(&log).unwrap();
            let mut late = LogReader::open(&log).unwrap();
            assert_same(&all_rest(&mut follower).0, &lines('a', 0..300), "before");

            if !watched {
                drop(kept);
                component.set_len(0).unwrap();
                write(&mut component, b"new\n");
                // Nobody keeps the log: the reader notices by itself.
                assert_eq!(all_rest(&mut follower), (b"new\n".to_vec(), vec![Read::Restarted]));
                kept = rotating(&log, settings(8192, 10));
                kept.look().unwrap();
            } else {
                component.set_len(0).unwrap();
                write(&mut component, b"new\n");
                let look = kept.look().unwrap();
                assert_eq!(look.finding, Some(Finding::Truncated(before.size)));
                assert_eq!(look.end, before.end + 4);
                assert_eq!(all_rest(&mut follower), (b"new\n".to_vec(), vec![Read::Restarted]));
            }
            write(&mut component, b"more\n");
            assert_eq!(all_rest(&mut follower).0, b"more\n", "{:?} {watched}", bed.way);
            // Who has not read them yet loses what was truncated, and nothing else.
            let archived = extent(&log).unwrap().live as usize;
            let (rest, _) = all_rest(&mut late);
            assert!(rest.ends_with(b"new\nmore\n") && rest.starts_with(&lines('a', 0..128)), "{archived}");

            write(&mut component, &lines('b', 0..400));
            while kept.rotate().unwrap() != Rotated::default() {}
            assert_same(&all_rest(&mut follower).0, &lines('b', 0..400), "afterwards");
            clear(bed.path());
        }
    }
}

#[test]
fn an_older_file_is_removed_while_nobody_keeps_a_log_that_was_replaced() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 10));
        write(&mut component, &lines('a', 0..600));
        for _ in 0..3 {
            assert_eq!(kept.rotate().unwrap().archived, 8192);
        }
        drop(kept);
        fs::remove_file(&log).unwrap();
        write(&mut open_append(&log), &lines('b', 0..3));
        let mut reader = LogReader::open(&log).unwrap();
        let mut beginning = vec![0; 1000];
        assert_eq!(reader.read(&mut beginning).unwrap(), Read::Bytes(1000));

        fs::remove_file(bed.path().join("web.log.2")).unwrap();
        let read = [beginning, all_rest(&mut reader).0].concat();
        let expected = [lines('a', 0..128), lines('a', 256..384), lines('b', 0..3)].concat();
        assert_same(&read, &expected, "what is there");
        clear(bed.path());
    }
}

#[test]
fn a_component_with_an_offset_of_its_own() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_at_own_offset(&log);
        let mut kept = rotating(&log, settings(256 * 1024, 100));
        let mut written = Vec::new();
        let mut findings = 0;
        for round in 0..40_u64 {
            let text = lines('a', round * 1000..(round + 1) * 1000);
            write(&mut component, &text);
            written.extend(text);
            let mut rotations = 0;
            loop {
                findings += u32::from(kept.look().unwrap().finding.is_some());
                if kept.rotate().unwrap() == Rotated::default() {
                    break;
                }
                rotations += 1;
                assert!(rotations < 10, "it rotates holes");
            }
        }
        // At most what fills up the blocks around the one hole is not what the component has written.
        let (there, gone) = read_all(&log);
        assert_eq!((gone, findings), (0, u32::from(bed.way == vitald_log::Way::Collapse)));
        let text: Vec<u8> = there.iter().copied().filter(|byte| *byte != 0).collect();
        assert_same(&text, &written, "but for zeros");
        assert!(there.len() - text.len() <= 2 * 4096, "{} zeros", there.len() - text.len());
    }
}

#[test]
fn a_truncating_component_with_an_offset_of_its_own() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_at_own_offset(&log);
        let mut kept = rotating(&log, settings(64 * 1024, 100));
        write(&mut component, &lines('a', 0..3000));
        while kept.rotate().unwrap() != Rotated::default() {}
        component.set_len(0).unwrap();
        write(&mut component, &lines('b', 0..3000));
        for _ in 0..20 {
            kept.look().unwrap();
            kept.rotate().unwrap();
        }
        let (there, _) = read_all(&log);
        assert!(there.ends_with(&lines('b', 2999..3000)) && there.starts_with(&lines('a', 0..1000)));
        let lines_b = there.split(|byte| *byte == b'\n').filter(|line| line.get(13) == Some(&b'b')).count();
        assert!(lines_b >= 2998, "{lines_b} lines");
        assert!(there.len() < 3 * 64 * 3000, "{} bytes: holes were read", there.len());
    }
}

#[test]
fn removed_and_made_again() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 10));
        write(&mut component, &lines('a', 0..300));
        kept.rotate().unwrap();
        let end = kept.look().unwrap().end;
        let mut follower = LogReader::open(&log).unwrap();
        all_rest(&mut follower);
        fs::remove_file(&log).unwrap();
        assert_eq!(follower.read(&mut [0; 9]).unwrap(), Read::End);
        let (mut component, begin) = append(&log).unwrap();
        assert!(begin <= end);
        write(&mut component, b"new\n");
        assert_eq!(all_rest(&mut follower), (b"new\n".to_vec(), vec![Read::Restarted]));
        let look = kept.look().unwrap();
        assert!(matches!(look.finding, Some(Finding::Replaced(_))), "{look:?}");
        assert_eq!(look.end, end + 4);
        write(&mut component, b"more\n");
        assert_eq!(all_rest(&mut follower).0, b"more\n");

        // The same while nobody keeps it.
        drop(kept);
        fs::remove_file(&log).unwrap();
        write(&mut open_append(&log), b"third\n");
        let mut kept = rotating(&log, settings(8192, 10));
        assert!(matches!(kept.look().unwrap().finding, Some(Finding::Replaced(_))));
        assert!(read_all(&log).0.ends_with(b"third\n"));
        assert!(matches!(rotate_while_locked(&log), vitald_log::LogError::Locked { .. }));
    }
}

fn rotate_while_locked(log: &Path) -> vitald_log::LogError {
    vitald_log::RotatingLog::open(log, settings(8192, 10)).err().unwrap()
}

#[test]
fn meta_that_is_lost_or_damaged() {
    for bed in beds() {
        for damage in [None, Some(&b"{\"version\":"[..]), Some(&[0; 4096])] {
            let log = bed.log();
            let mut component = open_append(&log);
            let mut kept = rotating(&log, settings(8192, 10));
            let mut written = lines('a', 0..1000);
            write(&mut component, &written);
            while kept.rotate().unwrap() != Rotated::default() {}
            drop(kept);
            let meta = log.with_extension("log.meta");
            match damage {
                None => fs::remove_file(meta).unwrap(),
                Some(bytes) => fs::write(meta, bytes).unwrap(),
            }
            // Where the hidden part was a hole, its zeros cannot be told from what was written.
            let strip = |bytes: Vec<u8>| bytes.into_iter().filter(|byte| *byte != 0).collect::<Vec<u8>>();
            assert_same(&strip(read_all(&log).0), &written, "without meta");
            let mut kept = rotating(&log, settings(8192, 10));
            let text = lines('b', 0..1000);
            write(&mut component, &text);
            written.extend(text);
            while kept.rotate().unwrap() != Rotated::default() {}
            assert!(read_all(&log).0.ends_with(&written[written.len() - 64 * 900..]), "{damage:?}");
            assert!(extent(&log).unwrap().end >= written.len() as u64);
            clear(bed.path());
        }
    }
}

#[test]
fn a_copy_of_the_folder_is_the_same_log() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 4));
        write(&mut component, &lines('a', 0..2000));
        while kept.rotate().unwrap() != Rotated::default() {}
        drop(kept);
        let before = extent(&log).unwrap();
        let copy = bed.path().join("copy");
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(bed.path()).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        let copied = copy.join("web.log");
        let after = extent(&copied).unwrap();
        assert_eq!((after.oldest, after.live), (before.oldest, before.end.max(after.live)));
        let mut kept = rotating(&copied, settings(8192, 4));
        kept.look().unwrap();
        let (bytes, _) = read_all(&copied);
        assert!(bytes.ends_with(&lines('a', 1990..2000)));
        open_append(&copied).write_all(b"on\n").unwrap();
        assert!(read_all(&copied).0.ends_with(b"on\n"));
    }
}

fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

//! What stands in the way of a rotation, and holes too small to be noticed by their size.

use std::fs;
use std::os::unix::fs::FileExt;

use vitald_log::{Finding, LogReader, Read, Rotated, extent, limit_total};

use crate::bed::{assert_same, beds, lines, open_append, read_all, rotating, settings, write};

#[test]
fn an_archive_that_gets_no_number_is_not_lost() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 2));
        // Nothing can be renamed to this, and it cannot be removed like a file.
        let obstacle = log.with_extension("log.1");
        fs::create_dir_all(obstacle.join("full")).unwrap();
        let text = lines('a', 0..1000);
        write(&mut component, &text);
        for _ in 0..4 {
            kept.rotate().unwrap_err();
            assert_same(&read_all(&log).0, &text, "while it is in the way");
        }
        drop(kept);
        fs::remove_dir_all(&obstacle).unwrap();
        let mut kept = rotating(&log, settings(8192, 100));
        while kept.rotate().unwrap() != Rotated::default() {}
        assert_same(&read_all(&log).0, &text, "afterwards");
    }
}

#[test]
fn a_small_hole_hides_nothing_and_is_no_truncation_later() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(64 * 1024, 10));
        let first = lines('a', 0..128);
        write(&mut component, &first);
        kept.look().unwrap();
        let mut follower = LogReader::open(&log).unwrap();
        // As somebody does who has kept an offset of his own over a truncation.
        let mut written = first;
        for round in 0..4_u64 {
            let text = lines('b', round * 128..(round + 1) * 128);
            let end = fs::metadata(&log).unwrap().len();
            component = fs::OpenOptions::new().write(true).open(&log).unwrap();
            component.write_all_at(&text, end + 20 * 1024).unwrap();
            written.extend(text);
            let look = kept.look().unwrap();
            assert!(matches!(look.finding, Some(Finding::OwnOffset(_))), "{look:?}");
        }
        let not_zero = |bytes: Vec<u8>| bytes.into_iter().filter(|byte| *byte != 0).collect::<Vec<_>>();
        assert_same(&not_zero(read_all(&log).0), &written, "with holes");
        let mut buffer = vec![0; 1 << 20];
        let mut followed = Vec::new();
        while let Read::Bytes(length) = follower.read(&mut buffer).unwrap() {
            followed.extend_from_slice(&buffer[..length]);
        }
        assert_same(&not_zero(followed), &written, "followed");
        let end = extent(&log).unwrap().end;
        drop(kept);
        let mut kept = rotating(&log, settings(64 * 1024, 10));
        let look = kept.look().unwrap();
        assert_eq!((look.end, look.finding), (end, None));
        assert_same(&not_zero(read_all(&log).0), &written, "with the next keeper");
    }
}

#[test]
fn a_log_that_cannot_be_thinned_out_does_not_save_the_others() {
    for bed in beds() {
        for name in ["old", "web"] {
            let log = bed.path().join(format!("{name}.log"));
            let mut kept = rotating(&log, settings(8192, 10));
            write(&mut open_append(&log), &lines('a', 0..1000));
            while kept.rotate().unwrap() != Rotated::default() {}
        }
        let old = bed.path().join("old.log");
        let dropped = |live: &std::path::Path| rotating_or_err(live)?.drop_oldest();
        fs::remove_file(&old).unwrap();
        fs::create_dir(&old).unwrap();
        limit_total(bed.path(), 0, dropped).unwrap_err();
        assert_eq!(read_all(&bed.log()).1, 0);
        assert!(!bed.path().join("web.log.1").exists(), "the other's archives go");
        fs::remove_dir(&old).unwrap();
        limit_total(bed.path(), 0, dropped).unwrap();
        assert!(!bed.path().join("old.log.1").exists());
    }
}

#[test]
fn an_archive_that_is_gone_is_not_taken_for_a_new_one() {
    for bed in beds() {
        for by_hand in [true, false] {
            let log = bed.log();
            let mut component = open_append(&log);
            let mut kept = rotating(&log, settings(8192, 10));
            let text = lines('a', 0..2000);
            write(&mut component, &text);
            kept.rotate().unwrap();
            kept.rotate().unwrap();
            match by_hand {
                true => fs::remove_file(log.with_extension("log.2")).unwrap(),
                false => drop(kept.drop_oldest().unwrap().unwrap()),
            }
            // The file that is made next may get the inode of the one that has gone.
            let path = log.clone();
            kept.on_step(move |step| {
                let oldest = extent(&path).unwrap().oldest as usize;
                assert_eq!(oldest, 8192);
                let (there, gone) = read_all(&path);
                assert_eq!(gone, 0, "after {step:?}");
                assert_same(&there, &text[oldest..], &format!("by hand {by_hand}, after {step:?}"));
            });
            kept.rotate().unwrap();
            drop(kept);
            fs::read_dir(bed.path())
                .unwrap()
                .for_each(|entry| fs::remove_file(entry.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn what_others_have_put_aside_stays() {
    for bed in beds() {
        let log = bed.log();
        let aside = ["web.log.20261122", "web.log.1795348800", "web.log.007", "web.log.old"];
        aside.iter().for_each(|name| fs::write(bed.path().join(name), b"mine").unwrap());
        let mut kept = rotating(&log, settings(8192, 3));
        write(&mut open_append(&log), &lines('a', 0..1000));
        while kept.rotate().unwrap() != Rotated::default() {}
        limit_total(bed.path(), 0, |_| kept.drop_oldest()).unwrap();
        assert!(aside.iter().all(|name| bed.path().join(name).exists()));
        assert!(!kept.has_archives());
    }
}

fn rotating_or_err(live: &std::path::Path) -> Result<vitald_log::RotatingLog, vitald_log::LogError> {
    vitald_log::RotatingLog::open(live, settings(8192, 10))
}

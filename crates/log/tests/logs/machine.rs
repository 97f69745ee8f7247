//! The machine dies, and with it the end of what was written; the keeper dies, and somebody meddles before the next.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vitald_log::{Finding, Keeper, LogReader, Moment, Policy, Read, Rotated, Timeline, extent};

use crate::bed::{assert_same, beds, lines, open_append, read_all, rotating, settings, wait_for, write};

/// What is kept about the log was so in another boot.
fn in_another_boot(log: &Path) {
    let meta = log.with_extension("log.meta");
    let text = fs::read_to_string(&meta).unwrap();
    let begin = text.find("\"boot\":").unwrap() + 7;
    let length = text[begin..].find('}').unwrap();
    fs::write(&meta, [&text[..begin], "1", &text[begin + length..]].concat()).unwrap();
    let times = log.with_extension("log.times");
    let mut notes = fs::read(&times).unwrap();
    for note in notes.chunks_exact_mut(32) {
        note[24..28].copy_from_slice(&1_u32.to_le_bytes());
        let sum = note[..28]
            .iter()
            .fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        note[28..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(times, notes).unwrap();
}

#[test]
fn a_log_that_has_lost_its_end_keeps_its_offsets() {
    for bed in beds() {
        let log = bed.log();
        let text = lines('a', 0..1000);
        let keeper = Keeper::start(bed.path(), Policy::default(), |_| {}).unwrap();
        keeper.keep("web", settings(32 * 1024, 10));
        write(&mut open_append(&log), &text);
        wait_for("rotation and notes", || {
            extent(&log).unwrap().live > 0 && Timeline::open(&log).next_note(text.len() as u64 - 1).is_some()
        });
        drop(keeper);
        in_another_boot(&log);
        let live = OpenOptions::new().write(true).open(&log).unwrap();
        live.set_len(live.metadata().unwrap().len() - 1000).unwrap();
        let kept = &text[..text.len() - 1000];
        assert_eq!(extent(&log).unwrap().end, kept.len() as u64, "before a keeper comes");

        let mut rotated = rotating(&log, settings(32 * 1024, 10));
        let look = rotated.look().unwrap();
        assert_eq!((look.finding, look.end), (None, kept.len() as u64));
        assert_same(&read_all(&log).0, kept, "what the machine has kept");
        let (mut component, begin) = vitald_log::append(&log).unwrap();
        assert_eq!(begin, kept.len() as u64);
        let more = lines('b', 0..1000);
        write(&mut component, &more);
        while rotated.rotate().unwrap() != Rotated::default() {}
        assert_same(&read_all(&log).0, &[kept, &more].concat(), "what is written then");
        drop(rotated);
        // The next supervisor of the same boot finds nothing wrong, either.
        let look = rotating(&log, settings(32 * 1024, 10)).look().unwrap();
        assert_eq!((look.finding, look.end), (None, begin + more.len() as u64));
        assert!(Timeline::open(&log).since(Moment::now()) <= begin, "notes on what is lost are gone");
    }
}

#[test]
fn a_live_file_that_has_lost_more_than_was_archived_shows_nothing_twice() {
    for bed in beds() {
        let log = bed.log();
        let text = lines('a', 0..1000);
        write(&mut open_append(&log), &text);
        let mut kept = rotating(&log, settings(32 * 1024, 10));
        // It died when meta was stored, and nothing had been freed.
        kept.on_step(|step| assert!(step != vitald_log::Step::Listed, "died"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kept.rotate())).unwrap_err();
        drop(kept);
        fs::write(log.with_extension("log.times"), b"").unwrap();
        in_another_boot(&log);
        OpenOptions::new().write(true).open(&log).unwrap().set_len(20_000).unwrap();
        let mut kept = rotating(&log, settings(32 * 1024, 10));
        assert_eq!(kept.look().unwrap().finding, None);
        assert_same(&read_all(&log).0, &text[..32 * 1024], "the archive");
        write(&mut open_append(&log), b"more\n");
        let mut reader = LogReader::open(&log).unwrap();
        reader.seek(32 * 1024).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(reader.read(&mut buffer).unwrap(), Read::Bytes(5));
        assert_eq!(&buffer[..5], b"more\n");
    }
}

#[test]
fn what_died_before_it_was_freed_is_freed_by_the_next_keeper() {
    for bed in beds() {
        let log = bed.log();
        write(&mut open_append(&log), &lines('a', 0..1000));
        let mut kept = rotating(&log, settings(32 * 1024, 10));
        kept.on_step(|step| assert!(step != vitald_log::Step::Listed, "died"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kept.rotate())).unwrap_err();
        drop(kept);
        let room = || fs::metadata(&log).unwrap().blocks() * 512;
        assert!(room() >= 64_000);
        drop(rotating(&log, settings(32 * 1024, 10)));
        assert!(room() <= 40_000, "{} bytes", room());
    }
}

#[test]
fn truncated_and_grown_past_what_was_hidden_while_nobody_looked() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 100));
        write(&mut component, &lines('a', 0..1000));
        while kept.rotate().unwrap() != Rotated::default() {}
        drop(kept);
        component.set_len(0).unwrap();
        let text = lines('b', 0..2000);
        write(&mut component, &text);
        let mut kept = rotating(&log, settings(8192, 100));
        assert!(read_all(&log).0.ends_with(&text), "{:?}: before it is rotated", bed.way);
        while kept.rotate().unwrap() != Rotated::default() {}
        assert!(read_all(&log).0.ends_with(&text), "{:?}: afterwards", bed.way);
    }
}

#[test]
fn truncated_while_nobody_looked() {
    for bed in beds() {
        let log = bed.log();
        let mut component = open_append(&log);
        let mut kept = rotating(&log, settings(8192, 100));
        let text = lines('a', 0..1000);
        write(&mut component, &text);
        while kept.rotate().unwrap() != Rotated::default() {}
        let held = kept.look().unwrap().size;
        drop(kept);
        component.set_len(0).unwrap();
        write(&mut component, b"new\n");
        let look = rotating(&log, settings(8192, 100)).look().unwrap();
        assert_eq!(look.finding, Some(Finding::Truncated(held)));
        assert_eq!(look.end, text.len() as u64 + 4, "what is written then has offsets of its own");
    }
}

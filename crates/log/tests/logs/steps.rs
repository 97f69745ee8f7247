//! A rotation that dies after each of its steps, while the component writes all the time.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use vitald_log::{LogReader, Step, extent};

use crate::bed::{assert_same, beds, cat, lines, open_append, read_all, rotating, settings, write};

const STEPS: [Step; 10] = [
    Step::Created,
    Step::Copied,
    Step::Listed,
    Step::Marked,
    Step::Journalled,
    Step::Collapsed,
    Step::Cleared,
    Step::Punched,
    Step::Renamed,
    Step::Done,
];

#[test]
fn a_rotation_that_dies_after_any_step_loses_and_doubles_nothing() {
    for bed in beds() {
        let mut deaths = 0;
        for (step, nth, archives) in STEPS.iter().flat_map(|s| [(*s, 1, 0), (*s, 1, 2), (*s, 3, 3)]) {
            for from_meta_only in [false, true] {
                let log = bed.log();
                let what = format!("{:?} dies after {step:?} {nth}, {archives} archives", bed.way);
                let mut component = open_append(&log);
                let mut written = Vec::new();
                let mut kept = rotating(&log, settings(8192, 4));
                for number in 0..archives {
                    let text = lines('a', number * 200..(number + 1) * 200);
                    write(&mut component, &text);
                    written.extend(text);
                    kept.rotate().unwrap();
                }
                // One line short of a period of the block, so that collapsed and not collapsed look alike.
                let text = b"yes\n".repeat(5000);
                write(&mut component, &text);
                written.extend(text);

                let written = Arc::new(Mutex::new(written));
                let mut count = 0;
                let (all, path) = (Arc::clone(&written), log.clone());
                kept.on_step(move |now| {
                    // The component writes, and readers look, at each step.
                    write(&mut component, b"yes\nyes\n");
                    all.lock().unwrap().extend(b"yes\nyes\n");
                    check(&path, &all.lock().unwrap(), &format!("reading after {now:?}"));
                    count += u32::from(now == step);
                    assert!(now != step || count != nth, "dies here");
                });
                let ended = catch_unwind(AssertUnwindSafe(|| kept.rotate()));
                drop(kept);
                let died = ended.is_err();
                deaths += u32::from(died);
                let mut component = open_append(&log);
                let mut written = Arc::try_unwrap(written).unwrap().into_inner().unwrap();
                check(&log, &written, &format!("{what} ({died}), before it is put right"));
                if from_meta_only {
                    // More than was copied may have been written before the next supervisor comes.
                    let text = b"yes\n".repeat(4096);
                    write(&mut component, &text);
                    written.extend(text);
                }

                let mut kept = rotating(&log, settings(8192, 4));
                check(&log, &written, &format!("{what} ({died}), put right"));
                while kept.rotate().unwrap() != vitald_log::Rotated::default() {}
                if bed.way == vitald_log::Way::Collapse {
                    // Other programs see the same.
                    let begin = extent(&log).unwrap().oldest as usize;
                    assert_same(&cat(&log), &written[begin..], &format!("{what}: cat"));
                }
                check(&log, &written, &format!("{what} ({died}), rotated again"));
                let names: Vec<_> =
                    std::fs::read_dir(bed.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert!(
                    !names.iter().any(|name| name.to_str().unwrap().ends_with(".draft")),
                    "{what}: {names:?}"
                );
                for entry in std::fs::read_dir(bed.path()).unwrap() {
                    let path = entry.unwrap().path();
                    assert_eq!(
                        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                        0o600,
                        "{path:?}"
                    );
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
        // Those that the way of this folder does not have are not met.
        assert!(deaths >= 20, "only {deaths} deaths on {:?}", bed.way);
    }
}

/// What there is of the log is the end of what was written, and is where it says it is.
#[track_caller]
fn check(log: &std::path::Path, written: &[u8], what: &str) {
    let extent = extent(log).unwrap();
    assert_eq!(extent.end, written.len() as u64, "{what}: the end");
    let (there, gone) = read_all(log);
    assert_eq!(gone, 0, "{what}: gone");
    assert_same(&there, &written[extent.oldest as usize..], what);
    let middle = (extent.oldest + extent.end) / 2;
    let mut reader = LogReader::open(log).unwrap();
    reader.seek(middle).unwrap();
    let mut byte = [0; 8];
    reader.read(&mut byte).unwrap();
    assert_eq!(byte[0], written[middle as usize], "{what}: the byte at {middle}");
}

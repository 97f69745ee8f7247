//! Whatever happens in whatever order: an offset means the same byte.

use proptest::prelude::*;
use proptest::test_runner::contextualize_config;
use vitald_log::{LogReader, Read, RotatingLog, extent};

use crate::bed::{Bed, open_append, rotating, settings, write};

#[derive(Debug, Clone)]
enum Act {
    Write(usize),
    Rotate,
    Restart,
    DropOldest,
    Keep(u32),
    ReadSome(usize),
    Die(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => (0_usize..30_000).prop_map(Act::Write),
        4 => Just(Act::Rotate),
        1 => Just(Act::Restart),
        1 => Just(Act::DropOldest),
        1 => (1_u32..6).prop_map(Act::Keep),
        4 => (1_usize..40_000).prop_map(Act::ReadSome),
        3 => (1_usize..12).prop_map(Act::Die),
    ];
    prop::collection::vec(act, 1..60)
}

fn play(bed: &Bed, acts: &[Act]) {
    let log = bed.log();
    let mut component = open_append(&log);
    let mut kept: Option<RotatingLog> = Some(rotating(&log, settings(8192, 4)));
    let mut keep = 4;
    let mut written: Vec<u8> = Vec::new();
    let mut reader = LogReader::open(&log).unwrap();
    for act in acts {
        match act {
            Act::Write(length) => {
                let begin = written.len();
                written.extend((begin..begin + length).map(|at| (at * 31 / 7 % 251) as u8 + 1));
                write(&mut component, &written[begin..]);
            }
            Act::Rotate => drop(kept.as_mut().unwrap().rotate().unwrap()),
            Act::Restart => {
                drop(kept.take());
                kept = Some(rotating(&log, settings(8192, keep)));
            }
            Act::DropOldest => drop(kept.as_mut().unwrap().drop_oldest().unwrap()),
            Act::Keep(files) => {
                keep = *files;
                kept.as_mut().unwrap().set(settings(8192, keep));
            }
            Act::Die(after) => {
                let mut dying = kept.take().unwrap();
                let mut steps = 0;
                let after = *after;
                dying.on_step(move |_| {
                    steps += 1;
                    // Not a message a test: a hundred of them would hide what matters.
                    if steps == after {
                        std::panic::resume_unwind(Box::new("died"));
                    }
                });
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dying.rotate()));
                drop(dying);
                kept = Some(rotating(&log, settings(8192, keep)));
            }
            Act::ReadSome(length) => {
                let mut buffer = vec![0; *length];
                let at = reader.offset() as usize;
                match reader.read(&mut buffer).unwrap() {
                    Read::Bytes(length) => assert_eq!(buffer[..length], written[at..at + length], "at {at}"),
                    Read::Gone(bytes) => assert_eq!(at as u64 + bytes, extent(&log).unwrap().oldest),
                    Read::End => assert_eq!(at, written.len()),
                    Read::Restarted => panic!("restarted at {at}"),
                }
            }
        }
        let extent = extent(&log).unwrap();
        assert_eq!(extent.end, written.len() as u64, "the end after {act:?}");
        assert!(extent.oldest <= extent.live && extent.live <= extent.end, "{extent:?}");
    }
    drop(kept);
    for entry in std::fs::read_dir(bed.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn an_offset_means_the_same_byte_for_ever() {
    for bed in crate::bed::beds() {
        // As the macro does, so that a hunt can ask for more.
        let mut config = contextualize_config(ProptestConfig::with_cases(64));
        config.failure_persistence = None;
        let mut runner = proptest::test_runner::TestRunner::new(config);
        runner
            .run(&acts(), |acts| {
                play(&bed, &acts);
                Ok(())
            })
            .unwrap();
    }
}

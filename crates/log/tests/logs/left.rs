//! What a rotation left half done, of a log that nobody keeps any more.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use vitald_log::{Keeper, Policy, Step};

use crate::bed::{Bed, assert_same, beds, cat, lines, open_append, read_all, rotating, settings, write};

const STEPS: [Step; 7] = [
    Step::Copied,
    Step::Listed,
    Step::Marked,
    Step::Journalled,
    Step::Collapsed,
    Step::Punched,
    Step::Renamed,
];

/// Three archives, and a fourth rotation that dies; gives what was written, if it came to that.
fn die_at(bed: &Bed, step: Step) -> Option<Vec<u8>> {
    let log = bed.log();
    let text = lines('a', 0..1000);
    write(&mut open_append(&log), &text);
    let mut kept = rotating(&log, settings(8192, 4));
    for _ in 0..3 {
        kept.rotate().unwrap();
    }
    kept.on_step(move |now| assert!(now != step, "dies here"));
    catch_unwind(AssertUnwindSafe(|| kept.rotate())).is_err().then_some(text)
}

fn files(bed: &Bed) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut files: Vec<_> = fs::read_dir(bed.path()).unwrap().map(|entry| name(entry.unwrap())).collect();
    files.sort();
    files
}

#[test]
fn it_is_finished_by_the_next_keeper() {
    let mut deaths = 0;
    for (bed, step) in STEPS.iter().flat_map(|step| beds().into_iter().map(move |bed| (bed, *step))) {
        let Some(text) = die_at(&bed, step) else { continue };
        deaths += 1;
        let before = read_all(&bed.log());
        drop(Keeper::start(bed.path(), Policy::default(), |notice| panic!("{notice:?}")).unwrap());
        let what = format!("{:?}, died after {step:?}", bed.way);
        let files = files(&bed);
        let archives = files.iter().filter(|file| file.rsplit('.').next().unwrap().parse::<u32>().is_ok());
        assert!(archives.count() == 3 && !files.iter().any(|file| file.ends_with(".draft")), "{files:?}");
        let meta = fs::read_to_string(bed.path().join("web.log.meta")).unwrap();
        assert!(meta.contains("\"collapse\":null"), "{what}: {meta}");
        assert_eq!(read_all(&bed.log()), before, "{what}");
        assert_same(&before.0, &text[text.len() - before.0.len()..], &what);
        if bed.way == vitald_log::Way::Collapse {
            assert_same(&cat(&bed.log()), &before.0, &format!("{what}: cat"));
        }
    }
    assert!(deaths >= 5, "only {deaths}");
}

#[test]
fn what_somebody_removed_takes_nothing_else_with_it() {
    for bed in beds() {
        let Some(_) = die_at(&bed, Step::Listed) else { continue };
        fs::remove_file(bed.path().join("web.log.2")).unwrap();
        let keep = [1, 3].map(|number| fs::read(bed.path().join(format!("web.log.{number}"))).unwrap());
        drop(Keeper::start(bed.path(), Policy::default(), drop).unwrap());
        let moved = [2, 3].map(|number| fs::read(bed.path().join(format!("web.log.{number}"))).unwrap());
        assert!(keep == moved, "{:?}", files(&bed));
    }
}

//! The keeper: what wakes it, what it rotates, what it notes and tells.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use vitald_log::{Keeper, Moment, Notice, Policy, Timeline, extent, merge};

use crate::bed::{Bed, assert_same, beds, lines, open_append, read_all, settings, wait_for, write};

fn keeper(bed: &Bed, policy: Policy) -> (Keeper, Receiver<Notice>) {
    let (tell, told) = channel();
    let keeper = Keeper::start(bed.path(), policy, move |notice| drop(tell.send(notice))).unwrap();
    (keeper, told)
}

#[test]
fn a_log_that_grows_is_rotated() {
    for bed in beds() {
        let (keeper, told) = keeper(&bed, Policy::default());
        keeper.keep("web", settings(64 * 1024, 100));
        let log = bed.log();
        // Its file is made later.
        thread::sleep(Duration::from_millis(50));
        let mut component = open_append(&log);
        let text = lines('a', 0..3000);
        write(&mut component, &text);
        let rotated = |what: &str| {
            wait_for(what, || {
                let extent = extent(&log).unwrap();
                extent.live > 0 && extent.end - extent.live <= 64 * 1024
            });
        };
        rotated("rotation");
        // Quiet, and then again.
        thread::sleep(Duration::from_millis(1500));
        let more = lines('a', 3000..6000);
        write(&mut component, &more);
        rotated("the second rotation");
        drop(keeper);
        assert_same(&read_all(&log).0, &[text, more].concat(), "rotated");
        let notices: Vec<_> = told.iter().collect();
        assert!(notices.iter().all(|notice| matches!(notice, Notice::Rotated { .. })), "{notices:?}");
    }
}

#[test]
fn a_writer_without_end_keeps_nobody_waiting() {
    let Some(bed) = Bed::memory() else { return };
    let (keeper, told) = keeper(&bed, Policy::default());
    keeper.keep("web", settings(64 * 1024, 3));
    keeper.keep("api", settings(64 * 1024, 3));
    let mut component = open_append(&bed.log());
    let (stop, stopped) = channel::<()>();
    let writer = thread::spawn(move || {
        let text = lines('a', 0..4096);
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            write(&mut component, &text);
        }
    });
    wait_for("rotation", || matches!(told.try_recv(), Ok(Notice::Rotated { name, .. }) if name == "web"));
    let api = bed.path().join("api.log");
    write(&mut open_append(&api), &lines('b', 0..2000));
    wait_for("the other's rotation", || extent(&api).unwrap().live > 0);
    drop(keeper);
    drop(stop);
    writer.join().unwrap();
}

#[test]
fn two_hundred_logs_at_once() {
    for bed in beds() {
        let (keeper, _told) = keeper(&bed, Policy::default());
        let logs: Vec<_> = (0..200).map(|number| format!("c{number}")).collect();
        for name in &logs {
            keeper.keep(name, settings(16 * 1024, 1000));
        }
        let path = |name: &str| bed.path().join(format!("{name}.log"));
        thread::scope(|scope| {
            for part in logs.chunks(25) {
                scope.spawn(move || {
                    let mut files: Vec<_> = part.iter().map(|name| open_append(&path(name))).collect();
                    for next in (0..1000).step_by(50) {
                        files.iter_mut().for_each(|file| write(file, &lines('a', next..next + 50)));
                    }
                });
            }
        });
        for name in &logs {
            wait_for("rotation", || {
                let extent = extent(&path(name)).unwrap();
                extent.end - extent.live <= 16 * 1024
            });
            assert_same(&read_all(&path(name)).0, &lines('a', 0..1000), name);
        }
    }
}

#[test]
fn all_logs_together_take_so_much_at_most() {
    for bed in beds() {
        let limit = 10 * 64 * 1024 + 32 * 1024;
        let (keeper, told) = keeper(&bed, Policy { max_total: Some(limit) });
        for round in 0..10 {
            for name in ["a", "b", "c"] {
                keeper.keep(name, settings(64 * 1024, 100));
                let log = bed.path().join(format!("{name}.log"));
                write(&mut open_append(&log), &lines('x', round * 1024..(round + 1) * 1024));
                wait_for("rotation", || {
                    let extent = extent(&log).unwrap();
                    extent.end - extent.live <= 64 * 1024
                });
            }
        }
        let used = || -> u64 {
            let logs = fs::read_dir(bed.path()).unwrap().map(|entry| entry.unwrap().path());
            let logs = logs.filter(|path| !path.to_str().unwrap().contains(".log.meta"));
            // Some go while they are counted.
            logs.filter_map(|path| Some(fs::metadata(path).ok()?.blocks() * 512)).sum()
        };
        wait_for("the limit", || used() <= limit + 3 * 4096);
        drop(keeper);
        for name in ["a", "b", "c"] {
            // What is left is the end of it.
            let log = bed.path().join(format!("{name}.log"));
            let (there, gone) = read_all(&log);
            assert_eq!(gone, 0);
            assert!(lines('x', 0..10 * 1024).ends_with(&there) && !there.is_empty(), "{name}");
        }
        assert!(told.iter().any(|notice| matches!(notice, Notice::Dropped { .. })));
    }
}

#[test]
fn times_are_known_to_about_a_second() {
    let Some(bed) = Bed::ordinary() else { return };
    let (keeper, _told) = keeper(&bed, Policy::default());
    keeper.keep("web", settings(1 << 20, 5));
    keeper.keep("api", settings(1 << 20, 5));
    let (web, api) = (bed.log(), bed.path().join("api.log"));
    let mut moments = Vec::new();
    for round in 0..3_u64 {
        moments.push(Moment::now());
        write(&mut open_append(&web), format!("web {round}\n").as_bytes());
        thread::sleep(Duration::from_millis(1300));
        write(&mut open_append(&api), format!("api {round}\n").as_bytes());
        thread::sleep(Duration::from_millis(1300));
    }
    wait_for("notes", || Timeline::open(&api).next_note(15).is_some());
    let times = Timeline::open(&web);
    for (round, moment) in moments.iter().enumerate() {
        assert_eq!(times.since(*moment), 6 * round as u64, "since round {round}");
        let written = times.written(6 * round as u64).unwrap();
        assert!(written.abs_diff(moment.wall) <= 2000, "written {written}, at {moment:?}");
    }
    let merged = merge(&[(times, 0..18), (Timeline::open(&api), 0..18)]);
    let order: Vec<_> = merged.iter().map(|piece| (piece.log, piece.range.start)).collect();
    assert_eq!(order, [(0, 0), (1, 0), (0, 6), (1, 6), (0, 12), (1, 12)]);
    drop(keeper);

    // Nobody watches: what comes now may have been written at any time since.
    let before = Moment::now();
    write(&mut open_append(&web), b"web 3\n");
    thread::sleep(Duration::from_millis(100));
    assert_eq!(Timeline::open(&web).since(before), 18);
}

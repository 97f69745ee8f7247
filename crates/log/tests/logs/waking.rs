//! What wakes the keeper, and what does not.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use vitald_log::{Keeper, Notice, Policy, extent};

use crate::bed::{Bed, beds, helper, lines, open_append, settings, wait_for, write};

/// A keeper in a process of its own, where no other thread has its name.
struct Keeping(Child);

impl Keeping {
    fn of(bed: &Bed, others: u64) -> Self {
        Self(helper("keep", &bed.log(), &[1 << 20, 5, others]))
    }

    /// How often the keeper has gone to sleep by itself.
    fn wakes(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
        let keeper = tasks.filter_map(|task| status(task.unwrap())).find(|s| s.starts_with("Name:\tlogs\n"));
        let Some(keeper) = keeper else { return 0 };
        let line = keeper.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }

    /// Waits until it has slept for so many seconds on end.
    fn falls_asleep(&self, seconds: u64, what: &str) {
        let mut last = 0;
        wait_for(what, || {
            thread::sleep(Duration::from_secs(seconds));
            let now = self.wakes();
            std::mem::replace(&mut last, now) == now && now > 0
        });
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn idle_logs_cost_nothing() {
    let Some(bed) = Bed::ordinary() else { return };
    for number in 0..200 {
        write(&mut open_append(&bed.path().join(format!("c{number}.log"))), b"hello\n");
    }
    let keeping = Keeping::of(&bed, 200);
    // The room that they take is added up after ten seconds, and then no more.
    keeping.falls_asleep(12, "quiet");
}

#[test]
fn a_log_that_was_removed_under_its_writer_costs_nothing_either() {
    let Some(bed) = Bed::ordinary() else { return };
    let mut component = open_append(&bed.log());
    write(&mut component, b"hello\n");
    let keeping = Keeping::of(&bed, 0);
    keeping.falls_asleep(2, "quiet");
    fs::remove_file(bed.log()).unwrap();
    keeping.falls_asleep(2, "quiet without a file");
    let mut other = open_append(&bed.log());
    keeping.falls_asleep(2, "quiet with another file");
    write(&mut other, &lines('a', 0..40_000));
    wait_for("rotation of the other file", || is_rotated(&bed.log()));
    write(&mut component, b"to nobody\n");
}

#[test]
fn more_news_than_the_kernel_keeps_are_no_reason_to_sleep() {
    for bed in beds() {
        let (tell, told) = channel();
        let (go_on, stopped) = channel::<()>();
        let keeper = Keeper::start(bed.path(), Policy::default(), move |notice| {
            drop(tell.send(notice));
            let _ = stopped.recv();
        })
        .unwrap();
        let api = bed.path().join("api.log");
        write(&mut open_append(&api), b"hello\n");
        keeper.keep("api", settings(8192, 10));
        // Until it is looked at no more.
        thread::sleep(Duration::from_millis(2500));
        keeper.keep("web", settings(8192, 10));
        write(&mut open_append(&bed.log()), &lines('a', 0..200));
        assert!(matches!(told.recv_timeout(Duration::from_secs(60)), Ok(Notice::Rotated { .. })));
        // It is held up, and misses what happens.
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        for _ in 0..most.trim().parse::<u32>().unwrap() {
            fs::write(bed.path().join("x"), b"").unwrap();
            fs::remove_file(bed.path().join("x")).unwrap();
        }
        write(&mut open_append(&api), &lines('a', 0..200));
        drop(go_on);
        wait_for("rotation of the quiet log", || is_rotated(&api));
    }
}

#[test]
fn a_folder_that_is_made_again_is_watched_again() {
    for bed in beds() {
        let folder = bed.path().join("logs");
        let log = folder.join("web.log");
        fs::create_dir(&folder).unwrap();
        let keeper = Keeper::start(&folder, Policy::default(), |_| {}).unwrap();
        keeper.keep("web", settings(8192, 10));
        write(&mut open_append(&log), b"hello\n");
        wait_for("a first look", || folder.join("web.log.meta").exists());
        // First the log alone, for long enough to be looked for: it is still open here then, and the kernel does not
        // tell the end of a folder while a file of it is.
        fs::remove_file(&log).unwrap();
        thread::sleep(Duration::from_millis(1000));
        // The keeper may be writing in it.
        wait_for("the folder is gone", || fs::remove_dir_all(&folder).is_ok());
        // Long enough for a look at nothing.
        thread::sleep(Duration::from_millis(1500));
        write(&mut open_append(&log), &lines('a', 0..200));
        wait_for("rotation in the new folder", || is_rotated(&log));
    }
}

fn is_rotated(log: &Path) -> bool {
    log.with_extension("log.1").exists() && extent(log).unwrap().live > 0
}

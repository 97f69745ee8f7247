//! `vitald logs` on what a dead supervisor has left, while something of it still writes, and logs are rotated.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vitald_log::{Keeper, Policy, RotatingLog, Settings, Timeline};
use vitald_supervisor::StateDir;

/// A state dir without a supervisor.
struct Left {
    folder: tempfile::TempDir,
    dir: StateDir,
}

/// A component that still runs: it holds its lock.
struct Writer {
    log: File,
    _lock: File,
}

impl Left {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path().join("state"));
        drop(dir.lock().unwrap());
        Self { folder, dir }
    }

    fn writer(&self, name: &str) -> Writer {
        let lock = File::create(self.dir.component_lock(name)).unwrap();
        lock.lock().unwrap();
        Writer { log: vitald_log::append(&self.dir.log(name)).unwrap().0, _lock: lock }
    }

    fn rotating(&self, name: &str, max_size: u64, max_files: u32) -> RotatingLog {
        let settings = Settings { max_size, max_files, sync: false, ..Settings::default() };
        RotatingLog::open(&self.dir.log(name), settings).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitald"));
        command.arg("--state-dir").arg(self.dir.path()).arg("logs").args(args).current_dir(&self.folder);
        // Whoever runs the tests may want colours, and not from what is compared here.
        command.env_remove("CLICOLOR_FORCE");
        command
    }

    #[track_caller]
    fn shown(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Follows into a file.
    fn follow(&self, number: usize, name: &str) -> (Child, PathBuf) {
        let path = self.folder.path().join(format!("seen-{number}"));
        let seen = File::create(&path).unwrap();
        (self.command(&["-f", name]).stdout(seen).stderr(Stdio::piped()).spawn().unwrap(), path)
    }
}

fn lines(numbers: Range<u32>) -> Vec<u8> {
    numbers.flat_map(|number| format!("line {number:08}\n").into_bytes()).collect()
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &PathBuf) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
fn three_readers_see_every_line_once_through_rotations() {
    let left = Left::new();
    let mut writer = left.writer("web");
    let mut log = left.rotating("web", 64 * 1024, 100);
    writer.log.write_all(&lines(0..1000)).unwrap();
    let readers: Vec<_> = (0..3).map(|number| left.follow(number, "web")).collect();
    let mut rotated = 0;
    for part in 1..100 {
        writer.log.write_all(&lines(part * 1000..(part + 1) * 1000)).unwrap();
        rotated += usize::from(log.rotate().unwrap().archived > 0);
    }
    assert!(rotated > 10, "{rotated} rotations");
    drop(writer);
    for (reader, path) in readers {
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let seen = std::fs::read(path).unwrap();
        assert!(seen == lines(0..100_000), "{} bytes of {}", seen.len(), lines(0..100_000).len());
    }
}

#[test]
fn a_reader_that_is_too_slow_is_told_what_it_has_missed() {
    let left = Left::new();
    let mut writer = left.writer("web");
    let mut log = left.rotating("web", 8192, 2);
    writer.log.write_all(&lines(0..10)).unwrap();
    let (reader, path) = left.follow(0, "web");
    wait("the first lines", || length(&path) == 140);
    let pid = Pid::from_child(&reader);
    kill_process(pid, Signal::STOP).unwrap();
    writer.log.write_all(&lines(10..10_000)).unwrap();
    while log.rotate().unwrap().archived > 0 {}
    kill_process(pid, Signal::CONT).unwrap();
    drop(writer);
    let output = reader.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("web: ") && told.contains(" KiB of its log were removed"), "{told}");
    let seen = std::fs::read(path).unwrap();
    assert!(seen.starts_with(&lines(0..10)) && seen.ends_with(&lines(9_500..10_000)));
    assert!(seen.len() < 30_000, "{} bytes", seen.len());
}

#[test]
fn a_log_that_is_truncated_or_replaced_is_followed_on() {
    let left = Left::new();
    let mut writer = left.writer("web");
    writer.log.write_all(b"one\n").unwrap();
    let (reader, path) = left.follow(0, "web");
    wait("the first line", || length(&path) == 4);
    writer.log.set_len(0).unwrap();
    writer.log.write_all(b"2\n").unwrap();
    wait("the second line", || length(&path) == 6);
    writer.log.write_all(b"last\n").unwrap();
    let live = left.dir.log("web");
    std::fs::rename(&live, left.folder.path().join("moved")).unwrap();
    std::fs::write(&live, "new\n").unwrap();
    wait("the new file's line", || length(&path) == 15);
    drop(writer);
    let output = reader.wait_with_output().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "one\n2\nlast\nnew\n");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("web: its log was truncated or replaced").count(), 2, "{told}");
}

#[test]
fn an_idle_reader_sleeps() {
    let left = Left::new();
    // Somebody who is no supervisor, but holds the lock of one.
    let mut writer = left.writer("web");
    writer.log.write_all(b"one\n").unwrap();
    let (reader, path) = left.follow(0, "web");
    wait("the first line", || length(&path) == 4);
    let lock = left.dir.lock().unwrap();
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", reader.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    // It notices that there is a supervisor when it next looks for one.
    std::thread::sleep(Duration::from_millis(1500));
    let before = switches();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(switches(), before);
    writer.log.write_all(b"two\n").unwrap();
    wait("the second line", || length(&path) == 8);
    drop(writer);
    drop(lock);
    assert!(reader.wait_with_output().unwrap().status.success());
}

#[test]
fn several_logs_come_in_the_order_of_time_and_since_a_time() {
    let left = Left::new();
    let keeper = Keeper::start(&left.dir.path().join("logs"), Policy::default(), |_| {}).unwrap();
    let mut writers = ["a", "b"].map(|name| {
        keeper.keep(name, Settings::default());
        (name, left.writer(name))
    });
    let (mut ends, mut times) = ([0, 0], Vec::new());
    for number in 1..=4_usize {
        let of = number % 2;
        let (name, writer) = &mut writers[of];
        let text = format!("{number}: begun\n{number}: ended\n");
        writer.log.write_all(text.as_bytes()).unwrap();
        ends[of] += text.len() as u64;
        let log = left.dir.log(name);
        wait("a note", || Timeline::open(&log).next_note(ends[of] - 1).is_some());
        std::thread::sleep(Duration::from_millis(1100));
        times.push(jiff::Timestamp::now().to_string());
    }
    let shown = |args: &[&str]| String::from_utf8(left.shown(args).stdout).unwrap();
    let all: String = (1..=4)
        .map(|number| {
            let name = ["a", "b"][number % 2];
            format!("{name} | {number}: begun\n{name} | {number}: ended\n")
        })
        .collect();
    assert_eq!(shown(&["--all"]), all);
    let recent = shown(&["--since", &times[1]]);
    assert!(recent.contains("3: begun") && !recent.contains("1: begun"), "{recent}");
    assert_eq!(shown(&["a", "--since", "1h", "--tail", "1"]), "4: ended\n");
    assert_eq!(shown(&["--since", "2999-01-01T00:00:00Z"]), "");
}

#[test]
fn an_older_state_dir_any_bytes_and_a_long_line() {
    let left = Left::new();
    let long = [vec![0xff; 3 << 20], b"\0\n".to_vec()].concat();
    let bytes = [b"first\n".to_vec(), long.clone(), b"no end".to_vec()].concat();
    std::fs::write(left.dir.log("web"), &bytes).unwrap();
    assert!(left.shown(&["web"]).stdout == bytes);
    assert_eq!(left.shown(&["web", "--tail", "1"]).stdout, b"no end");
    assert!(left.shown(&["web", "--tail", "2"]).stdout == bytes[6..]);
    std::fs::write(left.dir.log("other"), "x\n").unwrap();
    let both = left.shown(&[]).stdout;
    assert!(
        both.starts_with(b"other | x\nweb   | first\nweb   | \xff") && both.ends_with(b"web   | no end\n")
    );
    assert!(!left.command(&["none"]).output().unwrap().status.success());
}

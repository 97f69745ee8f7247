//! Logs are rotated underneath the components that write to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vitald_tests::{Supervisor, eventually, seconds, skip};

const MIB: usize = 1 << 20;

/// The files of a log, the oldest first. Zeros are what some file systems show for what was rotated.
fn files(s: &Supervisor, name: &str) -> Vec<Vec<u8>> {
    let live = s.state_dir().join(format!("logs/{name}.log"));
    let archive = |number: usize| live.with_extension(format!("log.{number}"));
    let archives = (1..).map(archive).take_while(|path| path.exists());
    let mut paths: Vec<PathBuf> = archives.collect();
    paths.reverse();
    let read = |path: &PathBuf| fs::read(path).unwrap().into_iter().filter(|byte| *byte != 0).collect();
    paths.iter().chain([&live]).map(read).collect()
}

/// Panics unless these are the first `bytes` of numbered lines, each once and in order.
#[track_caller]
fn assert_all_there(log: &[u8], bytes: usize) {
    let expected: String = (0..bytes / 64).map(|line| format!("{line:063}\n")).collect();
    let same = log.iter().zip(expected.as_bytes()).take_while(|(ours, theirs)| ours == theirs).count();
    assert_eq!(same, bytes, "of {} bytes only so many are right", log.len());
}

#[test]
fn no_line_is_lost_however_often_the_supervisor_is_killed() {
    let mut s = Supervisor::run(
        "
        metadata: {name: drip}
        spec:
          command: [vitald-fixture, drip, '33554432', '5']
          logs: {maxSize: 1Mi, maxFiles: 100}
        ",
    );
    let pid = s.wait_pid("drip");
    for _ in 0..6 {
        std::thread::sleep(seconds(0.35));
        s.kill9();
        std::thread::sleep(seconds(0.1));
        s.start();
    }
    s.wait_log("drip", "up, run 1");
    assert_eq!(s.wait_pid("drip").0, pid.0);
    eventually(
        "the last rotation",
        seconds(10),
        || (files(&s, "drip").last().unwrap().len() <= MIB).then_some(()),
        || format!("{:?}", files(&s, "drip").iter().map(Vec::len).collect::<Vec<_>>()),
    );
    let failed: Vec<_> = s.events_of("drip").into_iter().filter(|event| event.contains("Rotation")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let files = files(&s, "drip");
    assert!(files.len() > 20, "{}", files.len());
    assert!(files.iter().rev().skip(1).all(|file| file.len() <= MIB));
    assert_all_there(&files.concat(), 32 * MIB);
}

#[test]
fn other_logs_restart_nothing() {
    let manifest = |logs: &str| {
        format!(
            "
            metadata: {{name: flood}}
            spec: {{command: [vitald-fixture, flood, '3145728']{logs}}}
            "
        )
    };
    let s = Supervisor::run(&manifest(""));
    s.wait_log("flood", "up, run 1");
    let pid = s.wait_pid("flood");
    assert_eq!(files(&s, "flood").len(), 1);
    s.write_manifests(&manifest(", logs: {maxSize: 64Ki, maxFiles: 3}"));
    let diff = s.cli(&["diff", "-f", "manifests"]).expect(1).stdout;
    assert!(diff.contains("maxSize: 64Ki") && diff.contains("would go on"), "{diff}");
    let applied = s.cli(&["apply", "-f", "manifests"]).expect(0).stdout;
    assert!(applied.contains("changed in place"), "{applied}");
    eventually(
        "the log to be rotated",
        seconds(10),
        || {
            let files = files(&s, "flood");
            (files.len() == 3 && files.iter().all(|file| file.len() <= 65536)).then_some(())
        },
        || format!("{:?}", files(&s, "flood").iter().map(Vec::len).collect::<Vec<_>>()),
    );
    let now = s.component("flood");
    assert_eq!((now.pid().0, now.restart_count), (pid.0, 0));
    s.cli(&["restart", "flood"]).expect(0);
    s.wait_log("flood", "up, run 2");
}

/// A tmpfs of its own; unmounted in the end.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of_20_mib() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=20m,mode=700", "vitald-e2e"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir)),
            refused => {
                skip(&format!("no file system can be mounted: {refused:?}"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn full_disk_ends_nothing_and_is_told() {
    let Some(disk) = Disk::of_20_mib() else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 15 * MIB]).unwrap();
    let mut s = Supervisor::prepare(
        "
        metadata: {name: drip}
        spec:
          command: [vitald-fixture, drip, '8388608', '5']
          logs: {maxSize: 3Mi, maxFiles: 10}
        ",
    )
    .with_state_dir(disk.path().join("state"));
    s.start();
    let pid = s.wait_pid("drip");
    let wait_event = |text: &str, within: f64| {
        let told = || s.cli(&["events"]).stdout.contains(text).then_some(());
        eventually(text, seconds(within), told, || s.cli(&["events"]).all());
    };
    wait_event("no room on the disk to rotate its log", 10.0);
    wait_event("the disk of the logs is full", 10.0);
    let full = s.component("drip");
    assert_eq!((full.state.as_str(), full.pid().0), ("Running", pid.0));
    fs::remove_file(&ballast).unwrap();
    wait_event("there is room again on the disk of the logs", 10.0);
    s.wait_log("drip", "up, run 1");
    wait_event("there is room again to rotate its log", 40.0);
    assert_eq!((s.wait_pid("drip").0, s.component("drip").restart_count), (pid.0, 0));
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let files = files(&s, "drip");
    assert!(files.len() > 1);
    assert_all_there(&files.concat(), 8 * MIB);
}

#[test]
fn account_in_the_background_is_for_programs_if_asked_for() {
    let s = Supervisor::prepare(
        "
        metadata: {name: sleeper}
        spec: {command: [vitald-fixture, sleep]}
        ",
    );
    s.cli(&["up", "-f", "manifests", "--log-format", "json", "--logs-max-total", "1Gi"]).expect(0);
    s.cli(&["down"]).expect(0);
    let log = fs::read_to_string(s.state_dir().join("vitald.log")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {log}")))
        .collect();
    let started = lines.iter().find(|line| line["reason"] == "Started").unwrap();
    assert_eq!((&started["component"], &started["level"]), (&"sleeper".into(), &"info".into()));
    let refused = s.cli(&["up", "-f", "manifests", "--logs-max-total", "10"]).expect(2).stderr;
    assert!(refused.contains("at least 1Mi"), "{refused}");
}

//! Logs that nobody writes to cost nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use vitald_tests::{Disk, Kind, Numbered, Pid, Supervisor, eventually, seconds};

use crate::writer::{wait_done, writer};

#[test]
fn logs_at_rest_wake_nobody_on_ext4() {
    logs_at_rest_wake_nobody(Kind::Ext4);
}

#[test]
fn logs_at_rest_wake_nobody_on_tmpfs() {
    logs_at_rest_wake_nobody(Kind::Tmpfs);
}

/// A thread that makes a system call that waits, and one that wakes up, are counted by the kernel. Half of the logs
/// have been rotated.
fn logs_at_rest_wake_nobody(kind: Kind) {
    const MAX_SIZE: u64 = 64 << 10;
    let Some(disk) = Disk::of(kind, 64 << 20) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: w}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let names: Vec<String> = (0..50).map(|number| format!("w{number}")).collect();
    let dir = s.path("");
    let done = |name: &str| dir.join(format!("done-{name}"));
    let manifest = |(number, name): (usize, &String)| {
        let bytes = if number % 2 == 0 { 100 } else { 3 * MAX_SIZE };
        writer(name, bytes, 0, &done(name), "{maxSize: 64Ki}")
    };
    s.write_manifests(&names.iter().enumerate().map(manifest).collect::<Vec<_>>().join("\n---\n"));
    s.start();
    names.iter().for_each(|name| wait_done(&done(name), 20.0));
    let pid = s.pid();
    // The last thing that has to be done for them.
    let mut before = waits(pid);
    let mut quiet = 0;
    eventually(
        "the logs to be at rest",
        seconds(60),
        || {
            std::thread::sleep(seconds(0.5));
            let now = waits(pid);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            (quiet == 6).then_some(())
        },
        || format!("{:?}", waits(pid)),
    );
    assert!(
        names.iter().all(|name| s.log_sizes(name).iter().all(|size| *size <= MAX_SIZE)),
        "{}",
        s.log_listing()
    );
    std::thread::sleep(seconds(12));
    let after = waits(pid);
    // A thread that was kept for more work ends by itself in the end.
    before.retain(|thread, _| after.contains_key(thread));
    assert_eq!(after, before, "nothing has happened, and it was awake");
    // It is not dead either: a line is noticed.
    let live = s.state_dir().join("logs/w0.log");
    let mut lines = vec![0; usize::try_from(Numbered::whole(2 * MAX_SIZE)).unwrap()];
    Numbered::new("w0").fill(&mut lines);
    fs::File::options().append(true).open(live).unwrap().write_all(&lines).unwrap();
    eventually("a rotation", seconds(10), || (s.log_files("w0").len() > 1).then_some(()), || s.log_listing());
}

/// How often each thread has waited for something so far.
fn waits(pid: Pid) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.0)).unwrap().flatten();
    tasks
        .filter_map(|task| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let field =
                |key: &str| Some(status.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned());
            let name = format!("{} {}", field("Name:")?, task.file_name().display());
            let waited = field("voluntary_ctxt_switches:")?.parse::<u64>().ok()?;
            Some((name, waited))
        })
        .collect()
}

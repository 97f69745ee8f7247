//! Every line is there once and in order, however often the supervisor is killed while it rotates.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vitald_tests::{Dice, Disk, Kind, Numbered, Pid, Supervisor, assert_numbered, eventually, seconds};

use crate::writer::{assert_shown, tide, wait_done, writer};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KILLS: u64 = 20;

#[test]
fn a_gib_of_lines_survives_twenty_kills_on_ext4() {
    a_gib_of_lines_survives_twenty_kills(Kind::Ext4);
}

#[test]
fn a_gib_of_lines_survives_twenty_kills_on_tmpfs() {
    a_gib_of_lines_survives_twenty_kills(Kind::Tmpfs);
}

/// The writer goes on for as long as there are kills to come, and half of those come in the middle of a rotation.
fn a_gib_of_lines_survives_twenty_kills(kind: Kind) {
    const MAX_SIZE: u64 = 8 * MIB;
    let Some(disk) = Disk::of(kind, GIB + GIB / 4) else { return };
    let seed = Dice::seed();
    eprintln!("VITALD_SEED={seed} replays the moments");
    let mut dice = Dice::new(seed);
    let mut s = Supervisor::prepare("{metadata: {name: big}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let done = s.path("done");
    tide(&done, 0);
    s.write_manifests(&writer("big", GIB, 80, &done, "{maxSize: 8Mi, maxFiles: 200}"));
    s.up().expect(0);
    let pid = s.wait_pid("big");
    let mut midway = 0;
    for kill in 0..KILLS {
        let from = GIB / KILLS * kill;
        tide(&done, from + GIB / KILLS);
        let place = from + dice.below(GIB / KILLS);
        eventually(
            "the moment of a kill",
            seconds(30),
            || (written(pid) >= place).then_some(()),
            || format!("{} of {place} bytes", written(pid)),
        );
        if kill % 2 == 0 {
            let begun = Instant::now();
            while !s.draft("big").exists() && begun.elapsed() < seconds(0.5) {
                sleep(Duration::from_micros(200));
            }
            sleep(Duration::from_micros(dice.below(30_000)));
        }
        midway += u64::from(s.draft("big").exists());
        s.kill_supervisors();
        sleep(Duration::from_millis(dice.below(100)));
        assert!(!done.exists(), "it has ended before kill {kill}");
        match dice.below(2) {
            0 => s.start(),
            _ => drop(s.up().expect(0)),
        }
    }
    tide(&done, u64::MAX);
    wait_done(&done, 60.0);
    assert_eq!((s.wait_pid("big").0, s.component("big").restart_count), (pid.0, 0));
    s.wait_rotated("big", MAX_SIZE, seconds(30));
    let troubles: Vec<_> = s.events().into_iter().filter(|event| event.message.contains("log")).collect();
    assert!(troubles.is_empty(), "{troubles:?}");
    let whole = Numbered::whole(GIB);
    assert_shown(&s, "big", whole);
    s.cli(&["down"]).expect(0);
    let sizes = s.log_sizes("big");
    assert!(sizes.len() as u64 >= GIB / MAX_SIZE && sizes.iter().all(|size| *size <= MAX_SIZE), "{sizes:?}");
    assert_numbered("the files", "big", whole, s.log_bytes("big"));
    if kind == Kind::Ext4 {
        let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
        assert_eq!(s.log_files("big").iter().map(size).sum::<u64>(), whole, "nothing is hidden in them");
    }
    assert_shown(&s, "big", whole);
    // If this never happens, the kills do not try what they are here to try.
    assert!(midway > 0, "no kill came in the middle of a rotation");
}

#[test]
fn two_hundred_write_at_once_on_ext4() {
    two_hundred_write_at_once(Kind::Ext4);
}

#[test]
fn two_hundred_write_at_once_on_tmpfs() {
    two_hundred_write_at_once(Kind::Tmpfs);
}

fn two_hundred_write_at_once(kind: Kind) {
    const EACH: u64 = MIB / 2;
    const MAX_SIZE: u64 = MIB / 8;
    let Some(disk) = Disk::of(kind, GIB / 2) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: w}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let names: Vec<String> = (0..200).map(|number| format!("w{number}")).collect();
    let dir = s.path("");
    let done = |name: &str| dir.join(format!("done-{name}"));
    // All of them begin when the last one is there.
    names.iter().for_each(|name| tide(&done(name), 0));
    let logs = "{maxSize: 128Ki, maxFiles: 20}";
    let manifests: Vec<_> = names.iter().map(|name| writer(name, EACH, 0, &done(name), logs)).collect();
    s.write_manifests(&manifests.join("\n---\n"));
    s.spawn_run();
    let before = all_running(&s, 200);
    names.iter().for_each(|name| tide(&done(name), EACH / 2));
    let rotated = || names.iter().filter(|name| s.log_files(name).len() > 1).count();
    eventually(
        "some to be rotated",
        seconds(30),
        || (rotated() > 20).then_some(()),
        || rotated().to_string(),
    );
    s.kill_supervisors();
    names.iter().for_each(|name| tide(&done(name), u64::MAX));
    s.spawn_run();
    names.iter().for_each(|name| wait_done(&done(name), 60.0));
    // One after the other, and each of them is on the disk before the next.
    names.iter().for_each(|name| s.wait_rotated(name, MAX_SIZE, seconds(240)));
    assert_eq!(all_running(&s, 200), before, "none was restarted");
    let troubles: Vec<_> = s.events().into_iter().filter(|event| event.message.contains("log")).collect();
    assert!(troubles.is_empty(), "{troubles:?}");
    s.cli(&["down"]).expect(0);
    for name in &names {
        assert_numbered(name, name, Numbered::whole(EACH), s.log_bytes(name));
    }
    assert_shown(&s, "w17", Numbered::whole(EACH));
    let all = s.cli(&["logs", "--all"]).expect(0).stdout;
    assert_eq!(all.lines().count() as u64, 200 * Numbered::lines(Numbered::whole(EACH)));
}

/// Names and pids, once so many components run.
fn all_running(s: &Supervisor, count: usize) -> Vec<(String, Option<i32>)> {
    let running = || -> Option<Vec<_>> {
        let all = s.try_status().ok()?.components;
        Some(all.into_iter().filter(|c| c.state == "Running").map(|c| (c.name, c.pid)).collect())
    };
    let all = || running().filter(|running| running.len() == count);
    eventually("all to run", seconds(120), all, || {
        format!("{:?} run", running().map(|running| running.len()))
    })
}

/// Bytes that a process has written to anything.
fn written(pid: Pid) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", pid.0)).unwrap_or_default();
    let wchar = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    wchar.map_or(0, |bytes| bytes.parse().unwrap())
}

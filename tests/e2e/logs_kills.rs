//! Every line is there once and in order, however often the supervisor is killed while it rotates.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vitald_tests::{Disk, Kind, Numbered, Pid, Supervisor, assert_numbered, eventually, seconds};

use crate::kills::{Dice, seed};

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
    let mut dice = dice();
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
    s.cli(&["up", "-f", "manifests", "--timeout", "60"]).expect(0);
    names.iter().for_each(|name| tide(&done(name), EACH / 2));
    let rotated = || names.iter().filter(|name| s.log_files(name).len() > 1).count();
    eventually(
        "some to be rotated",
        seconds(30),
        || (rotated() > 20).then_some(()),
        || rotated().to_string(),
    );
    let before: Vec<_> = s.status().components.into_iter().map(|c| (c.name, c.pid)).collect();
    s.kill_supervisors();
    names.iter().for_each(|name| tide(&done(name), u64::MAX));
    s.start();
    names.iter().for_each(|name| wait_done(&done(name), 60.0));
    names.iter().for_each(|name| s.wait_rotated(name, MAX_SIZE, seconds(60)));
    let after: Vec<_> = s.status().components.into_iter().map(|c| (c.name, c.pid)).collect();
    assert_eq!(before, after, "none was restarted");
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

fn dice() -> Dice {
    let seed = seed();
    eprintln!("VITALD_SEED={seed} replays the moments");
    Dice::new(seed)
}

/// The manifest of a writer of numbered lines.
pub(crate) fn writer(name: &str, bytes: u64, mib_per_second: u64, done: &Path, logs: &str) -> String {
    let done = done.display();
    format!(
        "metadata: {{name: {name}}}\nspec:\n  command: [vitald-fixture, numbered, '{bytes}', \
         '{mib_per_second}', {done}]\n  logs: {logs}"
    )
}

/// Lets a writer go on until it has written so many bytes. It begins with none if this is said before its start.
pub(crate) fn tide(done: &Path, bytes: u64) {
    let next = done.with_added_extension("next");
    fs::write(&next, bytes.to_string()).unwrap();
    fs::rename(next, done.with_added_extension("tide")).unwrap();
}

/// Waits until a writer has written all.
pub(crate) fn wait_done(done: &Path, within: f64) {
    eventually(
        "all to be written",
        seconds(within),
        || done.exists().then_some(()),
        || done.display().to_string(),
    );
}

/// Panics unless `vitald logs` shows this many bytes of numbered lines, and says nothing else.
pub(crate) fn assert_shown(s: &Supervisor, name: &str, bytes: u64) {
    let mut logs = s.command(&["logs", name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert_numbered("vitald logs", name, bytes, logs.stdout.take().unwrap());
    let said = logs.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

/// Bytes that a process has written to anything.
fn written(pid: Pid) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", pid.0)).unwrap_or_default();
    let wchar = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    wchar.map_or(0, |bytes| bytes.parse().unwrap())
}

//! `vitald logs -f` while the log is rotated again and again.

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use vitald_tests::{Disk, Kind, Numbered, Pid, Supervisor, assert_numbered, eventually, seconds};

use crate::writer::{assert_shown, tide, wait_done, writer};

const MIB: u64 = 1 << 20;

#[test]
fn three_followers_see_every_line_once_on_ext4() {
    three_followers_see_every_line_once(Kind::Ext4);
}

#[test]
fn three_followers_see_every_line_once_on_tmpfs() {
    three_followers_see_every_line_once(Kind::Tmpfs);
}

/// One from the beginning, one in the middle of it, one that is stopped for a while, as by Ctrl-Z; through thirty
/// rotations, and a death of the supervisor.
fn three_followers_see_every_line_once(kind: Kind) {
    const BYTES: u64 = 30 * MIB;
    let Some(disk) = Disk::of(kind, 64 * MIB) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: web}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let done = s.path("done");
    tide(&done, 0);
    s.write_manifests(&writer("web", BYTES, 20, &done, "{maxSize: 1Mi, maxFiles: 100}"));
    s.start();
    s.wait_pid("web");
    let follow = |s: &Supervisor, number: u32| -> Child {
        let seen = fs::File::create(s.path(format!("seen-{number}"))).unwrap();
        s.command(&["logs", "-f", "web"]).stdout(seen).stderr(Stdio::piped()).spawn().unwrap()
    };
    let seen = |s: &Supervisor, number: u32| {
        fs::metadata(s.path(format!("seen-{number}"))).map_or(0, |file| file.len())
    };
    let wait_seen = |s: &Supervisor, number: u32, bytes: u64| {
        eventually(
            "a follower to see it",
            seconds(20),
            || (seen(s, number) >= bytes).then_some(()),
            || format!("follower {number}: {} of {bytes} bytes\n{}", seen(s, number), s.log_listing()),
        );
    };
    let mut followers = vec![follow(&s, 0), follow(&s, 1)];
    tide(&done, BYTES / 3);
    wait_seen(&s, 1, 2 * MIB);
    let stopped = Pid(i32::try_from(followers[1].id()).unwrap());
    stopped.signal(Signal::SIGSTOP);
    wait_seen(&s, 0, BYTES / 4);
    followers.push(follow(&s, 2));
    s.kill9();
    tide(&done, BYTES / 3 * 2);
    wait_seen(&s, 0, BYTES / 2);
    s.start();
    wait_seen(&s, 2, BYTES / 2);
    stopped.signal(Signal::SIGCONT);
    tide(&done, u64::MAX);
    wait_done(&done, 30.0);
    let whole = Numbered::whole(BYTES);
    (0..3).for_each(|number| wait_seen(&s, number, whole));
    s.wait_rotated("web", MIB, seconds(10));
    assert!(s.log_files("web").len() >= 30, "{}", s.log_listing());
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    for (number, follower) in followers.into_iter().enumerate() {
        let output = follower.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{number}: {output:?}");
        let seen = fs::File::open(s.path(format!("seen-{number}"))).unwrap();
        assert_numbered(&format!("follower {number}"), "web", whole, seen);
    }
    assert_shown(&s, "web", whole);
}

/// A follower that is slower than what it follows loses what is rotated away, and says how much; never more.
#[test]
fn follower_that_is_too_slow_is_told_what_it_has_missed() {
    let mut s = Supervisor::prepare("{metadata: {name: web}, spec: {command: [vitald-fixture, sleep]}}");
    let done = s.path("done");
    tide(&done, 0);
    s.write_manifests(&writer("web", 8 * MIB, 0, &done, "{maxSize: 256Ki, maxFiles: 3}"));
    s.start();
    s.wait_pid("web");
    let seen = s.path("seen");
    let follower = s
        .command(&["logs", "-f", "web"])
        .stdout(fs::File::create(&seen).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    tide(&done, 64 << 10);
    eventually(
        "the first lines",
        seconds(10),
        || (fs::metadata(&seen).unwrap().len() >= 64 << 10).then_some(()),
        || s.log_listing(),
    );
    let stopped = Pid(i32::try_from(follower.id()).unwrap());
    stopped.signal(Signal::SIGSTOP);
    tide(&done, u64::MAX);
    wait_done(&done, 20.0);
    s.wait_rotated("web", 256 << 10, seconds(20));
    let kept: u64 = s.log_sizes("web").iter().sum();
    stopped.signal(Signal::SIGCONT);
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    let said = follower.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && told.contains("removed before they were shown"), "{said:?}");
    let shown = fs::read(&seen).unwrap();
    let mut all = vec![0; usize::try_from(Numbered::whole(8 * MIB)).unwrap()];
    Numbered::new("web").fill(&mut all);
    // The beginning that it saw, and all that is still there.
    let from = all.len() - usize::try_from(kept).unwrap();
    let end = shown.len() - usize::try_from(kept).unwrap();
    assert!(all[from..] == shown[end..], "{} bytes shown, {kept} kept", shown.len());
    assert!(all.starts_with(&shown[..end]) && end >= 64 << 10, "{end} bytes before");
}

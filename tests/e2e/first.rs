//! As the first process of a container.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use vitald_tests::{Namespace, Supervisor, eventually, seconds};

const IN_A_CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// Number, state and command line of all that `/proc` of the namespace shows.
fn all(proc: &PathBuf) -> Vec<(u32, char)> {
    let entries = fs::read_dir(proc).map(|dir| dir.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let pids = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        Some((pid, stat.rsplit_once(") ")?.1.chars().next()?))
    })
    .collect()
}

#[test]
fn reaps_what_falls_to_it_and_stops_all_on_sigterm() {
    if Namespace::new().is_none() {
        return;
    }
    let s = Supervisor::prepare(
        "
        metadata: {name: litter}
        spec: {command: [vitald-fixture, traced, TRACES, litter]}
        ---
        metadata: {name: runaways}
        spec:
          command: [vitald-fixture, traced, TRACES, runaways, TRACES, setsid, 'setsid,env']
          terminationGracePeriodSeconds: 0.5
        ---
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, traced, TRACES, schedule, '3@100,4@100']
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    let container = s.within(&IN_A_CONTAINER).background(&["run", "-f", "manifests"]);
    let first = eventually("the supervisor", seconds(10), || s.supervisors().first().copied(), String::new);
    let proc = PathBuf::from(format!("/proc/{}/root", first.0)).join("proc");
    s.traces().wait("crasher", "start", 3, seconds(15));
    s.traces().wait("runaways", "complete", 1, seconds(15));
    let pid_of_first = fs::read_link(proc.join("self")).ok();
    assert!(pid_of_first.is_none() || all(&proc).iter().any(|(pid, _)| *pid == 1));
    // Exits are told in full although everything that falls to it is reaped.
    let exits: Vec<_> = s.traces().all("crasher", "end").iter().map(|mark| mark.more.clone()).collect();
    assert_eq!(exits, ["3", "4"]);

    let begun = Instant::now();
    let mut most = 0;
    let newest = || all(&proc).iter().map(|(pid, _)| *pid).max().unwrap_or(0);
    while newest() < 400 || begun.elapsed() < seconds(2) {
        let zombies = all(&proc).iter().filter(|(_, state)| *state == 'Z').count();
        most = most.max(zombies);
        assert!(begun.elapsed() < seconds(60), "only {} processes so far", newest());
    }
    assert!(most < 50, "{most} zombies at a time");
    eventually(
        "zombies to be reaped",
        seconds(5),
        || (all(&proc).iter().filter(|(_, state)| *state == 'Z').count() <= 3).then_some(()),
        || format!("{:?}", all(&proc)),
    );

    first.signal(Signal::SIGTERM);
    let output = container.end(seconds(15)).expect(0);
    s.assert_nothing_left();
    assert_eq!(s.traces().all("litter", "end").len(), 1, "{}", output.all());
    s.traces().assert_never_doubled();
}

//! Whole trees: whatever a component has started is gone when it is, however it has run away.

use vitald_tests::{Pid, Supervisor, eventually, seconds, skip};

/// By what a process may hide: another session, no environment, no descriptors of ours. Each is forked
/// twice, so that its parent is gone, and ignores SIGTERM.
const WAYS: &[&str] =
    &["group", "setsid", "env", "fds", "setsid,env", "setsid,fds", "env,fds", "setsid,env,fds"];

fn runaways(ways: &[&str]) -> String {
    let ways = ways.iter().map(|way| format!("'{way}'")).collect::<Vec<_>>().join(", ");
    format!(
        "
        metadata: {{name: tree}}
        spec:
          command: [vitald-fixture, traced, TRACES, runaways, TRACES, {ways}]
          terminationGracePeriodSeconds: 0.4
          restart: {{backoff: {{initialSeconds: 0.2}}}}
        "
    )
}

/// Waits for so many runs of `tree`, and gives the main process and the children of the newest.
fn whole(s: &Supervisor, run: usize, ways: usize) -> Vec<Pid> {
    s.traces().wait("tree", "complete", run, seconds(15));
    let mut pids: Vec<Pid> = s.traces().all("tree", "child").iter().rev().take(ways).map(|m| m.pid).collect();
    assert_eq!(pids.len(), ways);
    pids.push(s.traces().all("tree", "start").pop().unwrap().pid);
    assert!(pids.iter().all(|pid| pid.exists()), "{pids:?}");
    pids
}

#[track_caller]
fn assert_gone(pids: &[Pid]) {
    let left: Vec<_> = pids.iter().filter(|pid| pid.exists()).map(|pid| (pid, pid.command())).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Stop, restart, crash and down; each leaves nothing of the run.
fn nothing_survives(s: &mut Supervisor, ways: usize, die: bool) {
    s.up().expect(0);
    let take_over = |s: &mut Supervisor| {
        if die {
            s.kill9();
            s.up().expect(0);
        }
    };
    let first = whole(s, 1, ways);
    take_over(s);
    s.cli(&["stop", "tree"]).expect(0);
    assert_gone(&first);

    s.cli(&["start", "tree"]).expect(0);
    let second = whole(s, 2, ways);
    take_over(s);
    s.cli(&["restart", "tree"]).expect(0);
    assert_gone(&second);

    let third = whole(s, 3, ways);
    take_over(s);
    third.last().unwrap().kill();
    let fourth = whole(s, 4, ways);
    assert_gone(&third);
    assert_eq!(s.component("tree").restart_count, 1);

    take_over(s);
    s.cli(&["down"]).expect(0);
    assert_gone(&fourth);
    s.assert_nothing_left();
    s.traces().assert_never_doubled();
}

/// Whether a component gets a cgroup of its own here.
fn has_cgroups(s: &Supervisor) -> bool {
    let found = s.cli(&["doctor", "-o", "json"]).stdout;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let of = |name: &str| found["findings"].as_array()?.iter().find(|f| f["name"] == name).cloned();
    of("cgroup v2").is_some_and(|found| found["available"] == true)
}

#[test]
fn nothing_of_a_tree_is_left_whatever_it_hides_by() {
    let mut s = Supervisor::prepare(&runaways(WAYS));
    if !has_cgroups(&s) {
        return skip("no cgroup v2 can be had");
    }
    nothing_survives(&mut s, WAYS.len(), false);
}

#[test]
fn nothing_of_an_adopted_tree_is_left() {
    let mut s = Supervisor::prepare(&runaways(WAYS));
    if !has_cgroups(&s) {
        return skip("no cgroup v2 can be had");
    }
    nothing_survives(&mut s, WAYS.len(), true);
}

/// All but those that nothing connects to the component any more.
const TRACEABLE: &[&str] = &["group", "setsid", "env", "fds", "setsid,fds", "env,fds"];

#[test]
fn without_cgroups_what_can_be_found_is_ended() {
    let mut s = Supervisor::prepare(&runaways(TRACEABLE)).with_env("VITALD_CGROUPS", "off");
    let told = s.cli(&["doctor"]).stdout;
    assert!(!has_cgroups(&s) && told.contains("escapes a stop"), "{told}");
    nothing_survives(&mut s, TRACEABLE.len(), false);
}

#[test]
fn without_cgroups_what_can_be_found_of_an_adopted_tree_is_ended() {
    let mut s = Supervisor::prepare(&runaways(TRACEABLE)).with_env("VITALD_CGROUPS", "off");
    nothing_survives(&mut s, TRACEABLE.len(), true);
}

#[test]
fn leftovers_of_a_run_that_has_ended_go_before_the_next_begins() {
    for cgroups in ["on", "off"] {
        let s = Supervisor::prepare(
            "
            metadata: {name: tree}
            spec:
              command: [vitald-fixture, traced, TRACES, runaways-then-exit, TRACES, '3', '50', group, setsid]
              terminationGracePeriodSeconds: 0.3
              restart: {maxRestarts: 3, backoff: {initialSeconds: 0.05}}
            ",
        );
        let mut s = s.with_env("VITALD_CGROUPS", cgroups);
        s.start();
        s.wait_state("tree", "Failed", seconds(20));
        assert_eq!(s.traces().starts("tree"), 4);
        s.traces().assert_never_doubled();
        eventually(
            "the last ones to go",
            seconds(5),
            || (left(&s) == 0).then_some(()),
            || format!("{:?}", s.processes()),
        );
    }
}

fn left(s: &Supervisor) -> usize {
    s.processes().iter().filter(|pid| pid.command().contains("vitald-fixture")).count()
}

#[test]
fn leftovers_of_a_dead_supervisors_run_go_before_the_next_begins() {
    let mut s = Supervisor::run(&runaways(&["group", "setsid", "setsid,fds"]));
    let first = whole(&s, 1, 3);
    s.kill9();
    // Its main process dies while nobody looks; the others stay.
    first.last().unwrap().kill();
    first.last().unwrap().wait_gone(seconds(5));
    assert_eq!(first.iter().filter(|pid| pid.exists()).count(), 3);
    s.start();
    whole(&s, 2, 3);
    assert_gone(&first);
    s.traces().assert_never_doubled();
    assert_eq!(s.component("tree").restart_count, 1);
}

#[test]
fn fork_bomb_is_stopped_and_its_neighbours_stay_ready() {
    let s = Supervisor::prepare(
        "
        metadata: {name: bomb}
        spec:
          command: [vitald-fixture, bomb, TRACES/bombs, '1500']
          terminationGracePeriodSeconds: 0.2
          restartPolicy: Never
        ---
        metadata: {name: neighbour}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          livenessProbe: {pid: {}, periodSeconds: 0.2}
          readinessProbe: {pid: {}, periodSeconds: 0.2}
        ",
    );
    if !has_cgroups(&s) {
        return skip("no cgroup v2 can be had");
    }
    std::fs::create_dir_all(s.traces().dir()).unwrap();
    s.up().expect(0);
    let forks = || std::fs::metadata(s.traces().dir().join("bombs")).map_or(0, |meta| meta.len());
    eventually("a hundred bombs", seconds(20), || (forks() > 100).then_some(()), || forks().to_string());
    let neighbour = s.wait_ready("neighbour").pid();
    s.cli(&["stop", "bomb"]).expect(0);
    let bombs = || s.processes().into_iter().filter(|pid| pid.command().contains("bomb")).count();
    assert_eq!(bombs(), 0, "after {} forks", forks());
    let after = s.component("neighbour");
    assert!(after.ready && after.pid() == neighbour && after.restart_count == 0, "{after:?}");
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn cgroups_of_components_go_with_them() {
    let mut s = Supervisor::run(&runaways(&["setsid"]));
    if !has_cgroups(&s) {
        return skip("no cgroup v2 can be had");
    }
    let pids = whole(&s, 1, 1);
    let dirs: Vec<_> = pids.iter().map(|pid| pid.cgroup().expect("a cgroup of its own")).collect();
    assert_eq!(dirs[0], dirs[1], "all of it in one");
    assert_ne!(Some(dirs[0].clone()), s.pid().cgroup(), "and the supervisor in another");
    assert_eq!(s.ctrl_c(seconds(10)), 0);
    assert!(!dirs[0].exists(), "{} is left", dirs[0].display());
}

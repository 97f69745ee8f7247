//! The supervisor is killed in the middle of something, and the next one finishes it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use vitald_tests::{Supervisor, eventually, seconds};

/// A supervisor that dies as soon as the signal is there may not have written down that it sent it; the next
/// one sends it again then, rather than never. Later, it is known.
#[track_caller]
pub(crate) fn assert_told(s: &Supervisor, name: &str) {
    let times = s.traces().all(name, "term").len();
    assert!((1..=2).contains(&times), "{name} was told {times} times");
}

/// Many components that all start at the same time.
fn many(count: usize) -> String {
    let one = |n| {
        format!(
            "
        metadata: {{name: c{n}}}
        spec: {{command: [vitald-fixture, traced, TRACES, sleep]}}"
        )
    };
    (0..count).map(one).collect::<Vec<_>>().join("\n        ---")
}

#[test]
fn starts_are_neither_lost_nor_doubled() {
    const COUNT: usize = 16;
    let mut s = Supervisor::prepare(&many(COUNT));
    let mut midway = 0;
    for round in 1..=8 {
        s.spawn_run();
        // From before the first to after the last, wherever that is on this machine.
        eventually(
            "the supervisor to begin",
            seconds(5),
            || (!s.supervisors().is_empty()).then_some(()),
            String::new,
        );
        let begun =
            |s: &Supervisor| (0..COUNT).filter(|n| s.traces().starts(&format!("c{n}")) == round).count();
        let until = (round - 1) * 2;
        eventually("some to start", seconds(10), || (begun(&s) >= until).then_some(()), || s.said());
        s.kill_supervisors();
        if begun(&s) < COUNT {
            midway += 1;
        }
        s.start();
        for n in 0..COUNT {
            let name = format!("c{n}");
            let c = s.wait_ready(&name);
            assert_eq!(
                s.traces().starts(&name),
                round,
                "{name} in round {round}: {}",
                s.traces().told(&name)
            );
            assert_eq!(c.restart_count, 0);
            let last = s.traces().all(&name, "start").pop().unwrap();
            assert_eq!((Some(last.pid.0), last.pid.exists()), (c.pid, true), "{name}");
        }
        s.traces().assert_never_doubled();
        assert_eq!(s.ctrl_c(seconds(10)), 0);
        s.assert_nothing_left();
    }
    assert!(midway > 0, "the supervisor was never killed in the middle");
}

#[test]
fn stop_is_finished_with_the_grace_that_is_left() {
    let mut s = Supervisor::run(
        "
        metadata: {name: stubborn}
        spec:
          command: [vitald-fixture, traced, TRACES, stubborn]
          terminationGracePeriodSeconds: 3
        ",
    );
    s.wait_log("stubborn", "up, run 1");
    let pid = s.wait_pid("stubborn");
    let stop = s.background(&["stop", "stubborn"]);
    s.traces().wait("stubborn", "term", 1, seconds(5));
    let told = Instant::now();
    sleep(seconds(1));
    s.kill9();
    assert_ne!(stop.end(seconds(5)).code, 0, "it was not stopped while anybody looked");
    s.start();
    // A supervisor may take its time to come on a busy machine.
    let back = told.elapsed();
    assert!(pid.exists() || back > seconds(2.9), "it still has two seconds");
    let stopped = s.wait_for("stubborn", "stopped", seconds(8), |c| c.is("Stopped", "StoppedByUser"));
    let took = told.elapsed();
    assert!(took > seconds(2.7) && took < back.max(seconds(3)) + seconds(2), "{took:?} of 3 s");
    assert!(!pid.exists() && stopped.pid.is_none());
    assert_eq!((s.traces().all("stubborn", "term").len(), s.traces().starts("stubborn")), (1, 1));
}

#[test]
fn stop_whose_grace_ran_out_meanwhile_is_finished_at_once() {
    let mut s = Supervisor::run(
        "
        metadata: {name: stubborn}
        spec:
          command: [vitald-fixture, traced, TRACES, stubborn]
          terminationGracePeriodSeconds: 1
        ---
        metadata: {name: late}
        spec:
          command: [vitald-fixture, traced, TRACES, late, '400']
          terminationGracePeriodSeconds: 60
        ",
    );
    for name in ["stubborn", "late"] {
        s.wait_log(name, "up, run 1");
    }
    let stop = s.background(&["stop", "stubborn", "late"]);
    for name in ["stubborn", "late"] {
        s.traces().wait(name, "term", 1, seconds(5));
    }
    s.kill9();
    let _ = stop.end(seconds(5));
    s.traces().wait("late", "end", 1, seconds(5));
    sleep(seconds(1.1));
    s.start();
    for name in ["stubborn", "late"] {
        s.wait_for(name, "stopped", seconds(3), |c| c.is("Stopped", "StoppedByUser") && c.pid.is_none());
        assert_told(&s, name);
        assert_eq!(s.traces().starts(name), 1);
    }
}

#[test]
fn restart_on_request_is_finished_and_costs_nothing() {
    let mut s = Supervisor::run(
        "
        metadata: {name: stubborn}
        spec:
          command: [vitald-fixture, traced, TRACES, stubborn]
          terminationGracePeriodSeconds: 1.5
        ",
    );
    s.wait_log("stubborn", "up, run 1");
    let restart = s.background(&["restart", "stubborn"]);
    s.traces().wait("stubborn", "term", 1, seconds(5));
    s.kill9();
    let _ = restart.end(seconds(5));
    s.start();
    s.traces().wait("stubborn", "start", 2, seconds(6));
    let c = s.wait_ready("stubborn");
    assert_eq!((c.restart_count, c.restarts_in_window), (0, 0));
    assert_told(&s, "stubborn");
    assert_eq!(s.traces().starts("stubborn"), 2);
    s.traces().assert_never_doubled();
}

const DOWN: &str = "
        metadata: {name: base}
        spec: {command: [vitald-fixture, traced, TRACES, late, '100']}
        ---
        metadata: {name: top}
        spec:
          command: [vitald-fixture, traced, TRACES, stubborn]
          terminationGracePeriodSeconds: 1.5
          dependsOn: [{name: base}]
";

/// A `down` that has told the first to go, when its supervisor dies.
fn dies_in_down() -> Supervisor {
    let mut s = Supervisor::prepare(DOWN);
    s.up().expect(0);
    s.wait_log("top", "up, run 1");
    let down = s.background(&["down"]);
    s.traces().wait("top", "term", 1, seconds(5));
    // Nor does the command live to end what is left.
    drop(down);
    s.kill_supervisors();
    assert_eq!(s.traces().all("base", "term").len(), 0, "what others depend on goes last");
    s
}

#[test]
fn down_is_no_stop_and_up_starts_all_again() {
    let s = dies_in_down();
    s.up().expect(0);
    for name in ["base", "top"] {
        s.wait_ready(name);
        assert_eq!(s.component(name).restart_count, 0);
    }
    s.traces().wait("top", "start", 2, seconds(1));
    assert_told(&s, "top");
    assert_eq!(s.traces().starts("top"), 2);
    s.traces().assert_never_doubled();
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn second_down_finishes_the_first() {
    let s = dies_in_down();
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    let traces = s.traces();
    assert_eq!(traces.all("base", "term").len(), 1);
    assert_told(&s, "top");
    assert_eq!(traces.all("base", "end").len(), 1);
    assert_eq!(["base", "top"].map(|name| traces.starts(name)), [1, 1]);
}

#[test]
fn up_goes_on_where_the_one_before_was_killed() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: slow}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          startupProbe: {exec: {command: [vitald-fixture, once, warm]}, periodSeconds: 0.1}
        ---
        metadata: {name: dependant}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          dependsOn: [{name: slow}]
        ",
    );
    let up = s.background(&["up", "-f", "manifests", "--timeout", "20"]);
    let first = s.traces().wait("slow", "start", 1, seconds(10))[0].pid;
    s.kill_supervisors();
    let told = up.end(seconds(20));
    assert_eq!(told.code, 1, "{told:?}");
    let up = s.background(&["up", "-f", "manifests", "--timeout", "20"]);
    let slow = s.wait_for("slow", "going on", seconds(10), |c| c.pid.is_some());
    assert!(slow.is("Starting", "StartupProbe") && !slow.ready, "{slow:?}");
    s.write("manifests/warm", "");
    up.end(seconds(20)).expect(0);
    assert_eq!(s.component("slow").pid(), first);
    assert_eq!((s.traces().starts("slow"), s.traces().starts("dependant")), (1, 1));
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
}

#[test]
fn pre_stop_hook_under_way_does_not_spoil_the_stop() {
    let mut s = Supervisor::run(
        "
        metadata: {name: hooked}
        spec:
          command: [vitald-fixture, traced, TRACES, sleep]
          terminationGracePeriodSeconds: 4
          lifecycle: {preStop: {exec: {command: [sh, -c, 'echo >>hooks; sleep 1; echo >>hooked']}}}
        ",
    );
    s.traces().wait("hooked", "start", 1, seconds(5));
    let hooks = |file| std::fs::read(s.path("manifests").join(file)).map_or(0, |lines| lines.len());
    s.wait_ready("hooked");
    let stop = s.background(&["stop", "hooked"]);
    eventually("the hook", seconds(5), || (hooks("hooks") == 1).then_some(()), String::new);
    s.kill_supervisors();
    let _ = stop.end(seconds(5));
    s.start();
    s.wait_for("hooked", "stopped", seconds(8), |c| c.is("Stopped", "StoppedByUser"));
    let hooks = |file| std::fs::read(s.path("manifests").join(file)).map_or(0, |lines| lines.len());
    assert!(hooks("hooked") >= 1, "the hook came to its end before the signal");
    assert_eq!((s.traces().all("hooked", "term").len(), s.traces().starts("hooked")), (1, 1));
}

#[test]
fn many_quick_deaths_change_nothing() {
    let mut s = Supervisor::run(&many(4));
    let pids: Vec<_> = (0..4).map(|n| s.wait_ready(&format!("c{n}")).pid()).collect();
    s.kill_supervisors();
    for death in 0..40_u64 {
        s.spawn_run();
        sleep(Duration::from_millis(death * 3));
        s.kill_supervisors();
    }
    s.start();
    for (n, pid) in pids.into_iter().enumerate() {
        let name = format!("c{n}");
        let c = s.wait_ready(&name);
        assert_eq!((c.pid(), c.restart_count, s.traces().starts(&name)), (pid, 0, 1));
    }
}

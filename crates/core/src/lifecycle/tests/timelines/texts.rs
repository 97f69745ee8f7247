//! What status says, in words.

use super::*;

fn text(world: &World) -> String {
    format!("{}: {}", world.state(), world.snapshot().message)
}

#[test]
fn a_startup_probe_that_cannot_ask_is_not_said_to_fail() {
    let mut spec = spec();
    spec.startup_probe = Some(probe(ProbeRole::Startup));
    let mut world = begin(spec, answering(ProbeRole::Startup, ProbeResult::unknown("no server")));
    world.until(1.5);
    assert_snapshot!(text(&world), @"Starting/StartupProbe: startup probe cannot ask: no server");
    world.behaviour = failing(ProbeRole::Startup);
    world.until(3.5);
    assert_snapshot!(text(&world), @"Starting/StartupProbe: startup probe failed 2 of 30 times: refused");
}

#[test]
fn failures_are_counted_on_while_it_is_taken_down_for_them() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, Behaviour { heeds_term: None, ..failing(ProbeRole::Liveness) });
    world.until(15.0);
    assert_snapshot!(text(&world), @"Running ready: liveness probe failed 2 of 3 times: refused");
    world.until(25.0);
    assert_snapshot!(text(&world), @"Unhealthy/LivenessProbeFailed: liveness probe failed 3 times in a row: refused; SIGTERM was sent");
    let view = &world.snapshot().probes[0];
    assert_eq!((view.consecutive_failures, view.failure_threshold), (3, 3));
}

#[test]
fn a_start_that_is_given_up_says_so() {
    let slow = Behaviour { start_takes: SECOND * 5, start_can_be_given_up: false, ..Behaviour::default() };
    for command in [Command::Stop, Command::Pause, Command::Shutdown, Command::Kill] {
        let mut world = begin(spec(), slow.clone());
        assert_eq!(text(&world), "Starting/Spawning: ");
        world.until(1.0);
        world.command(command);
        assert_eq!(text(&world), "Starting/Terminating: being stopped before it has started");
    }
}

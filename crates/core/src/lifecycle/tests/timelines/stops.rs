//! Stops and restarts on request, and how a run is taken down.

use super::*;

#[test]
fn stopped_on_request_it_stays_stopped_whatever_was_under_way() {
    let mut lines = vec![];
    for (what, when, behaviour) in [
        ("running", 0.5, Behaviour::default()),
        ("starting", 0.5, Behaviour { start_takes: SECOND, ..Behaviour::default() }),
        (
            "too late to give up",
            0.5,
            Behaviour { start_takes: SECOND, start_can_be_given_up: false, ..Behaviour::default() },
        ),
        ("waiting out a delay", 0.5, crashing()),
        ("being killed", 0.5, Behaviour { heeds_term: None, ..Behaviour::default() }),
    ] {
        let mut world = begin(spec(), behaviour);
        world.until(when);
        world.command(Command::Stop);
        world.until(1000.0);
        lines.push(format!("{what}: {} -> {}", world.told(), world.state()));
    }
    assert_snapshot!(lines.join("\n"), @r"
    running: 0s Start(1); 0.5s Terminate(1) -> Stopped/StoppedByUser
    starting: 0s Start(1); 0.5s CancelStart(1) -> Stopped/StoppedByUser
    too late to give up: 0s Start(1); 0.5s CancelStart(1); 1s Terminate(1) -> Stopped/StoppedByUser
    waiting out a delay: 0s Start(1) -> Stopped/StoppedByUser
    being killed: 0s Start(1); 0.5s Terminate(1); 10.5s Kill(1) -> Stopped/StoppedByUser
    ");
}

#[test]
fn a_stop_in_the_middle_of_a_liveness_kill_is_not_followed_by_a_restart() {
    let mut spec = spec();
    spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
    let mut world = begin(spec, Behaviour { heeds_term: None, ..failing(ProbeRole::Liveness) });
    world.until(5.0);
    world.command(Command::Stop);
    assert_snapshot!(world.state(), @"Running/Terminating");
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s Terminate(1); 10s Kill(1)");
    assert_snapshot!(world.state(), @"Stopped/StoppedByUser");
}

#[test]
fn a_restart_on_request_uses_up_none_and_waits_for_no_delay() {
    let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 3), ..Behaviour::default() });
    world.until(5.0);
    world.command(Command::Restart);
    assert_snapshot!(world.state(), @"Restarting/RestartRequested");
    world.until(20.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 8s Start(2)");
    let snapshot = world.snapshot();
    assert_eq!((snapshot.restart_count, snapshot.restarts_in_window), (0, 0));
}

#[test]
fn what_lives_on_after_the_main_process_is_ended_before_the_next_start() {
    let mut world = begin(
        spec(),
        Behaviour {
            exits: Some((SECOND * 5, Exit::Code(1))),
            leftovers: true,
            heeds_term: None,
            ..Behaviour::default()
        },
    );
    world.until(10.0);
    assert_snapshot!(world.state(), @"Unhealthy/Error");
    world.until(17.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 15s Kill(1); 16s Start(2)");
}

#[test]
fn started_again_before_its_stop_came_to_anything_it_runs() {
    let mut lines = vec![];
    for start_can_be_given_up in [true, false] {
        for command in [Command::Start, Command::Restart] {
            let slow = Behaviour { start_takes: SECOND * 5, start_can_be_given_up, ..Behaviour::default() };
            let mut world = begin(spec(), slow);
            world.until(1.0);
            world.command(Command::Stop);
            world.command(command);
            world.until(20.0);
            lines.push(format!("{command:?}: {} -> {}", world.told(), world.state()));
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    Start: 0s Start(1); 1s CancelStart(1); 1s Start(2) -> Running ready
    Restart: 0s Start(1); 1s CancelStart(1); 1s Start(2) -> Running ready
    Start: 0s Start(1); 1s CancelStart(1) -> Running ready
    Restart: 0s Start(1); 1s CancelStart(1) -> Running ready
    ");
}

#[test]
fn started_again_in_the_middle_of_a_stop_it_runs_once_that_is_done() {
    let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 3), ..Behaviour::default() });
    world.until(5.0);
    world.command(Command::Stop);
    world.until(6.0);
    world.command(Command::Start);
    assert_snapshot!(world.state(), @"Restarting/RestartRequested");
    world.until(20.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 8s Start(2)");
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn what_sigkill_does_not_end_is_told_once() {
    let stuck = Behaviour { heeds_term: None, heeds_kill: false, ..Behaviour::default() };
    let mut world = begin(spec(), stuck);
    world.until(5.0);
    world.command(Command::Stop);
    world.until(15.0);
    world.told();
    world.verbose = true;
    world.until(1000.0);
    assert_snapshot!(world.told(), @"20s FailedKill: something lives on 5 s after SIGKILL");
    world.exit(Exit::Unknown);
    assert_snapshot!(world.state(), @"Stopped/StoppedByUser");
}

#[test]
fn after_a_sleep_of_the_machine_there_is_a_little_time_to_end_and_once_only() {
    for (grace, more) in [(SECOND * 10, SECOND * 2), (SECOND, SECOND)] {
        let mut spec = spec();
        spec.termination_grace_period = grace;
        let mut world = begin(spec, Behaviour { heeds_term: None, ..Behaviour::default() });
        world.until(0.5);
        world.command(Command::Stop);
        world.told();
        world.sleep(SECOND * 3600);
        assert_eq!(world.told(), "");
        assert_eq!(world.lifecycle.next_deadline(), Some(world.now + more));
        world.sleep(SECOND * 3600);
        assert_eq!(world.told(), "7200.5s Kill(1)");
    }
}

//! What the next supervisor makes of what is on record.

use std::sync::Arc;

use super::*;
use crate::lifecycle::Lifecycle;

#[test]
fn the_next_supervisor_goes_on_with_the_counters_where_they_were() {
    let mut world = begin(spec(), crashing());
    world.until(4.0); // Three runs, the delay of 4 s under way.
    world.restore(true);
    world.command(Command::Begin);
    world.until(10.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 7s Start(4)");
    assert_eq!(world.snapshot().restart_count, 3);
    world.until(15.0);
    assert_snapshot!(world.told(), @"15s Start(5)");
}

#[test]
fn after_a_reboot_delays_and_window_begin_again_and_numbers_go_on() {
    let mut world = begin(spec(), crashing());
    world.until(4.0); // Three runs, the delay of 4 s under way.
    world.restore(false);
    assert_eq!(world.state(), "Stopped");
    let snapshot = world.snapshot();
    assert_eq!((snapshot.run, snapshot.restart_count, snapshot.restarts_in_window), (RunId(3), 2, 0));
    assert_eq!((snapshot.next_restart_at, snapshot.last_end, snapshot.last_error), (None, None, None));
    world.told();
    world.command(Command::Begin);
    world.until(7.5);
    assert_snapshot!(world.told(), @"4s Start(4); 5s Start(5); 7s Start(6)");
    let snapshot = world.snapshot();
    assert_eq!((snapshot.restart_count, snapshot.restarts_in_window), (4, 2));
}

#[test]
fn what_has_come_to_its_end_stays_so_until_the_machine_boots_again() {
    let mut lines = vec![];
    for (policy, code) in [(RestartPolicy::Never, 0), (RestartPolicy::Never, 1), (RestartPolicy::Always, 1)] {
        for same_boot in [true, false] {
            let mut spec = spec();
            spec.restart_policy = policy;
            spec.restart.max_restarts = 0;
            let ends = Behaviour { exits: Some((SECOND, Exit::Code(code))), ..Behaviour::default() };
            let mut world = begin(spec, ends);
            world.until(2.0);
            let before = world.state();
            world.behaviour = Behaviour::default();
            world.restore(same_boot);
            world.command(Command::Begin);
            world.until(3.0);
            let boot = if same_boot { "same boot" } else { "another boot" };
            lines.push(format!("{before}, {boot}: {}", world.told()));
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    Stopped/Completed, same boot: 0s Start(1)
    Stopped/Completed, another boot: 0s Start(1); 2s Start(2)
    Stopped/Error, same boot: 0s Start(1)
    Stopped/Error, another boot: 0s Start(1); 2s Start(2)
    Failed/RestartLimitExceeded, same boot: 0s Start(1); 1s Failed: the limit of 0 restarts in 600 s is reached, given up until started on request: exited with status 1
    Failed/RestartLimitExceeded, another boot: 0s Start(1); 1s Failed: the limit of 0 restarts in 600 s is reached, given up until started on request: exited with status 1; 2s Start(2)
    ");
}

#[test]
fn a_stop_on_request_outlives_supervisor_and_reboot() {
    for same_boot in [true, false] {
        let mut world = begin(spec(), Behaviour::default());
        world.until(1.0);
        world.command(Command::Stop);
        world.until(2.0);
        world.restore(same_boot);
        world.command(Command::Begin);
        world.until(10.0);
        assert_eq!(world.state(), "Stopped/StoppedByUser");
    }
}

#[test]
fn after_a_shutdown_all_start_again_but_what_was_stopped_or_failed() {
    let mut lines = vec![];
    for (behaviour, command) in [
        (Behaviour::default(), None),
        (Behaviour::default(), Some(Command::Stop)),
        (Behaviour::default(), Some(Command::Pause)),
        (crashing(), None),
    ] {
        let mut spec = spec();
        spec.restart.max_restarts = 0;
        let mut world = begin(spec, behaviour);
        world.until(1.0);
        command.into_iter().for_each(|command| world.command(command));
        world.until(2.0);
        let before = world.state();
        world.command(Command::Shutdown);
        world.until(3.0);
        world.restore(true);
        world.command(Command::Begin);
        world.until(4.0);
        lines.push(format!("{before} -> {}", world.state()));
    }
    assert_snapshot!(lines.join("\n"), @r"
    Running ready -> Running ready
    Stopped/StoppedByUser -> Stopped/StoppedByUser
    Restarting/RestartRequested -> Running ready
    Failed/RestartLimitExceeded -> Failed/RestartLimitExceeded
    ");
}

#[test]
fn a_limit_that_is_lower_now_holds_for_the_restart_that_is_waited_for() {
    let mut world = begin(spec(), crashing());
    world.until(4.0); // Two restarts, the delay of 4 s under way.
    let mut lower = spec();
    lower.restart.max_restarts = 2;
    world.lifecycle = Lifecycle::restore(Arc::new(lower), world.lifecycle.record(), true);
    world.told();
    world.command(Command::Begin);
    world.until(10.0);
    assert_snapshot!(world.told(), @"7s Failed: the limit of 2 restarts in 600 s is reached, given up until started on request: exited with status 1");
}

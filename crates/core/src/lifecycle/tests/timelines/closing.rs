//! The end of the supervisor.

use super::*;

#[test]
fn a_closing_supervisor_starts_nothing_any_more() {
    let mut world = begin(spec(), crashing());
    world.until(0.5);
    world.command(Command::Close);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1)");
    assert!(world.lifecycle.is_at_rest());

    // What ends now has no restart to wait for, nor to fail for want of one.
    let mut spec = spec();
    spec.restart.max_restarts = 0;
    let mut world = begin(spec, Behaviour::default());
    world.until(5.0);
    world.command(Command::Close);
    world.exit(Exit::Code(1));
    assert!(world.lifecycle.is_at_rest());
    assert_eq!(
        (world.state().as_str(), world.lifecycle.record().is_stopped_on_request()),
        ("Stopped", false)
    );

    let mut world = begin(super::spec(), Behaviour::default());
    world.until(5.0);
    world.command(Command::Close);
    assert_snapshot!(world.state(), @"Running ready");
    world.command(Command::Shutdown);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1)");
}

#[test]
fn a_second_request_to_end_kills_at_once() {
    let mut world = begin(spec(), Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(5.0);
    world.command(Command::Shutdown);
    world.until(6.0);
    world.command(Command::Kill);
    world.until(7.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 6s Kill(1)");
    assert!(world.lifecycle.is_at_rest());
}

#[test]
fn a_restart_that_is_under_way_when_the_supervisor_ends_comes_to_nothing() {
    for command in [Command::Restart, Command::Start, Command::Pause] {
        let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 3), ..Behaviour::default() });
        world.until(5.0);
        world.command(Command::Restart);
        world.command(command);
        world.command(Command::Close);
        world.until(100.0);
        assert_eq!(world.told(), "0s Start(1); 5s Terminate(1)");
        assert!(world.lifecycle.is_at_rest());
    }
}

#[test]
fn nothing_that_is_asked_for_after_the_end_has_begun_starts_it_again() {
    for end in [Command::Close, Command::Shutdown, Command::Kill] {
        for command in [Command::Begin, Command::Start, Command::Restart, Command::Pause, Command::Reset] {
            let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 3), ..Behaviour::default() });
            world.until(5.0);
            world.command(end);
            world.command(command);
            world.until(6.0);
            world.command(Command::Shutdown);
            world.command(command);
            world.until(100.0);
            world.command(command);
            world.until(200.0);
            let starts = world.trace.iter().filter(|line| line.contains("Start(")).count();
            assert_eq!((end, command, starts), (end, command, 1));
            assert_eq!(
                (world.lifecycle.is_at_rest(), world.lifecycle.record().is_stopped_on_request()),
                (true, false)
            );
        }
    }
}

/// A stop on request outlives the end of the supervisor that comes in the middle of it, and a kill that was
/// asked for is never taken back.
#[test]
fn a_stop_in_the_middle_of_which_the_supervisor_ends_is_still_one() {
    use Command::{Kill, Shutdown};
    let mut lines = vec![];
    for (phase, spawning, hook, later) in [
        ("spawning", true, false, 0.0),
        ("preStop", false, true, 1.0),
        ("terminating", false, false, 1.0),
        ("killing", false, false, 11.0),
    ] {
        for ends in [&[Shutdown][..], &[Kill], &[Shutdown, Kill], &[Kill, Shutdown]] {
            let mut spec = spec();
            spec.pre_stop = if hook { exec("goodbye") } else { None };
            let start_takes = if spawning { SECOND * 20 } else { Duration::ZERO };
            let mut world = begin(
                spec,
                Behaviour {
                    start_takes,
                    start_can_be_given_up: false,
                    pre_stop: None,
                    heeds_term: None,
                    heeds_kill: false,
                    ..Behaviour::default()
                },
            );
            world.until(1.0);
            world.command(Command::Stop);
            world.until(1.0 + later);
            world.told();
            for end in ends {
                world.command(*end);
                assert!(world.lifecycle.record().is_stopped_on_request());
            }
            world.until(35.0);
            let told = world.told();
            lines
                .push(format!("{phase}, {ends:?}: {}", if told.is_empty() { "nothing more" } else { &told }));
            world.exit(Exit::Unknown);
            assert_eq!(world.state(), "Stopped/StoppedByUser", "{phase}, {ends:?}");
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    spawning, [Shutdown]: 1s CancelStart(1); 20s Terminate(1); 30s Kill(1)
    spawning, [Kill]: 1s CancelStart(1); 20s Kill(1)
    spawning, [Shutdown, Kill]: 1s CancelStart(1); 1s CancelStart(1); 20s Kill(1)
    spawning, [Kill, Shutdown]: 1s CancelStart(1); 1s CancelStart(1); 20s Kill(1)
    preStop, [Shutdown]: 11s Terminate(1); 13s Kill(1)
    preStop, [Kill]: 2s Kill(1)
    preStop, [Shutdown, Kill]: 2s Kill(1)
    preStop, [Kill, Shutdown]: 2s Kill(1)
    terminating, [Shutdown]: 11s Kill(1)
    terminating, [Kill]: 2s Kill(1)
    terminating, [Shutdown, Kill]: 2s Kill(1)
    terminating, [Kill, Shutdown]: 2s Kill(1)
    killing, [Shutdown]: nothing more
    killing, [Kill]: nothing more
    killing, [Shutdown, Kill]: nothing more
    killing, [Kill, Shutdown]: nothing more
    ");
}

#[test]
fn a_start_that_is_under_way_when_the_supervisor_ends_is_given_up_or_ended_as_was_asked_for() {
    use Command::{Kill, Shutdown, Stop};
    let mut lines = vec![];
    for start_can_be_given_up in [true, false] {
        for ends in [&[Shutdown][..], &[Kill], &[Shutdown, Kill], &[Kill, Shutdown], &[Kill, Stop]] {
            let slow = Behaviour { start_takes: SECOND * 5, start_can_be_given_up, ..Behaviour::default() };
            let mut world = begin(spec(), slow);
            world.until(1.0);
            world.told();
            for end in ends {
                world.command(*end);
            }
            world.until(20.0);
            lines.push(format!("{ends:?}: {} -> {}", world.told(), world.state()));
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    [Shutdown]: 1s CancelStart(1) -> Stopped
    [Kill]: 1s CancelStart(1) -> Stopped
    [Shutdown, Kill]: 1s CancelStart(1); 1s CancelStart(1) -> Stopped
    [Kill, Shutdown]: 1s CancelStart(1); 1s CancelStart(1) -> Stopped
    [Kill, Stop]: 1s CancelStart(1); 1s CancelStart(1) -> Stopped/StoppedByUser
    [Shutdown]: 1s CancelStart(1); 5s Terminate(1) -> Stopped
    [Kill]: 1s CancelStart(1); 5s Kill(1) -> Stopped
    [Shutdown, Kill]: 1s CancelStart(1); 1s CancelStart(1); 5s Kill(1) -> Stopped
    [Kill, Shutdown]: 1s CancelStart(1); 1s CancelStart(1); 5s Kill(1) -> Stopped
    [Kill, Stop]: 1s CancelStart(1); 1s CancelStart(1); 5s Kill(1) -> Stopped/StoppedByUser
    ");
}

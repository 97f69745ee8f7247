//! A restart of several: each rests at first, and is started again when it is its turn.

use super::*;

#[test]
fn from_wherever_it_is_it_rests_and_goes_on_when_it_is_told_to() {
    let slow = Behaviour { start_takes: SECOND * 2, ..Behaviour::default() };
    let mut lines = vec![];
    for (what, behaviour, before) in [
        ("stopped", Behaviour::default(), Some(Command::Stop)),
        ("up", Behaviour::default(), None),
        ("stopping", Behaviour { heeds_term: Some(SECOND * 2), ..Behaviour::default() }, Some(Command::Stop)),
        (
            "restarting",
            Behaviour { heeds_term: Some(SECOND * 2), ..Behaviour::default() },
            Some(Command::Restart),
        ),
        ("delaying", crashing(), None),
        ("spawning", slow.clone(), None),
        ("spawning, too late", Behaviour { start_can_be_given_up: false, ..slow.clone() }, None),
        ("spawning, stopped", Behaviour { start_can_be_given_up: false, ..slow }, Some(Command::Stop)),
    ] {
        let mut world = begin(spec(), behaviour);
        world.until(0.5);
        before.into_iter().for_each(|command| world.command(command));
        world.command(Command::Pause);
        world.until(10.0);
        assert_eq!(world.state(), "Restarting/RestartRequested", "{what}");
        assert!(world.lifecycle.is_at_rest(), "{what}");
        assert!(!world.lifecycle.record().is_stopped_on_request(), "{what}");
        world.behaviour = Behaviour::default();
        world.command(Command::Start);
        world.until(20.0);
        lines.push(format!("{what}: {} -> {}", world.told(), world.state()));
    }
    assert_snapshot!(lines.join("\n"), @r"
    stopped: 0s Start(1); 0.5s Terminate(1); 10s Start(2) -> Running ready
    up: 0s Start(1); 0.5s Terminate(1); 10s Start(2) -> Running ready
    stopping: 0s Start(1); 0.5s Terminate(1); 10s Start(2) -> Running ready
    restarting: 0s Start(1); 0.5s Terminate(1); 10s Start(2) -> Running ready
    delaying: 0s Start(1); 10s Start(2) -> Running ready
    spawning: 0s Start(1); 0.5s CancelStart(1); 10s Start(2) -> Running ready
    spawning, too late: 0s Start(1); 0.5s CancelStart(1); 2s Terminate(1); 10s Start(2) -> Running ready
    spawning, stopped: 0s Start(1); 0.5s CancelStart(1); 0.5s CancelStart(1); 2s Terminate(1); 10s Start(2) -> Running ready
    ");
}

#[test]
fn one_that_waits_for_what_it_depends_on_rests_too() {
    let mut world = World::new(spec());
    world.tell(Event::Dependencies(Some("waits for `db` to be Ready".into())));
    world.command(Command::Begin);
    world.command(Command::Pause);
    assert_snapshot!(world.state(), @"Restarting/RestartRequested");
    world.tell(Event::Dependencies(None));
    world.until(10.0);
    assert_snapshot!(world.told(), @"");
    world.command(Command::Start);
    world.until(20.0);
    assert_snapshot!(world.told(), @"10s Start(1)");
}

#[test]
fn a_stop_in_the_middle_of_it_is_one() {
    for when in [0.5, 10.0] {
        let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 2), ..Behaviour::default() });
        world.command(Command::Pause);
        world.until(when);
        world.command(Command::Stop);
        world.until(20.0);
        assert_eq!(world.state(), "Stopped/StoppedByUser");
    }
}

//! What a run tells of itself: that it is ready, what it is doing, and that it needs more time.

use super::*;
use crate::notify::Notified;

fn tell(world: &mut World, told: Notified) {
    // Nothing is told before it runs.
    let now = (world.now - world.begun()).as_secs_f64();
    world.until(now);
    let run = world.lifecycle.run();
    world.tell(Event::Report(Report { run, what: Observed::Notified(told) }));
}

fn more_time(world: &mut World, seconds: u64) {
    let until = Some(world.now + SECOND * u32::try_from(seconds).unwrap());
    tell(world, Notified { extended_until: until, ..Notified::default() });
}

/// A startup probe every second, of which three failures are too many.
fn slow_to_start() -> World {
    let mut spec = spec();
    spec.startup_probe =
        Some(ProbeSpec { failure_threshold: 3, period: SECOND, ..probe(ProbeRole::Startup) });
    begin(spec, failing(ProbeRole::Startup))
}

#[test]
fn failures_of_the_startup_probe_do_not_count_while_more_time_was_asked_for() {
    let mut world = slow_to_start();
    world.until(1.5);
    more_time(&mut world, 20);
    world.until(19.5);
    assert_snapshot!(world.state(), @"Starting/StartupProbe");
    assert_snapshot!(
        world.snapshot().message,
        @"startup probe failed 2 of 3 times: refused"
    );
    world.until(30.0);
    assert!(world.told().starts_with("0s Start(1); 22s Terminate(1)"), "two before, the third after 21.5 s");
}

#[test]
fn more_time_is_asked_for_again_and_again() {
    let mut world = slow_to_start();
    for at in 0..100 {
        world.until(f64::from(at) * 10.0 + 0.5);
        more_time(&mut world, 11);
    }
    world.until(1001.0);
    assert_snapshot!(world.told(), @"0s Start(1)");
}

#[test]
fn failures_that_did_not_count_are_told_as_such() {
    let mut spec = spec();
    spec.startup_probe =
        Some(ProbeSpec { failure_threshold: 1, initial_delay: SECOND, ..probe(ProbeRole::Startup) });
    let mut world = begin(spec, failing(ProbeRole::Startup));
    more_time(&mut world, 20);
    world.until(10.5);
    assert_snapshot!(
        world.snapshot().message,
        @"startup probe failed, which does not count so far: refused"
    );
}

#[test]
fn a_liveness_probe_counts_whatever_was_asked_for() {
    let mut spec = spec();
    spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    more_time(&mut world, 1000);
    world.until(1.0);
    assert!(world.told().starts_with("0s Start(1); 0s Terminate(1)"));
}

#[test]
fn who_is_being_stopped_gets_the_time_it_asks_for_from_each_message_on() {
    let mut world = begin(spec(), Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(1.0);
    // That was for something else, and is over with the stop.
    more_time(&mut world, 500);
    world.command(Command::Stop);
    world.until(9.0);
    more_time(&mut world, 20);
    assert_snapshot!(
        world.snapshot().message,
        @"being stopped within 10 s; SIGTERM was sent, and it has asked for more time"
    );
    world.until(28.0);
    more_time(&mut world, 5);
    // Less than what is left takes nothing away.
    more_time(&mut world, 1);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Terminate(1); 33s Kill(1)");
}

#[test]
fn time_asked_for_before_the_stop_does_not_come_back_with_other_news() {
    let mut world = begin(spec(), Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(1.0);
    let extended_until = Some(world.now + SECOND * 500);
    tell(&mut world, Notified { extended_until, ..Notified::default() });
    world.command(Command::Stop);
    world.until(2.0);
    tell(&mut world, Notified { extended_until, status: "stopping".into(), ..Notified::default() });
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Terminate(1); 11s Kill(1)");
}

#[test]
fn time_asked_for_while_the_hook_runs_counts_for_the_signal_after_it() {
    let mut spec = spec();
    spec.pre_stop = exec("drain");
    let behaviour = Behaviour { heeds_term: None, pre_stop: Some(SECOND * 4), ..Behaviour::default() };
    let mut world = begin(spec, behaviour);
    world.until(0.0);
    world.command(Command::Stop);
    world.until(2.0);
    more_time(&mut world, 30);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s PreStop(1); 4s Terminate(1); 32s Kill(1)");
}

#[test]
fn what_was_told_and_granted_outlives_the_supervisor() {
    let mut world = slow_to_start();
    world.until(0.5);
    let until = Some(world.now + SECOND * 30);
    let status = "loads its index".to_owned();
    tell(&mut world, Notified { extended_until: until, status, ..Notified::default() });
    world.survive(SECOND * 10);
    world.until(30.0);
    assert_snapshot!(world.told(), @"0s Start(1)");
    assert!(world.snapshot().message.ends_with("; it says: loads its index"), "{}", world.snapshot().message);
    world.until(33.0);
    assert_snapshot!(world.told(), @"32s Terminate(1); 33s Start(2)");
    assert!(!world.snapshot().message.contains("loads"), "another run has said nothing");
}

#[test]
fn its_own_words_stand_where_there_is_nothing_worse() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, Behaviour::default());
    tell(&mut world, Notified { status: "serves 3 clients".into(), ..Notified::default() });
    assert_snapshot!(world.snapshot().message, @"serves 3 clients");
    world.behaviour = failing(ProbeRole::Liveness);
    world.until(10.5);
    assert_snapshot!(world.snapshot().message, @"liveness probe failed 1 of 3 times: refused");
    let error = Some("ERRNO=2 (No such file or directory)".into());
    tell(&mut world, Notified { error, ..Notified::default() });
    world.behaviour.exits = None;
    world.exit(Exit::Code(1));
    let error = world.snapshot().last_error.unwrap();
    assert_snapshot!(error, @"exited with status 1 after 10.5 s; it said ERRNO=2 (No such file or directory)");
}

#[test]
fn who_says_that_it_is_ready_is_asked_at_once() {
    let mut spec = spec();
    spec.startup_probe =
        Some(ProbeSpec { failure_threshold: 3, period: SECOND * 60, ..probe(ProbeRole::Startup) });
    let mut world = begin(spec, failing(ProbeRole::Startup));
    world.until(5.0);
    world.behaviour = Behaviour::default();
    tell(&mut world, Notified { ready: true, ..Notified::default() });
    world.until(5.0);
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn what_is_told_while_a_probe_asks_is_asked_about_right_after() {
    let mut spec = spec();
    spec.startup_probe =
        Some(ProbeSpec { failure_threshold: 3, period: SECOND * 60, ..probe(ProbeRole::Startup) });
    let mut behaviour = Behaviour::default();
    let slowly = (SECOND / 2, ProbeResult::failure("refused"));
    behaviour.answers.insert(ProbeRole::Startup, Some(slowly));
    let mut world = begin(spec, behaviour);
    world.until(0.2);
    world.behaviour = Behaviour::default();
    tell(&mut world, Notified { ready: true, ..Notified::default() });
    world.until(1.0);
    assert_snapshot!(world.state(), @"Running ready");
    assert_eq!(world.asked(ProbeRole::Startup), 2);
}

//! What others start: what a stop is for, and a start that waits.

use super::*;
use crate::spec::{ExternalSpec, FoundBy, Workload};

/// With a `stopCommand`, and a `restartCommand` if so.
fn external(restarts: bool) -> ComponentSpec {
    let mut spec = spec();
    let Workload::Process(commands) = spec.workload else { panic!("another workload") };
    spec.workload = Workload::External(ExternalSpec {
        found_by: FoundBy::Port(80),
        process_name: None,
        start_command: None,
        stop_command: Some(vec!["stop".into()]),
        restart_command: restarts.then(|| vec!["restart".into()]),
        commands,
    });
    spec
}

/// One that is being stopped, and takes its time: because it is sick, or somebody wants it.
fn being_stopped(mut spec: ComponentSpec, command: Option<Command>) -> World {
    let liveness = match command {
        None => ProbeResult::failure("refused"),
        Some(_) => ProbeResult::Success,
    };
    spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
    let behaviour = Behaviour { heeds_term: None, ..answering(ProbeRole::Liveness, liveness) };
    let mut world = begin(spec, behaviour);
    world.until(1.0);
    if let Some(command) = command {
        world.command(command);
    }
    assert!(world.told().contains("Terminate(1)"), "{}", world.told());
    world
}

#[test]
fn a_stop_says_whether_a_start_follows() {
    let follows = |spec, command| being_stopped(spec, command).lifecycle.stops_to_restart();
    assert!(follows(external(true), None), "it is sick");
    assert!(follows(external(true), Some(Command::Restart)));
    assert!(follows(external(true), Some(Command::Pause)));
    assert!(!follows(external(true), Some(Command::Stop)));
    assert!(!follows(external(true), Some(Command::Replace)));
    assert!(!follows(external(true), Some(Command::Shutdown)));
    // What is not restarted any more is stopped for good.
    let mut used_up = external(true);
    used_up.restart.max_restarts = 0;
    assert!(!follows(used_up, None));
    let never = ComponentSpec { restart_policy: RestartPolicy::Never, ..external(true) };
    assert!(!follows(never, None));
}

#[test]
fn how_it_is_stopped_is_told() {
    let told = |restarts, command| being_stopped(external(restarts), command).snapshot().message;
    assert_snapshot!(
        told(false, Some(Command::Stop)),
        @"being stopped within 10 s; what stops it has been called"
    );
}

#[test]
fn a_start_that_waits_says_so_and_has_taken_effect() {
    let mut lifecycle = Lifecycle::new(std::sync::Arc::new(external(false)));
    let now = Timestamp::ZERO;
    lifecycle.on(now, Event::Command(Command::Begin));
    assert!(!lifecycle.is_settled() && !lifecycle.only_waits());
    let why = "nobody listens on port 80".to_owned();
    let what = Observed::Starting(StartStep::Waiting { why });
    assert_eq!(lifecycle.on(now, Event::Report(Report { run: RunId(1), what })), []);
    assert_snapshot!(
        lifecycle.snapshot(now).message,
        @"waits for others to start it: nobody listens on port 80"
    );
    assert!(lifecycle.is_settled() && lifecycle.only_waits() && !lifecycle.is_settled_down());
    // A stop has not, before the start is given up.
    lifecycle.on(now, Event::Command(Command::Stop));
    assert!(!lifecycle.is_settled());
    let what = Observed::StartFailed("given up".into());
    lifecycle.on(now, Event::Report(Report { run: RunId(1), what }));
    assert!(lifecycle.is_settled() && lifecycle.is_settled_down() && !lifecycle.only_waits());
}

#[test]
fn the_rest_in_the_middle_of_a_restart_is_none_to_settle_down_in() {
    let mut world = begin(external(true), Behaviour::default());
    world.until(1.0);
    world.command(Command::Pause);
    world.until(5.0);
    assert!(world.lifecycle.is_at_rest() && !world.lifecycle.is_settled_down());
    world.command(Command::Shutdown);
    assert!(world.lifecycle.is_settled_down(), "nobody starts it any more");
}

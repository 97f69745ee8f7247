//! What the next supervisor makes of a run that goes on, and of another spec.

use super::*;
use crate::lifecycle::tests::world::Wish;

fn hooked() -> ComponentSpec {
    let mut spec = spec();
    spec.pre_stop = exec("goodbye");
    spec
}

#[test]
fn what_runs_goes_on_and_its_probes_keep_their_rhythm() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness)); // Every 10 s.
    let mut world = begin(spec, Behaviour::default());
    world.until(14.0);
    world.verbose = true;
    world.survive(SECOND * 2);
    assert_eq!(world.state(), "Running/Adopted ready");
    world.until(31.0);
    assert_snapshot!(world.told(), @"0s Start(1); 16s Adopted: adopted from an earlier supervisor; 20s Probe(1, liveness); 30s Probe(1, liveness)");
    assert_eq!(world.snapshot().started_at, Some(world.begun()));
}

#[test]
fn failures_in_a_row_count_on() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness)); // Every 10 s, three failures.
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    world.until(12.0);
    world.survive(SECOND);
    assert_eq!(world.state(), "Running/Adopted ready");
    world.until(21.0);
    assert_snapshot!(world.told(), @"0s Start(1); 20s Terminate(1); 21s Start(2)");
}

#[test]
fn a_stop_is_asked_for_once_and_killed_when_its_grace_is_over() {
    let mut lines = vec![];
    for (stopped_for, gap) in [(1, 1), (1, 8), (1, 20), (0, 1), (0, 20)] {
        let mut world = begin(spec(), Behaviour { heeds_term: None, ..Behaviour::default() });
        world.until(1.0);
        world.told();
        world.command(Command::Stop); // 10 s of grace.
        if stopped_for > 0 {
            world.until(2.0);
        }
        world.survive(SECOND * gap);
        world.until(60.0);
        lines.push(format!("{stopped_for} s, then {gap} s: {} {}", world.told(), world.state()));
    }
    assert_snapshot!(lines.join("\n"), @r"
    1 s, then 1 s: 1s Terminate(1); 11s Kill(1) Stopped/StoppedByUser
    1 s, then 8 s: 1s Terminate(1); 11s Kill(1) Stopped/StoppedByUser
    1 s, then 20 s: 1s Terminate(1); 22s Kill(1) Stopped/StoppedByUser
    0 s, then 1 s: 1s Terminate(1); 2s Terminate(1); 11s Kill(1) Stopped/StoppedByUser
    0 s, then 20 s: 1s Terminate(1); 21s Terminate(1); 31s Kill(1) Stopped/StoppedByUser
    ");
}

#[test]
fn hooks_under_way_run_again_and_within_the_grace_that_is_left() {
    let mut world = begin(hooked(), Behaviour { pre_stop: None, heeds_term: None, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Restart);
    world.until(4.0);
    world.survive(SECOND);
    world.until(30.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s PreStop(1); 5s PreStop(1); 11s Terminate(1); 13s Kill(1); 13s Start(2)");
}

#[test]
fn a_stop_that_nobody_was_there_to_tell_of_has_its_whole_grace() {
    let mut world = begin(hooked(), Behaviour { pre_stop: None, heeds_term: None, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Restart);
    world.until(2.0);
    world.survive(SECOND * 60);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s PreStop(1); 62s PreStop(1); 72s Terminate(1); 74s Kill(1); 74s Start(2)");
}

#[test]
fn of_a_run_that_ended_before_it_was_known_to_have_begun_only_what_is_left_is_stopped() {
    let mut spec = hooked();
    spec.post_start = exec("hello");
    let spec = std::sync::Arc::new(spec);
    let mut lines = vec![];
    for (command, leftovers) in
        [(None, false), (None, true), (Some(Command::Stop), false), (Some(Command::Stop), true)]
    {
        let mut lifecycle = Lifecycle::new(std::sync::Arc::clone(&spec));
        lifecycle.on(Timestamp::ZERO, Event::Command(Command::Begin));
        if let Some(command) = command {
            lifecycle.on(Timestamp::ZERO, Event::Command(command));
        }
        let mut lifecycle = Lifecycle::restore(std::sync::Arc::clone(&spec), lifecycle.record(), true);
        let what = Observed::Exited { exit: Exit::Code(1), leftovers };
        let told = lifecycle.on(Timestamp::ZERO, Event::Report(Report { run: RunId(1), what }));
        let asked: Vec<_> = told.iter().filter(|action| !matches!(action, Action::Notify(_))).collect();
        lines.push(format!("{command:?}, leftovers {leftovers}: {asked:?}"));
    }
    assert_snapshot!(lines.join("\n"), @r"
    None, leftovers false: []
    None, leftovers true: [Terminate(RunId(1))]
    Some(Stop), leftovers false: []
    Some(Stop), leftovers true: [Terminate(RunId(1))]
    ");
}

#[test]
fn what_ended_unwatched_is_restarted_by_the_rules_and_credits_no_stability() {
    let mut world = begin(spec(), crashing());
    world.until(2.0);
    world.behaviour.exits = Some((SECOND * 2, Exit::Code(1)));
    world.until(3.5); // The third run, 0.5 s old.
    world.survive(SECOND * 100);
    assert_eq!(world.state(), "Restarting/CrashLoopBackOff");
    let snapshot = world.snapshot();
    assert_eq!(snapshot.last_end.unwrap().exit, Some(Exit::Unknown));
    world.until(120.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 107.5s Start(4); 117.5s Start(5)");
}

#[test]
fn that_a_run_was_stable_is_on_record_as_soon_as_it_is() {
    let mut world = begin(spec(), crashing());
    world.until(3.5);
    world.behaviour.exits = None;
    world.until(20.0); // Stable since 17 s, and nothing has happened since.
    world.behaviour = crashing();
    world.exit(Exit::Code(1));
    world.until(21.0);
    world.survive(Duration::ZERO);
    assert_eq!(world.snapshot().restart_count, 4);
}

#[test]
fn a_start_that_came_to_nothing_is_made_again_and_counted_once() {
    let slow = Behaviour { start_takes: SECOND * 10, ..crashing() };
    let mut world = begin(spec(), crashing());
    world.until(0.5);
    world.behaviour = slow;
    world.until(3.0);
    assert_eq!(world.state(), "Starting/Spawning");
    world.restore(true);
    world.command(Command::Begin);
    world.until(3.5);
    let snapshot = world.snapshot();
    assert_eq!((snapshot.run, snapshot.restart_count, snapshot.restarts_in_window), (RunId(3), 1, 1));
}

#[test]
fn a_restart_that_is_made_again_counts_from_then_on() {
    let mut spec = spec();
    (spec.restart.max_restarts, spec.restart.window) = (1, SECOND * 600);
    let mut world = begin(spec, crashing());
    world.until(0.5);
    world.behaviour = Behaviour { start_takes: SECOND * 9_000, ..crashing() };
    world.until(605.0);
    world.behaviour = crashing();
    world.restore(true);
    world.command(Command::Begin);
    world.until(700.0);
    assert_eq!(world.state(), "Failed/RestartLimitExceeded");
    assert_eq!(world.snapshot().run, RunId(3));
}

#[test]
fn a_restart_in_the_middle_of_which_it_died_comes_to_its_end() {
    for command in [Command::Restart, Command::Pause, Command::Replace, Command::Shutdown] {
        let mut world = begin(spec(), Behaviour { heeds_term: Some(SECOND * 5), ..Behaviour::default() });
        world.until(1.0);
        world.command(command);
        world.until(2.0);
        world.survive(SECOND);
        world.command(Command::Begin);
        assert_eq!(world.state(), "Restarting/RestartRequested", "{command:?}");
        world.until(10.0);
        assert_eq!(
            (world.state().as_str(), world.snapshot().run),
            ("Running ready", RunId(2)),
            "{command:?}"
        );
        assert_eq!(world.snapshot().restart_count, 0);
    }
}

#[test]
fn another_spec_is_taken_at_rest_and_clears_the_old_ones_counters() {
    let mut world = begin(spec(), crashing());
    world.until(2.0);
    world.behaviour.exits = None;
    world.until(3.5);
    let mut other = spec();
    other.termination_grace_period = SECOND * 3;
    world.tell(Event::Spec(std::sync::Arc::new(other.clone())));
    assert_eq!(world.lifecycle.spec().termination_grace_period, SECOND * 10, "not while it runs");
    world.command(Command::Replace);
    assert_eq!(world.state(), "Restarting/SpecChanged");
    world.until(3.6);
    assert_eq!(world.state(), "Restarting/SpecChanged");
    world.command(Command::Start); // It will be, anyway.
    world.replace(other);
    world.command(Command::Begin);
    let snapshot = world.snapshot();
    assert_eq!((snapshot.restart_count, snapshot.restarts_in_window, snapshot.run), (2, 0, RunId(4)));
    world.until(3.6);
    world.exit(Exit::Code(1));
    world.until(6.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 3.5s Terminate(3); 3.6s Start(4); 4.6s Start(5)");
}

#[test]
fn what_was_stopped_on_request_stays_so_under_another_spec() {
    let mut other = spec();
    other.termination_grace_period = SECOND * 3;
    for first in [Command::Stop, Command::Replace] {
        let slow = Behaviour { heeds_term: Some(SECOND), ..Behaviour::default() };
        let mut world = begin(spec(), slow);
        world.until(1.0);
        world.command(first);
        let second = if first == Command::Stop { Command::Replace } else { Command::Stop };
        world.command(second);
        world.until(3.0);
        world.replace(other.clone());
        world.command(Command::Begin);
        world.until(5.0);
        assert_eq!(world.state(), "Stopped/StoppedByUser", "{first:?}");
        assert_eq!(world.lifecycle.spec().termination_grace_period, SECOND * 3);
    }
}

#[test]
fn an_end_that_was_seen_is_not_forgotten_over_what_it_left_behind() {
    let mut spec = spec();
    spec.restart_policy = RestartPolicy::OnFailure;
    let mut world =
        begin(spec, Behaviour { leftovers: true, heeds_term: None, exits: None, ..Behaviour::default() });
    world.until(1.0);
    world.exit(Exit::Code(0)); // Others of it live on, and are being stopped.
    world.until(2.0);
    world.survive(SECOND);
    // Whoever watches it from now on finds no more than that it has ended.
    let run = world.lifecycle.run();
    let what = Observed::Exited { exit: Exit::Unknown, leftovers: true };
    world.tell(Event::Report(Report { run, what }));
    world.until(20.0);
    assert_eq!(world.state(), "Stopped/Completed");
    assert_eq!(world.snapshot().last_end.unwrap().exit, Some(Exit::Code(0)));
}

#[test]
fn a_kill_that_may_not_have_been_sent_is_sent_again() {
    let mut world = begin(spec(), Behaviour { heeds_term: None, heeds_kill: false, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Stop);
    world.until(11.0);
    world.behaviour.heeds_kill = true;
    world.survive(SECOND);
    world.until(13.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Terminate(1); 11s Kill(1); 12s Kill(1)");
    assert_eq!(world.state(), "Stopped/StoppedByUser");
}

#[test]
fn a_hook_is_not_run_again_for_a_main_process_that_has_ended() {
    let leaving = Behaviour {
        exits: Some((SECOND * 5, Exit::Code(0))),
        leftovers: true,
        pre_stop: None,
        heeds_term: None,
        ..Behaviour::default()
    };
    let mut world = begin(hooked(), leaving);
    world.until(1.0);
    world.command(Command::Stop);
    world.until(2.0);
    world.survive(SECOND * 5);
    world.until(8.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s PreStop(1); 7s Terminate(1)");
}

#[test]
fn what_waited_for_its_new_spec_when_its_supervisor_died_begins_again() {
    let mut world = begin(spec(), Behaviour::default());
    world.until(1.0);
    world.command(Command::Replace);
    world.until(2.0);
    assert_eq!(world.state(), "Restarting/SpecChanged");
    world.wish = Wish::Runs;
    world.survive(SECOND);
    world.command(Command::Begin);
    world.until(4.0);
    assert_eq!((world.state().as_str(), world.snapshot().run), ("Running ready", RunId(2)));
}

#[test]
fn a_start_that_was_given_up_by_a_supervisor_that_died_goes_on() {
    for command in [Command::Restart, Command::Pause, Command::Replace, Command::Shutdown] {
        let slow =
            Behaviour { start_takes: SECOND * 5, start_can_be_given_up: false, ..Behaviour::default() };
        let mut world = begin(spec(), slow);
        world.until(1.0);
        world.command(command);
        world.survive(SECOND);
        world.command(Command::Begin);
        world.until(20.0);
        assert_eq!(
            (world.state().as_str(), world.snapshot().run),
            ("Running/Adopted ready", RunId(1)),
            "{command:?}"
        );
    }
}

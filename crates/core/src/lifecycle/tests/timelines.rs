//! Scripts of events in, traces out.

use std::time::Duration;

use insta::assert_snapshot;

use super::world::{Behaviour, World, exec, probe, spec};
use crate::lifecycle::{Command, Event, Lifecycle, Observed, Report};
use crate::probe::ProbeResult;
use crate::restarter::{Exit, RunId};
use crate::spec::{ComponentSpec, ProbeRole, ProbeSpec, RestartPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn begin(spec: ComponentSpec, behaviour: Behaviour) -> World {
    let mut world = World::new(spec);
    world.behaviour = behaviour;
    world.command(Command::Begin);
    world
}

fn crashing() -> Behaviour {
    Behaviour { exits: Some((Duration::ZERO, 1)), ..Behaviour::default() }
}

fn failing(role: ProbeRole) -> Behaviour {
    answering(role, ProbeResult::failure("refused"))
}

fn answering(role: ProbeRole, result: ProbeResult) -> Behaviour {
    let mut behaviour = Behaviour::default();
    behaviour.answers.insert(role, Some((Duration::ZERO, result)));
    behaviour
}

#[test]
fn a_crash_loop_is_delayed_longer_each_time_and_then_given_up() {
    let mut world = begin(spec(), crashing());
    world.until(10_000.0);
    assert_snapshot!(world.told().replace("; ", "\n"), @r"
    0s Start(1)
    1s Start(2)
    3s Start(3)
    7s Start(4)
    15s Start(5)
    31s Start(6)
    63s Start(7)
    123s Start(8)
    183s Start(9)
    243s Start(10)
    303s Start(11)
    303s Failed: the limit of 10 restarts in 600 s is reached, given up until started on request: exited with status 1
    ");
    assert_snapshot!(world.state(), @"Failed/RestartLimitExceeded");
    let snapshot = world.lifecycle.snapshot(world.now);
    assert_eq!((snapshot.restart_count, snapshot.next_restart_at), (10, None));
}

#[test]
fn starts_that_fail_use_up_restarts_as_crashes_do() {
    let mut spec = spec();
    spec.restart.max_restarts = 2;
    let mut world = begin(spec, Behaviour { starts: false, ..Behaviour::default() });
    world.until(0.5);
    assert_snapshot!(world.state(), @"Restarting/CrashLoopBackOff");
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 3s Failed: the limit of 2 restarts in 600 s is reached, given up until started on request: cannot be started: no such file");
}

#[test]
fn no_restart_at_all_where_the_limit_is_zero() {
    let mut spec = spec();
    spec.restart.max_restarts = 0;
    let mut world = begin(spec, crashing());
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s Failed: the limit of 0 restarts in 600 s is reached, given up until started on request: exited with status 1");
}

#[test]
fn after_a_stable_run_the_delays_begin_again() {
    let mut world = begin(spec(), crashing());
    world.until(7.0); // The fourth run begins.
    world.behaviour.exits = Some((SECOND * 10, 1));
    world.until(40.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 7s Start(4); 15s Start(5); 26s Start(6); 37s Start(7)");
}

#[test]
fn a_run_that_never_got_well_is_not_stable_however_long_it_lasted() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness)); // 3 failures, 10 s apart
    spec.restart.min_uptime = SECOND * 15;
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 20s Terminate(1); 21s Start(2); 41s Terminate(2); 43s Start(3); 63s Terminate(3); 67s Start(4); 87s Terminate(4); 95s Start(5)");
}

#[test]
fn startup_gates_liveness_and_readiness_is_asked_at_once_when_it_succeeds() {
    let mut spec = spec();
    spec.startup_probe = Some(probe(ProbeRole::Startup));
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    spec.readiness_probe = Some(probe(ProbeRole::Readiness));
    let mut world = begin(spec, failing(ProbeRole::Startup));
    world.verbose = true;
    world.until(1.5);
    assert_snapshot!(world.state(), @"Starting/StartupProbe");
    world.behaviour = Behaviour::default();
    world.until(8.0);
    assert_snapshot!(world.told().replace("; ", "\n"), @r"
    0s Start(1)
    0s Started: started
    0s Probe(1, startup)
    1s Probe(1, startup)
    2s Probe(1, startup)
    2s Probe(1, liveness)
    2s Probe(1, readiness)
    2s Ready: ready
    7s Probe(1, readiness)
    ");
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn a_startup_that_takes_too_long_is_restarted_even_if_liveness_would_succeed() {
    let mut spec = spec();
    spec.startup_probe = Some(ProbeSpec { failure_threshold: 3, ..probe(ProbeRole::Startup) });
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, failing(ProbeRole::Startup));
    world.behaviour.heeds_term = Some(SECOND);
    world.until(2.5);
    assert_snapshot!(world.state(), @"Unhealthy/StartupProbeFailed");
    assert_eq!(world.asked(ProbeRole::Liveness), 0);
    world.until(4.5);
    assert_snapshot!(world.told(), @"0s Start(1); 2s Terminate(1); 4s Start(2)");
}

#[test]
fn liveness_failures_take_a_hung_component_down_and_up_again() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, Behaviour::default());
    world.until(55.0);
    world.behaviour = Behaviour { heeds_term: None, ..failing(ProbeRole::Liveness) };
    world.until(79.0);
    assert_snapshot!(world.state(), @"Running ready");
    world.until(80.0);
    assert_snapshot!(world.state(), @"Unhealthy/LivenessProbeFailed");
    world.behaviour.answers = Behaviour::default().answers;
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 80s Terminate(1); 90s Kill(1); 91s Start(2)");
    let snapshot = world.lifecycle.snapshot(world.now);
    assert_eq!(snapshot.last_end.unwrap().reason.to_string(), "LivenessProbeFailed");
}

#[test]
fn nothing_is_probed_twice_at_once_and_liveness_not_at_all_while_it_is_taken_down() {
    let mut spec = spec();
    spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
    spec.readiness_probe = Some(probe(ProbeRole::Readiness));
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    world.behaviour.heeds_term = None;
    world.verbose = true;
    world.until(9.0);
    assert_snapshot!(world.told().replace("; ", "\n"), @r"
    0s Start(1)
    0s Started: started
    0s Probe(1, liveness)
    0s Probe(1, readiness)
    0s Unhealthy: liveness probe failed: refused
    0s Killing: liveness probe failed: refused
    SIGTERM, then SIGKILL after 10 s
    0s Terminate(1)
    5s Probe(1, readiness)
    ");
}

#[test]
fn a_probes_own_grace_beats_the_components() {
    let mut spec = spec();
    spec.termination_grace_period = SECOND * 500;
    spec.liveness_probe = Some(ProbeSpec {
        failure_threshold: 1,
        termination_grace_period: Some(SECOND * 5),
        ..probe(ProbeRole::Liveness)
    });
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    world.behaviour.heeds_term = None;
    world.until(5.5);
    assert_snapshot!(world.told(), @"0s Start(1); 0s Terminate(1); 5s Kill(1)");
}

#[test]
fn a_failing_readiness_probe_never_restarts() {
    let mut spec = spec();
    spec.readiness_probe = Some(probe(ProbeRole::Readiness));
    let mut world = begin(spec, Behaviour::default());
    world.until(1.0);
    assert_snapshot!(world.state(), @"Running ready");
    world.behaviour = failing(ProbeRole::Readiness);
    world.until(1000.0);
    assert_snapshot!(world.state(), @"Running");
    world.behaviour = Behaviour::default();
    world.until(1006.0);
    assert_snapshot!(world.state(), @"Running ready");
    assert_snapshot!(world.told(), @"0s Start(1)");
}

#[test]
fn unknown_answers_never_restart_and_readiness_keeps_its_last_value() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    spec.readiness_probe = Some(probe(ProbeRole::Readiness));
    let mut world = begin(spec, Behaviour::default());
    world.until(1.0);
    for role in [ProbeRole::Liveness, ProbeRole::Readiness] {
        world.behaviour.answers.insert(role, Some((Duration::ZERO, ProbeResult::unknown("no route"))));
    }
    world.until(1000.0);
    assert_snapshot!(world.state(), @"Running/ProbeUnknown ready");
    world.behaviour = Behaviour::default();
    world.until(1011.0);
    assert_snapshot!(world.state(), @"Running ready");
    assert_snapshot!(world.told(), @"0s Start(1)");
}

#[test]
fn a_startup_probe_that_cannot_ask_gives_way_to_liveness_and_is_not_ready() {
    let mut spec = spec();
    spec.startup_probe = Some(ProbeSpec { failure_threshold: 3, ..probe(ProbeRole::Startup) });
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, answering(ProbeRole::Startup, ProbeResult::unknown("no server")));
    world.until(1.9);
    assert_snapshot!(world.state(), @"Starting/StartupProbe");
    world.until(100.0);
    assert_snapshot!(world.state(), @"Running/ProbeUnknown");
    assert!(world.asked(ProbeRole::Liveness) > 5);
    world.behaviour = Behaviour::default();
    world.until(102.0);
    assert_snapshot!(world.state(), @"Running ready");
    assert_snapshot!(world.told(), @"0s Start(1)");
}

#[test]
fn initial_delay_counts_from_the_start_of_the_run() {
    let mut spec = spec();
    spec.startup_probe = Some(ProbeSpec { initial_delay: SECOND * 4, ..probe(ProbeRole::Startup) });
    spec.readiness_probe = Some(ProbeSpec { initial_delay: SECOND * 6, ..probe(ProbeRole::Readiness) });
    let mut world = begin(spec, Behaviour::default());
    world.verbose = true;
    world.until(7.0);
    assert_snapshot!(world.told().replace("; ", "\n"), @r"
    0s Start(1)
    0s Started: started
    4s Probe(1, startup)
    6s Probe(1, readiness)
    6s Ready: ready
    ");
}

#[test]
fn policies_decide_which_ends_are_followed_by_a_restart() {
    let mut lines = vec![];
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        for code in [0, 1] {
            let mut spec = spec();
            spec.restart_policy = policy;
            let mut world = begin(spec, Behaviour { exits: Some((SECOND, code)), ..Behaviour::default() });
            world.until(1.5);
            lines.push(format!("{policy:?} exit {code}: {}", world.state()));
        }
    }
    assert_snapshot!(lines.join("\n"), @r"
    Always exit 0: Restarting/CrashLoopBackOff
    Always exit 1: Restarting/CrashLoopBackOff
    OnFailure exit 0: Stopped/Completed
    OnFailure exit 1: Restarting/CrashLoopBackOff
    Never exit 0: Stopped/Completed
    Never exit 1: Stopped/Error
    ");
}

#[test]
fn under_never_a_liveness_failure_ends_it_for_good() {
    let mut spec = spec();
    spec.restart_policy = RestartPolicy::Never;
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, failing(ProbeRole::Liveness));
    world.until(1000.0);
    assert_snapshot!(world.told(), @"0s Start(1); 20s Terminate(1)");
    assert_snapshot!(world.state(), @"Stopped/Error");
}

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
    let snapshot = world.lifecycle.snapshot(world.now);
    assert_eq!((snapshot.restart_count, snapshot.restarts_in_window), (0, 0));
}

#[test]
fn failed_until_started_on_request_and_only_reset_clears_the_window() {
    let mut spec = spec();
    spec.restart.max_restarts = 1;
    let mut world = begin(spec, crashing());
    world.until(10.0);
    world.told();
    world.command(Command::Restart);
    world.until(20.0);
    assert_snapshot!(world.told(), @"10s Start(3); 10s Failed: the limit of 1 restarts in 600 s is reached, given up until started on request: exited with status 1");
    world.command(Command::Reset);
    world.until(30.0);
    assert_snapshot!(world.told(), @"20s Start(4); 21s Start(5); 21s Failed: the limit of 1 restarts in 600 s is reached, given up until started on request: exited with status 1");
}

#[test]
fn a_start_waits_for_what_it_depends_on_and_waiting_uses_up_no_restart() {
    let mut world = World::new(spec());
    world.tell(Event::Dependencies(Some("waits for `db` to be Ready".into())));
    world.command(Command::Begin);
    world.until(100.0);
    assert_snapshot!(world.state(), @"Stopped/WaitingForDependency");
    world.behaviour = crashing();
    world.tell(Event::Dependencies(None));
    world.until(100.5);
    world.tell(Event::Dependencies(Some("waits for `db` to be Ready".into())));
    world.until(200.0);
    assert_snapshot!(world.state(), @"Stopped/WaitingForDependency");
    world.behaviour = Behaviour::default();
    world.tell(Event::Dependencies(None));
    world.until(300.0);
    assert_snapshot!(world.told(), @"100s Start(1); 200s Start(2)");
    assert_eq!(world.lifecycle.snapshot(world.now).restart_count, 1);
}

#[test]
fn a_running_dependant_is_left_alone_when_what_it_depends_on_goes() {
    let mut world = begin(spec(), Behaviour::default());
    world.tell(Event::Dependencies(Some("waits for `db` to be Ready".into())));
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1)");
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn what_lives_on_after_the_main_process_is_ended_before_the_next_start() {
    let mut world = begin(
        spec(),
        Behaviour { exits: Some((SECOND * 5, 1)), leftovers: true, heeds_term: None, ..Behaviour::default() },
    );
    world.until(10.0);
    assert_snapshot!(world.state(), @"Unhealthy/Error");
    world.until(17.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 15s Kill(1); 16s Start(2)");
}

#[test]
fn hooks_run_after_the_start_and_before_the_first_signal() {
    let mut spec = spec();
    (spec.post_start, spec.pre_stop) = (exec("hello"), exec("goodbye"));
    let mut world = begin(spec, Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(0.5);
    assert_snapshot!(world.state(), @"Starting/Spawning");
    world.until(5.0);
    world.command(Command::Stop);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s PostStart(1); 5s PreStop(1); 6s Terminate(1); 15s Kill(1)");
}

#[test]
fn a_pre_stop_hook_that_uses_up_the_grace_leaves_two_seconds_for_sigterm() {
    let mut spec = spec();
    spec.pre_stop = exec("sleep");
    spec.termination_grace_period = Duration::from_millis(900);
    let mut world = begin(spec, Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(5.0);
    world.command(Command::Stop);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s PreStop(1); 5.9s Terminate(1); 6.8s Kill(1)");
}

#[test]
fn a_failed_post_start_hook_takes_the_component_down() {
    let mut spec = spec();
    spec.post_start = exec("hello");
    let mut world = begin(spec, Behaviour::default());
    world.until(0.5);
    let what = Observed::PostStartDone(Err("exited with status 1".into()));
    world.tell(Event::Report(Report { run: RunId(1), what }));
    world.until(1.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s PostStart(1); 0.5s Terminate(1)");
    assert_snapshot!(world.state(), @"Restarting/CrashLoopBackOff");
}

#[test]
fn a_late_report_about_an_earlier_run_is_ignored() {
    let mut world = begin(spec(), Behaviour::default());
    world.until(5.0);
    world.command(Command::Restart);
    world.until(6.0);
    assert_snapshot!(world.told(), @"0s Start(1); 5s Terminate(1); 5s Start(2)");
    let what = Observed::Exited { exit: Exit::Code(1), leftovers: false };
    world.tell(Event::Report(Report { run: RunId(1), what }));
    assert_snapshot!(world.state(), @"Running ready");
}

#[test]
fn a_closing_supervisor_starts_nothing_any_more() {
    let mut world = begin(spec(), crashing());
    world.until(0.5);
    world.command(Command::Close);
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1)");
    assert!(world.lifecycle.is_at_rest());

    let mut world = begin(spec(), Behaviour::default());
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
fn the_next_supervisor_goes_on_with_the_counters_where_they_were() {
    let mut world = begin(spec(), crashing());
    world.until(4.0); // Three runs, the delay of 4 s under way.
    let record = world.lifecycle.record();
    let stored = serde_json::to_string(&record).unwrap();
    let record = serde_json::from_str(&stored).unwrap();
    world.lifecycle = Lifecycle::restore(std::sync::Arc::new(spec()), record, true);
    world.command(Command::Begin);
    world.until(10.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 7s Start(4)");
    assert_eq!(world.lifecycle.snapshot(world.now).restart_count, 3);
}

#[test]
fn a_stop_on_request_outlives_supervisor_and_reboot() {
    for same_boot in [true, false] {
        let mut world = begin(spec(), Behaviour::default());
        world.until(1.0);
        world.command(Command::Stop);
        world.until(2.0);
        world.lifecycle =
            Lifecycle::restore(std::sync::Arc::new(spec()), world.lifecycle.record(), same_boot);
        world.tell(Event::Command(Command::Begin));
        world.until(10.0);
        assert_eq!(world.state(), "Stopped/StoppedByUser");
    }
}

#[test]
fn after_a_shutdown_all_start_again_but_what_was_stopped_or_failed() {
    let mut spec = spec();
    spec.restart.max_restarts = 0;
    let mut world = begin(spec.clone(), crashing());
    world.until(1.0);
    world.tell(Event::Command(Command::Shutdown));
    world.lifecycle = Lifecycle::restore(std::sync::Arc::new(spec), world.lifecycle.record(), true);
    world.command(Command::Begin);
    assert_snapshot!(world.state(), @"Failed/RestartLimitExceeded");
}

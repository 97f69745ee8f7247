//! When it is started again, and after which delay.

use super::*;

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
    let snapshot = world.snapshot();
    assert_eq!((snapshot.restart_count, snapshot.next_restart_at), (10, None));
}

#[test]
fn starts_that_fail_use_up_restarts_as_crashes_do() {
    let mut spec = spec();
    spec.restart.max_restarts = 2;
    let mut world = begin(spec, Behaviour { starts: false, ..Behaviour::default() });
    world.until(0.5);
    assert_snapshot!(world.state(), @"Restarting/CrashLoopBackOff");
    assert_eq!(world.snapshot().last_error.as_deref(), Some("cannot be started: no such file"));
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
    world.behaviour.exits = Some((SECOND * 10, Exit::Code(1)));
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
fn policies_decide_which_ends_are_followed_by_a_restart() {
    let mut lines = vec![];
    for policy in [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never] {
        for code in [0, 1] {
            let mut spec = spec();
            spec.restart_policy = policy;
            let mut world =
                begin(spec, Behaviour { exits: Some((SECOND, Exit::Code(code))), ..Behaviour::default() });
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
fn failed_until_started_on_request_and_only_reset_clears_the_window() {
    let mut spec = spec();
    spec.restart.max_restarts = 1;
    let mut world = begin(spec, crashing());
    world.until(10.0);
    world.told();
    world.command(Command::Restart);
    world.until(20.0);
    assert_snapshot!(world.told(), @"10s Start(3); 10s Failed: the limit of 1 restart in 600 s is reached, given up until started on request: exited with status 1");
    world.command(Command::Reset);
    world.until(30.0);
    assert_snapshot!(world.told(), @"20s Start(4); 21s Start(5); 21s Failed: the limit of 1 restart in 600 s is reached, given up until started on request: exited with status 1");
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
    assert_eq!(world.snapshot().restart_count, 1);
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
fn a_stable_run_makes_the_delays_begin_again_even_if_liveness_fails_later() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness)); // 3 failures, 10 s apart
    let mut world = begin(spec, crashing());
    world.until(7.5); // Four runs; the delay after the next one would be 16 s.
    world.behaviour = Behaviour::default();
    world.until(60.0);
    world.behaviour = failing(ProbeRole::Liveness);
    world.until(89.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Start(2); 3s Start(3); 7s Start(4); 15s Start(5); 85s Terminate(5); 86s Start(6)");
}

#[test]
fn a_liveness_failure_makes_the_time_of_being_well_begin_again_and_nothing_else_does() {
    let mut lines = vec![];
    for answer in [ProbeResult::failure("no"), ProbeResult::unknown("dunno"), ProbeResult::Success] {
        let mut spec = spec();
        spec.liveness_probe = Some(probe(ProbeRole::Liveness));
        spec.restart.min_uptime = SECOND * 25;
        let mut world = begin(spec, crashing());
        world.until(0.5);
        world.behaviour = Behaviour { exits: Some((SECOND * 25, Exit::Code(1))), ..Behaviour::default() };
        world.until(5.0); // The second run: well at 1 s and at 21 s; at 11 s, we see.
        world.behaviour = answering(ProbeRole::Liveness, answer.clone());
        world.until(15.0);
        world.behaviour = Behaviour::default();
        world.until(30.0);
        lines.push(format!("{answer:?}: {}", world.told()));
    }
    assert_snapshot!(lines.join("\n"), @r#"
    Failure("no"): 0s Start(1); 1s Start(2); 28s Start(3)
    Unknown("dunno"): 0s Start(1); 1s Start(2); 27s Start(3)
    Success: 0s Start(1); 1s Start(2); 27s Start(3)
    "#);
}

#[test]
fn what_is_killed_for_a_failed_probe_is_restarted_however_well_it_ends() {
    let mut spec = spec();
    spec.restart_policy = RestartPolicy::OnFailure;
    spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
    let mut world = begin(spec, Behaviour { heeds_term: None, ..failing(ProbeRole::Liveness) });
    world.until(1.0);
    world.exit(Exit::Code(0));
    assert_snapshot!(world.state(), @"Restarting/CrashLoopBackOff");
}

#[test]
fn without_a_liveness_success_no_run_is_stable() {
    let mut spec = spec();
    spec.liveness_probe = Some(probe(ProbeRole::Liveness));
    let mut world = begin(spec, answering(ProbeRole::Liveness, ProbeResult::unknown("no route")));
    world.behaviour.exits = Some((SECOND * 100, Exit::Code(1)));
    world.until(400.0);
    assert_snapshot!(world.told(), @"0s Start(1); 101s Start(2); 203s Start(3); 307s Start(4)");
}

#[test]
fn a_start_on_request_waits_for_no_delay() {
    for command in [Command::Start, Command::Restart, Command::Reset] {
        let mut world = begin(spec(), crashing());
        world.until(4.0); // Three runs, the delay of 4 s under way.
        world.behaviour = Behaviour::default();
        world.told();
        world.command(command);
        world.until(10.0);
        assert_eq!((command, world.told()), (command, "4s Start(4)".into()));
    }
}

#[test]
fn a_start_on_request_in_the_middle_of_a_liveness_kill_waits_for_no_delay_and_uses_up_no_restart() {
    for policy in [RestartPolicy::Always, RestartPolicy::Never] {
        for command in [Command::Start, Command::Restart, Command::Reset] {
            let mut spec = spec();
            spec.restart_policy = policy;
            spec.liveness_probe = Some(ProbeSpec { failure_threshold: 1, ..probe(ProbeRole::Liveness) });
            let mut world = begin(spec, failing(ProbeRole::Liveness));
            world.behaviour.heeds_term = Some(SECOND * 3);
            world.until(1.0);
            world.behaviour = Behaviour::default();
            world.command(command);
            assert_eq!(world.state(), "Restarting/RestartRequested");
            world.until(10.0);
            let told = world.told();
            assert_eq!(
                (policy, command, told.as_str()),
                (policy, command, "0s Start(1); 0s Terminate(1); 3s Start(2)")
            );
            assert_eq!((world.snapshot().restart_count, world.state().as_str()), (0, "Running ready"));
        }
    }
}

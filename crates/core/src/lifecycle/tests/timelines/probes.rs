//! What is asked when, and what comes of the answers.

use super::*;

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
    let snapshot = world.snapshot();
    assert_eq!(snapshot.last_end.unwrap().reason.to_string(), "LivenessProbeFailed");
}

#[test]
fn nothing_is_probed_twice_at_once_and_liveness_not_at_all_while_it_is_taken_down() {
    let mut spec = spec();
    spec.liveness_probe =
        Some(ProbeSpec { failure_threshold: 1, period: SECOND * 2, ..probe(ProbeRole::Liveness) });
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
    for role in [ProbeRole::Startup, ProbeRole::Liveness] {
        let mut spec = spec();
        spec.termination_grace_period = SECOND * 500;
        let own =
            ProbeSpec { failure_threshold: 1, termination_grace_period: Some(SECOND * 5), ..probe(role) };
        match role {
            ProbeRole::Startup => spec.startup_probe = Some(own),
            _ => spec.liveness_probe = Some(own),
        }
        let mut world = begin(spec, failing(role));
        world.behaviour.heeds_term = None;
        world.until(5.5);
        assert_eq!(world.told(), "0s Start(1); 0s Terminate(1); 5s Kill(1)", "{role}");
    }
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
fn a_startup_probe_asks_no_more_once_it_is_taken_down() {
    let mut spec = spec();
    spec.startup_probe = Some(probe(ProbeRole::Startup)); // Every second.
    let mut world = begin(spec, Behaviour { heeds_term: None, ..failing(ProbeRole::Startup) });
    world.until(2.5);
    world.command(Command::Stop);
    world.until(9.0);
    assert_eq!(world.asked(ProbeRole::Startup), 3);
}

#[test]
fn livenesss_initial_delay_counts_from_the_start_of_the_run() {
    let mut spec = spec();
    spec.startup_probe = Some(ProbeSpec { initial_delay: SECOND * 2, ..probe(ProbeRole::Startup) });
    spec.liveness_probe = Some(ProbeSpec { initial_delay: SECOND * 6, ..probe(ProbeRole::Liveness) });
    let mut world = begin(spec, Behaviour::default());
    world.verbose = true;
    world.until(17.0);
    assert_snapshot!(world.told().replace("; ", "\n"), @r"
    0s Start(1)
    0s Started: started
    2s Probe(1, startup)
    2s Ready: ready
    6s Probe(1, liveness)
    16s Probe(1, liveness)
    ");
}

//! The commands that run beside a start and before a stop.

use super::*;

#[test]
fn hooks_run_after_the_start_and_before_the_first_signal() {
    let mut spec = spec();
    (spec.post_start, spec.pre_stop) = (exec("hello"), exec("goodbye"));
    let mut world = begin(spec, Behaviour { heeds_term: None, ..Behaviour::default() });
    world.until(0.5);
    assert_snapshot!(world.state(), @"Starting/Spawning");
    assert!(!world.snapshot().started);
    world.until(5.0);
    assert!(world.snapshot().started);
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
fn a_run_whose_post_start_hook_still_runs_is_not_well() {
    let mut spec = spec();
    spec.post_start = exec("hello");
    let fails = (SECOND * 15, Err("exited with status 1".into()));
    let mut world = begin(spec, Behaviour { post_start: fails, ..Behaviour::default() });
    world.until(60.0);
    assert_snapshot!(world.told(), @"0s Start(1); 0s PostStart(1); 15s Terminate(1); 16s Start(2); 16s PostStart(2); 31s Terminate(2); 33s Start(3); 33s PostStart(3); 48s Terminate(3); 52s Start(4); 52s PostStart(4)");
}

#[test]
fn what_lives_on_when_the_main_process_ends_during_its_pre_stop_hook_is_asked_to_end_at_once() {
    let mut spec = spec();
    spec.pre_stop = exec("goodbye");
    let mut world = begin(spec, Behaviour { pre_stop: None, leftovers: true, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Stop);
    world.until(3.0);
    world.exit(Exit::Code(0));
    world.until(100.0);
    assert_snapshot!(world.told(), @"0s Start(1); 1s PreStop(1); 3s Terminate(1)");
    assert_snapshot!(world.state(), @"Stopped/StoppedByUser");
}

#[test]
fn a_kill_waits_for_no_pre_stop_hook() {
    let mut spec = spec();
    spec.pre_stop = exec("goodbye");
    let mut world = begin(spec.clone(), Behaviour { pre_stop: None, ..Behaviour::default() });
    world.until(1.0);
    world.command(Command::Shutdown);
    world.until(2.0);
    world.command(Command::Kill);
    assert_snapshot!(world.told(), @"0s Start(1); 1s PreStop(1); 2s Kill(1)");

    let mut world = begin(spec, Behaviour::default());
    world.until(1.0);
    world.command(Command::Kill);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Kill(1)");
}

#[test]
fn what_ends_by_itself_needs_no_pre_stop_hook() {
    let mut spec = spec();
    spec.pre_stop = exec("goodbye");
    let mut world = begin(spec, Behaviour { leftovers: true, ..Behaviour::default() });
    world.until(1.0);
    world.exit(Exit::Code(1));
    world.until(1.5);
    assert_snapshot!(world.told(), @"0s Start(1); 1s Terminate(1)");
}

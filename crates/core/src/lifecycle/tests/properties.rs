//! Random lives. The [`World`] itself checks at every step: never two runs at once, never more than
//! maxRestarts automatic restarts in any window, no action for another run than the current one, that
//! nothing is started that was told to rest, lacks what it depends on or has a supervisor that ends, and
//! that what is on record is what was asked for and can be restored.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{Behaviour, Wish, World, exec, probe, spec};
use crate::lifecycle::{Command, Event};
use crate::probe::ProbeResult;
use crate::restarter::Exit;
use crate::spec::{ComponentSpec, ProbeRole, ProbeSpec, RestartPolicy};
use crate::status::State;

fn duration(most_millis: u64) -> impl Strategy<Value = Duration> {
    (0..=most_millis).prop_map(Duration::from_millis)
}

fn result() -> impl Strategy<Value = ProbeResult> {
    prop_oneof![
        3 => Just(ProbeResult::Success),
        2 => Just(ProbeResult::failure("no")),
        1 => Just(ProbeResult::unknown("dunno")),
    ]
}

prop_compose! {
    fn behaviour()(
        starts in prop::bool::weighted(0.85),
        start_takes in duration(2_000),
        start_can_be_given_up in any::<bool>(),
        exits in prop::option::of((duration(90_000), (0i32..3).prop_map(Exit::Code))),
        post_start in (duration(20_000), prop_oneof![3 => Just(Ok(())), 1 => Just(Err("no".to_owned()))]),
        pre_stop in prop::option::weighted(0.8, duration(15_000)),
        heeds_term in prop::option::weighted(0.7, duration(4_000)),
        leftovers in prop::bool::weighted(0.2),
        startup in prop::option::weighted(0.95, (duration(3_000), result())),
        liveness in prop::option::weighted(0.95, (duration(3_000), result())),
        readiness in prop::option::weighted(0.95, (duration(3_000), result())),
    ) -> Behaviour {
        let answers = [
            (ProbeRole::Startup, startup),
            (ProbeRole::Liveness, liveness),
            (ProbeRole::Readiness, readiness),
        ];
        Behaviour {
            starts, start_takes, start_can_be_given_up, exits, post_start, pre_stop, heeds_term, leftovers,
            answers: answers.into(), heeds_kill: true,
        }
    }
}

prop_compose! {
    fn any_probe(role: ProbeRole)(
        there in any::<bool>(), failures in 1u32..5, successes in 1u32..3, period in 500u64..8_000,
        initial in duration(5_000),
    ) -> Option<ProbeSpec> {
        there.then(|| ProbeSpec {
            failure_threshold: failures,
            success_threshold: if role == ProbeRole::Readiness { successes } else { 1 },
            period: Duration::from_millis(period),
            initial_delay: initial,
            ..probe(role)
        })
    }
}

prop_compose! {
    fn any_spec()(
        startup in any_probe(ProbeRole::Startup),
        liveness in any_probe(ProbeRole::Liveness),
        readiness in any_probe(ProbeRole::Readiness),
        max_restarts in 0u32..6,
        window in 10u64..600,
        hooks in any::<(bool, bool)>(),
    ) -> ComponentSpec {
        let mut spec = spec();
        (spec.startup_probe, spec.liveness_probe, spec.readiness_probe) = (startup, liveness, readiness);
        spec.restart.max_restarts = max_restarts;
        spec.restart.window = Duration::from_secs(window);
        spec.post_start = if hooks.0 { exec("hello") } else { None };
        spec.pre_stop = if hooks.1 { exec("goodbye") } else { None };
        spec
    }
}

#[derive(Debug, Clone)]
enum Step {
    Behave(Behaviour),
    Command(Command),
    Dependencies(bool),
    /// The supervisor dies with all it has, and the next one begins.
    Restore {
        same_boot: bool,
    },
    /// The supervisor dies, the component goes on, and the next one takes over after this long.
    Survive(Duration),
    /// Other manifests are applied.
    Replace(Box<ComponentSpec>),
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => Just(Command::Start),
        4 => Just(Command::Stop),
        4 => Just(Command::Restart),
        4 => Just(Command::Reset),
        2 => Just(Command::Pause),
        1 => Just(Command::Close),
        1 => Just(Command::Shutdown),
        1 => Just(Command::Kill),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => behaviour().prop_map(Step::Behave),
        3 => command().prop_map(Step::Command),
        1 => any::<bool>().prop_map(Step::Dependencies),
        1 => any::<bool>().prop_map(|same_boot| Step::Restore { same_boot }),
        2 => duration(30_000).prop_map(Step::Survive),
        1 => any_spec().prop_map(|spec| Step::Replace(Box::new(spec))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever happened: when the faults end, a component that may run becomes ready.
    #[test]
    fn when_faults_end_it_becomes_ready(
        spec in any_spec(), steps in prop::collection::vec((duration(120_000), step()), 0..25),
    ) {
        let mut world = World::new(spec);
        let mut at = 0.0;
        world.command(Command::Begin);
        for (after, step) in steps {
            at += after.as_secs_f64();
            world.until(at);
            match step {
                Step::Behave(behaviour) => world.behaviour = behaviour,
                Step::Command(command) => world.command(command),
                Step::Dependencies(there) => {
                    world.tell(Event::Dependencies((!there).then(|| "waits for `db`".into())));
                }
                Step::Restore { same_boot } => {
                    world.restore(same_boot);
                    world.command(Command::Begin);
                }
                Step::Survive(gap) => {
                    world.survive(gap);
                    world.command(Command::Begin);
                    at += gap.as_secs_f64();
                }
                Step::Replace(spec) => {
                    world.command(Command::Replace);
                    for _ in 0..100 {
                        if world.lifecycle.is_at_rest() || world.closed {
                            break;
                        }
                        at += 1.0;
                        world.until(at);
                    }
                    world.replace(*spec);
                    world.command(Command::Begin);
                }
            }
        }
        world.behaviour = Behaviour::default();
        world.tell(Event::Dependencies(None));
        if world.closed {
            world.command(Command::Shutdown);
            world.until(at + 1_000.0);
            prop_assert!(world.lifecycle.is_at_rest(), "{}\n{}", world.state(), world.trace.join("\n"));
            world.restore(true);
            world.command(Command::Begin);
        }
        at += 1_000.0;
        world.until(at);
        match world.wish {
            Wish::Rests => prop_assert_eq!(world.state(), "Stopped/StoppedByUser"),
            Wish::Pauses => prop_assert_eq!(world.state(), "Restarting/RestartRequested"),
            Wish::Nothing | Wish::Runs => {}
        }
        let failed = world.snapshot().state == State::Failed;
        world.command(if failed { Command::Reset } else { Command::Start });
        // Long enough for a probe that never answered, and for a start limit reached only now.
        world.until(at + 1_200.0);
        if world.snapshot().state == State::Failed {
            world.command(Command::Reset);
        }
        // A check without an answer is the driver's to end; here it is a restart's.
        if !world.snapshot().ready {
            world.command(Command::Restart);
        }
        world.until(at + 2_400.0);
        prop_assert!(world.snapshot().ready, "{}\n{}", world.state(), world.trace.join("\n"));
    }

    /// Without stable runs, delay number n lies between end n and start n+1, to the nanosecond.
    #[test]
    fn delays_are_those_of_the_backoff(lifetime in duration(9_999), max_restarts in 1u32..15) {
        let mut spec = spec();
        spec.restart.max_restarts = max_restarts;
        spec.restart_policy = RestartPolicy::OnFailure;
        let mut world = World::new(spec.clone());
        world.behaviour.exits = Some((lifetime, Exit::Code(1)));
        let begun = world.now;
        world.command(Command::Begin);
        world.until(5_000.0);
        let mut start = begun;
        for (n, restart) in (1..).zip(&world.restarts) {
            prop_assert_eq!(restart.since(start + lifetime), spec.restart.backoff.delay(n, 0.5));
            start = *restart;
        }
        if max_restarts <= 6 {
            prop_assert_eq!(world.restarts.len(), max_restarts as usize);
        }
    }
}

//! Containers under vitald, in a real Docker engine.
//!
//! `cargo xtask test docker` makes sure that there is a `dockerd`. Each test has an engine of its own, with an image
//! that is made here; nothing is pulled from anywhere else.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod absences;
mod adoption;
mod asking;
mod life;
mod pulling;
mod registry;

use std::time::Duration;

use vitald_tests::{Engine, Supervisor, seconds};

/// Long enough for an engine on a machine with other things to do.
const LONG: Duration = Duration::from_secs(60);

/// What a test works with. The supervisor goes first: it ends what runs in the engine.
struct World {
    s: Supervisor,
    engine: Engine,
}

impl World {
    /// Manifests for a vitald that knows this engine. `IMAGE` in them is the engine's image.
    fn prepare(engine: Engine, manifests: &str) -> Self {
        let manifests = manifests.replace("IMAGE", vitald_tests::IMAGE);
        let s = Supervisor::prepare(&manifests).with_env("DOCKER_HOST", &engine.address());
        Self { s, engine }
    }

    fn run(manifests: &str) -> Self {
        let mut world = Self::prepare(Engine::start(), manifests);
        world.s.start();
        world
    }

    /// What was logged, once it holds this.
    #[track_caller]
    fn wait_log(&self, name: &str, text: &str) -> String {
        vitald_tests::eventually(
            &format!("`{text}` in the log of {name}"),
            LONG,
            || Some(self.s.log(name)).filter(|log| log.contains(text)),
            || format!("{}\n{}", self.s.log(name), self.s.events_of(name).join("\n")),
        )
    }
}

/// A log that is to hold each number from 1 once, in order; gives the last.
#[track_caller]
fn assert_counts(log: &str) -> usize {
    let numbers: Vec<usize> = log.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    numbers.len()
}

/// Counts fast, and says so on both streams.
const COUNTING: &str = "
    metadata: {name: counter}
    spec:
      image: IMAGE
      imagePullPolicy: Never
      hostNetwork: true
      command: [sh, -c, 'n=0; while :; do n=$((n+1)); echo $n; [ $((n % 20)) != 0 ] || sleep 0.02; done']
      terminationGracePeriodSeconds: 0.5
";

/// Waits until it has counted on by this much.
#[track_caller]
fn wait_count(world: &World, more: usize) {
    let now = world.s.log("counter").lines().count();
    vitald_tests::eventually(
        "it to count on",
        LONG,
        || (world.s.log("counter").lines().count() > now + more).then_some(()),
        || world.s.events_of("counter").join("\n"),
    );
}

fn soon() -> Duration {
    seconds(30)
}

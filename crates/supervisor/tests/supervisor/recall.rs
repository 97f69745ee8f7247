//! What is told of a component when its supervisor is gone, and what is written down while it lives.

#![allow(clippy::unwrap_used, reason = "a failure here is a failure of the test")]

use super::*;
use std::os::unix::fs::MetadataExt;
use vitald_supervisor::recall::{self, Forgotten};

async fn died(world: &World) {
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await;
    world.crash(supervisor).await;
}

fn described(world: &World, alive: bool) -> vitald_core::status::ComponentDetail {
    recall::describe(&world.state_dir(), world.clock(), "web", |_| alive).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_written_down_last_is_told_and_not_more() {
    let world = World::new();
    died(&world).await;
    let alive = described(&world, true);
    assert_eq!(
        (alive.status.state, alive.status.pid, alive.status.ready),
        (State::Running, Some(1002), false)
    );
    assert!(alive.status.message.contains("no supervisor looks after it"), "{}", alive.status.message);
    assert_eq!((alive.run, alive.runs.len(), alive.status.restart_count), (2, 2, 1));
    let dead = described(&world, false);
    assert_eq!(
        (dead.status.state, dead.status.pid, dead.status.uptime_seconds),
        (State::Stopped, None, None)
    );
    assert_eq!(dead.status.last_exit.unwrap().code, Some(1), "of the run before");

    world.reboot();
    let rebooted = described(&world, true);
    assert_eq!((rebooted.status.state, rebooted.status.pid, rebooted.runs.len()), (State::Stopped, None, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_said() {
    let world = World::new();
    died(&world).await;
    let runs = |name: &str| recall::runs(&world.state_dir(), world.clock(), name);
    assert_eq!(runs("web").unwrap().len(), 2);
    assert_eq!(runs("api"), Err(Forgotten::NoRecord));
    let lock = world.state_dir().component_lock("web");
    std::fs::rename(&lock, lock.with_extension("original")).unwrap();
    std::fs::write(&lock, "").unwrap();
    assert_eq!(runs("web"), Err(Forgotten::Copied));
    std::fs::write(world.state_dir().record("web"), "{}").unwrap();
    assert!(matches!(runs("web"), Err(Forgotten::Unreadable(why)) if why == "it has no version"));
}

#[tokio::test(start_paused = true)]
async fn answers_that_change_nothing_are_seen_and_not_written() {
    let world = World::new();
    let mut web = web();
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND * 15).await;
    let file = || std::fs::metadata(world.state_dir().record("web")).unwrap().ino();
    let asked = || world.component(&supervisor, "web").probes[0].last_probe_at.clone().unwrap();
    let (written, before) = (file(), asked());
    world.pass(SECOND * 100).await;
    assert!(asked() > before, "{before}");
    assert_eq!(file(), written);
    world.answer("web", ProbeResult::failure("no"));
    world.pass(SECOND * 10).await;
    assert_ne!(file(), written);
}

//! Libraries in this process: what can be bounded there is time.

use std::time::{Duration, Instant};

use serde_json::json;
use vitald_core::registry::Isolation;
use vitald_plugin::NoticeKind;

use crate::build;
use crate::world::{World, ask, ask_briefly, counted, folder, wait_for, why};

fn own() -> i32 {
    std::process::id() as i32
}

#[tokio::test]
async fn it_runs_here_and_keeps_its_probes() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let probe = world.build(json!("count"), Isolation::InProcess);
    let (number, check, process) = counted(&*probe).await;
    assert_eq!((check, process), (1, own()));
    assert_eq!(counted(&*probe).await, (number, 2, own()));
    // A panic does not cross the border.
    let bad = world.build(json!("panic"), Isolation::InProcess);
    assert_eq!(why(ask(&*bad).await), "the odd probe of odd-probes panicked: odd as ever");
    // The same kind runs in a process of its own for others.
    assert_ne!(counted(&*world.probe(json!("count"))).await.2, own());
    let said = ask(&*world.build(json!({ "run": ["echo", "here"] }), Isolation::InProcess)).await;
    assert_eq!(said.message(), "here\n");
}

#[tokio::test]
async fn a_check_that_only_waits_is_dropped_and_nothing_comes_of_it() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let pending = world.build(json!("pend"), Isolation::InProcess);
    for _ in 0..5 {
        assert_eq!(ask_briefly(&*pending).await, None);
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(world.told(NoticeKind::Moved).is_empty());
    assert_eq!(counted(&*world.build(json!("count"), Isolation::InProcess)).await.2, own());
}

#[tokio::test]
async fn one_that_blocks_again_and_again_has_to_leave() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.build(json!("count"), Isolation::InProcess);
    assert_eq!(counted(&*good).await.2, own());
    for strikes in 1..=3 {
        let stuck = world.build(json!("block"), Isolation::InProcess);
        let since = Instant::now();
        assert_eq!(ask_briefly(&*stuck).await, None);
        assert!(since.elapsed() < Duration::from_secs(5), "its limit did not hold: {:?}", since.elapsed());
        if strikes < 3 {
            assert!(world.told(NoticeKind::Moved).is_empty());
        }
    }
    wait_for("it has to leave", || !world.told(NoticeKind::Moved).is_empty()).await;
    let told = world.told(NoticeKind::Moved);
    assert!(told.len() == 1 && told[0].starts_with("odd-probes did not let go"), "{told:?}");
    assert_ne!(counted(&*good).await.2, own());
}

#[tokio::test]
async fn one_that_takes_its_time_to_be_built_is_built_once_and_stays() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    counted(&*world.build(json!("count"), Isolation::InProcess)).await;
    let config = json!({ "does": "count", "inBuild": { "sleep": 1000 } });
    let slow = world.registry.build("odd", &config, &Default::default(), Isolation::InProcess).unwrap();
    // Each gives up before it is built, and none has to begin anew.
    for _ in 0..3 {
        assert_eq!(ask_briefly(&*slow).await, None);
    }
    assert_eq!(counted(&*slow).await, (2, 1, own()));
    assert!(world.told(NoticeKind::Moved).is_empty());
}

#[tokio::test]
async fn one_that_a_panic_would_end_does_not_run_here() {
    let dir = folder(&[]);
    let library = build::aborting("odd-aborting", include_str!("probes.rs"));
    std::fs::copy(library, dir.path().join("libodd_aborting.so")).unwrap();
    let world = World::of(dir.path());
    assert!(world.plugins.list()[0].about.as_ref().unwrap().panic_aborts);
    let config = json!({ "does": "panic" });
    let build = |isolation| world.registry.build("odd", &config, &Default::default(), isolation);
    let refused = build(Isolation::InProcess).err().unwrap().to_string();
    assert!(refused.starts_with("odd-aborting is built with `panic = \"abort\"`"), "{refused}");
    // In a process of its own, it ends nothing else.
    let why = why(ask(&*build(Isolation::Process).unwrap()).await);
    assert!(why.ends_with("was ended by SIGABRT: odd as ever"), "{why}");
}

#[tokio::test]
async fn a_library_that_cannot_be_built_here_says_so() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let config = json!({ "inBuild": "panic" });
    let context = Default::default();
    let probe = world.registry.build("odd", &config, &context, Isolation::InProcess).unwrap();
    assert_eq!(why(ask(&*probe).await), "the odd probe of odd-probes panicked: odd as ever");
}

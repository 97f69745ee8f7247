//! One library in the place of another, while its probes are asked.

use std::fs;
use std::time::Duration;

use serde_json::json;
use vitald_core::probe::{ComponentContext, ProbeResult};
use vitald_core::registry::Isolation;
use vitald_core::spec::ProbeRole;
use vitald_plugin::{InUse, Loading};

use crate::build;
use crate::world::{World, ask, counted, folder, install, is_alive, replace, wait_for, why};

fn in_use(does: serde_json::Value) -> InUse {
    let component = ComponentContext { name: "web".to_owned(), ..ComponentContext::default() };
    let (config, isolation) = (json!({ "does": does }), Isolation::Process);
    InUse { key: "odd".to_owned(), config, isolation, role: ProbeRole::Liveness, component }
}

#[tokio::test]
async fn checks_that_are_under_way_end_first() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let (count, sleep) = (world.probe(json!("count")), world.probe(json!({ "sleep": 1500 })));
    let (_, _, old) = counted(&*count).await;
    let file = dir.path().join("libodd.so");

    let reload = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        install(&file);
        let changes = world.plugins.reload(&[in_use(json!("count"))]).unwrap();
        assert_eq!(changes.replaced, std::slice::from_ref(&file));
        assert!(changes.added.is_empty() && changes.removed.is_empty() && changes.refused.is_empty());
        // A probe that was built before is asked in the new one now, while the old one still works.
        let (_, check, new) = counted(&*count).await;
        assert_eq!(check, 1);
        assert_ne!(new, old);
        assert!(is_alive(old));
    };
    let (slept, ()) = tokio::join!(ask(&*sleep), reload);
    assert_eq!(slept, ProbeResult::Success);
    wait_for("the old one has ended", || !is_alive(old)).await;
    assert_eq!(ask(&*sleep).await, ProbeResult::Success);
}

#[tokio::test]
async fn what_refuses_what_is_in_use_changes_nothing() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let count = world.probe(json!("count"));
    let before = counted(&*count).await;
    let file = dir.path().join("libodd.so");
    fs::write(dir.path().join("libodd.strict"), "").unwrap();
    install(&file);
    let refusals = world.plugins.reload(&[in_use(json!("count"))]).unwrap_err();
    let sentence =
        format!("{}: refuses what component web has: livenessProbe.odd.does: must not count", file.display());
    assert_eq!(refusals.to_string(), sentence);
    assert_eq!(counted(&*count).await, (before.0, before.1 + 1, before.2));
    // Where nobody uses it that way, it is taken.
    world.plugins.reload(&[in_use(json!("succeed"))]).unwrap();
    let refused = why(ask(&*count).await);
    assert_eq!(refused, "the odd probe of odd-probes refuses its configuration: does: must not count");
}

#[tokio::test]
async fn one_that_a_panic_would_end_does_not_come_into_this_process() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let here = |does| world.build(json!(does), Isolation::InProcess);
    let (count, panic) = (here("count"), here("panic"));
    let before = counted(&*count).await;
    replace(&dir.path().join("libodd.so"), &build::aborting("odd-aborting", include_str!("probes.rs")));
    let used = InUse { isolation: Isolation::InProcess, ..in_use(json!("count")) };
    let refusals = world.plugins.reload(&[used]).unwrap_err().to_string();
    assert!(refusals.contains("panic = \"abort\"") && refusals.contains("component web"), "{refusals}");
    assert_eq!(counted(&*count).await, (before.0, before.1 + 1, before.2));
    // Who began to use it there at that very moment is asked in a process of its own.
    world.plugins.reload(&[]).unwrap();
    let why = why(ask(&*panic).await);
    assert!(why.contains("was ended by SIGABRT"), "{why}");
}

#[tokio::test]
async fn what_is_no_library_any_more_changes_nothing() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let count = world.probe(json!("count"));
    let before = counted(&*count).await;
    let file = dir.path().join("libodd.so");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "half a library").unwrap();
    let refusals = world.plugins.reload(&[in_use(json!("count"))]).unwrap_err().to_string();
    assert!(refusals.contains("cannot be loaded"), "{refusals}");
    // Why it is not there is told, and not once more that it is not there.
    assert!(!refusals.contains("no library has"), "{refusals}");
    assert_eq!(world.plugins.list()[0].state, Loading::Loaded);
    assert_eq!(counted(&*count).await, (before.0, before.1 + 1, before.2));
}

#[tokio::test]
async fn libraries_come_and_go() {
    let dir = folder(&[]);
    let world = World::of(dir.path());
    assert!(world.plugins.kinds().is_empty());
    let (first, second) = (dir.path().join("liba.so"), dir.path().join("libb.so"));
    install(&first);
    let changes = world.plugins.reload(&[]).unwrap();
    assert_eq!((&changes.added[..], changes.is_nothing()), (&[first.clone()][..], false));
    assert!(world.plugins.reload(&[]).unwrap().is_nothing());

    let kind = world.plugins.kinds().remove(0);
    let probe =
        kind.build(&json!({ "does": "count" }), &ComponentContext::default(), Default::default()).unwrap();
    let (_, _, process) = counted(&*probe).await;

    // In use, it cannot go; unless another has what it had.
    fs::remove_file(&first).unwrap();
    let refusals = world.plugins.reload(&[in_use(json!("count"))]).unwrap_err().to_string();
    let sentence = "component web uses its probe `odd`, which no library has any more";
    assert_eq!(refusals, format!("{}: {sentence}", first.display()));
    install(&second);
    let changes = world.plugins.reload(&[in_use(json!("count"))]).unwrap();
    assert_eq!((changes.added, changes.removed), (vec![second.clone()], vec![first]));
    assert_ne!(counted(&*probe).await.2, process);

    fs::remove_file(&second).unwrap();
    assert_eq!(world.plugins.reload(&[]).unwrap().removed, [second]);
    assert_eq!(why(ask(&*probe).await), "no library has the probe odd any more");
}

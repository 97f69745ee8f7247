//! Libraries that do not answer whoever validates many configurations.

use serde_json::{Value, json};
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{ComponentContext, SpecError};
use vitald_plugin::NoticeKind;

use crate::world::{World, folder};

fn validate(world: &World, config: Value) -> Result<(), SpecError> {
    world.registry.validate("odd", &config, &ComponentContext::default())
}

#[test]
fn one_that_hangs_is_waited_for_once() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    world.registry.ask_anew();
    let of = |n: u64| json!({ "inBuild": "block", "does": { "sleep": n } });
    let refused: Vec<String> = (0..20).map(|n| validate(&world, of(n)).unwrap_err().message).collect();
    let why = "was ended, since building a probe odd did not end within 5 s";
    assert!(refused.iter().all(|refused| refused.contains(why)), "{refused:?}");
    let untried = |refused: &&String| refused.ends_with("; after that, this one was not tried");
    assert_eq!(refused.iter().filter(untried).count(), 19, "{refused:?}");
    assert_eq!(world.told(NoticeKind::Ended).len(), 1);
    // Whoever validates anew begins anew.
    world.registry.ask_anew();
    validate(&world, json!({})).unwrap();
    assert_eq!(world.told(NoticeKind::Ended).len(), 1);
}

#[test]
fn one_that_never_says_what_runs_need_is_waited_for_once() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    for n in 0..20 {
        validate(&world, json!({ "inNeeds": "block", "does": { "sleep": n } })).unwrap();
    }
    assert_eq!(world.told(NoticeKind::Ended).len(), 1);
    // Nothing is known of those that were not asked: they are, later.
    let config = json!({ "inNeeds": "count" });
    assert_eq!(world.registry.needs("odd", &config), RunNeeds::default());
    world.registry.ask_anew();
    assert!(world.registry.needs("odd", &config).notify_socket);
}

#[test]
fn one_that_crashes_at_once_is_asked_for_each() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    for refused in [json!({ "inBuild": "abort" }), json!({ "inBuild": { "exit": 3 } })] {
        validate(&world, refused).unwrap_err();
        validate(&world, json!({})).unwrap();
    }
}

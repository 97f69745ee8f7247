//! Images that must be got first.

use crate::registry::Registry;
use crate::*;

#[test]
fn an_image_is_pulled_and_how_far_it_has_come_is_told() {
    let engine = Engine::start();
    let registry = Registry::serve(&engine);
    let image = registry.image();
    let manifests = format!(
        "
        metadata: {{name: web}}
        spec:
          image: {image}
          hostNetwork: true
          command: [busybox, sleep, '1000']
          terminationGracePeriodSeconds: 0.2
        "
    );
    let mut world = World::prepare(engine, &manifests);
    world.s.start();
    let pulling = world.s.wait_for("web", "pulling", LONG, |c| {
        c.is("Starting", "PullingImage") && c.message.contains(" of ") && c.message.contains("iB")
    });
    assert!(pulling.message.contains(&image) && pulling.message.contains("layers"), "{}", pulling.message);
    registry.let_go();
    world.s.wait_for("web", "running", LONG, |c| c.state == "Running");
    let events = world.s.events_of("web").join("\n");
    assert!(events.contains("Pulling: pulls") && events.contains("Pulled: has pulled"), "{events}");

    // It is there now.
    let asked = registry.asked();
    world.s.cli(&["restart", "web"]).expect(0);
    world.s.wait_for("web", "running again", LONG, |c| c.state == "Running");
    assert_eq!(registry.asked(), asked);
}

#[test]
fn an_image_that_is_nowhere_is_named() {
    let engine = Engine::start();
    let registry = Registry::serve(&engine);
    registry.let_go();
    let image = registry.image().replace("slow", "none");
    let spec = |policy: &str| {
        format!(
            "spec: {{image: {image}, imagePullPolicy: {policy}, hostNetwork: true, restartPolicy: Never}}"
        )
    };
    let manifests = format!(
        "metadata: {{name: pulled}}\n{}\n---\nmetadata: {{name: never}}\n{}\n",
        spec("Always"),
        spec("Never"),
    );
    let mut world = World::prepare(engine, &manifests);
    world.s.start();
    let pulled =
        world.s.wait_for("pulled", "refused", LONG, |c| c.is("Stopped", "Error")).last_error.unwrap();
    assert!(pulled.contains(&format!("pulling image {image}")), "{pulled}");
    let never = world.s.wait_for("never", "refused", LONG, |c| c.is("Stopped", "Error")).last_error.unwrap();
    assert!(never.contains(&image) && never.contains("imagePullPolicy is Never"), "{never}");
}

#[test]
fn a_pull_is_given_up_when_its_component_is_stopped() {
    let engine = Engine::start();
    let registry = Registry::serve(&engine);
    let image = registry.image();
    let manifest = format!(
        "metadata: {{name: web}}\nspec: {{image: {image}, hostNetwork: true, terminationGracePeriodSeconds: 0.2}}\n"
    );
    let mut world = World::prepare(engine, &manifest);
    world.s.start();
    world
        .s
        .wait_for("web", "pulling", LONG, |c| c.is("Starting", "PullingImage") && c.message.contains("iB"));
    world.s.cli(&["stop", "web"]).expect(0);
    assert!(world.s.component("web").is("Stopped", "StoppedByUser"));
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    registry.let_go();
    world.s.cli(&["start", "web"]).expect(0);
    world.s.wait_for("web", "running", LONG, |c| c.state == "Running");
}

//! `manifests/examples`: each is what it says, run.

use std::fs;
use std::path::Path;
use std::process::Command;

use vitald_tests::{Engine, Output, seconds};

use crate::stack::Network;

#[test]
fn every_example_comes_up_and_goes_down() {
    let Some(network) = Network::new() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples");
    let engine = Engine::within(network.prefix());
    engine.tag("busybox:1.37");
    let s = vitald_tests::Supervisor::prepare_folder(&folder)
        .with_prefix(network.prefix())
        .with_env("DOCKER_HOST", &engine.address());
    let examples = fs::read_dir(&folder).unwrap().count();

    let validated = s.cli(&["validate", "--strict", "-f", "manifests"]).expect(0);
    assert!(!validated.all().contains("warning"), "{validated:?}");
    s.cli(&["up", "-f", "manifests", "--timeout", "120"]).expect(0);
    let status = s.status();
    assert_eq!(status.components.len(), examples, "one component an example: {status:?}");
    // Each probe has been asked, and answered; a first answer may be that it has just begun.
    for part in &status.components {
        s.wait_for(&part.name, "an answer of each probe", seconds(20), |part| {
            part.probes.iter().all(|probe| probe.state.as_deref() == Some("Success"))
        });
    }
    for part in s.status().components {
        assert!(part.ready && part.restart_count == 0, "{part:?}");
    }
    s.cli(&["down"]).expect(0);
    s.assert_nothing_left();
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]).expect(0).stdout, "");
    let sleepers = Output::of(Command::new("pgrep").args(["-f", "^sleep 777777$"])).stdout;
    assert_eq!(sleepers, "", "the external one was stopped by its own command");
}

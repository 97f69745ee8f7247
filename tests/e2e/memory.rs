//! `memory`: a component that takes too much is taken down in good order.

use vitald_tests::{Supervisor, seconds};

/// Eats when it is told to; its `sh` is the main process, so that it is a child that eats.
const HUNGRY: &str = "
    metadata: {name: hungry}
    spec:
      command: [sh, -c, 'vitald-fixture eat-when eat 150; true']
      terminationGracePeriodSeconds: 1
      restart: {backoff: {initialSeconds: 0.1}}
      livenessProbe:
        memory: {max: 100Mi}
        periodSeconds: 0.2
";

fn a_hog_is_restarted_and_it_is_said_why(mut s: Supervisor) {
    s.start();
    let first = s.wait_for("hungry", "well", seconds(10), |c| {
        c.state == "Running" && c.probe("liveness").state.as_deref() == Some("Success")
    });
    // Told of an adopted one, too.
    s.kill9();
    s.start();
    s.wait_for("hungry", "adopted and well", seconds(10), |c| {
        c.pid == first.pid && c.probe("liveness").state.as_deref() == Some("Success")
    });
    s.write("manifests/eat", "");
    s.wait_for("hungry", "a failure", seconds(15), |c| c.last_error.is_some() || c.restart_count > 0);
    std::fs::remove_file(s.path("manifests/eat")).unwrap();
    let second = s.wait_for("hungry", "its next run", seconds(15), |c| {
        c.restart_count > 0 && c.state == "Running" && c.probe("liveness").state.as_deref() == Some("Success")
    });
    assert_ne!(second.pid, first.pid);
    assert_eq!(second.last_exit().reason, "LivenessProbeFailed");
    let described = s.cli(&["describe", "hungry"]).expect(0).stdout;
    let says = |line: &str| line.contains(" MiB, more than 100 MiB") && line.contains("uses 1");
    assert!(described.lines().any(says), "{described}");
}

#[test]
fn a_hog_is_restarted() {
    a_hog_is_restarted_and_it_is_said_why(Supervisor::prepare(HUNGRY));
}

#[test]
fn a_hog_is_restarted_without_cgroups() {
    a_hog_is_restarted_and_it_is_said_why(Supervisor::prepare(HUNGRY).with_env("VITALD_CGROUPS", "off"));
}

#[test]
fn a_hog_in_a_cgroup_that_counts_is_restarted() {
    let manifest =
        HUNGRY.replace("terminationGrace", "resources: {limits: {memory: 1Gi}}\n      terminationGrace");
    a_hog_is_restarted_and_it_is_said_why(Supervisor::prepare(&manifest));
}

#[test]
fn what_others_start_is_measured_with_its_children() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: other}
        spec:
          external:
            pidFile: ../other.pid
            startCommand: [sh, -c, 'setsid sh -c \"vitald-fixture eat 150; true\" & echo $! > ../other.pid']
            stopCommand: [sh, -c, 'kill -- -$(cat ../other.pid)']
          livenessProbe: {memory: {max: 1Gi}, periodSeconds: 0.2}
          readinessProbe: {memory: {max: 100Mi}, periodSeconds: 0.2}
        ",
    );
    s.start();
    let other = s.wait_for("other", "too large to be ready", seconds(20), |c| {
        c.probe("readiness").message.contains("MiB, more than 100 MiB")
    });
    assert_eq!(other.probe("liveness").state.as_deref(), Some("Success"), "{other:?}");
}

#[test]
fn outside_a_supervisor_there_is_nothing_to_measure() {
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    let said = s.cli(&["check", "memory", "max=100Mi"]).expect(4).all();
    assert!(said.contains("no component outside a supervisor"), "{said}");
    let said = s.cli(&["check", "memory", "max=100MB"]).expect(2).all();
    assert!(said.contains("must be a quantity, such as 512Mi"), "{said}");
    let said = s.cli(&["check", "memory", "max=5"]).expect(2).all();
    assert_eq!(said, "error: max: must be at least 1Mi\n");
    let wrong = "
        metadata: {name: wrong}
        spec: {command: [sleep, '1'], livenessProbe: {memory: {max: 512}}}
    ";
    s.write_manifests(wrong);
    let said = s.cli(&["validate", "-f", "manifests"]).expect(2).all();
    assert!(
        said.contains("spec.livenessProbe.memory.max") && said.contains("must be at least 1Mi"),
        "{said}"
    );
}

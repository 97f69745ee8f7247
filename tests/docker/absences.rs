//! Engines that go and come back.

use nix::sys::signal::Signal;

use crate::*;

const PROBED: &str = "
    metadata: {name: counter}
    spec:
      image: IMAGE
      imagePullPolicy: Never
      hostNetwork: true
      command: [sh, -c, 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done']
      terminationGracePeriodSeconds: 0.5
      livenessProbe: {docker: {}, periodSeconds: 0.2, timeoutSeconds: 5, failureThreshold: 2}
";

#[test]
fn an_engine_that_is_replaced_restarts_nothing() {
    let mut world = World::prepare(Engine::with_live_restore(), PROBED);
    world.s.start();
    let first = world
        .s
        .wait_for("counter", "well", LONG, |c| c.probe("liveness").state.as_deref() == Some("Success"));
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        wait_count(&world, 50);
        world.engine.down(signal);
        let away = world.s.wait_for("counter", "not to be asked", LONG, |c| c.is("Running", "ProbeUnknown"));
        assert_eq!((away.pid, away.restart_count), (first.pid, 0));
        world.engine.up();
        let back = world.s.wait_for("counter", "well again", LONG, |c| {
            c.probe("liveness").state.as_deref() == Some("Success")
        });
        assert_eq!((back.pid, back.restart_count), (first.pid, 0));
        wait_count(&world, 50);
    }
    world.s.cli(&["down"]).expect(0);
    assert_counts(&world.s.log("counter"));
}

#[test]
fn one_that_comes_back_without_its_containers_has_them_restarted() {
    let mut world = World::prepare(Engine::start(), PROBED);
    world.s.start();
    let first = world
        .s
        .wait_for("counter", "well", LONG, |c| c.probe("liveness").state.as_deref() == Some("Success"));
    wait_count(&world, 20);
    world.engine.down(Signal::SIGKILL);
    world.s.wait_for("counter", "not to be asked", LONG, |c| c.is("Running", "ProbeUnknown"));
    world.engine.up();
    let again = world.s.wait_for("counter", "another run", LONG, |c| c.restart_count == 1 && c.pid.is_some());
    assert_ne!(again.pid, first.pid);
    assert_eq!(world.engine.containers(), ["vitald-counter"]);
}

#[test]
fn a_start_without_an_engine_says_how_to_reach_one() {
    let mut world = World::prepare(Engine::start(), PROBED);
    world.engine.down(Signal::SIGTERM);
    world.s.start();
    let refused = world.s.wait_for("counter", "refused", LONG, |c| c.is("Restarting", "CrashLoopBackOff"));
    let error = refused.last_error.unwrap();
    assert!(error.contains("cannot be reached") && error.contains("DOCKER_HOST"), "{error}");
    let doctor = world.s.cli(&["doctor"]).all();
    assert!(doctor.contains("missing  Docker engine"), "{doctor}");
    world.engine.up();
    world.s.wait_for("counter", "started", LONG, |c| c.state == "Running");
    let doctor = world.s.cli(&["doctor"]).all();
    assert!(doctor.contains("ok       Docker engine: 20.") || doctor.contains("API 1."), "{doctor}");
}

#[test]
fn an_engine_that_hangs_restarts_nothing() {
    let world = World::run(
        "
        metadata: {name: counter}
        spec:
          image: IMAGE
          imagePullPolicy: Never
          hostNetwork: true
          command: [sleep, '1000']
          terminationGracePeriodSeconds: 0.2
          livenessProbe:
            anyOf: [{docker: {}}, {exec: {command: ['true']}}]
            periodSeconds: 0.2
            timeoutSeconds: 5
            failureThreshold: 1
        ",
    );
    let well = |c: &vitald_tests::Component| c.probe("liveness").state.as_deref() == Some("Success");
    let first = world.s.wait_for("counter", "well", LONG, well);
    world.engine.signal(Signal::SIGSTOP);
    let hung = world.s.wait_for("counter", "not to be asked", LONG, |c| c.is("Running", "ProbeUnknown"));
    assert!(hung.message.contains("no answer"), "{}", hung.message);
    world.engine.signal(Signal::SIGCONT);
    let back = world.s.wait_for("counter", "well again", LONG, well);
    assert_eq!((back.pid, back.restart_count), (first.pid, 0));
    let image = world.engine.inspect("vitald-counter", "{{.Config.Image}}");
    assert_eq!(image, vitald_tests::IMAGE);
}

#[test]
fn containers_that_end_with_their_engine_are_restarted_when_it_is_back() {
    let mut world = World::run(
        "
        metadata: {name: web}
        spec:
          image: IMAGE
          imagePullPolicy: Never
          hostNetwork: true
          command: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo up $VITALD_RUN; while :; do sleep 0.1; done']
          terminationGracePeriodSeconds: 1
          restart: {backoff: {maxSeconds: 1}, maxRestarts: 100}
        ",
    );
    world.wait_log("web", "up 1\n");
    world.engine.down(Signal::SIGTERM);
    world.s.wait_for("web", "not running", LONG, |c| c.pid.is_none());
    world.engine.up();
    world.s.wait_for("web", "running again", LONG, |c| c.state == "Running" && c.pid.is_some());
    let log = world.wait_log("web", "bye\nup ");
    assert!(log.starts_with("up 1\nbye\nup "), "{log}");
    assert_eq!(world.engine.containers(), ["vitald-web"]);
}

#[test]
fn what_is_stopped_ends_past_an_engine_that_hangs() {
    let world = World::run(COUNTING);
    wait_count(&world, 50);
    let pid = world.s.component("counter").pid();
    world.engine.signal(Signal::SIGSTOP);
    world.s.cli(&["stop", "counter"]).expect(0);
    assert!(!pid.exists());
    world.engine.signal(Signal::SIGCONT);
    world.s.cli(&["start", "counter"]).expect(0);
    let again = world.s.wait_for("counter", "running", LONG, |c| c.state == "Running" && c.pid.is_some());
    assert_ne!(again.pid(), pid);
    assert_eq!(world.engine.containers(), ["vitald-counter"]);
}

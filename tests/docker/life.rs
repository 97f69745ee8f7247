//! A container's life: started, asked, killed, restarted, stopped, gone.

use crate::*;

#[test]
fn it_starts_answers_is_killed_restarted_and_removed() {
    let world = World::prepare(
        Engine::start(),
        "
        metadata: {name: web}
        spec:
          image: IMAGE
          imagePullPolicy: Never
          hostNetwork: true
          command: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo up $VITALD_RUN; while :; do sleep 0.1; done']
          readinessProbe: {exec: {command: [test, -d, /tmp]}, periodSeconds: 0.2}
          livenessProbe: {allOf: [{docker: {}}, {pid: {}}], periodSeconds: 0.5, timeoutSeconds: 10}
          restart: {backoff: {initialSeconds: 0.1}}
        ",
    );
    let s = &world.s;
    s.cli(&["up", "-f", "manifests", "--timeout", "60"]).expect(0);
    let first = s.component("web");
    assert!(first.ready && first.pid.is_some(), "{first:?}");
    assert!(s.cli(&["status", "-o", "json"]).expect(0).stdout.contains("\"kind\": \"container\""));
    assert_eq!(world.engine.inspect("vitald-web", "{{.State.Pid}}"), first.pid().0.to_string());
    s.wait_for("web", "a liveness answer", LONG, |c| c.probe("liveness").state.as_deref() == Some("Success"));

    world.engine.docker(&["kill", "vitald-web"]).expect(0);
    let again = s.wait_for("web", "restarted", LONG, |c| c.restart_count == 1 && c.ready);
    assert_eq!(again.last_exit().signal.as_deref(), Some("SIGKILL"));
    assert_ne!(again.pid, first.pid);
    let told = s.events_of("web").join("\n");
    assert!(told.contains("Restarted web (attempt 1/10)"), "{told}");

    s.cli(&["stop", "web"]).expect(0);
    assert_eq!(s.component("web").last_exit().code, Some(0));
    assert_eq!(s.log("web"), "up 1\nup 2\nbye\n");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    s.cli(&["start", "web"]).expect(0);
    s.wait_for("web", "started again", LONG, |c| c.ready);
    s.cli(&["down"]).expect(0);
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

#[test]
fn a_container_of_the_same_name_is_left_alone() {
    let engine = Engine::start();
    let run = ["run", "-d", "--network=host", "--name", "vitald-web", vitald_tests::IMAGE];
    engine.docker(&run).expect(0);
    let mut world = World::prepare(
        engine,
        "
        metadata: {name: web}
        spec: {image: IMAGE, imagePullPolicy: Never, hostNetwork: true, restartPolicy: Never}
        ",
    );
    world.s.start();
    let web = world.s.wait_for("web", "refused", soon(), |c| c.is("Stopped", "Error"));
    let error = web.last_error.unwrap();
    assert!(error.contains("not vitald's") && error.contains("docker rm -f vitald-web"), "{error}");
    assert_eq!(world.engine.inspect("vitald-web", "{{.State.Status}}"), "running");
}

#[test]
fn one_that_is_just_being_started_is_gone_after_down() {
    let mut world = World::prepare(
        Engine::start(),
        "
        metadata: {name: web}
        spec:
          image: IMAGE
          imagePullPolicy: Never
          hostNetwork: true
          command: [sleep, '1000']
          terminationGracePeriodSeconds: 0.1
        ",
    );
    for after in [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4] {
        world.s.start();
        std::thread::sleep(seconds(after));
        world.s.cli(&["down"]).expect(0);
        assert_eq!(world.engine.containers(), Vec::<String>::new(), "after {after} s");
    }
}

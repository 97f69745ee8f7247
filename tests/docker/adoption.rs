//! Supervisors that die, and containers that do not.

use crate::*;

#[test]
fn a_log_is_whole_whatever_happens_to_supervisors() {
    let mut world = World::run(COUNTING);
    let first = world.s.wait_for("counter", "running", LONG, |c| c.pid.is_some());
    for _ in 0..3 {
        wait_count(&world, 200);
        world.s.kill9();
        world.s.start();
        let adopted = world.s.wait_for("counter", "adopted", LONG, |c| c.is("Running", "Adopted"));
        assert_eq!((adopted.pid, adopted.restart_count), (first.pid, 0));
        wait_count(&world, 200);
        assert_counts(&world.s.log("counter"));
    }
    world.s.cli(&["down"]).expect(0);
    assert!(assert_counts(&world.s.log("counter")) > 1000);
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

#[test]
fn an_end_that_nobody_saw_is_told_by_the_next_supervisor() {
    let mut world = World::run(
        "
        metadata: {name: job}
        spec:
          image: IMAGE
          imagePullPolicy: Never
          hostNetwork: true
          command: [sh, -c, 'echo one; while ! [ -e /tmp/end ]; do sleep 0.1; done; echo two; exit 7']
          restartPolicy: Never
        ",
    );
    world.wait_log("job", "one");
    world.s.kill9();
    world.engine.docker(&["exec", "vitald-job", "touch", "/tmp/end"]).expect(0);
    vitald_tests::eventually(
        "its end",
        LONG,
        || (world.engine.inspect("vitald-job", "{{.State.Status}}") == "exited").then_some(()),
        || world.s.log("job"),
    );
    world.s.start();
    let job = world.s.wait_for("job", "told", LONG, |c| c.is("Stopped", "Error"));
    assert_eq!(job.last_exit().code, Some(7));
    assert_eq!(world.s.log("job"), "one\ntwo\n");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

#[test]
fn down_ends_what_a_dead_supervisor_left() {
    let mut world = World::run(COUNTING);
    world.s.wait_for("counter", "running", LONG, |c| c.pid.is_some());
    world.s.kill9();
    let listed = world.s.cli(&["ls"]);
    assert!(listed.stdout.contains('1'), "{listed:?}");
    let down = world.s.cli(&["down"]).expect(0);
    assert!(down.stdout.contains("counter: stopping (pid "), "{down:?}");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    assert_counts(&world.s.log("counter"));
}

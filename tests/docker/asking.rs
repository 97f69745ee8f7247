//! `docker` as a probe, from the command line: containers that others started.

use crate::*;

#[test]
fn every_state_is_told() {
    let world = World::prepare(Engine::start(), "metadata: {name: a}\nspec: {command: [\"true\"]}\n");
    let docker = |words: &[&str]| world.engine.docker(words).expect(0);
    let check = |code: i32, fields: &[&str]| {
        let words = [&["check", "docker", "--timeout", "30"], fields].concat();
        world.s.cli(&words).expect(code).all()
    };
    let run = |name: &str, options: &[&str], command: &[&str]| {
        let start = ["run", "-d", "--network=host", "--name", name];
        docker(&[&start, options, &[vitald_tests::IMAGE], command].concat());
    };
    assert!(check(1, &["container=nobody"]).contains("there is no container `nobody`"));
    run("plain", &[], &["sh", "-c", "echo all is well; echo panic: no >&2; sleep 1000"]);
    check(0, &["container=plain"]);
    assert!(check(1, &["container=plain", "requireHealthy=true"]).contains("no health check"));
    assert!(check(1, &["container=plain", "mustNotMatch=^panic:"]).contains("panic: no"));
    check(0, &["container=plain", "mustNotMatch=^fatal:"]);
    docker(&["pause", "plain"]);
    assert!(check(1, &["container=plain"]).contains("is paused"));
    docker(&["unpause", "plain"]);
    docker(&["kill", "plain"]);
    assert!(check(1, &["container=plain"]).contains("exited with status 137"));

    let health = ["--health-cmd=test -f /tmp/ok", "--health-interval=100ms", "--health-retries=1"];
    run("sick", &health, &["sleep", "1000"]);
    let told = vitald_tests::eventually(
        "an unhealthy container to be told",
        LONG,
        || {
            let asked = world.s.cli(&["check", "docker", "--timeout", "30", "container=sick"]);
            (asked.code == 1).then(|| asked.all())
        },
        || world.engine.inspect("sick", "{{json .State}}"),
    );
    assert!(told.contains("unhealthy"), "{told}");
    docker(&["exec", "sick", "touch", "/tmp/ok"]);
    vitald_tests::eventually(
        "a healthy one",
        LONG,
        || {
            let words = ["check", "docker", "--timeout", "30", "container=sick", "requireHealthy=true"];
            (world.s.cli(&words).code == 0).then_some(())
        },
        || world.engine.inspect("sick", "{{json .State}}"),
    );

    let nowhere = world.s.clone_with_env("DOCKER_HOST", "unix:///nowhere.sock");
    let unknown = nowhere.cli(&["check", "docker", "container=plain"]).expect(4).all();
    assert!(unknown.contains("unix:///nowhere.sock"), "{unknown}");
}

//! Engines that are away, engines that are other ones, and containers that are somebody else's.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_over_while_the_engine_is_away() {
    let mut world = World::of(Engine::with_live_restore());
    std::fs::write(world.path("secrets"), "KEY=hunter22\n").unwrap();
    let script = |world: &World, script: &str| {
        world.restarter(|spec| {
            spec.command = vec!["sh".into(), "-c".into(), script.into()];
            spec.env_from = vec![world.path("secrets")];
        })
    };
    let restarter = script(&world, "echo one; while ! [ -e /tmp/go ]; do sleep 0.1; done; echo two; exit 9");
    let next = script(&world, "never");
    let process = in_another_life(async {
        let run = restarter.start(RunId(1)).await.unwrap();
        world.wait_log("one");
        run.process()
    });
    world.engine.down(nix::sys::signal::Signal::SIGTERM);
    // Whether it was ever begun, nobody knows now.
    assert!(next.adopt(RunId(1), None, 0).await.is_err());
    let Adoption::Running(run) = next.adopt(RunId(1), Some(&process), 0).await.unwrap() else {
        panic!("an engine that is away says nothing of an end")
    };
    assert!(timeout(Duration::from_secs(1), run.exited()).await.is_err());
    world.engine.up();
    let command = vec!["echo".into(), "$(KEY)".into()];
    let said = next.executor().exec(ExecRequest { command, ..ExecRequest::default() }).await.unwrap();
    assert_eq!(said.output, "***\n");
    world.engine.docker(&["exec", "vitald-web", "touch", "/tmp/go"]).expect(0);
    assert_eq!(end(&run).await, Exit::Code(9));
    assert_eq!(world.log(), "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_begun_in_another_engine_is_not_begun_again() {
    let mut world = World::new();
    let restarter = world.script("sleep 1000");
    let process = in_another_life(async { restarter.start(RunId(1)).await.unwrap().process() });
    let first = std::mem::replace(&mut world.engine, Engine::start());
    let next = world.script("sleep 1000");
    let refused = |err: StartError| {
        let text = err.to_string();
        assert!(text.contains(&first.address()) && text.contains("DOCKER_HOST"), "{text}");
    };
    refused(next.adopt(RunId(1), Some(&process), 0).await.map(drop).unwrap_err());
    refused(next.start(RunId(2)).await.map(drop).unwrap_err());
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    // Somebody has removed it there.
    first.docker(&["rm", "-f", "vitald-web"]).expect(0);
    assert!(matches!(next.adopt(RunId(1), Some(&process), 0).await.unwrap(), Adoption::Nothing));
    kill(&next.start(RunId(2)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_made_and_not_begun_is_made_anew_if_it_is_ours() {
    let world = World::new();
    let restarter = world.script("sleep 1000");
    let run = restarter.start(RunId(1)).await.unwrap();
    let ours = world.engine.inspect("vitald-web", "{{index .Config.Labels \"io.vitald.instance\"}}");
    kill(&run).await;
    let make = |instance: &str| {
        let labels = ["component=web", "run=2", "lock=/a/lock", &format!("instance={instance}")]
            .map(|label| format!("--label=io.vitald.{label}"));
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        world.engine.docker(&[&["create", "--name=vitald-web"], &labels[..], &[IMAGE]].concat()).expect(0);
    };
    make(&ours);
    assert!(matches!(restarter.adopt(RunId(2), None, 0).await.unwrap(), Adoption::Nothing));
    kill(&restarter.start(RunId(3)).await.unwrap()).await;
    // As after a state dir was copied.
    make("another");
    let refused = restarter.start(RunId(4)).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains("another vitald") && refused.contains("/a/lock"), "{refused}");
    assert_eq!(world.engine.inspect("vitald-web", "{{.State.Status}}"), "created");
}

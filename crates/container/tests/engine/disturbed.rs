//! What others do to a container, and what is in its way.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_does_by_hand_ends_the_run_and_leaves_nothing() {
    let world = World::new();
    let restarter = world.script("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    let acts: [(&[&str], Exit); 4] = [
        (&["restart", "vitald-web"], Exit::Code(7)),
        (&["stop", "vitald-web"], Exit::Code(7)),
        (&["rm", "-f", "vitald-web"], Exit::Signal("SIGKILL".into())),
        (&["rename", "vitald-web", "other"], Exit::Signal("SIGKILL".into())),
    ];
    for (number, (words, exit)) in (1..).zip(acts) {
        let run = restarter.start(RunId(number)).await.unwrap();
        let ups = || world.log().matches("up").count() >= usize::try_from(number).unwrap();
        vitald_tests::eventually("it to be up", LONG, || ups().then_some(()), || world.log());
        world.engine.docker(words);
        match words[0] {
            "rename" => {
                assert!(timeout(Duration::from_secs(1), run.exited()).await.is_err());
                kill(&run).await;
                assert_eq!(run.exited().await, exit);
            }
            _ => assert_eq!(end(&run).await, exit, "{words:?}"),
        }
        assert_eq!(world.engine.containers(), Vec::<String>::new(), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_was_out_of_memory_does_not_tell_of_a_later_end() {
    let world = World::new();
    let restarter = world.restarter(|spec| {
        let script = "tail /dev/zero; echo over; while :; do sleep 0.1; done";
        spec.command = vec!["sh".into(), "-c".into(), script.into()];
        spec.memory_limit = Some(20 << 20);
    });
    let run = restarter.start(RunId(1)).await.unwrap();
    world.wait_log("over");
    // Two events of the same moment would be one cause.
    assert!(timeout(Duration::from_secs(4), run.exited()).await.is_err());
    world.engine.docker(&["kill", "vitald-web"]).expect(0);
    assert_eq!(end(&run).await, Exit::Signal("SIGKILL".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_pulled_is_not_started_without() {
    let world = World::new();
    // Nobody listens there.
    let image = "127.0.0.1:1/test/busy:1";
    world.engine.tag(image);
    let of_policy = |policy| {
        world.restarter(|spec| {
            spec.image = image.into();
            spec.image_pull_policy = policy;
        })
    };
    let refused = of_policy(ImagePullPolicy::Always).start(RunId(1)).await.map(drop).unwrap_err().to_string();
    assert!(refused.contains(&format!("pulling image {image}")) && refused.contains("refused"), "{refused}");
    for policy in [ImagePullPolicy::IfNotPresent, ImagePullPolicy::Never] {
        kill(&of_policy(policy).start(RunId(2)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_that_were_made_for_it_alone_go_with_it() {
    let world = World::new();
    world.engine.docker(&["create", "--name=model", IMAGE]).expect(0);
    world.engine.docker(&["commit", "--change=VOLUME /data", "model", "test/volume:1"]).expect(0);
    world.engine.docker(&["rm", "model"]).expect(0);
    let volumes = || world.engine.docker(&["volume", "ls", "--quiet"]).expect(0).stdout;
    let run = world.restarter(|spec| spec.image = "test/volume:1".into()).start(RunId(1)).await.unwrap();
    assert_ne!(volumes(), "");
    kill(&run).await;
    assert_eq!(volumes(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_arrives_whole() {
    let world = World::new();
    let run = world.script("seq 1 60000").start(RunId(1)).await.unwrap();
    assert_eq!(end(&run).await, Exit::Code(0));
    let expected: String = (1..=60_000).map(|n| format!("{n}\n")).collect();
    let log = world.log();
    assert_eq!(log.len(), expected.len());
    assert!(log == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_in_nobody_s_way() {
    let world = World::new();
    let disk = Disk::small(&world.path("logs"));
    let restarter = world.script("seq 1 60000; exit 3");
    let run = restarter.start(RunId(1)).await.unwrap();
    assert_eq!(end(&run).await, Exit::Code(3));
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    // There is room again.
    std::fs::write(world.path("logs/web.log"), "").unwrap();
    let run = world.script("echo again").start(RunId(2)).await.unwrap();
    end(&run).await;
    assert_eq!(world.log(), "again\n");
    drop(disk);
}

/// A file system with hardly any room.
struct Disk(PathBuf);

impl Disk {
    fn small(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "vitald-test"]).arg(folder);
        vitald_tests::Output::of(&mut mount).expect(0);
        Self(folder.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vitald_tests::Output::of(std::process::Command::new("umount").arg("-l").arg(&self.0));
    }
}

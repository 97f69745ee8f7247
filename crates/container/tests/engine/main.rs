//! Containers by hand, in a real engine: what no manifest can bring about.
//!
//! `cargo xtask test docker` sees to it that there is an engine.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod disturbed;
mod elsewhere;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use vitald_container::ContainerRestarter;
use vitald_core::restarter::{Adoption, ExecRequest, Exit, Restarter, RunHandle, RunId, StartError};
use vitald_core::spec::{
    ComponentSpec, ContainerSpec, EnvValue, EnvVar, ImagePullPolicy, LogsSpec, Mount, RestartPolicy,
    RestartSpec, Workload,
};
use vitald_process::Paths;
use vitald_tests::{Engine, IMAGE, Pid};

/// Long enough for a flood, and an engine, on a machine with other things to do.
const LONG: Duration = Duration::from_secs(120);

/// A component in an engine of its own.
struct World {
    engine: Engine,
    temp: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(Engine::start())
    }

    fn of(engine: Engine) -> Self {
        Self { engine, temp: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn restarter(&self, change: impl FnOnce(&mut ContainerSpec)) -> ContainerRestarter {
        let mut container = ContainerSpec {
            image: IMAGE.into(),
            image_pull_policy: ImagePullPolicy::Never,
            command: vec![],
            args: vec![],
            working_dir: None,
            folder: self.temp.path().to_owned(),
            env: vec![],
            env_from: vec![],
            host_network: true,
            mounts: vec![],
            run_as_user: None,
            run_as_group: None,
            no_new_privileges: false,
            open_files: None,
            memory_limit: None,
            cpu_limit_millis: None,
        };
        change(&mut container);
        let spec = ComponentSpec {
            name: "web".into(),
            labels: Default::default(),
            annotations: Default::default(),
            workload: Workload::Container(container.clone()),
            ports: vec![],
            depends_on: vec![],
            restart_policy: RestartPolicy::Always,
            restart: RestartSpec::default(),
            termination_grace_period: Duration::from_secs(1),
            post_start: None,
            pre_stop: None,
            startup_probe: None,
            liveness_probe: None,
            readiness_probe: None,
            logs: LogsSpec::default(),
        };
        let paths = Paths { log: self.path("logs/web.log"), lock: self.path("locks/web.lock") };
        ContainerRestarter::at(&spec, &container, paths, &self.engine.address())
    }

    fn script(&self, script: &str) -> ContainerRestarter {
        self.restarter(|spec| spec.command = vec!["sh".into(), "-c".into(), script.into()])
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("logs/web.log")).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn wait_log(&self, what: &str) {
        vitald_tests::eventually(what, LONG, || self.log().contains(what).then_some(()), || self.log());
    }
}

async fn end(run: &std::sync::Arc<dyn RunHandle>) -> Exit {
    let exit = timeout(LONG, run.exited()).await.expect("an end");
    timeout(LONG, run.gone()).await.expect("nothing left");
    exit
}

/// What a supervisor does that dies right after.
fn in_another_life<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let life = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let came = runtime.block_on(work);
            runtime.shutdown_background();
            came
        });
        life.join().unwrap()
    })
}

async fn kill(run: &std::sync::Arc<dyn RunHandle>) {
    let killed = std::sync::Arc::clone(run);
    tokio::task::spawn_blocking(move || killed.kill()).await.unwrap().unwrap();
    end(run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_begun_as_the_manifest_says_and_leaves_its_log_alone() {
    let world = World::new();
    std::fs::write(world.path("secrets"), "KEY=hunter22\n").unwrap();
    std::fs::create_dir(world.path("work")).unwrap();
    let restarter = world.restarter(|spec| {
        spec.command = vec!["sh".into(), "-c".into(), "$(SCRIPT)".into()];
        spec.args = vec!["zero".into(), "arg-$(NAME)".into()];
        spec.working_dir = Some("/work".into());
        spec.run_as_user = Some("worker".into());
        spec.env = vec![
            EnvVar { name: "NAME".into(), value: EnvValue::Literal("x".into()) },
            EnvVar {
                name: "SCRIPT".into(),
                value: EnvValue::Literal(
                    "echo $0 $1 $VITALD_COMPONENT $VITALD_RUN; pwd; id -u; cat given; echo late >&2; \
                     echo $KEY; printf end; exit 3"
                        .into(),
                ),
            },
            EnvVar {
                name: "KEY".into(),
                value: EnvValue::FileKey { path: world.path("secrets"), key: "KEY".into(), optional: false },
            },
        ];
        spec.mounts = vec![Mount { source: world.path("work"), target: "/work".into(), read_only: true }];
    });
    std::fs::write(world.path("work/given"), "given\n").unwrap();
    let run = restarter.start(RunId(7)).await.unwrap();
    assert_eq!(run.log_offset(), 0);
    assert_eq!(end(&run).await, Exit::Code(3));
    let log = world.log();
    assert_eq!(log.replace("late\n", ""), "zero arg-x web 7\n/work\n1234\ngiven\nhunter22\nend");
    assert!(log.contains("late\n"), "{log}");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    assert_eq!(restarter.redact("key hunter22".into()), "key ***");
    let next = restarter.start(RunId(8)).await.unwrap();
    assert_eq!(next.log_offset(), log.len() as u64);
    end(&next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_privileges_are_those_of_the_manifest() {
    let world = World::new();
    let restarter = world.restarter(|spec| {
        let script = "ulimit -n; id -u; id -g; busybox grep NoNewPrivs /proc/self/status; sleep 1000";
        spec.command = vec!["sh".into(), "-c".into(), script.into()];
        spec.open_files = Some(77);
        spec.run_as_group = Some("4321".into());
        spec.no_new_privileges = true;
        spec.memory_limit = Some(64 << 20);
        spec.cpu_limit_millis = Some(250);
    });
    let run = restarter.start(RunId(1)).await.unwrap();
    world.wait_log("NoNewPrivs");
    assert_eq!(world.log(), "77\n0\n4321\nNoNewPrivs:\t1\n");
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.NetworkMode}}";
    assert_eq!(world.engine.inspect("vitald-web", limits), "67108864 250000000 host");
    kill(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_long_lines_arrive_as_they_were_written() {
    let world = World::new();
    let restarter = world.restarter(|spec| {
        spec.command = vec!["busybox".into(), "sh".into(), "-c".into()];
        let script = "printf 'a\\377\\001b\\n'; busybox head -c 50000 /dev/zero | busybox tr '\\0' x; echo; seq 1 5000";
        spec.args = vec![script.into()];
    });
    let run = restarter.start(RunId(1)).await.unwrap();
    assert_eq!(end(&run).await, Exit::Code(0));
    let mut expected = b"a\xff\x01b\n".to_vec();
    expected.extend(vec![b'x'; 50_000]);
    expected.push(b'\n');
    (1..=5000).for_each(|n| expected.extend(format!("{n}\n").into_bytes()));
    let log = std::fs::read(world.path("logs/web.log")).unwrap();
    assert_eq!(log.len(), expected.len());
    assert!(log == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_cannot_be_made_say_why() {
    let world = World::new();
    let say = |restarter: ContainerRestarter| async move {
        match restarter.start(RunId(1)).await {
            Ok(_) => panic!("it has started"),
            Err(err) => err.to_string(),
        }
    };
    let missing = say(world.restarter(|spec| spec.image = "test/none:9".into())).await;
    assert!(
        missing.contains("image test/none:9") && missing.contains("imagePullPolicy is Never"),
        "{missing}"
    );
    let program = say(world.restarter(|spec| spec.command = vec!["nope".into()])).await;
    assert_eq!(program, "no such file: `nope` on the container's PATH");
    let absolute = say(world.restarter(|spec| spec.command = vec!["/bin/nope".into()])).await;
    assert_eq!(absolute, "no such file: `/bin/nope` in the container");
    let user = say(world.restarter(|spec| spec.run_as_user = Some("nobody-here".into()))).await;
    assert!(user.contains("cannot run as user nobody-here"), "{user}");
    let folder = say(world.restarter(|spec| {
        let source = Path::new("/nowhere/at/all").to_owned();
        spec.mounts = vec![Mount { source, target: "/x".into(), read_only: false }];
    }))
    .await;
    assert!(folder.contains("/nowhere/at/all") && folder.contains("does not exist"), "{folder}");
    assert!(!Path::new("/nowhere").exists());
    assert_eq!(world.engine.containers(), Vec::<String>::new());

    let stranger = world.engine.docker(&["run", "-d", "--network=host", "--name", "vitald-web", IMAGE]);
    assert_eq!(stranger.code, 0, "{stranger:?}");
    let taken = say(world.script("sleep 100")).await;
    assert!(
        taken.contains("`vitald-web`") && taken.contains("not vitald's") && taken.contains(IMAGE),
        "{taken}"
    );
    assert_eq!(world.engine.inspect("vitald-web", "{{.State.Status}}"), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_used_up_is_told_from_a_kill() {
    let world = World::new();
    let hungry = world.restarter(|spec| {
        spec.command = vec!["tail".into(), "/dev/zero".into()];
        spec.memory_limit = Some(20 << 20);
    });
    let run = hungry.start(RunId(1)).await.unwrap();
    assert_eq!(end(&run).await, Exit::OomKilled);
    let run = world.script("sleep 1000").start(RunId(2)).await.unwrap();
    world.engine.docker(&["kill", "vitald-web"]);
    assert_eq!(end(&run).await, Exit::Signal("SIGKILL".into()));
    // Somebody who does not ask the engine.
    let run = world.script("sleep 1000").start(RunId(3)).await.unwrap();
    Pid(run.process().pid).kill();
    assert_eq!(end(&run).await, Exit::Signal("SIGKILL".into()));
}

/// The engine begins to watch the memory of a container after it has started it. With those of the tests beside this
/// one they are fewer than ten, of more than which the kernel would not tell within five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_used_up_at_once_is_told_though_the_engine_may_miss_it() {
    let world = World::new();
    let greedy = world.restarter(|spec| {
        let command = ["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=512M", "count=1"];
        spec.command = command.map(str::to_owned).into();
        spec.memory_limit = Some(6 << 20);
    });
    for number in 1..=5 {
        let run = greedy.start(RunId(number)).await.unwrap();
        assert_eq!(end(&run).await, Exit::OomKilled, "run {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_asked_to_end_ends_also_when_it_is_paused() {
    let world = World::new();
    let restarter = world.script("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done");
    let run = restarter.start(RunId(1)).await.unwrap();
    world.wait_log("up");
    world.engine.docker(&["pause", "vitald-web"]);
    let asked = std::sync::Arc::clone(&run);
    tokio::task::spawn_blocking(move || asked.terminate()).await.unwrap().unwrap();
    assert_eq!(end(&run).await, Exit::Code(0));
    assert!(world.log().ends_with("bye\n"), "{}", world.log());
    // Over: nothing happens any more.
    let over = std::sync::Arc::clone(&run);
    tokio::task::spawn_blocking(move || {
        over.terminate().unwrap();
        over.kill().unwrap();
        assert!(!over.is_alive());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_inside_and_end_when_nobody_waits() {
    let world = World::new();
    let restarter = world.script("touch /tmp/inside; echo up; sleep 1000 & wait");
    let run = restarter.start(RunId(1)).await.unwrap();
    world.wait_log("up");
    let executor = restarter.executor();
    let exec = |words: &[&str]| {
        let command = words.iter().map(|word| (*word).to_owned()).collect();
        executor.exec(ExecRequest { command, ..ExecRequest::default() })
    };
    let done = exec(&["ls", "/tmp"]).await.unwrap();
    assert_eq!((done.exit, done.output.as_str()), (Exit::Code(0), "inside\n"));
    let told = exec(&["sh", "-c", "echo out $(VITALD_RUN); echo err >&2; exit 4"]).await.unwrap();
    assert_eq!(told.exit, Exit::Code(4));
    assert!(told.output.contains("out 1\n") && told.output.contains("err\n"), "{told:?}");
    let missing = exec(&["nope"]).await.unwrap_err();
    assert!(matches!(missing, StartError::NotFound { .. }), "{missing}");

    let pids = run.pids().await.unwrap();
    assert!(pids.contains(&run.process().pid) && pids.len() == 2, "{pids:?}");
    let memory = run.memory().await.unwrap();
    assert!((1 << 10..1 << 28).contains(&memory), "{memory}");
    let hung = timeout(Duration::from_millis(500), exec(&["sh", "-c", "sleep 2001 & sleep 2002"])).await;
    assert!(hung.is_err(), "{hung:?}");
    vitald_tests::eventually(
        "the command to be gone",
        LONG,
        || (!world.engine.docker(&["top", "vitald-web"]).stdout.contains("sleep 200")).then_some(()),
        || world.engine.docker(&["top", "vitald-web"]).stdout,
    );
    kill(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_over_whatever_has_become_of_it() {
    let world = World::new();
    let restarter = world.script("echo one; sleep 2; echo two; exit 5");
    let process = in_another_life(async {
        let run = restarter.start(RunId(3)).await.unwrap();
        world.wait_log("one");
        run.process()
    });
    assert!(process.pid > 0);
    let next = world.script("never");
    assert!(matches!(next.adopt(RunId(2), None, 0).await.unwrap(), Adoption::Nothing));
    let Adoption::Running(run) = next.adopt(RunId(3), Some(&process), 0).await.unwrap() else {
        panic!("it runs")
    };
    assert_eq!(run.process(), process);
    assert_eq!(end(&run).await, Exit::Code(5));
    assert_eq!(world.log(), "one\ntwo\n");

    // One that ends while nobody watches.
    let ending = world.script("echo three; sleep 1; echo four; exit 6");
    in_another_life(async { ending.start(RunId(4)).await.map(drop) }).unwrap();
    vitald_tests::eventually(
        "its end",
        LONG,
        || (world.engine.inspect("vitald-web", "{{.State.Status}}") == "exited").then_some(()),
        || world.log(),
    );
    let Adoption::Ended(run) = next.adopt(RunId(4), None, 8).await.unwrap() else { panic!("it has ended") };
    assert_eq!(end(&run).await, Exit::Code(6));
    assert_eq!(world.log(), "one\ntwo\nthree\nfour\n");
    assert_eq!(world.engine.containers(), Vec::<String>::new());
    assert!(matches!(next.adopt(RunId(4), Some(&process), 8).await.unwrap(), Adoption::Nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_is_ended_and_a_start_that_is_given_up_leaves_nothing() {
    let world = World::new();
    let left = world.script("trap 'echo bye; exit 0' TERM; echo left; while :; do sleep 0.05; done");
    in_another_life(async { left.start(RunId(1)).await.map(drop) }).unwrap();
    vitald_tests::eventually(
        "it to be up",
        LONG,
        || world.engine.docker(&["logs", "vitald-web"]).stdout.contains("left").then_some(()),
        || world.log(),
    );
    let restarter = std::sync::Arc::new(world.script("echo next; sleep 1000"));
    let run = restarter.start(RunId(2)).await.unwrap();
    world.wait_log("left\nbye\nnext\n");
    assert_eq!(world.engine.containers(), ["vitald-web"]);
    assert_eq!(world.engine.inspect("vitald-web", "{{index .Config.Labels \"io.vitald.run\"}}"), "2");
    assert_eq!(world.engine.inspect("vitald-web", "{{.HostConfig.RestartPolicy.Name}}"), "no");
    kill(&run).await;

    let mut number = 3;
    for after in [0, 20, 60, 120, 200] {
        let starting = std::sync::Arc::clone(&restarter);
        let start = tokio::spawn(async move { starting.start(RunId(number)).await });
        tokio::time::sleep(Duration::from_millis(after)).await;
        start.abort();
        number += 1;
        // It was faster than whoever gave it up.
        if let Ok(begun) = start.await {
            kill(&begun.unwrap()).await;
            break;
        }
    }
    let run = restarter.start(RunId(number)).await.unwrap();
    assert_eq!(world.engine.containers(), ["vitald-web"]);
    kill(&run).await;
    assert_eq!(world.engine.containers(), Vec::<String>::new());
}

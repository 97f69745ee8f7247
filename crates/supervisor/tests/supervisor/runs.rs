//! One run: its start, its probes and hooks, its signals, and what is left of it.

use super::*;
use fake::{Start, exec};

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_is_a_failed_start_and_hurts_nobody() {
    let world = World::new();
    world.starts("web", Start::Panics);
    let supervisor = world.start(vec![web(), component("db")]).await;
    world.pass(Duration::from_millis(100)).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Restarting, Reason::CrashLoopBackOff));
    assert_eq!(status.last_exit.unwrap().reason, "StartError");
    let failed = events(&supervisor, "FailedStart");
    assert_eq!(failed, ["cannot be started: starting: vitald has a bug"]);
    assert_eq!(world.component(&supervisor, "db").state, State::Running);
    world.starts("web", Start::Takes(Duration::ZERO));
    world.pass(SECOND * 2).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.restart_count), (State::Running, 1));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_the_machine_slept_through_could_not_ask() {
    let mut web = web();
    web.liveness_probe = Some(probe(ProbeRole::Liveness)); // 3 s for an answer, every 10 s.
    let world = World::new();
    world.hang("web");
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    world.sleep(SECOND * 3600);
    world.pass(SECOND * 3).await;
    let probe = &world.component(&supervisor, "web").probes[0];
    assert_eq!((probe.state, probe.consecutive_failures), (Some(ProbeState::Unknown), 0));
    assert_eq!(probe.message, "no answer, but the machine slept or was too busy for 3600.0 s to tell why");
}

#[tokio::test(start_paused = true)]
async fn checks_are_given_up_when_the_run_ends() {
    let mut web = web();
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    let world = World::new();
    world.hang("web");
    let _supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    assert!(world.given_up().is_empty());
    world.exit("web", Exit::Code(1));
    world.pass(Duration::from_millis(10)).await;
    assert_eq!(world.given_up(), ["check of web"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_run_is_ended_before_the_next_one_starts() {
    let world = World::new();
    world.leaves_others_behind("web");
    world.ignore_term("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 9).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1"]);
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.pid, status.uptime_seconds), (State::Unhealthy, None, None));
    world.pass(SECOND + SECOND / 2).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1"]);
    world.pass(SECOND).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1", "start web 2"]);
}

#[tokio::test(start_paused = true)]
async fn each_hook_runs_at_its_time() {
    let mut web = web();
    (web.post_start, web.pre_stop) = (exec("hello"), exec("goodbye"));
    let world = World::new();
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    assert_eq!(world.calls(), ["start web 1", "exec hello"]);
    assert!(world.component(&supervisor, "web").ready);
    supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
    assert_eq!(world.calls(), ["start web 1", "exec hello", "exec goodbye", "terminate web 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_hook_tells_why() {
    let mut web = web();
    (web.post_start, web.pre_stop) = (exec("hello"), exec("goodbye"));
    let world = World::new();
    world.command_fails("hello", Some("nobody there"));
    world.command_fails("goodbye", Some("no way"));
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND / 2).await;
    assert_eq!(world.calls(), ["start web 1", "exec hello", "exec goodbye", "terminate web 1"]);
    let told =
        [events(&supervisor, "FailedPostStartHook"), events(&supervisor, "FailedPreStopHook")].concat();
    assert_eq!(
        told,
        [
            "postStart hook failed: exited with status 1: nobody there",
            "preStop hook failed: exited with status 1: no way",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_hook_that_never_ends_is_cut_off() {
    let mut web = web();
    web.pre_stop = exec("goodbye");
    let world = World::new();
    world.command_fails("goodbye", None);
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    let begun = tokio::time::Instant::now();
    supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(world.calls(), ["start web 1", "exec goodbye", "terminate web 1"]);
    world.pass(Duration::from_millis(10)).await;
    assert_eq!(world.given_up(), ["goodbye"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_signalled_is_told() {
    let world = World::new();
    world.cannot_be_signalled("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
    assert_eq!(events(&supervisor, "FailedKill"), ["cannot be signalled: operation not permitted"]);
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_sigkill_does_not_end_is_named() {
    let world = World::new();
    world.ignore_term("web");
    world.ignore_kill("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    supervisor.shutdown(ShutdownMode::Graceful);
    world.pass(SECOND * 16).await;
    let told = events(&supervisor, "FailedKill");
    assert_eq!(told, ["something lives on 5 s after SIGKILL: 4242 (sleep, state D)"]);
}

#[tokio::test(start_paused = true)]
async fn each_run_is_remembered_with_its_place_in_the_log() {
    let mut probed = web();
    probed.readiness_probe = Some(probe(ProbeRole::Readiness));
    let world = World::new();
    let supervisor = world.start(vec![probed]).await;
    world.pass(SECOND).await;
    let places = |supervisor: &SupervisorHandle| {
        let runs = supervisor.describe("web").unwrap().runs;
        runs.into_iter().map(|run| (run.run, run.log_offset)).collect::<Vec<_>>()
    };
    let began = world.component(&supervisor, "web").started_at.unwrap();
    assert!(began.starts_with("1970-01-01T00:00:00"), "{began}");
    world.pass(SECOND * 7).await;
    assert_eq!(world.component(&supervisor, "web").started_at, Some(began));
    supervisor.command(Command::Restart, &names(&["web"])).await.unwrap();
    assert_eq!(places(&supervisor), [(1, 100), (2, 200)]);
    world.crash(supervisor).await;
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    assert_eq!(places(&supervisor), [(1, 100), (2, 200), (3, 300)]);
    for _ in 0..20 {
        supervisor.command(Command::Restart, &names(&["web"])).await.unwrap();
    }
    let places = places(&supervisor);
    assert_eq!((places.len(), places[0], places[19]), (20, (4, 400), (23, 2300)));
}

#[tokio::test(start_paused = true)]
async fn what_is_secret_is_told_nowhere() {
    let mut web = web();
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    web.readiness_probe = Some(probe(ProbeRole::Readiness));
    (web.post_start, web.pre_stop) = (exec("hello"), exec("goodbye"));
    let mut other = component("other");
    other.liveness_probe = Some(probe(ProbeRole::Liveness));
    let world = World::new();
    world.secret("hunter2");
    world.starts("web", Start::Fails("key hunter2 is bad"));
    world.answer("web", ProbeResult::failure("says hunter2"));
    world.answer("other", ProbeResult::Warning("says hunter2".into()));
    world.command_fails("goodbye", Some("says hunter2"));
    let supervisor = world.start(vec![web, other]).await;
    let check = async |what: &str| {
        let (events, _) = supervisor.events();
        let detail = supervisor.describe("web").unwrap();
        let answer = supervisor.run_probe("other", ProbeRole::Liveness).await.unwrap();
        assert_eq!(answer.message, "says ***");
        let all = [
            serde_json::to_string(&supervisor.status()).unwrap(),
            serde_json::to_string(&detail).unwrap(),
            serde_json::to_string(&events).unwrap(),
            world.record("web").to_string(),
        ];
        for text in &all {
            assert!(!text.contains("hunter2"), "{what}: {text}");
        }
        assert!(all[2].contains("***"), "{what}: {}", all[2]);
    };
    world.pass(Duration::from_millis(100)).await;
    check("a failed start").await;
    world.starts("web", Start::Takes(Duration::ZERO));
    world.pass(SECOND * 25).await;
    check("a failed probe, and a failed preStop hook").await;
    assert!(!events(&supervisor, "FailedPreStopHook").is_empty());
    world.command_fails("hello", Some("says hunter2"));
    supervisor.command(Command::Restart, &names(&["web"])).await.unwrap();
    world.pass(SECOND).await;
    assert!(!events(&supervisor, "FailedPostStartHook").is_empty());
    check("a failed postStart hook").await;
}

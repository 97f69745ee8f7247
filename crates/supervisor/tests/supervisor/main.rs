//! The supervisor on a virtual clock, with processes and probes that do as the test says.

mod adoption;
mod apply;
mod commands;
mod custom;
mod fake;
mod recall;
mod restores;
mod runs;

use std::time::Duration;

use fake::{World, component, depends_on, probe};
use vitald_core::lifecycle::LifecycleRecord;
use vitald_core::probe::ProbeResult;
use vitald_core::restarter::Exit;
use vitald_core::spec::{ComponentSpec, Condition, ProbeRole, RestartPolicy};
use vitald_core::status::{EventType, ProbeState, Reason, State};
use vitald_supervisor::{Command, CommandError, ShutdownMode, StateDirError, SupervisorHandle, Wanted};

const SECOND: Duration = Duration::from_secs(1);

fn web() -> ComponentSpec {
    component("web")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The messages of the events with this reason.
fn events(supervisor: &SupervisorHandle, reason: &str) -> Vec<String> {
    let (events, _) = supervisor.events();
    events.into_iter().filter(|event| event.reason == reason).map(|event| event.message).collect()
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_others_starts_when_they_are_ready_and_stops_before_them() {
    let mut web = component("web");
    depends_on(&mut web, "db", Condition::Ready);
    let mut db = component("db");
    db.readiness_probe = Some(probe(ProbeRole::Readiness));
    let world = World::new();
    world.answer("db", ProbeResult::failure("warming up"));
    let supervisor = world.start(vec![db, web]).await;

    world.pass(SECOND * 20).await;
    assert_eq!(world.calls(), ["start db 1"]);
    let web = world.component(&supervisor, "web");
    assert_eq!((web.state, web.reason), (State::Stopped, Reason::WaitingForDependency));
    assert_eq!(web.message, "waits for `db` to be Ready (it is Running)");

    world.answer("db", ProbeResult::Success);
    world.pass(SECOND * 6).await;
    assert!(world.component(&supervisor, "web").ready);

    supervisor.shutdown(ShutdownMode::Graceful);
    supervisor.finished().await;
    assert_eq!(world.calls(), ["start db 1", "start web 1", "terminate web 1", "terminate db 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_seen_at_once_and_told_truly_during_the_delay_and_after() {
    let world = World::new();
    let supervisor = world.start(vec![component("web")]).await;
    world.pass(SECOND * 5).await;
    world.exit("web", Exit::Signal("SIGSEGV".into()));
    world.pass(Duration::from_millis(10)).await;

    let web = world.component(&supervisor, "web");
    assert_eq!((web.state, web.reason), (State::Restarting, Reason::CrashLoopBackOff));
    assert_eq!((web.pid, web.ready, web.uptime_seconds), (None, false, None));
    assert_eq!(web.next_restart_seconds, Some(0.99));
    let last = web.last_exit.unwrap();
    assert_eq!((last.signal.as_deref(), last.code, last.reason.as_str()), (Some("SIGSEGV"), None, "Error"));
    assert_eq!(last.uptime_seconds, 5.0);

    world.pass(SECOND * 2).await;
    let web = world.component(&supervisor, "web");
    assert_eq!((web.state, web.restart_count, web.restarts_in_window), (State::Running, 1, 1));
    assert_eq!(web.last_error.as_deref(), Some("was ended by SIGSEGV after 5 s"));
    world.pass(SECOND * 10).await;
    assert_eq!(world.component(&supervisor, "web").last_error, None, "stable again");
    assert!(
        world
            .messages(&supervisor, "web")
            .iter()
            .any(|message| { message == "Restarted web (attempt 1/10): was ended by SIGSEGV" })
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_answers_is_a_failure_after_its_timeout() {
    let mut web = component("web");
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    let world = World::new();
    world.hang("web");
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND * 22).await;
    let status = &world.component(&supervisor, "web").probes[0];
    assert_eq!(status.message, "no answer within 3 s");
    assert_eq!((status.consecutive_failures, status.failure_threshold), (2, 3));
    world.pass(SECOND + SECOND / 2).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_could_not_ask_and_hurts_nobody() {
    let mut web = component("web");
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    let world = World::new();
    world.panic("web");
    let supervisor = world.start(vec![web, component("db")]).await;
    world.pass(SECOND * 100).await;
    let web = world.component(&supervisor, "web");
    assert_eq!((web.state, web.reason), (State::Running, Reason::ProbeUnknown));
    assert_eq!(web.message, "liveness probe cannot ask: the script probe panicked: as told");
    assert_eq!(world.calls(), ["start db 1", "start web 1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restarted_while_the_supervisor_ends() {
    let mut web = component("web");
    depends_on(&mut web, "db", Condition::Started);
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![component("db"), web, component("crashing")]).await;
    world.pass(SECOND).await;
    world.exit("crashing", Exit::Code(1));
    world.pass(Duration::from_millis(100)).await;
    supervisor.shutdown(ShutdownMode::Graceful);
    world.pass(SECOND).await;
    // `db` is needed by `web`, which takes its time; it dies meanwhile, and stays dead.
    world.exit("db", Exit::Code(1));
    supervisor.finished().await;
    let starts = world.calls().into_iter().filter(|call| call.starts_with("start")).count();
    assert_eq!(starts, 3, "{:?}", world.calls());
    assert!(world.calls().contains(&"kill web 1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn asked_a_second_time_it_kills_at_once() {
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![component("web")]).await;
    world.pass(SECOND).await;
    let begun = tokio::time::Instant::now();
    supervisor.shutdown(ShutdownMode::Graceful);
    world.pass(SECOND).await;
    supervisor.shutdown(ShutdownMode::Now);
    supervisor.finished().await;
    assert!(begun.elapsed() < SECOND * 2);
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1"]);
}

#[tokio::test(start_paused = true)]
async fn commands_are_refused_as_a_whole_and_can_be_repeated() {
    let world = World::new();
    let supervisor = world.start(vec![component("web"), component("db")]).await;
    world.pass(SECOND).await;
    let refused = supervisor.command(Command::Stop, &names(&["web", "wbe"])).await;
    assert_eq!(refused.unwrap_err().to_string(), "no component is named `wbe`; there are: web, db");
    for _ in 0..2 {
        supervisor.command(Command::Start, &names(&["web"])).await.unwrap();
    }
    for _ in 0..2 {
        supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
        assert_eq!(world.component(&supervisor, "web").reason, Reason::StoppedByUser);
    }
    supervisor.command(Command::Restart, &names(&["db"])).await.unwrap();
    assert_eq!(
        world.calls(),
        ["start db 1", "start web 1", "terminate web 1", "terminate db 1", "start db 2"]
    );
    supervisor.shutdown(ShutdownMode::Graceful);
    assert_eq!(supervisor.command(Command::Start, &names(&["web"])).await, Err(CommandError::ShuttingDown));
}

#[tokio::test(start_paused = true)]
async fn state_is_written_before_it_matters() {
    let world = World::new();
    let supervisor = world.start(vec![component("web")]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &["web".into()]).await.unwrap();
    // What the record said at the time of each call.
    let told: Vec<_> = world
        .records()
        .into_iter()
        .map(|(call, record)| {
            let lifecycle: LifecycleRecord = serde_json::from_value(record["lifecycle"].clone()).unwrap();
            (call, lifecycle.run.0, lifecycle.is_stopped_on_request(), record["process"]["pid"].as_i64())
        })
        .collect();
    assert_eq!(
        told,
        [("start web 1".to_owned(), 1, false, None), ("terminate web 1".to_owned(), 1, true, Some(1001)),]
    );
}

#[tokio::test(start_paused = true)]
async fn the_next_supervisor_keeps_stops_counters_and_environment() {
    let world = World::new();
    let supervisor = world.start(vec![component("web"), component("db")]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &["db".into()]).await.unwrap();
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 3).await;
    supervisor.shutdown(ShutdownMode::Graceful);
    supervisor.finished().await;
    supervisor.unlock();

    let supervisor = world.start(vec![component("web"), component("db")]).await;
    world.pass(SECOND).await;
    let web = world.component(&supervisor, "web");
    assert_eq!((web.state, web.restart_count, web.restarts_in_window), (State::Running, 1, 1));
    let db = world.component(&supervisor, "db");
    assert_eq!((db.state, db.reason), (State::Stopped, Reason::StoppedByUser));
    assert_eq!(world.calls().last().unwrap(), "start web 3");
}

#[tokio::test(start_paused = true)]
async fn where_its_state_cannot_be_written_it_says_so_once_and_goes_on() {
    let world = World::new();
    let supervisor = world.start(vec![component("web")]).await;
    world.pass(SECOND).await;
    std::fs::remove_dir_all(world.state_dir().path().join("components")).unwrap();
    for _ in 0..3 {
        world.exit("web", Exit::Code(1));
        world.pass(SECOND * 20).await;
    }
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
    let (events, _) = supervisor.events();
    let told: Vec<_> = events.iter().filter(|event| event.reason == "FailedWrite").collect();
    assert_eq!((told.len(), told[0].count, told[0].kind), (1, 1, EventType::Warning));
}

#[tokio::test(start_paused = true)]
async fn a_probe_on_request_counts_for_nothing() {
    let mut web = component("web");
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    let world = World::new();
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    world.answer("web", ProbeResult::failure("bad day"));
    for _ in 0..5 {
        let answer = supervisor.run_probe("web", ProbeRole::Liveness).await.unwrap();
        assert_eq!(answer.message, "bad day");
    }
    assert_eq!(world.component(&supervisor, "web").probes[0].consecutive_failures, 0);
    let none = supervisor.run_probe("web", ProbeRole::Readiness).await.unwrap_err();
    assert_eq!(none.to_string(), "component `web` has no readiness probe");
}

#[tokio::test(start_paused = true)]
async fn equal_events_are_counted_and_different_ones_told() {
    let mut web = component("web");
    web.readiness_probe = Some(probe(ProbeRole::Readiness));
    let world = World::new();
    world.answer("web", ProbeResult::failure("draining"));
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND * 18).await;
    let (events, _) = supervisor.events();
    let told: Vec<_> =
        events.iter().map(|event| format!("{} {} x{}", event.reason, event.message, event.count)).collect();
    assert_eq!(told, ["Started started x1", "Unhealthy readiness probe failed: draining x4"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_supervisor_on_the_same_state_dir_is_refused() {
    let world = World::new();
    let _supervisor = world.start(vec![component("web")]).await;
    match world.state_dir().lock() {
        Err(StateDirError::Held { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.state_dir().holder(), Some(std::process::id()));
}

//! The supervisor dies at any moment, and the next one goes on with what it finds.

use super::*;
use fake::{Start, exec};

/// What its components are, but for times: name, state, reason, ready, pid, restarts, probes.
fn seen(world: &World, supervisor: &SupervisorHandle, name: &str) -> String {
    let c = world.component(supervisor, name);
    let probes: Vec<_> =
        c.probes.iter().map(|p| format!("{:?} {:?} {}", p.role, p.state, p.consecutive_failures)).collect();
    format!(
        "{} ready={} pid={:?} restarts={}/{} {}",
        c.state,
        c.ready,
        c.pid,
        c.restarts_in_window,
        c.restart_count,
        probes.join(", ")
    )
}

fn probed() -> ComponentSpec {
    let mut web = web();
    web.startup_probe = Some(probe(ProbeRole::Startup));
    web.liveness_probe = Some(probe(ProbeRole::Liveness));
    web.readiness_probe = Some(probe(ProbeRole::Readiness));
    web
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_adopted_and_nothing_of_it_flips() {
    let world = World::new();
    let mut dependant = component("page");
    depends_on(&mut dependant, "web", Condition::Ready);
    let all = vec![probed(), dependant];
    let supervisor = world.start(all.clone()).await;
    world.pass(SECOND * 12).await;
    world.answer("web", ProbeResult::failure("500"));
    world.pass(SECOND * 10).await; // One liveness failure, two of readiness.
    let before = [seen(&world, &supervisor, "web"), seen(&world, &supervisor, "page")];
    let started = world.component(&supervisor, "web").started_at;
    assert!(before[0].contains("ready=true"), "{before:?}");
    world.crash(supervisor).await;

    let supervisor = world.start(all).await;
    // At once, before anything could be asked.
    assert_eq!([seen(&world, &supervisor, "web"), seen(&world, &supervisor, "page")], before);
    let web = world.component(&supervisor, "web");
    assert_eq!((web.reason, web.started_at), (Reason::Adopted, started));
    assert_eq!(events(&supervisor, "Adopted").len(), 2);
    world.pass(SECOND * 6).await;
    assert!(!world.component(&supervisor, "web").ready, "a third failure in a row, as without the death");
    assert_eq!(world.component(&supervisor, "web").pid, Some(1001));
    assert_eq!(
        world.calls(),
        ["start page 1", "start web 1", "adopt page 1", "adopt web 1"].map(String::from)
    );
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_down_is_adopted_with_the_counters_of_before() {
    for stopped in [false, true] {
        let world = World::new();
        let supervisor = world.start(vec![probed()]).await;
        world.pass(SECOND * 2).await;
        if stopped {
            supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
        }
        let path = world.state_dir().record("web");
        let record = std::fs::read(&path).unwrap();
        if stopped {
            supervisor.command(Command::Start, &names(&["web"])).await.unwrap();
        } else {
            world.exit("web", Exit::Code(1));
        }
        world.pass(SECOND * 5).await;
        let before = world.component(&supervisor, "web");
        assert_eq!((before.restart_count, before.ready), (u64::from(!stopped), true));
        world.crash(supervisor).await;
        std::fs::write(&path, record).unwrap();

        let supervisor = world.start(vec![probed()]).await;
        world.pass(SECOND * 6).await;
        let web = world.component(&supervisor, "web");
        assert_eq!((web.state, web.ready, web.pid), (State::Running, true, before.pid));
        assert_eq!(web.restart_count, 0);
        let told = events(&supervisor, "FailedRead");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("run 2 of it was begun") && told[0].contains("ends with run 1"), "{told:?}");
        assert_eq!(events(&supervisor, "Adopted").len(), 1);
        let calls = world.calls();
        assert_eq!(calls.iter().rfind(|call| !call.contains("terminate")).unwrap(), "look for web 2");
        // What comes next is written down again.
        world.exit("web", Exit::Code(1));
        world.pass(SECOND * 5).await;
        assert_eq!(world.record("web")["lifecycle"]["run"], 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_died_meanwhile_is_restarted_by_the_same_rules() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await; // The second run.
    world.crash(supervisor).await;
    world.exit("web", Exit::Code(1));
    world.sleep(SECOND * 100);

    let supervisor = world.start(vec![web()]).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Restarting, Reason::CrashLoopBackOff));
    assert_eq!(status.last_exit.unwrap().code, None);
    // Nobody knows how long the second run was well: the delay is the second one.
    assert_eq!(status.next_restart_seconds, Some(2.0));
    world.pass(SECOND * 3).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.restart_count), (State::Running, 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_adopted_waits_for_what_it_depends_on_before_its_next_run() {
    let world = World::new();
    let mut page = component("page");
    depends_on(&mut page, "web", Condition::Ready);
    let all = vec![web(), page];
    let supervisor = world.start(all.clone()).await;
    for _ in 0..3 {
        world.pass(SECOND * 9).await;
        world.exit("web", Exit::Code(1));
    }
    world.pass(SECOND).await; // Of the delay of 4 s.
    world.crash(supervisor).await;
    let supervisor = world.start(all).await;
    world.exit("page", Exit::Code(1));
    world.pass(SECOND * 2).await;
    let status = world.component(&supervisor, "page");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::WaitingForDependency));
    world.pass(SECOND * 3).await;
    assert_eq!(world.component(&supervisor, "page").state, State::Running);
    assert_eq!(world.calls()[world.calls().len() - 2..], ["start web 4", "start page 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_goes_on_where_it_was() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    for _ in 0..4 {
        world.pass(SECOND * 9).await;
        world.exit("web", Exit::Code(1));
    }
    world.pass(SECOND).await; // Of the 8 s.
    world.crash(supervisor).await;
    world.sleep(SECOND * 3);
    let supervisor = world.start(vec![web()]).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Restarting, Reason::CrashLoopBackOff));
    let left = status.next_restart_seconds.unwrap();
    assert!((3.5..=4.0).contains(&left), "{left}");
    world.pass(SECOND * 5).await;
    assert_eq!(world.component(&supervisor, "web").restart_count, 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_finished_with_the_grace_that_is_left() {
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let stop = supervisor.clone();
    tokio::spawn(async move { stop.command(Command::Stop, &names(&["web"])).await });
    world.pass(SECOND * 4).await;
    world.crash(supervisor).await;
    let supervisor = world.start(vec![web()]).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Running, Reason::Terminating));
    world.pass(SECOND * 5).await;
    assert!(!world.calls().contains(&"kill web 1".to_owned()), "{:?}", world.calls());
    world.pass(SECOND * 2).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "adopt web 1", "kill web 1"]);
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::StoppedByUser));
}

#[tokio::test(start_paused = true)]
async fn a_down_in_the_middle_of_which_it_died_is_finished_and_all_starts_again() {
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    supervisor.shutdown(ShutdownMode::Graceful);
    world.pass(SECOND).await;
    world.crash(supervisor).await;
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND * 10).await;
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "adopt web 1", "kill web 1", "start web 2"]);
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.restart_count), (State::Running, 0));
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_process_was_not_written_down_is_looked_for() {
    for spawned in [true, false] {
        let world = World::new();
        if !spawned {
            world.starts("web", Start::Hangs);
        }
        let supervisor = world.start(vec![web()]).await;
        world.pass(Duration::from_millis(10)).await;
        world.crash(supervisor).await;
        world.starts("web", Start::Takes(Duration::ZERO));
        // As it was written before the start.
        let record = world.records().into_iter().find(|(call, _)| call == "start web 1").unwrap().1;
        assert!(record["process"].is_null(), "{record}");
        assert!(record["lock"].is_null(), "{record}");
        std::fs::write(world.state_dir().record("web"), record.to_string()).unwrap();
        let supervisor = world.start(vec![web()]).await;
        world.pass(SECOND).await;
        let status = world.component(&supervisor, "web");
        assert_eq!((status.state, status.restart_count), (State::Running, 0));
        let expected: &[&str] = if spawned {
            &["start web 1", "look for web 1"]
        } else {
            &["start web 1", "look for web 1", "start web 2"]
        };
        assert_eq!(world.calls(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_began_and_ended_before_it_was_written_down_counts() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await;
    world.crash(supervisor).await;
    // As it was written before the second run.
    let mut record = world.records().into_iter().find(|(call, _)| call == "start web 2").unwrap().1;
    assert!(record["process"].is_null(), "{record}");
    record["lock"] = world.record("web")["lock"].clone();
    std::fs::write(world.state_dir().record("web"), record.to_string()).unwrap();
    world.exit("web", Exit::Code(1));
    let supervisor = world.start(vec![web()]).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.restart_count), (State::Restarting, 1));
    world.pass(SECOND * 3).await;
    assert_eq!(world.calls()[2..], ["look for web 2", "start web 3"]);
    assert_eq!(world.component(&supervisor, "web").restart_count, 2);
}

#[tokio::test(start_paused = true)]
async fn hooks_under_way_run_again() {
    let world = World::new();
    let mut web = web();
    web.post_start = exec("hello");
    world.command_fails("hello", None);
    let supervisor = world.start(vec![web.clone()]).await;
    world.pass(SECOND).await;
    world.crash(supervisor).await;
    world.command_succeeds("hello");
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    assert_eq!(world.calls(), ["start web 1", "exec hello", "adopt web 1", "exec hello"]);
    assert!(world.component(&supervisor, "web").ready);
}

#[tokio::test(start_paused = true)]
async fn kept_components_are_left_alone_and_adopted() {
    let world = World::new();
    let mut slow = component("slow");
    slow.post_start = exec("hello");
    world.starts("slow", Start::Takes(SECOND * 2));
    let supervisor = world.start(vec![web(), slow.clone()]).await;
    world.pass(SECOND).await;
    supervisor.shutdown(ShutdownMode::Keep);
    tokio::time::timeout(SECOND * 5, supervisor.finished())
        .await
        .expect("a start under way comes to its end");
    supervisor.unlock();
    assert_eq!(world.record("slow")["process"]["pid"], 1001);
    let supervisor = world.start(vec![web(), slow]).await;
    world.pass(SECOND).await;
    for name in ["web", "slow"] {
        let status = world.component(&supervisor, name);
        assert_eq!((status.state, status.reason, status.ready), (State::Running, Reason::Adopted, true));
    }
    assert!(!world.calls().iter().any(|call| call.starts_with("terminate")), "{:?}", world.calls());
}

#[tokio::test(start_paused = true)]
async fn survivors_alone_are_adopted_to_be_stopped() {
    let world = World::new();
    let mut page = component("page");
    depends_on(&mut page, "web", Condition::Ready);
    page.pre_stop = exec("goodbye");
    let supervisor = world.start(vec![web(), page, component("idle")]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &names(&["idle"])).await.unwrap();
    world.crash(supervisor).await;

    let supervisor = world.begin(Wanted::Survivors).await.unwrap();
    assert_eq!(supervisor.status().components.len(), 2);
    supervisor.shutdown(ShutdownMode::Graceful);
    supervisor.finished().await;
    supervisor.unlock();
    let calls = world.calls();
    let end = ["exec goodbye", "terminate page 1", "terminate web 1"];
    assert_eq!(calls[calls.len() - 3..], end);

    let all = vec![web(), component("page"), component("idle")];
    let supervisor = world.start(all).await;
    world.pass(SECOND).await;
    assert_eq!(world.component(&supervisor, "idle").reason, Reason::StoppedByUser);
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
}

/// The starts of one component.
fn starts(world: &World, name: &str) -> Vec<String> {
    let of = format!("start {name} ");
    world.calls().into_iter().filter(|call| call.starts_with(&of)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_the_manifests_are_applied_is_not_started_as_it_was() {
    let mut other = web();
    other.termination_grace_period = SECOND * 3;
    // It is removed, or changed, or the supervisor ends; that one dies in the midst of it, and so does the component.
    for (manifests, next) in [
        (vec![component("db")], vec![component("db")]),
        (vec![component("db"), other.clone()], vec![component("db"), other]),
        (vec![], vec![component("db")]),
    ] {
        let world = World::new();
        world.ignore_term("web");
        let supervisor = world.start(vec![component("db"), web()]).await;
        world.pass(SECOND).await;
        if manifests.is_empty() {
            supervisor.shutdown(ShutdownMode::Graceful);
        } else {
            let (applying, manifests) = (supervisor.clone(), manifests.clone());
            tokio::spawn(async move { applying.apply(manifests).await });
        }
        world.pass(SECOND).await;
        world.crash(supervisor).await;
        world.exit("web", Exit::Code(0));
        let supervisor = world.start(next.clone()).await;
        world.pass(SECOND * 5).await;
        let expected: &[&str] =
            if next.len() > 1 { &["start web 1", "start web 2"] } else { &["start web 1"] };
        assert_eq!(starts(&world, "web"), expected);
        assert!(supervisor.plan(&next).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn survivors_that_end_are_not_started_again() {
    for down in [false, true] {
        let world = World::new();
        world.ignore_term("web");
        let supervisor = world.start(vec![web(), component("db")]).await;
        world.pass(SECOND).await;
        if down {
            supervisor.shutdown(ShutdownMode::Graceful);
            world.pass(SECOND).await;
        }
        world.crash(supervisor).await;
        world.exit("web", Exit::Code(1));
        let supervisor = world.begin(Wanted::Survivors).await.unwrap();
        world.pass(SECOND * 20).await;
        supervisor.shutdown(ShutdownMode::Graceful);
        supervisor.finished().await;
        assert_eq!(starts(&world, "web"), ["start web 1"], "down: {down}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_on_what_may_not_run() {
    let world = World::new();
    let mut page = component("page");
    depends_on(&mut page, "db", Condition::Ready);
    let all = vec![component("db"), page];
    let supervisor = world.start(all.clone()).await;
    world.pass(SECOND).await;
    world.crash(supervisor).await;
    world.exit("page", Exit::Code(1));
    world.exit("db", Exit::Code(1));
    world.undecided("db", 25);
    world.adopts_slowly("db", SECOND / 10);
    // That takes 11.5 s, longer than the start waits.
    let supervisor = world.start(all).await;
    let db = world.component(&supervisor, "db");
    assert_eq!((db.ready, db.message.as_str()), (false, "whether it still runs is not known yet"));
    world.pass(SECOND / 2).await;
    let page = world.component(&supervisor, "page");
    assert_eq!(page.reason, Reason::WaitingForDependency);
    assert_eq!(page.message, "waits for `db` to be Ready (whether it still runs is not known yet)");
    assert_eq!(starts(&world, "page"), ["start page 1"]);
    world.pass(SECOND * 5).await;
    let told = events(&supervisor, "FailedRead");
    assert!(told[0].ends_with("is asked again: environment: too many open files"), "{told:?}");
    assert!(told[1].ends_with("is taken for ended: environment: too many open files"), "{told:?}");
    let calls = world.calls();
    assert_eq!(calls[calls.len() - 2..], ["start db 2", "start page 2"]);
}

#[tokio::test(start_paused = true)]
async fn an_adoption_that_panics_is_tried_again() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.crash(supervisor).await;
    world.undecided("web", 3);
    world.breaks("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND * 3).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason, status.pid), (State::Running, Reason::Adopted, Some(1001)));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_seen_is_not_forgotten_over_what_it_left_behind() {
    let mut web = web();
    web.restart_policy = RestartPolicy::OnFailure;
    let world = World::new();
    world.ignore_term("web");
    world.leaves_others_behind("web");
    let supervisor = world.start(vec![web.clone()]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(0));
    world.pass(SECOND).await;
    world.crash(supervisor).await;
    world.forgets_how("web");
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND * 20).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::Completed));
    assert_eq!(status.last_exit.unwrap().code, Some(0));
}

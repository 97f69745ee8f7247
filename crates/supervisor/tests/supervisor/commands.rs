//! What people ask for, and when they are answered.

use super::*;
use fake::Start;
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn a_command_is_answered_once_the_start_is_done() {
    let world = World::new();
    world.starts("web", Start::Takes(SECOND * 5));
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND * 6).await;
    for (command, run) in [(Command::Restart, "start web 2"), (Command::Start, "start web 3")] {
        if command == Command::Start {
            supervisor.command(Command::Stop, &names(&["web"])).await.unwrap();
        }
        let begun = Instant::now();
        supervisor.command(command, &names(&["web"])).await.unwrap();
        assert_eq!((begun.elapsed().as_secs(), world.calls().last().unwrap().as_str()), (5, run));
        assert_eq!(world.component(&supervisor, "web").state, State::Running);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_can_be_stopped() {
    let world = World::new();
    world.starts("web", Start::Hangs);
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let web = names(&["web"]);
    let stop = supervisor.command(Command::Stop, &web);
    timeout(SECOND, stop).await.expect("the stop gets through").unwrap();
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::StoppedByUser));
    assert!(events(&supervisor, "FailedStart").is_empty());
    world.starts("web", Start::Takes(Duration::ZERO));
    supervisor.command(Command::Start, &names(&["web"])).await.unwrap();
    assert_eq!(world.calls(), ["start web 1", "start web 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_ends_does_not_keep_the_supervisor_from_its_end() {
    for modes in
        [&[ShutdownMode::Graceful][..], &[ShutdownMode::Now], &[ShutdownMode::Graceful, ShutdownMode::Now]]
    {
        let world = World::new();
        world.starts("web", Start::Hangs);
        let supervisor = world.start(vec![web()]).await;
        world.pass(SECOND).await;
        modes.iter().for_each(|mode| supervisor.shutdown(*mode));
        timeout(SECOND, supervisor.finished()).await.expect("it comes to its end");
        assert_eq!(world.calls(), ["start web 1"]);
        assert_eq!(world.record("web")["lifecycle"]["phase"]["idle"], "Fresh");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_several_takes_all_down_before_it_starts_any() {
    for order in [["db", "web"], ["web", "db"]] {
        let mut web = web();
        depends_on(&mut web, "db", Condition::Ready);
        let world = World::new();
        let supervisor = world.start(vec![component("db"), web]).await;
        world.pass(SECOND).await;
        supervisor.command(Command::Restart, &names(&order)).await.unwrap();
        world.pass(SECOND).await;
        let expected =
            ["start db 1", "start web 1", "terminate web 1", "terminate db 1", "start db 2", "start web 2"];
        assert_eq!(world.calls(), expected);
        let status = world.component(&supervisor, "web");
        assert_eq!((status.ready, status.restart_count), (true, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_even_if_somebody_starts_it_again_meanwhile() {
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let web = names(&["web"]);
    let stop = timeout(SECOND * 20, supervisor.command(Command::Stop, &web));
    let start = async {
        world.pass(SECOND * 2).await;
        timeout(SECOND * 20, supervisor.command(Command::Start, &web)).await
    };
    let (stop, start) = tokio::join!(stop, start);
    stop.expect("answered").unwrap();
    start.expect("answered").unwrap();
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1", "start web 2"]);
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_started_component_waits_for_one_that_is_stopped_or_being() {
    let mut web = web();
    depends_on(&mut web, "db", Condition::Started);
    let world = World::new();
    world.ignore_term("db");
    let supervisor = world.start(vec![component("db"), web]).await;
    world.pass(SECOND).await;
    let db = names(&["db"]);
    let stop = supervisor.command(Command::Stop, &db);
    let crash = async {
        world.pass(SECOND).await;
        world.exit("web", Exit::Code(1));
        world.pass(SECOND * 5).await;
        let reason = |name| world.component(&supervisor, name).reason;
        assert_eq!((reason("db"), reason("web")), (Reason::Terminating, Reason::WaitingForDependency));
    };
    tokio::join!(stop, crash).0.unwrap();
    world.pass(SECOND * 5).await;
    let reason = |name| world.component(&supervisor, name).reason;
    assert_eq!((reason("db"), reason("web")), (Reason::StoppedByUser, Reason::WaitingForDependency));
    supervisor.command(Command::Start, &db).await.unwrap();
    world.pass(SECOND).await;
    assert!(world.component(&supervisor, "web").ready);
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_completed_component_waits_for_one_that_was_stopped() {
    let mut web = web();
    depends_on(&mut web, "migration", Condition::Completed);
    let mut migration = component("migration");
    migration.restart_policy = RestartPolicy::OnFailure;
    let world = World::new();
    world.ignore_term("migration");
    let supervisor = world.start(vec![migration, web]).await;
    world.pass(SECOND).await;
    let migration = names(&["migration"]);
    supervisor.command(Command::Stop, &migration).await.unwrap();
    world.pass(SECOND * 5).await;
    assert_eq!(world.component(&supervisor, "web").reason, Reason::WaitingForDependency);
    supervisor.command(Command::Start, &migration).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(world.component(&supervisor, "web").reason, Reason::WaitingForDependency);
    world.exit("migration", Exit::Code(0));
    world.pass(SECOND).await;
    assert!(world.component(&supervisor, "web").ready);
}

#[tokio::test(start_paused = true)]
async fn a_start_right_after_that_of_what_it_needs_waits_for_nothing() {
    let mut web = web();
    depends_on(&mut web, "db", Condition::Started);
    let world = World::new();
    let supervisor = world.start(vec![component("db"), web]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &names(&["db", "web"])).await.unwrap();
    supervisor.command(Command::Start, &names(&["db"])).await.unwrap();
    supervisor.command(Command::Start, &names(&["web"])).await.unwrap();
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_restart_of_several_is_newer() {
    for stopped in ["web", "db"] {
        let mut web = web();
        depends_on(&mut web, "db", Condition::Ready);
        let world = World::new();
        world.ignore_term("web");
        let supervisor = world.start(vec![component("db"), web]).await;
        world.pass(SECOND).await;
        let restarting = supervisor.clone();
        let restarted =
            tokio::spawn(async move { restarting.command(Command::Restart, &names(&["db", "web"])).await });
        world.pass(SECOND).await; // `web` is being stopped, and `db` waits for that.
        supervisor.command(Command::Stop, &names(&[stopped])).await.unwrap();
        restarted.await.unwrap().unwrap();
        let status = world.component(&supervisor, stopped);
        assert_eq!((status.state, status.reason), (State::Stopped, Reason::StoppedByUser), "{stopped}");
    }
}

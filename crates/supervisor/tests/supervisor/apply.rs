//! Other manifests, on a running supervisor and under one that takes over.

use super::*;

fn with_command(name: &str, command: &str) -> ComponentSpec {
    let mut spec = component(name);
    let vitald_core::spec::Workload::Process(process) = &mut spec.workload else { panic!("{spec:?}") };
    process.command = vec![command.into()];
    spec
}

fn with(mut spec: ComponentSpec, on: &str) -> ComponentSpec {
    depends_on(&mut spec, on, Condition::Ready);
    spec
}

/// Four components: `page` needs `web`, which needs `db`; `cron` stands alone.
fn before() -> Vec<ComponentSpec> {
    vec![component("db"), with(component("web"), "db"), with(component("page"), "web"), component("cron")]
}

/// `db` and `page` are others, `cron` is gone, `mail` is new.
fn after() -> Vec<ComponentSpec> {
    vec![
        with_command("db", "db2"),
        with(component("web"), "db"),
        with(with_command("page", "page2"), "web"),
        component("mail"),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_did_not_change_is_not_touched() {
    for dead in [false, true] {
        let world = World::new();
        let mut supervisor = world.start(before()).await;
        world.pass(SECOND).await;
        let plan = supervisor.plan(&after());
        assert_eq!(
            (plan.created, plan.changed, plan.removed, plan.unchanged),
            (names(&["mail"]), names(&["db", "page"]), names(&["cron"]), names(&["web"]))
        );
        let called = world.calls().len();
        if dead {
            world.crash(supervisor).await;
            supervisor = world.start(after()).await;
        } else {
            supervisor.apply(after()).await.unwrap();
        }
        world.pass(SECOND).await;
        let mut calls = world.calls()[called..].to_vec();
        calls.retain(|call| !call.starts_with("adopt"));
        let (mut down, mut up) = (calls[..3].to_vec(), calls[3..].to_vec());
        assert!(up[0] == "start db 2" || up[0] == "start mail 1", "{calls:?}");
        down.sort();
        up.sort();
        assert_eq!(down, ["terminate cron 1", "terminate db 1", "terminate page 1"]);
        assert_eq!(up, ["start db 2", "start mail 1", "start page 2"]);
        let status = supervisor.status().components;
        let seen: Vec<_> =
            status.iter().map(|c| (c.name.as_str(), c.ready, c.pid, c.restart_count)).collect();
        assert_eq!(
            seen,
            [
                ("db", true, Some(1002), 0),
                ("web", true, Some(1001), 0),
                ("page", true, Some(1002), 0),
                ("mail", true, Some(1001), 0)
            ]
        );
        assert!(!world.state_dir().record("cron").exists(), "what is gone is forgotten");
        assert!(supervisor.plan(&after()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn logs_are_kept_as_the_manifests_say_and_stop_nothing() {
    let world = World::new();
    let supervisor = world.start(vec![web(), component("cron")]).await;
    world.pass(SECOND).await;
    let called = world.calls().len();
    let mut other = web();
    other.logs.max_files = 2;
    let plan = supervisor.apply(vec![other.clone(), component("cron")]).await.unwrap();
    assert_eq!((plan.relabelled, plan.unchanged), (names(&["web"]), names(&["cron"])));
    assert_eq!(world.calls().len(), called, "nothing happened to what runs");
    assert_eq!(world.logs(), ["keep web 5", "keep cron 5", "keep web 2"]);
    world.crash(supervisor).await;
    let supervisor = world.start(vec![other]).await;
    world.pass(SECOND).await;
    supervisor.shutdown(ShutdownMode::Keep);
    supervisor.finished().await;
    let logs = world.logs();
    assert_eq!(logs[3], "end", "{logs:?}");
    assert!(logs[4..6].contains(&"keep web 2".to_owned()), "what was taken over is kept at once: {logs:?}");
    assert_eq!(&logs[6..], ["forget cron", "end"], "{logs:?}");
}

#[tokio::test(start_paused = true)]
async fn labels_alone_stop_nothing() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let mut labelled = web();
    labelled.labels.insert("tier".into(), "front".into());
    let plan = supervisor.apply(vec![labelled.clone()]).await.unwrap();
    assert_eq!(plan.relabelled, ["web"]);
    assert_eq!(supervisor.describe("web").unwrap().labels, labelled.labels);
    assert_eq!(world.calls(), ["start web 1"]);
    world.crash(supervisor).await;
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    assert_eq!(world.calls(), ["start web 1", "adopt web 1"]);
    assert!(supervisor.describe("web").unwrap().labels.is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_it_is_being_replaced_its_status_says_so() {
    let world = World::new();
    world.ignore_term("web");
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let applying = supervisor.clone();
    let applied = tokio::spawn(async move { applying.apply(vec![with_command("web", "web2")]).await });
    world.pass(SECOND).await;
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Restarting, Reason::SpecChanged));
    // It will be, anyway.
    supervisor.command(Command::Start, &names(&["web"])).await.unwrap();
    applied.await.unwrap().unwrap();
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.restarts_in_window, status.restart_count), (State::Running, 0, 0));
    assert_eq!(status.last_exit.unwrap().reason, "SpecChanged");
    assert_eq!(world.calls(), ["start web 1", "terminate web 1", "kill web 1", "start web 2"]);
}

#[tokio::test(start_paused = true)]
async fn another_spec_starts_what_had_failed_and_leaves_stopped_what_was_stopped() {
    for dead in [false, true] {
        let world = World::new();
        let mut web = web();
        web.restart.max_restarts = 0;
        let supervisor = world.start(vec![web.clone(), component("db")]).await;
        world.pass(SECOND).await;
        supervisor.command(Command::Stop, &names(&["db"])).await.unwrap();
        world.exit("web", Exit::Code(1));
        world.pass(SECOND).await;
        assert_eq!(world.component(&supervisor, "web").state, State::Failed);
        web.restart.max_restarts = 1;
        let changed = vec![web.clone(), with_command("db", "db2")];
        let supervisor = if dead {
            world.crash(supervisor).await;
            world.start(changed).await
        } else {
            supervisor.apply(changed).await.unwrap();
            supervisor
        };
        world.pass(SECOND).await;
        assert_eq!(world.component(&supervisor, "web").state, State::Running);
        assert_eq!(world.component(&supervisor, "db").reason, Reason::StoppedByUser);
        supervisor.command(Command::Start, &names(&["db"])).await.unwrap();
        assert_eq!(world.component(&supervisor, "db").state, State::Running);
        assert_eq!(supervisor.describe("db").unwrap().command, ["db2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn dependencies_of_a_new_spec_are_waited_for() {
    let world = World::new();
    let supervisor = world.start(vec![component("db"), component("web")]).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &names(&["db"])).await.unwrap();
    supervisor.apply(vec![component("db"), with(component("web"), "db")]).await.unwrap();
    let status = world.component(&supervisor, "web");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::WaitingForDependency));
    supervisor.command(Command::Start, &names(&["db"])).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_in_the_middle_of_it() {
    for mode in [ShutdownMode::Graceful, ShutdownMode::Now, ShutdownMode::Keep] {
        let world = World::new();
        world.ignore_term("db");
        let supervisor = world.start(before()).await;
        world.pass(SECOND).await;
        let applying = supervisor.clone();
        let applied = tokio::spawn(async move { applying.apply(after()).await });
        world.pass(SECOND).await;
        supervisor.shutdown(mode);
        tokio::time::timeout(SECOND * 30, supervisor.finished()).await.expect("it comes to its end");
        world.pass(SECOND).await;
        assert_eq!(applied.await.unwrap(), Err(CommandError::ShuttingDown));
        supervisor.unlock();
        assert!(!world.calls().iter().any(|call| call.starts_with("start mail")), "{:?}", world.calls());

        let supervisor = world.start(after()).await;
        world.pass(SECOND * 12).await;
        let status = supervisor.status().components;
        let ready: Vec<_> = status.iter().map(|c| (c.name.as_str(), c.ready)).collect();
        assert_eq!(ready, [("db", true), ("web", true), ("page", true), ("mail", true)], "{mode:?}");
        assert!(supervisor.plan(&after()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn specs_that_turn_around_who_depends_on_whom_come_through() {
    for dead in [false, true] {
        let world = World::new();
        let supervisor = world.start(vec![component("a"), with(component("b"), "a")]).await;
        world.pass(SECOND).await;
        let turned = vec![component("b"), with(component("a"), "b")];
        let supervisor = if dead {
            world.crash(supervisor).await;
            world.start(turned).await
        } else {
            supervisor.apply(turned).await.unwrap();
            supervisor
        };
        world.pass(SECOND).await;
        let status = supervisor.status().components;
        let seen: Vec<_> = status.iter().map(|c| (c.name.as_str(), c.ready, c.pid)).collect();
        assert_eq!(seen, [("b", true, Some(1002)), ("a", true, Some(1002))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_one_that_is_told_to_start_waits_for_what_it_depends_on() {
    let world = World::new();
    world.ignore_term("db");
    let supervisor = world.start(vec![component("db")]).await;
    world.pass(SECOND).await;
    let all = vec![with_command("db", "db2"), component("web"), with(component("page"), "web")];
    let applying = supervisor.clone();
    let applied = tokio::spawn(async move { applying.apply(all).await });
    world.pass(SECOND).await; // `db` takes its time, and the new ones wait for that.
    supervisor.command(Command::Start, &names(&["page"])).await.unwrap();
    let status = world.component(&supervisor, "page");
    assert_eq!((status.state, status.reason), (State::Stopped, Reason::WaitingForDependency));
    applied.await.unwrap().unwrap();
    world.pass(SECOND).await;
    assert!(world.component(&supervisor, "page").ready);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_while_a_new_one_is_made() {
    for mode in [ShutdownMode::Graceful, ShutdownMode::Now, ShutdownMode::Keep] {
        let world = World::new();
        let supervisor = world.start(before()).await;
        world.pass(SECOND).await;
        world.ends_with("mail", &supervisor, mode);
        let _ = supervisor.apply(after()).await;
        tokio::time::timeout(SECOND * 30, supervisor.finished()).await.expect("it comes to its end");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_looks_after_any_more_is_told_and_holds_up_nobody() {
    let world = World::new();
    let supervisor = world.start(vec![component("db"), web()]).await;
    world.pass(SECOND).await;
    world.breaks("web");
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await; // Its start panics in its own task.
    let told = events(&supervisor, "Unattended");
    assert_eq!(told, ["vitald has a bug: nobody looks after it any more until vitald is restarted"]);
    let all = vec![with_command("db", "db2"), with_command("web", "web2")];
    tokio::time::timeout(SECOND * 5, supervisor.apply(all)).await.expect("it comes to its end").unwrap();
    assert_eq!(world.calls().last().unwrap(), "start db 2");
    supervisor.shutdown(ShutdownMode::Graceful);
    tokio::time::timeout(SECOND * 5, supervisor.finished()).await.expect("it comes to its end");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looks_after_any_more_is_missing_and_hides_nothing_else() {
    let world = World::new();
    let all = vec![component("db"), web(), with(with(component("page"), "web"), "db")];
    let supervisor = world.start(all).await;
    world.pass(SECOND).await;
    supervisor.command(Command::Stop, &names(&["db"])).await.unwrap();
    world.breaks("web");
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await;
    world.exit("page", Exit::Code(1));
    world.pass(SECOND * 2).await;
    let page = world.component(&supervisor, "page");
    assert_eq!(page.message, "waits for `web` to be Ready and `db` to be Ready (it is Stopped)");
    supervisor.command(Command::Start, &names(&["db"])).await.unwrap();
    world.pass(SECOND).await;
    assert_eq!(world.component(&supervisor, "page").message, "waits for `web` to be Ready");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_in_the_midst_of_it_gets_its_new_spec_all_the_same() {
    let world = World::new();
    world.ignore_term("db");
    let supervisor = world.start(vec![component("db"), web()]).await;
    world.pass(SECOND).await;
    let web = names(&["web"]);
    supervisor.command(Command::Stop, &web).await.unwrap();
    let applying = supervisor.clone();
    let all = vec![with_command("db", "db2"), with_command("web", "web2")];
    let applied = tokio::spawn(async move { applying.apply(all).await });
    world.pass(SECOND).await; // `db` takes its time.
    supervisor.command(Command::Start, &web).await.unwrap();
    applied.await.unwrap().unwrap();
    assert_eq!(supervisor.describe("web").unwrap().command, ["web2"]);
    let mut calls = world.calls();
    calls.retain(|call| call.contains("web"));
    assert_eq!(calls, ["start web 1", "terminate web 1", "start web 2", "terminate web 2", "start web 3"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_once_the_starts_are_done() {
    let world = World::new();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    world.starts("web", fake::Start::Takes(SECOND * 5));
    supervisor.apply(vec![with_command("web", "web2")]).await.unwrap();
    assert_eq!(world.component(&supervisor, "web").state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn what_depends_by_way_of_others_goes_first() {
    let world = World::new();
    world.ignore_term("page");
    let supervisor = world.start(before()).await;
    world.pass(SECOND).await;
    let applying = supervisor.clone();
    let applied = tokio::spawn(async move { applying.apply(after()).await });
    world.pass(SECOND * 5).await;
    // `web`, between the two, did not change.
    assert!(!world.calls().contains(&"terminate db 1".to_owned()), "{:?}", world.calls());
    applied.await.unwrap().unwrap();
    let calls = world.calls();
    let place = |call: &str| calls.iter().position(|other| other == call).unwrap();
    assert!(place("kill page 1") < place("terminate db 1"), "{calls:?}");
}

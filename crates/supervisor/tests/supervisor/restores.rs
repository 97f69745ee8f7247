//! What the next supervisor finds, and what it makes of it.

use super::*;
use vitald_core::spec::Workload;

fn inheriting(all: bool) -> ComponentSpec {
    let mut web = web();
    let Workload::Process(process) = &mut web.workload else { panic!("{web:?}") };
    process.inherit_env = all;
    web
}

/// A supervisor that died when its component had been restarted once.
async fn died(world: &World) {
    died_with(world, inheriting(false)).await;
}

async fn died_with(world: &World, web: ComponentSpec) {
    world.environment("PATH", "/one");
    let supervisor = world.start(vec![web]).await;
    world.pass(SECOND).await;
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await;
    world.crash(supervisor).await;
    world.environment("PATH", "/two");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_it_knows_process_counters_and_environment() {
    let world = World::new();
    died(&world).await;
    let supervisor = world.start(vec![inheriting(false)]).await;
    world.pass(SECOND).await;
    let context = world.context("web");
    assert_eq!(context.previous.map(|process| process.pid), Some(1002));
    assert_eq!(context.inherited_env["PATH"], "/one");
    let status = world.component(&supervisor, "web");
    assert_eq!((status.restart_count, status.restarts_in_window), (1, 1));
    assert_eq!(world.calls().last().unwrap(), "adopt web 2");
}

#[tokio::test(start_paused = true)]
async fn in_another_boot_it_knows_neither_process_nor_window_nor_environment() {
    let world = World::new();
    died(&world).await;
    world.reboot();
    let supervisor = world.start(vec![inheriting(false)]).await;
    world.pass(SECOND).await;
    let context = world.context("web");
    assert_eq!((context.previous, context.inherited_env["PATH"].as_str()), (None, "/two"));
    let status = world.component(&supervisor, "web");
    assert_eq!((status.restart_count, status.restarts_in_window), (1, 0));
    assert_eq!(world.calls().last().unwrap(), "start web 3");
    assert_eq!(world.record("web")["bootId"], "another boot");
}

#[tokio::test(start_paused = true)]
async fn a_copied_state_dir_is_refused_while_the_components_of_the_original_run() {
    let world = World::new();
    died(&world).await;
    let lock = world.state_dir().component_lock("web");
    std::fs::rename(&lock, lock.with_extension("original")).unwrap();
    std::fs::copy(lock.with_extension("original"), &lock).unwrap();
    let before = world.record("web");
    let refused = world.begin(Wanted::Manifests(vec![inheriting(false)])).await.err().unwrap();
    assert!(refused.to_string().ends_with("components of that one run:\n  web: 1002 (sleep)"), "{refused}");
    assert_eq!((world.record("web"), world.calls().last().unwrap().as_str()), (before, "start web 2"));

    world.nobody_is_alive();
    let supervisor = world.start(vec![inheriting(false)]).await;
    world.pass(SECOND).await;
    let context = world.context("web");
    assert_eq!((context.previous, context.inherited_env["PATH"].as_str()), (None, "/two"));
    assert_eq!(world.calls().last().unwrap(), "start web 3");
    assert_eq!(world.component(&supervisor, "web").restarts_in_window, 0);
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_kept_where_as_much_of_it_is_inherited_as_before() {
    for (before, after, path) in
        [(true, true, "/one"), (false, false, "/one"), (false, true, "/two"), (true, false, "/two")]
    {
        let world = World::new();
        died_with(&world, inheriting(before)).await;
        let _supervisor = world.start(vec![inheriting(after)]).await;
        world.pass(SECOND).await;
        let context = world.context("web");
        assert_eq!((before, after, context.inherited_env["PATH"].as_str()), (before, after, path));
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_orderly_end_nothing_is_left_of_process_and_environment() {
    for mode in [ShutdownMode::Graceful, ShutdownMode::Now] {
        let world = World::new();
        world.environment("PATH", "/one");
        let supervisor = world.start(vec![inheriting(false)]).await;
        world.pass(SECOND).await;
        assert_eq!(world.record("web")["process"]["pid"], 1001);
        supervisor.shutdown(mode);
        supervisor.finished().await;
        let record = world.record("web");
        assert!(record["process"].is_null() && record["inheritedEnv"].is_null(), "{record}");
        supervisor.unlock();
        world.environment("PATH", "/two");
        let _supervisor = world.start(vec![inheriting(false)]).await;
        let context = world.context("web");
        assert_eq!((context.previous, context.inherited_env["PATH"].as_str()), (None, "/two"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_put_aside_and_told() {
    for (text, why) in [
        ("{\"version\": 1, \"na", "EOF while parsing"),
        ("{}", "it has no version"),
        ("{\"version\": 1}", "it is of version 1, and 2 is known"),
        ("{\"version\": 2}", "missing field"),
    ] {
        let world = World::new();
        drop(world.state_dir().lock().unwrap());
        let path = world.state_dir().record("web");
        std::fs::write(&path, text).unwrap();
        let supervisor = world.start(vec![web()]).await;
        world.pass(SECOND).await;
        let (events, _) = supervisor.events();
        let read: Vec<_> = events.iter().filter(|event| event.reason == "FailedRead").collect();
        assert_eq!((read.len(), read[0].kind, read[0].component.as_str()), (1, EventType::Warning, "web"));
        assert!(read[0].message.contains(why), "{}", read[0].message);
        assert_eq!(std::fs::read_to_string(path.with_extension("json.bad")).unwrap(), text);
        assert_eq!(world.component(&supervisor, "web").state, State::Running);
        assert_eq!(world.record("web")["process"]["pid"], 1001);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_made_good() {
    let world = World::new();
    let _supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    let folder = world.state_dir().path().join("components");
    std::fs::remove_dir_all(&folder).unwrap();
    world.exit("web", Exit::Code(1));
    world.pass(SECOND * 2).await;
    std::fs::create_dir(&folder).unwrap();
    world.pass(SECOND * 6).await;
    assert_eq!(world.record("web")["process"]["pid"], 1002);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_what_is_gone_that_cannot_be_read_is_kept_and_told() {
    let world = World::new();
    drop(world.state_dir().lock().unwrap());
    let path = world.state_dir().record("cron");
    std::fs::write(&path, "{\"version\": 3}").unwrap();
    let supervisor = world.start(vec![web()]).await;
    world.pass(SECOND).await;
    assert_eq!(std::fs::read_to_string(path.with_extension("json.bad")).unwrap(), "{\"version\": 3}");
    assert!(!path.exists());
    let told = events(&supervisor, "FailedRead");
    assert!(told.len() == 1 && told[0].ends_with("what may run of it is left alone"), "{told:?}");
}

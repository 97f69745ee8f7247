//! Processes that end, by themselves or by hand: the answer is unknown and says why, and there is another one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use vitald_core::probe::ProbeResult;
use vitald_plugin::NoticeKind;

use crate::world::{
    World, ask, ask_briefly, counted, counted_again, folder, is_alive, kill, skip, wait_for, why,
};

/// The library's process ends in a check; a probe of another library does not notice.
#[track_caller]
fn ends(does: serde_json::Value, how: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (dir, other_dir) = (folder(&["libodd.so"]), folder(&["libodd.so"]));
        let (world, others) = (World::of(dir.path()), World::of(other_dir.path()));
        let other = others.probe(json!("count"));
        let before = counted(&*other).await;

        let good = world.probe(json!("count"));
        let (_, _, first) = counted(&*good).await;
        let file = dir.path().join("libodd.so");
        let why = why(ask(&*world.probe(does)).await);
        let sentence = format!("the host of odd-probes ({}) {how}", file.display());
        assert!(why.starts_with(&sentence), "{why}");
        assert_eq!(world.told(NoticeKind::Ended), [why]);

        // Another process is there at once, and builds its own probes.
        let (_, check, second) = counted(&*good).await;
        assert_eq!(check, 1);
        assert_ne!(first, second);
        assert!(!is_alive(first));
        let after = counted(&*other).await;
        assert_eq!((before.0, before.1 + 1, before.2), after);
    });
}

#[test]
fn an_abort() {
    ends(json!("abort"), "was ended by SIGABRT");
}

#[test]
fn a_segmentation_fault() {
    ends(json!({ "signal": "SEGV" }), "was ended by SIGSEGV");
}

#[test]
fn an_exit() {
    ends(json!({ "exit": 3 }), "exited with status 3");
}

#[test]
fn a_stack_that_overflows() {
    ends(json!("overflow"), "was ended by SIGSEGV");
}

#[test]
fn a_leak_ends_where_the_memory_that_it_may_use_does() {
    ends(json!("leak"), "was ended by SIGABRT: memory allocation of ");
}

#[tokio::test]
async fn a_panic_ends_nothing() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, process) = counted(&*good).await;
    let why = why(ask(&*world.probe(json!("panic"))).await);
    assert_eq!(why, "the odd probe of odd-probes panicked: odd as ever");
    assert_eq!(counted(&*good).await.2, process);
}

/// Nobody waits for it any more, and it goes on: its process is ended, and replaced.
async fn is_ended_after_its_time(does: serde_json::Value) {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, first) = counted(&*good).await;
    let bad = world.probe(does);
    assert_eq!(ask_briefly(&*bad).await, None);
    wait_for("its process has ended", || !is_alive(first)).await;
    wait_for("that is told", || !world.told(NoticeKind::Ended).is_empty()).await;
    let told = world.told(NoticeKind::Ended);
    let expected = "was ended, since a check of odd did not end within 1 s after its time was over";
    assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    assert_ne!(counted(&*good).await.2, first);
}

#[tokio::test]
async fn an_endless_loop() {
    is_ended_after_its_time(json!("loop")).await;
}

#[tokio::test]
async fn a_check_that_blocks_its_thread() {
    is_ended_after_its_time(json!("block")).await;
}

#[tokio::test]
async fn a_check_that_only_waits_is_dropped_and_its_process_stays() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, process) = counted(&*good).await;
    let pending = world.probe(json!("pend"));
    for _ in 0..3 {
        assert_eq!(ask_briefly(&*pending).await, None);
    }
    // Longer than one that does not let go has.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(counted(&*good).await.2, process);
    assert!(world.told(NoticeKind::Ended).is_empty());
}

#[tokio::test]
async fn signals_by_hand() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    for (signal, name) in [(Signal::SIGSEGV, "SIGSEGV"), (Signal::SIGKILL, "SIGKILL")] {
        let (_, _, process) = counted_again(&*good).await;
        kill(process, signal);
        let told = format!("was ended by {name}");
        wait_for(&told, || world.told(NoticeKind::Ended).iter().any(|text| text.ends_with(&told))).await;
    }
    let (_, _, process) = counted_again(&*good).await;
    kill(process, Signal::SIGSTOP);
    assert_eq!(ask_briefly(&*good).await, None);
    wait_for("the stopped process has ended", || !is_alive(process)).await;
    wait_for("that is told", || world.told(NoticeKind::Ended).len() == 3).await;
    let told = world.told(NoticeKind::Ended);
    assert!(told[2].ends_with("its process had been stopped by a signal"), "{told:?}");
    counted_again(&*good).await;
}

#[tokio::test]
async fn one_that_ends_again_and_again_is_started_ever_later() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let bad = world.probe(json!("abort"));
    let dead = "was ended by SIGABRT";
    assert!(why(ask(&*bad).await).contains(dead));
    assert!(why(ask(&*bad).await).contains(dead));
    // The second one in a row is not replaced at once, and that is said at once.
    let since = Instant::now();
    let why = why(ask(&*bad).await);
    assert!(why.ends_with("; it is started again in 1 s") && why.contains(dead), "{why}");
    assert!(since.elapsed() < Duration::from_secs(1));
    // It comes, all the same.
    let good = world.probe(json!("succeed"));
    wait_for("the delay is over", || since.elapsed() > Duration::from_secs(1)).await;
    assert_eq!(ask(&*good).await, ProbeResult::Success);
}

/// The pid of what a check left behind.
async fn left_behind(world: &World, how: &str) -> i32 {
    let pid = ask(&*world.probe(json!(how))).await.message().parse().unwrap();
    assert!(is_alive(pid));
    pid
}

#[tokio::test]
async fn what_it_has_started_ends_with_it() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let (child, daemon) =
        (left_behind(&world, "leaveBehind").await, left_behind(&world, "leaveDaemon").await);
    ask(&*world.probe(json!("abort"))).await;
    wait_for("what it left behind has ended", || !is_alive(child) && !is_alive(daemon)).await;
    // Also where all ends.
    let (child, daemon) =
        (left_behind(&world, "leaveBehind").await, left_behind(&world, "leaveDaemon").await);
    drop(world);
    assert!(!is_alive(child) && !is_alive(daemon));
}

#[tokio::test]
async fn what_it_has_started_is_reaped_whoever_its_parent_was() {
    vitald_process::become_subreaper().unwrap();
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let file = dir.path().join("pid");
    // One in the group of the library's process, whose parent leaves that group.
    let script = format!("sleep 1000 & echo $! > {}; exec setsid sleep 1000", file.display());
    let probe = world.probe(json!({ "leave": ["sh", "-c", script] }));
    let parent: i32 = ask(&*probe).await.message().parse().unwrap();
    let mut child = None;
    wait_for("the child's pid is told", || {
        child = fs::read_to_string(&file).ok().and_then(|pid| pid.trim().parse::<i32>().ok());
        child.is_some()
    })
    .await;
    let child = child.unwrap();
    let session = |pid: i32| nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid)));
    wait_for("the parent has left", || session(parent) != session(child)).await;
    drop((probe, world));
    for pid in [parent, child] {
        let is_there = || fs::exists(format!("/proc/{pid}")).unwrap();
        wait_for(&format!("{pid} of {parent} and {child} is reaped"), || !is_there()).await;
    }
}

#[tokio::test]
async fn what_ends_without_a_parent_is_reaped_while_its_library_lives() {
    // In the group of its library's process, and in another.
    for does in ["leave", "leaveGroup"] {
        an_orphan_is_reaped(does).await;
    }
}

/// As in a container that somebody enters: getsid(2) and getpgrp(2) say 0 where their leader is outside.
#[test]
fn what_ends_without_a_parent_is_reaped_in_a_session_from_outside() {
    let as_root = if nix::unistd::geteuid().is_root() { &[][..] } else { &["--user", "--map-root-user"] };
    let within = |program: &Path, args: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(as_root)
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(program)
            .args(args);
        unshare.output().unwrap()
    };
    if !within(Path::new("true"), &[]).status.success() {
        return skip("no namespace of pids can be had");
    }
    let again = ["--exact", "deaths::what_ends_without_a_parent_is_reaped_while_its_library_lives"];
    let output = within(&std::env::current_exe().unwrap(), &again);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

async fn an_orphan_is_reaped(does: &str) {
    vitald_process::become_subreaper().unwrap();
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, process) = counted(&*good).await;
    let file = dir.path().join("pid");
    let script = format!("sh -c 'echo $$ > {}; exec sleep 0.5' &", file.display());
    ask(&*world.probe(json!({ does: ["sh", "-c", script] }))).await;
    let mut orphan = String::new();
    wait_for("its pid is told", || {
        orphan = fs::read_to_string(&file).unwrap_or_default();
        !orphan.is_empty()
    })
    .await;
    let there = format!("/proc/{}", orphan.trim());
    wait_for(&format!("what `{does}` has left is reaped"), || !fs::exists(&there).unwrap()).await;
    assert_eq!(counted(&*good).await.2, process);
}

#[tokio::test]
async fn a_constructor_that_does_not_return_costs_its_process_only() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let context = vitald_core::probe::ComponentContext::default();
    let validate = |config| world.registry.validate("odd", &config, &context).map_err(|err| err.to_string());
    validate(json!({ "does": "count" })).unwrap();
    let wrong = validate(json!({ "inBuild": { "fail": "must be otherwise" } })).unwrap_err();
    assert_eq!(wrong, "does: must be otherwise");
    let unknown = validate(json!({ "dose": "count" })).unwrap_err();
    assert!(unknown.contains("unknown field `dose`"), "{unknown}");
    let panicked = validate(json!({ "inBuild": "panic" })).unwrap_err();
    assert_eq!(panicked, "the odd probe of odd-probes panicked: odd as ever");
    for _ in 0..3 {
        let aborted = validate(json!({ "inBuild": "abort" })).unwrap_err();
        assert!(aborted.ends_with("was ended by SIGABRT"), "{aborted}");
    }
    // Others do not pay for that.
    validate(json!({ "does": "count" })).unwrap();

    let since = Instant::now();
    let stuck = validate(json!({ "inBuild": "loop" })).unwrap_err();
    assert!(stuck.contains("building a probe odd did not end within 5 s"), "{stuck}");
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_a_run_needs_is_asked_once() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    assert!(world.registry.needs("odd", &json!({ "inNeeds": "count" })).notify_socket);
    assert!(!world.registry.needs("odd", &json!({})).notify_socket);
    // One that cannot tell needs nothing, and the next who asks does not wait for that.
    assert!(!world.registry.needs("odd", &json!({ "inNeeds": "abort" })).notify_socket);
    assert!(!world.registry.needs("odd", &json!({ "inNeeds": "abort" })).notify_socket);
    assert_eq!(world.told(NoticeKind::Ended).len(), 1);
}

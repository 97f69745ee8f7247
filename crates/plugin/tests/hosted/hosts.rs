//! What the process of a library is given, and what it is not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use vitald_core::probe::ProbeResult;
use vitald_plugin::{Limits, NoticeKind};

use crate::world::{
    PATIENCE, World, ask, counted, folder, hosts_of, is_alive, kill, our_host, script, wait_for,
};

#[tokio::test]
async fn it_has_a_name_and_limits_and_nothing_of_ours() {
    let dir = folder(&["libodd.so"]);
    // As the state dir's lock is: whatever Rust opens is closed in children.
    let lock = fs::File::create(dir.path().join("lock")).unwrap();
    let world = World::of(dir.path());
    let (_, _, process) = counted(&*world.probe(json!("count"))).await;

    let file = dir.path().join("libodd.so");
    let hosts = hosts_of(&file);
    assert_eq!(hosts[&process], format!("vitald __probe-host {}", file.display()));
    let comm = fs::read_to_string(format!("/proc/{process}/comm")).unwrap();
    assert_eq!(comm, "vitald-probes\n");

    let open = ask(&*world.probe(json!("descriptors"))).await.message().to_owned();
    drop(lock);
    let is_expected = |link: &&str| {
        let kinds = ["/dev/null", "pipe:", "socket:", "anon_inode:", "/memfd:libodd.so"];
        kinds.iter().any(|kind| link.starts_with(kind)) || link.contains("/fd")
    };
    let odd: Vec<_> = open.lines().filter(|link| !is_expected(link)).collect();
    assert!(odd.is_empty(), "{odd:?} in\n{open}");
    // The one to us; a runtime's are unnamed pairs for signals.
    assert!(open.lines().any(|link| link.starts_with("socket:")), "{open}");

    for (name, limit) in
        [("Max data size", "536870912"), ("Max open files", "256"), ("Max core file size", "0")]
    {
        assert_eq!(limits(process, name), [limit, limit], "{name}");
    }
    let oom = fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
    assert_eq!(oom, "500\n");

    // It stands where we stand, and sees what we see.
    let ours = std::env::current_dir().unwrap();
    assert_eq!(fs::read_link(format!("/proc/{process}/cwd")).unwrap(), ours);
    let path = ask(&*world.probe(json!({ "environment": "PATH" }))).await;
    assert_eq!(path.message(), format!("{:?}", std::env::var_os("PATH")));
    assert_eq!(fs::metadata(format!("/proc/{process}")).unwrap().uid(), nix::unistd::getuid().as_raw());
}

/// The soft one and the hard one.
fn limits(process: i32, name: &str) -> [String; 2] {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
    let mut words = line[name.len()..].split_whitespace().map(ToOwned::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

#[tokio::test]
async fn its_limits_are_those_that_somebody_wants() {
    let dir = folder(&["libodd.so"]);
    // More files than a shell has usually, and less than it may have.
    let wanted = Limits { memory: 64 << 20, open_files: 2000 };
    let world = World::limited(dir.path(), our_host(), wanted);
    let (_, _, process) = counted(&*world.probe(json!("count"))).await;
    assert_eq!(limits(process, "Max data size"), ["67108864"; 2]);
    assert_eq!(limits(process, "Max open files"), ["2000"; 2]);
    let leaks = ask(&*world.probe(json!("leak"))).await;
    assert!(leaks.message().contains("was ended by SIGABRT"), "{leaks:?}");
    // With as little as may be said it works.
    let world = World::limited(dir.path(), our_host(), Limits { memory: 64 << 20, open_files: 64 });
    let said = ask(&*world.probe(json!({ "runMany": [40, ["echo", "-n", "."]] }))).await;
    assert_eq!(said, ProbeResult::failure(".".repeat(40)));
}

#[tokio::test]
async fn it_ends_with_the_last_who_might_ask() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let probe = world.probe(json!("count"));
    let (_, _, process) = counted(&*probe).await;
    drop(world);
    // The probe is asked by somebody still.
    assert_eq!(counted(&*probe).await.2, process);
    drop(probe);
    wait_for("the process has ended", || !is_alive(process)).await;
}

/// The folders with the libraries of a test that is to be killed.
const VICTIM: &str = "VITALD_TEST_VICTIM";

#[tokio::test]
async fn it_ends_with_a_supervisor_that_is_killed() {
    if let Ok(folders) = std::env::var(VICTIM) {
        let (one, two) = folders.split_once(':').unwrap();
        return be_the_victim(one.as_ref(), two.as_ref()).await;
    }
    let (one, two) = (folder(&["libodd.so"]), folder(&["libodd.so"]));
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hosts::it_ends_with_a_supervisor_that_is_killed", "--nocapture"])
        .env(VICTIM, format!("{}:{}", one.path().display(), two.path().display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids = lines.find_map(|line| line.strip_prefix("its own: ").map(str::to_owned)).unwrap();
    let pids: Vec<i32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 4 && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_for("all of it has ended", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

/// Has two libraries: a process of one that was stopped, and one that has started others.
async fn be_the_victim(one: &Path, two: &Path) {
    let (world, stopped) = (World::of(one), World::of(two));
    let (_, _, process) = counted(&*world.probe(json!("count"))).await;
    let child = ask(&*world.probe(json!("leaveBehind"))).await.message().to_owned();
    let daemon = ask(&*world.probe(json!("leaveDaemon"))).await.message().to_owned();
    let (_, _, second) = counted(&*stopped.probe(json!("count"))).await;
    kill(second, nix::sys::signal::Signal::SIGSTOP);
    let mut out = std::io::stdout();
    writeln!(out, "\nits own: {process} {child} {daemon} {second}").unwrap();
    // What nobody kills ends all the same.
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test]
async fn it_goes_when_it_has_had_nothing_to_do_for_a_while() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let file = dir.path().join("libodd.so");
    assert_eq!(hosts_of(&file).len(), 1, "it was asked what it is just now");
    wait_for("the process has ended", || hosts_of(&file).is_empty()).await;
    assert!(world.told(NoticeKind::Ended).is_empty());
    // And comes again.
    assert_eq!(ask(&*world.probe(json!("succeed"))).await, ProbeResult::Success);
}

#[tokio::test]
async fn one_with_a_probe_stays_and_does_nothing() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let probe = world.probe(json!("count"));
    let (_, _, process) = counted(&*probe).await;
    let switches = || {
        let status = |task: std::path::PathBuf| fs::read_to_string(task.join("status")).unwrap();
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let all = tasks.map(|task| status(task.unwrap().path())).collect::<String>();
        let voluntary = all.lines().filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        voluntary.map(|number| number.trim().parse::<u64>().unwrap()).sum::<u64>()
    };
    // Threads for what may block go away after a while, and that is the last that moves.
    let mut before = switches();
    wait_for("nothing moves for a second", || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = switches();
        std::mem::replace(&mut before, now) == now
    })
    .await;
    assert!(is_alive(process));
}

#[tokio::test]
async fn what_it_prints_is_told_within_reason() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    assert_eq!(ask(&*world.probe(json!({ "print": 3 }))).await, ProbeResult::Success);
    wait_for("three lines", || world.told(NoticeKind::Output).len() == 3).await;
    assert_eq!(world.told(NoticeKind::Output), ["line 1", "line 2", "line 3"]);
    // A flood blocks nobody, and is not told line by line.
    assert_eq!(ask(&*world.probe(json!({ "print": 100_000 }))).await, ProbeResult::Success);
    assert!(world.told(NoticeKind::Output).len() < 100);
}

#[tokio::test]
async fn a_check_may_run_commands_where_its_component_runs() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    // Its parent is who asks, and not the process of the library.
    let said = ask(&*world.probe(json!({ "run": ["sh", "-c", "echo $PPID"] }))).await;
    assert_eq!(said.message().trim(), std::process::id().to_string());
    // One that is given up ends its command.
    let mark = format!("1000.{}", std::process::id());
    let runs = || hosts_of(mark.as_ref()).len();
    let sleeps = world.probe(json!({ "run": ["sleep", mark] }));
    tokio::select! {
        _ = ask(&*sleeps) => panic!("it has slept already"),
        () = wait_for("it sleeps", || runs() == 1) => {}
    }
    wait_for("its command has ended", || runs() == 0).await;
}

#[tokio::test]
async fn it_bears_with_few_descriptors() {
    let dir = folder(&["libodd.so"]);
    let program = our_host().program;
    let world = World::with(
        dir.path(),
        script(&format!("ulimit -n 100; exec {} __probe-host \"$0\"", program.display())),
    );
    assert_eq!(ask(&*world.probe(json!("succeed"))).await, ProbeResult::Success);
}

#[tokio::test]
async fn a_check_may_run_more_commands_than_may_run_at_once() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let said = ask(&*world.probe(json!({ "runMany": [100, ["echo", "-n", "."]] }))).await;
    assert_eq!(said, ProbeResult::failure(".".repeat(100)));
}

#[tokio::test]
async fn what_a_check_leaves_running_may_ask_for_nothing_any_more_and_harms_nobody() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, process) = counted(&*good).await;
    assert_eq!(ask(&*world.probe(json!({ "runLater": ["echo", "done"] }))).await, ProbeResult::Success);
    wait_for("it has tried", || !world.told(NoticeKind::Output).is_empty()).await;
    let refused = "later: asking the supervisor to run a command: its check has ended";
    assert_eq!(world.told(NoticeKind::Output), [refused]);
    assert_eq!(counted(&*good).await.2, process);
    assert!(world.told(NoticeKind::Ended).is_empty());
}

#[tokio::test]
async fn many_at_once_do_not_wait_for_each_other() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let probes: Vec<_> = (0..200).map(|_| world.probe(json!({ "sleep": 500 }))).collect();
    let since = std::time::Instant::now();
    let all = futures_util::future::join_all(probes.iter().map(|probe| ask(&**probe))).await;
    assert!(all.iter().all(|result| *result == ProbeResult::Success), "{all:?}");
    // One after the other, they would take a hundred seconds.
    assert!(since.elapsed() < std::time::Duration::from_secs(30), "{:?}", since.elapsed());
}

//! Cgroups: nothing escapes a stop, limits hold, and what was too greedy is told.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vitald_core::restarter::{Adoption, Exit, Restarter, RunId};
use vitald_process::{capabilities, is_same, procfs};

use crate::bed::{Bed, CLOSE_ALL, clear, eventually, is_alive, skip, within};
use crate::earlier::{Earlier, RUN};

/// A component with a descendant that no trace leads to but its cgroup: parents gone, session of its own,
/// environment cleared, descriptors closed. It writes its pid before it closes them.
fn with_fugitive() -> Bed {
    let bed = Bed::new(&["bash", "-c", "(setsid env -i /bin/bash $FUGITIVE & ) ; exec sleep 1000"]);
    let script = format!("echo $$\nexec >/dev/null 2>&1\n{CLOSE_ALL}\nexec /bin/sleep 1000\n");
    let script = bed.write("fugitive", &script, 0o755);
    bed.env("FUGITIVE", &script.to_string_lossy())
}

async fn fugitive(bed: &Bed) -> i32 {
    let pid = bed.numbers(1).await[0];
    let is_away = |stat: procfs::Stat| stat.comm == "sleep" && stat.session == pid;
    eventually("it is on the run", || procfs::stat(pid).is_some_and(is_away)).await;
    pid
}

/// Whether what follows can be tested here.
pub(crate) fn have(name: &str) -> bool {
    let all = capabilities();
    let capability = all.iter().find(|capability| capability.name == name).unwrap();
    if !capability.available {
        skip(&format!("{name}: {}", capability.found));
    }
    capability.available
}

pub(crate) fn is_off() -> bool {
    std::env::var_os("VITALD_CGROUPS").is_some()
}

/// The folders of a process's cgroups.
fn cgroups_of(pid: i32) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts: Vec<&str> = mounts.lines().filter(|line| line.contains(" - cgroup")).collect();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let paths: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let mut found = Vec::new();
    for mount in mounts.iter().filter_map(|line| line.split(' ').nth(4)) {
        found.extend(paths.iter().map(|path| PathBuf::from(format!("{mount}{path}"))));
    }
    found.retain(|dir| {
        fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|p| p.lines().any(|p| p == pid.to_string()))
    });
    found
}

#[tokio::test]
async fn a_run_lives_in_a_cgroup_of_its_own_that_goes_with_it() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    let bed = Bed::sh("cat /proc/self/cgroup; exec sleep 1000");
    let run = bed.start().await;
    eventually("it has told", || bed.log().lines().any(|line| line.starts_with("0::"))).await;
    assert!(bed.log().contains("/vitald/it."), "it was in there from its birth: {}", bed.log());
    let dirs = cgroups_of(run.process().pid);
    let own: Vec<_> = dirs.iter().filter(|dir| dir.to_string_lossy().contains("/vitald/it.")).collect();
    assert!(!own.is_empty(), "{dirs:?}");
    assert_eq!(run.shortcomings(), Vec::<String>::new());
    clear(&run).await;
    assert!(own.iter().all(|dir| !dir.exists()), "{own:?}");
}

#[tokio::test]
async fn its_cgroups_go_with_a_run_that_is_not_waited_for_any_further() {
    if is_off() || !have("cgroup v2") || !have("memory limits") {
        return;
    }
    let mut bed = Bed::sh("exit 3");
    bed.spec.memory_limit = Some(64 << 20);
    for _ in 0..2 {
        let run = bed.start().await;
        assert_eq!(within("its end", run.exited()).await, Exit::Code(3));
        assert!(!bed.cgroups().is_empty());
        eventually("nothing of it is left", || !run.is_alive()).await;
        assert_eq!(bed.cgroups(), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn nothing_escapes_a_stop() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    let bed = with_fugitive();
    let run = bed.start().await;
    let fugitive = fugitive(&bed).await;
    assert!(run.survivors().iter().any(|s| s.starts_with(&fugitive.to_string())), "{:?}", run.survivors());
    run.terminate().unwrap();
    within("its end", run.exited()).await;
    within("the end of its tree", run.gone()).await;
    assert!(!is_alive(fugitive), "it hears SIGTERM");

    let run = bed.start().await;
    eventually("another", || bed.log().lines().count() == 2).await;
    clear(&run).await;
    assert!(!bed.numbers(2).await.into_iter().any(is_alive), "and SIGKILL");
}

#[tokio::test]
async fn nothing_escapes_the_next_supervisor() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    for recorded in [true, false] {
        let bed = with_fugitive();
        let earlier = Earlier::start(&bed).await;
        let fugitive = fugitive(&bed).await;
        let record = earlier.die();
        let record = Some(record).filter(|_| recorded);
        let adoption = bed.restarter().adopt(RUN, record.as_ref(), 0).await.unwrap();
        let Adoption::Running(run) = adoption else { panic!("it runs") };
        clear(&run).await;
        assert!(!is_alive(fugitive));
    }
}

#[tokio::test]
async fn what_lives_in_its_cgroup_occupies_a_name() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    let bed = with_fugitive();
    let run = bed.start().await;
    let fugitive = fugitive(&bed).await;
    let main = run.process();
    drop(run);
    kill(Pid::from_raw(main.pid), Signal::SIGKILL).unwrap();
    eventually("the main process is dead", || !is_same(&main)).await;
    assert!(is_alive(fugitive));
    let adoption = bed.restarter().adopt(RUN, Some(&main), 0).await.unwrap();
    let Adoption::Ended(run) = adoption else { panic!("its main process has ended, another lives on") };
    assert!(run.is_alive());
    drop(run);
    let run = bed.start().await;
    assert!(!is_alive(fugitive));
    clear(&run).await;
}

#[tokio::test]
async fn it_is_found_where_an_earlier_supervisor_lived() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    // What is there is looked for once in a supervisor's life: so, one that begins its life now.
    let own = cgroups_of(procfs::own_pid());
    let base = own.iter().find(|dir| dir.join("cgroup.subtree_control").exists()).unwrap();
    let elsewhere = base.join(format!("vitald-tests-{}", procfs::own_pid()));
    fs::create_dir(&elsewhere).unwrap();
    let script = "echo $$ >$0/cgroup.procs && exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(&elsewhere)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "cgroups::as_one_that_lives_elsewhere"])
        .env("LIVES_ELSEWHERE", base)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let vitald = elsewhere.join("vitald");
    assert!(!vitald.exists() || fs::read_dir(&vitald).unwrap().flatten().all(|e| !e.path().is_dir()));
    let _ = fs::remove_dir(vitald);
    fs::remove_dir(elsewhere).unwrap();
}

/// Not a test by itself: begins in one cgroup, moves to another, and takes over what began in the first.
#[tokio::test]
async fn as_one_that_lives_elsewhere() {
    let Some(base) = std::env::var_os("LIVES_ELSEWHERE").map(PathBuf::from) else { return };
    let bed = with_fugitive();
    let earlier = Earlier::start(&bed).await;
    let fugitive = fugitive(&bed).await;
    let record = earlier.die();
    fs::write(base.join("cgroup.procs"), "0").unwrap();
    kill(Pid::from_raw(record.pid), Signal::SIGKILL).unwrap();
    eventually("the main process is dead", || !is_same(&record)).await;
    let run = bed.start().await;
    assert!(!is_alive(fugitive));
    clear(&run).await;
}

/// As in a scope that systemd has handed to a user.
#[tokio::test]
async fn an_ordinary_user_has_cgroups_where_one_is_delegated() {
    if is_off() || !nix::unistd::geteuid().is_root() || !have("cgroup v2") {
        return;
    }
    let own = cgroups_of(procfs::own_pid());
    let base = own.iter().find(|dir| dir.join("cgroup.subtree_control").exists()).unwrap();
    let delegated = base.join(format!("vitald-delegated-{}", procfs::own_pid()));
    fs::create_dir(&delegated).unwrap();
    let nobody = 65_534;
    let to_nobody = |path: &Path| std::os::unix::fs::chown(path, Some(nobody), Some(nobody)).unwrap();
    to_nobody(&delegated);
    to_nobody(&delegated.join("cgroup.procs"));
    // Where it lies, it may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    to_nobody(folder.path());
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let tests = [
        "cgroups::a_run_lives_in_a_cgroup_of_its_own_that_goes_with_it",
        "cgroups::nothing_escapes_a_stop",
        "cgroups::nothing_escapes_the_next_supervisor",
        "adopt::its_exit_is_told_with_its_status",
        "isolation::only_root_may_switch_users",
    ];
    let mut user = Command::new("sh")
        .args(["-c", "read moved; exec \"$@\"", "sh"])
        .arg(&program)
        .args(["--exact", "--show-output"])
        .args(tests)
        .current_dir(&folder)
        .env("TMPDIR", folder.path())
        .uid(nobody)
        .gid(nobody)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fs::write(delegated.join("cgroup.procs"), user.id().to_string()).unwrap();
    user.stdin.take().unwrap().write_all(b"moved\n").unwrap();
    let output = user.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let _ = fs::remove_dir(delegated.join("vitald"));
    fs::remove_dir(delegated).unwrap();
    assert!(told.contains("5 passed") && !told.contains("skipped:"), "{told}");
}

#[tokio::test]
async fn a_fork_bomb_can_be_stopped() {
    if is_off() || !have("cgroup v2") {
        return;
    }
    // Ten generations at most: this machine is to survive a failure of the test.
    let bed = Bed::sh("exec sh $BOMB $BOMB 10");
    let script = "echo $$\n[ $2 -gt 0 ] || exec sleep 1000\nfor i in 1 2; do \
                  env -i /usr/bin/setsid /bin/sh $1 $1 $(($2 - 1)) & done\nexec sleep 1000\n";
    let script = bed.write("bomb", script, 0o755);
    let bed = bed.env("BOMB", &script.to_string_lossy());
    let run = bed.start().await;
    bed.numbers(60).await;
    clear(&run).await;
    let pids: Vec<i32> = bed.log().lines().filter_map(|line| line.parse().ok()).collect();
    assert!(!pids.into_iter().any(is_alive));
    let lines = bed.log().lines().count();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(bed.log().lines().count(), lines, "none is left to write");
}

#[tokio::test]
async fn too_much_memory_is_told_as_such() {
    if is_off() || !have("memory limits") {
        return;
    }
    let mut bed = Bed::sh("while ! [ -e $GO ]; do sleep 0.02; done; exec tail /dev/zero");
    bed.spec.memory_limit = Some(32 << 20);
    let go = bed.path("go");
    let bed = bed.env("GO", &go.to_string_lossy());
    let run = bed.start().await;
    assert_eq!(run.shortcomings(), Vec::<String>::new());
    fs::write(&go, "").unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::OomKilled);
    let dirs = bed.cgroups();
    assert!(!dirs.is_empty());
    within("the end of its tree", run.gone()).await;
    assert_eq!(run.exited().await, Exit::OomKilled, "it stays known");
    assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?}");

    fs::remove_file(&go).unwrap();
    let record = Earlier::start(&bed).await.die();
    let adoption = bed.restarter().adopt(RUN, Some(&record), 0).await.unwrap();
    let Adoption::Running(run) = adoption else { panic!("it runs") };
    assert_eq!(run.shortcomings(), Vec::<String>::new());
    fs::write(&go, "").unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::OomKilled, "also under the next supervisor");
    within("the end of its tree", run.gone()).await;

    fs::remove_file(&go).unwrap();
    let run = bed.start().await;
    clear(&run).await;
    assert_eq!(run.exited().await, Exit::Signal("SIGKILL".into()), "that was us");
}

#[tokio::test]
async fn the_share_of_the_processor_is_set() {
    if is_off() || !have("cpu limits") {
        return;
    }
    let mut bed = Bed::new(&["sleep", "1000"]);
    bed.spec.cpu_limit_millis = Some(250);
    let run = bed.start().await;
    let dirs = cgroups_of(run.process().pid);
    let read = |file: &str| dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
    let quota = read("cpu.cfs_quota_us").map(|quota| format!("{} 100000", quota.trim()));
    let quota = quota.filter(|quota| !quota.starts_with('-')).or_else(|| read("cpu.max"));
    assert_eq!(quota.as_deref().map(str::trim), Some("25000 100000"), "{dirs:?}");
    assert_eq!(run.shortcomings(), Vec::<String>::new());
    clear(&run).await;
}

#[tokio::test]
async fn limits_that_an_adopted_run_has_not_are_told() {
    if is_off() || !have("memory limits") {
        return;
    }
    let mut bed = Bed::new(&["sleep", "1000"]);
    let record = Earlier::start(&bed).await.die();
    bed.spec.memory_limit = Some(64 << 20);
    let adoption = bed.restarter().adopt(RUN, Some(&record), 0).await.unwrap();
    let Adoption::Running(run) = adoption else { panic!("it runs") };
    let expected = "the memory limit of 64Mi is not enforced: it was not when this run began";
    assert_eq!(run.shortcomings(), [expected]);
    clear(&run).await;
}

#[tokio::test]
async fn the_machine_s_capabilities_are_tried_and_nothing_is_left() {
    let all = capabilities();
    for name in ["pidfd", "subreaper", "open files"] {
        assert!(all.iter().any(|c| c.name == name && c.available), "{name}: {all:#?}");
    }
    assert!(all.iter().all(|c| !c.found.is_empty() && !c.without_it.is_empty()), "{all:#?}");
    let left: Vec<_> = Bed::all_cgroups()
        .into_iter()
        .filter(|dir| dir.to_string_lossy().contains(&format!("vitald-doctor.{}", procfs::own_pid())))
        .collect();
    // Another test may be asking, too.
    eventually("nothing is left", || left.iter().all(|dir| !dir.exists())).await;
}

#[test]
fn threads_that_try_out_the_machine_at_once_do_not_disturb_each_other() {
    let alone = capabilities();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(capabilities)).collect();
        for thread in asked {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}

#[tokio::test]
async fn all_else_holds_without_cgroups() {
    if is_off() {
        return;
    }
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["stop::", "leftovers::", "adopt::", "start::", "cgroups::limits_are_said_to_be_missing"])
        .env("VITALD_CGROUPS", "off")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success(), "{told}\n{}", String::from_utf8_lossy(&again.stderr));
    assert!(told.contains("test result: ok"), "{told}");
}

#[tokio::test]
async fn limits_are_said_to_be_missing_where_there_is_no_cgroup() {
    if !is_off() {
        return;
    }
    let mut bed = Bed::new(&["sleep", "1000"]);
    bed.spec.memory_limit = Some(512 << 20);
    bed.spec.cpu_limit_millis = Some(1500);
    let run = within("the start", bed.restarter().start(RunId(1))).await.unwrap();
    let expected = [
        "the memory limit of 512Mi is not enforced: VITALD_CGROUPS is off",
        "the cpu limit of 1500m is not enforced: VITALD_CGROUPS is off",
    ];
    assert_eq!(run.shortcomings(), expected);
    let in_one = fs::read_to_string(format!("/proc/{}/cgroup", run.process().pid)).unwrap();
    assert!(!in_one.contains("/vitald/it."), "{in_one}");
    clear(&run).await;
    let cgroups = capabilities().into_iter().find(|c| c.name == "cgroup v2").unwrap();
    assert_eq!((cgroups.available, &*cgroups.found), (false, "VITALD_CGROUPS is off"));
}

#[tokio::test]
async fn the_kill_of_a_run_that_is_over_does_not_reach_the_next() {
    let bed = Bed::sh("echo $$; [ -e $GO ] || exit 3; sleep 1000 & wait");
    let go = bed.path("go");
    let bed = bed.env("GO", &go.to_string_lossy());
    let over = bed.start().await;
    assert_eq!(within("its end", over.exited()).await, Exit::Code(3));
    eventually("nothing of it is left", || !over.is_alive()).await;
    fs::write(&go, "").unwrap();
    let next = bed.start().await;
    bed.numbers(2).await;
    eventually("both of its processes", || next.survivors().len() == 2).await;
    assert_eq!((over.is_alive(), over.survivors()), (false, vec![]));
    over.terminate().unwrap();
    over.kill().unwrap();
    within("the end of the one before", over.gone()).await;
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), next.exited()).await.is_err());
    assert_eq!(next.survivors().len(), 2);
    clear(&next).await;
}

#[tokio::test]
async fn what_has_moved_to_another_cgroup_is_killed_too() {
    if is_off() || !nix::unistd::geteuid().is_root() || !have("cgroup v2") {
        return;
    }
    // No trace leads to it but its parent, which dies in its cgroup.
    let bed = Bed::new(&["bash", "-c", "setsid env -i /bin/bash $FUGITIVE & wait"]);
    let base = cgroups_of(procfs::own_pid());
    let base = base.iter().find(|dir| dir.join("cgroup.subtree_control").exists()).unwrap();
    let script = format!(
        "echo $$\necho $$ >{}/cgroup.procs\nexec >/dev/null 2>&1\n{CLOSE_ALL}\nexec /bin/sleep 1000\n",
        base.display()
    );
    let script = bed.write("fugitive", &script, 0o755);
    let bed = bed.env("FUGITIVE", &script.to_string_lossy());
    let run = bed.start().await;
    let fugitive = fugitive(&bed).await;
    clear(&run).await;
    let escaped = is_alive(fugitive);
    let _ = kill(Pid::from_raw(fugitive), Signal::SIGKILL);
    assert!(!escaped);
}

/// As when a supervisor is started anew from a shell that is a component.
#[tokio::test]
async fn a_supervisor_in_a_component_s_cgroup_does_not_end_itself() {
    if is_off() || !nix::unistd::geteuid().is_root() || !have("cgroup v2") {
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cgroups::as_one_that_lives_in_a_component"])
        .env("LIVES_IN_A_COMPONENT", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{:?} {}", output.status, String::from_utf8_lossy(&output.stdout));
}

/// Not a test by itself: what [the one above](a_supervisor_in_a_component_s_cgroup_does_not_end_itself) does.
#[tokio::test]
async fn as_one_that_lives_in_a_component() {
    if std::env::var_os("LIVES_IN_A_COMPONENT").is_none() {
        return;
    }
    let bed = with_fugitive();
    let before = cgroups_of(procfs::own_pid());
    let before = before.iter().find(|dir| dir.join("cgroup.subtree_control").exists()).unwrap();
    let run = bed.start().await;
    let fugitive = fugitive(&bed).await;
    let here = cgroups_of(run.process().pid);
    let here = here.iter().find(|dir| dir.to_string_lossy().contains("/vitald/it.")).unwrap();
    fs::write(here.join("cgroup.procs"), "0").unwrap();
    run.kill().unwrap();
    within("the end of the rest", run.gone()).await;
    fs::write(before.join("cgroup.procs"), "0").unwrap();
    assert!(!is_alive(fugitive) && !is_alive(run.process().pid));
}

#[tokio::test]
async fn a_child_that_used_too_much_memory_is_not_why_we_killed_the_rest() {
    if is_off() || !have("memory limits") {
        return;
    }
    let mut bed = Bed::sh("sh -c 'tail /dev/zero'; echo 1; exec sleep 1000");
    bed.spec.memory_limit = Some(32 << 20);
    let run = bed.start().await;
    eventually("its child is dead", || !bed.log().is_empty() || !run.is_alive()).await;
    if !run.is_alive() {
        // Version 2 ends all of it.
        return;
    }
    clear(&run).await;
    assert_eq!(run.exited().await, Exit::Signal("SIGKILL".into()));
}

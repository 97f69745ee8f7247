//! The next supervisor takes over what the one before it began.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vitald_core::restarter::{
    Adoption, ExecRequest, Exit, ProcessIdentity, Restarter, RunHandle, RunId, StartError,
};
use vitald_core::spec::{EnvValue, EnvVar};
use vitald_process::{holder_of, identity, is_same, procfs};

use crate::bed::{Bed, clear, eventually, is_alive, skip, verbatim, within};
use crate::earlier::{Earlier, RUN};

async fn adopt(bed: &Bed, process: Option<&ProcessIdentity>) -> Adoption {
    within("the adoption", bed.restarter().adopt(RUN, process, 3)).await.unwrap()
}

async fn running(bed: &Bed, process: Option<&ProcessIdentity>) -> Arc<dyn RunHandle> {
    match adopt(bed, process).await {
        Adoption::Running(run) => run,
        Adoption::Ended(_) | Adoption::Gone => panic!("it has ended, they say"),
        Adoption::Nothing => panic!("there is nothing, they say"),
    }
}

async fn ended(bed: &Bed, process: Option<&ProcessIdentity>) -> Arc<dyn RunHandle> {
    match adopt(bed, process).await {
        Adoption::Ended(run) => run,
        Adoption::Running(_) => panic!("it runs, they say"),
        Adoption::Gone | Adoption::Nothing => panic!("there is nothing, they say"),
    }
}

fn signal(process: &ProcessIdentity, signal: Signal) {
    kill(Pid::from_raw(process.pid), signal).unwrap();
}

/// Waits for a file called `go`, and ends with a status.
fn ends_when_told(bed: &Bed, status: i32) -> String {
    verbatim(&format!("while ! [ -e {} ]; do sleep 0.02; done; exit {status}", bed.path("go").display()))
}

#[tokio::test]
async fn its_exit_is_told_with_its_status() {
    for status in [0, 42] {
        let mut bed = Bed::sh("");
        bed.spec.command[2] = ends_when_told(&bed, status);
        let record = Earlier::start(&bed).await.die();
        let run = running(&bed, Some(&record)).await;
        assert_eq!((run.process(), run.log_offset()), (record.clone(), 3));
        assert!(run.is_alive() && is_same(&record));
        fs::write(bed.path("go"), "").unwrap();
        assert_eq!(within("its end", run.exited()).await, Exit::Code(status));
        within("the end of its tree", run.gone()).await;
        assert!(!run.is_alive());
        assert_eq!(run.exited().await, Exit::Code(status), "it stays known");
        assert!(run.kill().is_ok() && run.terminate().is_ok(), "there is nothing left to signal");
    }
}

#[tokio::test]
async fn the_signal_that_ended_it_is_told_at_once() {
    for (sent, name) in [(Signal::SIGKILL, "SIGKILL"), (Signal::SIGUSR1, "SIGUSR1")] {
        let bed = Bed::new(&["sleep", "1000"]);
        let record = Earlier::start(&bed).await.die();
        let run = running(&bed, Some(&record)).await;
        let waiting = tokio::spawn({
            let run = Arc::clone(&run);
            async move { (run.exited().await, Instant::now()) }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent_at = Instant::now();
        signal(&record, sent);
        let (exit, told_at) = within("its end", waiting).await.unwrap();
        assert_eq!(exit, Exit::Signal(name.into()));
        assert!(told_at - sent_at < Duration::from_secs(1), "{:?}", told_at - sent_at);
        within("the end of its tree", run.gone()).await;
    }
}

#[tokio::test]
async fn a_whole_tree_is_taken_over() {
    let bed = Bed::sh("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait");
    let earlier = Earlier::start(&bed).await;
    let children = bed.numbers(2).await;
    let run = running(&bed, Some(&earlier.die())).await;
    assert!(run.survivors().len() >= 3, "{:?}", run.survivors());
    run.terminate().unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Signal("SIGTERM".into()));
    within("the end of its tree", run.gone()).await;
    assert!(!children.into_iter().any(is_alive));
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_after_the_adoption_too() {
    let bed = Bed::sh("trap '' TERM; (setsid sleep 1000 & ) ; echo 1; while :; do sleep 1000; done");
    let earlier = Earlier::start(&bed).await;
    bed.numbers(1).await;
    let run = running(&bed, Some(&earlier.die())).await;
    run.terminate().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), run.gone()).await.is_err());
    clear(&run).await;
    assert_eq!(run.exited().await, Exit::Signal("SIGKILL".into()));
    assert_eq!((run.is_alive(), run.survivors()), (false, vec![]));
}

#[tokio::test]
async fn it_is_adopted_from_a_supervisor_of_this_process_too() {
    // Then it is our own child, as what falls to a subreaper is.
    let mut bed = Bed::sh("");
    bed.spec.command[2] = ends_when_told(&bed, 42);
    let record = bed.start().await.process();
    let run = running(&bed, Some(&record)).await;
    fs::write(bed.path("go"), "").unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Code(42));
    within("the end of its tree", run.gone()).await;
    assert_eq!(procfs::stat_of(&record), None, "it is reaped");
}

#[tokio::test]
async fn a_zombie_tells_how_it_ended() {
    let mut bed = Bed::sh("");
    bed.spec.command[2] = ends_when_told(&bed, 42);
    let earlier = Earlier::start(&bed).await;
    earlier.freeze();
    fs::write(bed.path("go"), "").unwrap();
    let pid = earlier.recorded.pid;
    eventually("it is a zombie", || procfs::stat(pid).is_some_and(|stat| stat.is_dead())).await;
    let run = ended(&bed, Some(&earlier.recorded)).await;
    assert_eq!(within("its end", run.exited()).await, Exit::Code(42));
    within("the end of its tree", run.gone()).await;
    drop(earlier);
}

#[tokio::test]
async fn what_has_outlived_its_main_process_is_taken_over_with_it() {
    let bed = Bed::sh("(setsid sh -c 'echo $$; exec sleep 1000' & ) ; exec sleep 1000");
    let earlier = Earlier::start(&bed).await;
    let daemon = bed.numbers(1).await[0];
    let record = earlier.die();
    signal(&record, Signal::SIGKILL);
    eventually("it is reaped", || procfs::stat_of(&record).is_none()).await;
    let run = ended(&bed, Some(&record)).await;
    assert_eq!(run.process(), record);
    assert_eq!(within("its end", run.exited()).await, Exit::Unknown);
    assert!(run.is_alive());
    assert!(run.survivors().iter().any(|s| s.starts_with(&daemon.to_string())), "{:?}", run.survivors());
    clear(&run).await;
    assert!(!is_alive(daemon));
}

#[tokio::test]
async fn what_is_gone_is_nothing_and_can_be_started() {
    let bed = Bed::sh("echo 1");
    assert!(matches!(adopt(&bed, None).await, Adoption::Nothing), "it never began");
    let record = Earlier::start(&bed).await.die();
    eventually("it is reaped", || procfs::stat_of(&record).is_none()).await;
    let restarter = bed.restarter();
    let adoption = restarter.adopt(RUN, Some(&record), 0).await.unwrap();
    assert!(matches!(adoption, Adoption::Nothing));
    let run = within("the start", restarter.start(RunId(8))).await.unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Code(0));
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn a_run_that_was_not_written_down_is_found() {
    let bed = Bed::sh("(setsid sh -c 'echo $$; exec sleep 1000' & ) ; exec sleep 1000");
    let earlier = Earlier::start(&bed).await;
    bed.numbers(1).await;
    let record = earlier.die();
    let run = running(&bed, None).await;
    assert_eq!(run.process(), record);
    clear(&run).await;
}

#[tokio::test]
async fn it_is_found_though_it_has_cleared_its_environment() {
    let bed = Bed::new(&["env", "-i", "sleep", "1000"]);
    let earlier = Earlier::start(&bed).await;
    let pid = earlier.recorded.pid;
    eventually("it is `sleep`", || procfs::stat(pid).is_some_and(|s| s.comm == "sleep")).await;
    let record = earlier.die();
    let run = running(&bed, None).await;
    assert_eq!(run.process(), record);
    clear(&run).await;
}

#[tokio::test]
async fn leftovers_without_a_main_process_are_no_run_and_end_before_the_next() {
    let bed = Bed::sh("(setsid sh -c 'echo $$; exec sleep 1000' & ) ; exec sleep 1000");
    let earlier = Earlier::start(&bed).await;
    let daemon = bed.numbers(1).await[0];
    let record = earlier.die();
    signal(&record, Signal::SIGKILL);
    eventually("it is dead", || !is_same(&record)).await;
    let restarter = bed.restarter();
    assert!(matches!(restarter.adopt(RUN, None, 0).await, Ok(Adoption::Gone)));
    assert!(is_alive(daemon));
    let run = within("the start", restarter.start(RunId(8))).await.unwrap();
    assert!(!is_alive(daemon));
    clear(&run).await;
}

#[tokio::test]
async fn that_a_run_began_is_known_though_nothing_is_left_of_it() {
    let bed = Bed::sh("exec sleep 1000");
    let record = Earlier::start(&bed).await.die();
    signal(&record, Signal::SIGKILL);
    eventually("it is dead", || !is_same(&record)).await;
    let restarter = bed.restarter();
    assert!(matches!(restarter.adopt(RUN, None, 0).await, Ok(Adoption::Gone)));
    // The next one was never begun.
    assert!(matches!(restarter.adopt(RunId(RUN.0 + 1), None, 0).await, Ok(Adoption::Nothing)));
    let run = within("the start", restarter.start(RunId(RUN.0 + 1))).await.unwrap();
    clear(&run).await;
    assert!(matches!(restarter.adopt(RUN, None, 0).await, Ok(Adoption::Nothing)));
}

#[tokio::test]
async fn what_is_being_born_is_waited_for() {
    // Between fork and exec: it has the lock, and neither the mark nor a session yet.
    let bed = Bed::sh("");
    drop(adopt(&bed, None).await);
    let lock = fs::File::open(bed.path("locks/it.lock")).unwrap();
    lock.lock().unwrap();
    nix::fcntl::fcntl(&lock, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let instance = instance_of(&bed).await;
    let script = format!(
        "sleep 0.3; VITALD_COMPONENT=it VITALD_INSTANCE={instance} VITALD_RUN={RUN} VITALD_MAIN_PID=$$ \
         exec sleep 1000"
    );
    let mut newborn = Command::new("setsid").args(["sh", "-c", &script]).spawn().unwrap();
    assert!(lock.as_raw_fd() > 2);
    drop(lock);
    let run = running(&bed, None).await;
    assert_eq!(run.process().pid, newborn.id().cast_signed());
    run.kill().unwrap();
    newborn.wait().unwrap();
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn a_supervisor_killed_at_any_moment_of_a_start_leaves_no_second_one() {
    for delay in 0..30 {
        let bed = Bed::sh("echo $$; exec sleep 1000");
        let mut earlier = Earlier::begin(&bed, None);
        let has_begun = || bed.path("locks/it.lock").exists();
        eventually("it begins to start it", has_begun).await;
        std::thread::sleep(Duration::from_micros(delay * 200));
        earlier.kill().unwrap();
        earlier.wait().unwrap();
        let restarter = bed.restarter();
        let run = match within("the adoption", restarter.adopt(RUN, None, 0)).await.unwrap() {
            Adoption::Running(run) => run,
            Adoption::Ended(_) | Adoption::Gone => panic!("it does not end by itself"),
            Adoption::Nothing => within("the start", restarter.start(RunId(8))).await.unwrap(),
        };
        eventually("it runs", || !bed.log().is_empty()).await;
        let alive: Vec<i32> =
            bed.log().lines().map(|pid| pid.parse().unwrap()).filter(|p| is_alive(*p)).collect();
        assert_eq!(alive, [run.process().pid], "after {delay}");
        clear(&run).await;
    }
}

/// What its processes carry as `VITALD_INSTANCE`.
async fn instance_of(bed: &Bed) -> String {
    let request = ExecRequest {
        command: ["/bin/sh", "-c", "echo $VITALD_EXEC_OF"].map(str::to_owned).to_vec(),
        ..ExecRequest::default()
    };
    let done = bed.restarter().executor().exec(request).await.unwrap();
    done.output.trim().to_owned()
}

/// A process that has this pid now, which is free.
fn with_pid(pid: i32) -> std::process::Child {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
    let child = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
    assert_eq!(child.id().cast_signed(), pid, "nobody else forks here");
    child
}

#[tokio::test]
async fn a_stranger_who_has_the_pid_now_is_neither_adopted_nor_signalled() {
    // Which pid comes next can be said where nobody else is disturbed by it: in a namespace of pids.
    let mut alone = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        alone.args(["--user", "--map-root-user"]);
    }
    alone.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let program = std::env::current_exe().unwrap();
    // `true`, so that what is refused is the namespace, and no test.
    let arguments: Vec<_> = alone.get_args().map(ToOwned::to_owned).collect();
    if !Command::new("unshare").args(arguments).arg("true").status().is_ok_and(|status| status.success()) {
        return skip("no namespace of pids can be had");
    }
    let output = alone
        .arg(program)
        .args(["--exact", "adopt::as_the_next_one_where_pids_are_few"])
        .env(FEW_PIDS, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}

const FEW_PIDS: &str = "WHERE_PIDS_ARE_FEW";

/// Not a test by itself: what [the one above](a_stranger_who_has_the_pid_now_is_neither_adopted_nor_signalled)
/// does in its namespace.
#[tokio::test]
async fn as_the_next_one_where_pids_are_few() {
    if std::env::var_os(FEW_PIDS).is_none() {
        return;
    }
    let bed = Bed::new(&["sleep", "1000"]);
    let run = bed.start().await;
    let record = run.process();
    clear(&run).await;
    // A start time is in hundredths of a second.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let mut stranger = with_pid(record.pid);
    let theirs = identity(record.pid).unwrap();
    assert_ne!(theirs, record);
    let restarter = bed.restarter();
    assert!(matches!(restarter.adopt(RUN, Some(&record), 0).await, Ok(Adoption::Nothing)));
    assert_eq!(holder_of(&record), None);
    let run = within("the start", restarter.start(RunId(8))).await.unwrap();
    clear(&run).await;
    assert!(is_same(&theirs) && stranger.try_wait().unwrap().is_none());
    // Another boot's are strangers, too.
    let earlier_boot = ProcessIdentity { boot_id: "an earlier boot".into(), ..theirs.clone() };
    assert!(matches!(restarter.adopt(RUN, Some(&earlier_boot), 0).await, Ok(Adoption::Nothing)));
    assert!(is_same(&theirs));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn commands_and_secrets_are_as_before() {
    let mut bed = Bed::new(&["sleep", "1000"]).env("GREETING", "hail");
    let secrets = bed.write("secrets.env", "API_KEY=s3cret-key\n", 0o600);
    let from_file = EnvValue::FileKey { path: secrets, key: "API_KEY".into(), optional: false };
    bed.spec.env.push(EnvVar { name: "API_KEY".into(), value: from_file });
    let record = Earlier::start(&bed).await.die();
    let restarter = bed.restarter();
    let Ok(Adoption::Running(run)) = restarter.adopt(RUN, Some(&record), 0).await else { panic!() };
    assert_eq!(restarter.redact("with s3cret-key".into()), "with ***");
    let script = "echo $GREETING $VITALD_COMPONENT $VITALD_RUN $API_KEY ${VITALD_INSTANCE-none}";
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let done = restarter.executor().exec(ExecRequest { command, ..ExecRequest::default() }).await.unwrap();
    assert_eq!(done.output, "hail it 7 *** none\n");
    clear(&run).await;
}

#[tokio::test]
async fn commands_that_the_dead_supervisor_left_are_ended() {
    let bed = Bed::new(&["sleep", "1000"]);
    let script = format!("setsid sleep 1000 & echo $$ $! >{}; sleep 1000; :", bed.path("left").display());
    let other = Bed::new(&["sleep", "1000"]);
    let theirs = format!("echo $$ >{}; exec sleep 1000", other.path("left").display());
    let (mine, others) = (
        Earlier::with_command(&bed, Some(&verbatim(&script))).await,
        Earlier::with_command(&other, Some(&verbatim(&theirs))).await,
    );
    let left = |bed: &Bed| -> Vec<i32> {
        let text = fs::read_to_string(bed.path("left")).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    eventually("the commands run", || left(&bed).len() == 2 && left(&other).len() == 1).await;
    let run = running(&bed, Some(&mine.die())).await;
    eventually("they are dead", || !left(&bed).into_iter().any(is_alive)).await;
    assert!(is_alive(left(&other)[0]), "it is the command of another component of this name");
    assert!(run.is_alive());
    clear(&run).await;
    let run = running(&other, Some(&others.die())).await;
    clear(&run).await;
}

#[tokio::test]
async fn what_a_finished_hook_has_left_is_not_touched() {
    let bed = Bed::new(&["sleep", "1000"]);
    let script = format!(
        "[ -e {0} ] && exec sleep 1000; setsid sh -c 'echo $$ >{0}; exec sleep 1000' >/dev/null 2>&1 & \
         until [ -s {0} ]; do sleep 0.01; done",
        bed.path("daemon").display()
    );
    let earlier = Earlier::with_command(&bed, Some(&verbatim(&script))).await;
    eventually("the first command is done", || bed.path("command-is-done").exists()).await;
    let daemon = fs::read_to_string(bed.path("daemon")).unwrap().trim().parse().unwrap();
    let run = running(&bed, Some(&earlier.die())).await;
    assert!(is_alive(daemon));
    clear(&run).await;
    assert!(is_alive(daemon));
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn in_a_copied_state_dir_the_original_s_process_is_named_and_left_alone() {
    let original = Bed::new(&["sleep", "1000"]);
    let mut copy = Bed::new(&["sleep", "1000"]);
    let run = original.start().await;
    let record = run.process();
    let holder = holder_of(&record).unwrap();
    let lock = original.path("locks/it.lock");
    assert_eq!(holder, format!("{} (sleep), which holds {}", record.pid, lock.display()));
    let refused = copy.restarter().adopt(RUN, Some(&record), 0).await.err();
    assert_eq!(refused, Some(StartError::Occupied(holder.clone())));
    copy.previous = Some(record.clone());
    assert_eq!(copy.refusal().await, format!("already running: {holder}"));
    let lock = copy.path("locks/it.lock");
    let ended = vitald_process::end_leftovers("it", Some(record.clone()), &lock, copy.grace).await;
    assert_eq!(ended, Err(StartError::Occupied(holder)));
    assert!(run.is_alive());
    clear(&run).await;
    assert_eq!(holder_of(&record), None);
}

#[tokio::test]
async fn a_command_that_may_not_be_ended_is_no_reason_not_to_adopt() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can make what an ordinary user may not end");
    }
    let folder = tempfile::tempdir().unwrap();
    let nobody = 65_534;
    std::os::unix::fs::chown(folder.path(), Some(nobody), Some(nobody)).unwrap();
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let Ok(found) = Command::new("sh").args(["-c", "command -v setpriv"]).output() else { return };
    let become_root = folder.path().join("become-root");
    if fs::copy(String::from_utf8_lossy(&found.stdout).trim(), &become_root).is_err() {
        return skip("there is no setpriv");
    }
    crate::bed::set_mode(&become_root, 0o4755);
    let output = std::os::unix::process::CommandExt::uid(&mut Command::new(program), nobody)
        .args(["--exact", "adopt::as_one_whose_command_has_become_root"])
        .current_dir(&folder)
        .env("TMPDIR", folder.path())
        .env(BECOME_ROOT, become_root)
        .output()
        .unwrap();
    if let Ok(pid) = fs::read_to_string(folder.path().join("root-s")) {
        let _ = kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGKILL);
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

const BECOME_ROOT: &str = "BECOME_ROOT";

/// Not a test by itself: what [the one above](a_command_that_may_not_be_ended_is_no_reason_not_to_adopt) does as
/// an ordinary user.
#[tokio::test]
async fn as_one_whose_command_has_become_root() {
    let Ok(become_root) = std::env::var(BECOME_ROOT) else { return };
    let bed = Bed::new(&["sleep", "1000"]);
    let told = std::env::current_dir().unwrap().join("root-s");
    let script = format!(
        "{become_root} --reuid=0 --regid=0 --clear-groups sh -c 'echo $$ >{}; exec sleep 1000'; :",
        told.display()
    );
    let earlier = Earlier::with_command(&bed, Some(&verbatim(&script))).await;
    eventually("the command runs", || fs::read_to_string(&told).is_ok_and(|pid| !pid.is_empty())).await;
    let run = running(&bed, Some(&earlier.die())).await;
    clear(&run).await;
}

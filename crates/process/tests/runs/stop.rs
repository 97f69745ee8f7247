//! Stopping: by signal to the whole tree, until nothing of it is left.

use std::time::Duration;

use vitald_core::restarter::Exit;
use vitald_process::procfs;

use crate::bed::{Bed, CLOSE_ALL, clear, eventually, is_alive, verbatim, within};

#[tokio::test]
async fn sigterm_reaches_the_whole_tree() {
    let bed = Bed::sh("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait");
    let run = bed.start().await;
    let children = bed.numbers(2).await;
    run.terminate().unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Signal("SIGTERM".into()));
    within("the end of its tree", run.gone()).await;
    assert!(!children.into_iter().any(is_alive));
}

#[tokio::test]
async fn what_ignores_sigterm_lives_until_it_is_killed() {
    let bed = Bed::sh("trap '' TERM; echo 1; while :; do sleep 1000; done");
    let run = bed.start().await;
    bed.numbers(1).await;
    run.terminate().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), run.gone()).await.is_err());
    assert!(run.is_alive());
    assert!(
        run.survivors().iter().any(|s| s.contains(&run.process().pid.to_string())),
        "{:?}",
        run.survivors()
    );
    run.kill().unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Signal("SIGKILL".into()));
    within("the end of its tree", run.gone()).await;
    assert_eq!((run.is_alive(), run.survivors()), (false, vec![]));
    assert!(run.kill().is_ok() && run.terminate().is_ok(), "there is nothing left to signal");
}

#[tokio::test]
async fn what_is_stopped_hears_sigterm() {
    let run = Bed::sh("kill -STOP $$; exit 0").start().await;
    let pid = run.process().pid;
    eventually("it is stopped", || procfs::stat(pid).is_some_and(|s| s.state == 'T')).await;
    assert!(run.is_alive());
    run.terminate().unwrap();
    assert_eq!(within("its end", run.exited()).await, Exit::Signal("SIGTERM".into()));
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn children_outlive_the_main_process_and_are_told() {
    let bed = Bed::sh("sleep 1000 & echo $!; exit 5");
    let run = bed.start().await;
    assert_eq!(within("its end", run.exited()).await, Exit::Code(5));
    let child = bed.numbers(1).await[0];
    eventually("it is `sleep`", || procfs::stat(child).is_some_and(|s| s.comm == "sleep" && s.state == 'S'))
        .await;
    assert!(run.is_alive());
    assert_eq!(run.survivors(), [format!("{child} (sleep, state S)")]);
    assert!(tokio::time::timeout(Duration::from_millis(200), run.gone()).await.is_err());
    let zombie = procfs::stat(run.process().pid).expect("its pid is kept until the tree is gone");
    assert_eq!(zombie.state, 'Z');
    clear(&run).await;
    assert!(!is_alive(child));
    assert_eq!(procfs::stat(run.process().pid), None);
}

#[tokio::test]
async fn daemons_that_left_session_and_parent_are_found_by_their_mark() {
    // Both parents are gone, all descriptors closed: only the environment is left.
    let daemon = format!("{CLOSE_ALL}; echo $$; exec sleep 1000");
    let bed = Bed::sh("(setsid bash -c \"$DAEMON\" & ) ; exec sleep 1000").env("DAEMON", &verbatim(&daemon));
    let run = bed.start().await;
    let daemon = bed.numbers(1).await[0];
    eventually("it has a session of its own", || procfs::stat(daemon).is_some_and(|s| s.session == daemon))
        .await;
    clear(&run).await;
    assert!(!is_alive(daemon));
}

#[tokio::test]
async fn daemons_that_cleared_their_environment_are_found_by_the_lock() {
    let bed =
        Bed::sh("(env -i /usr/bin/setsid /bin/sh -c 'echo $$; exec sleep 1000' & ) ; sleep 0.1; exit 0");
    let run = bed.start().await;
    let daemon = bed.numbers(1).await[0];
    within("its end", run.exited()).await;
    eventually("it has a session of its own", || procfs::stat(daemon).is_some_and(|s| s.session == daemon))
        .await;
    assert!(run.is_alive());
    clear(&run).await;
    assert!(!is_alive(daemon));
}

#[tokio::test]
async fn a_chain_of_processes_that_flee_is_caught() {
    // Each lives a moment, starts its successor in a session of its own, and is gone.
    let bed = Bed::sh("exec sh $FLEE");
    let script = bed.write("flee", "sleep 0.05\nsetsid sh $FLEE &\necho $$\n", 0o755);
    let bed = bed.env("FLEE", &script.to_string_lossy());
    let run = bed.start().await;
    bed.numbers(5).await;
    clear(&run).await;
    let caught = bed.numbers(5).await;
    assert!(!caught.into_iter().any(is_alive));
    let lines = bed.log().lines().count();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bed.log().lines().count(), lines, "none is left to write");
}

#[tokio::test]
async fn what_forks_into_ever_new_sessions_is_caught() {
    let bed = Bed::sh("exec sh $BOMB 6");
    let script =
        "for i in 1 2; do [ $1 -gt 0 ] && setsid sh $BOMB $(($1 - 1)) & done; echo $$; exec sleep 1000\n";
    let script = bed.write("bomb", script, 0o755);
    let bed = bed.env("BOMB", &script.to_string_lossy());
    let run = bed.start().await;
    bed.numbers(10).await;
    clear(&run).await;
    let pids = bed.numbers(10).await;
    assert!(!pids.into_iter().any(is_alive));
}

#[tokio::test]
async fn components_of_the_same_name_under_two_supervisors_are_strangers() {
    let script = "(setsid sh -c 'echo $$; exec sleep 1000' & ) ; exec sleep 1000";
    let (mine, theirs) = (Bed::sh(script), Bed::sh(script));
    let (my_run, their_run) = (mine.start().await, theirs.start().await);
    let (my_daemon, their_daemon) = (mine.numbers(1).await[0], theirs.numbers(1).await[0]);
    clear(&my_run).await;
    assert!(!is_alive(my_daemon));
    assert!(is_alive(their_daemon) && is_alive(their_run.process().pid));
    clear(&their_run).await;
}

#[tokio::test]
async fn a_stop_right_after_the_start_is_not_lost() {
    for _ in 0..20 {
        let run = Bed::new(&["sleep", "1000"]).start().await;
        run.terminate().unwrap();
        assert_eq!(within("its end", run.exited()).await, Exit::Signal("SIGTERM".into()));
        within("the end of its tree", run.gone()).await;
    }
}

#[tokio::test]
async fn what_leaves_the_group_at_that_moment_hears_sigterm_too() {
    // It is about to, when it has told its pid.
    let bed = Bed::sh("i=0; while [ $i -lt 40 ]; do setsid sleep 1000 & i=$((i + 1)); done; echo 1; wait");
    for lines in 1..=5 {
        let run = bed.start().await;
        bed.numbers(lines).await;
        run.terminate().unwrap();
        within("its end", run.exited()).await;
        if tokio::time::timeout(Duration::from_secs(5), run.gone()).await.is_err() {
            let deaf = run.survivors();
            clear(&run).await;
            panic!("{deaf:?} did not hear it");
        }
    }
}

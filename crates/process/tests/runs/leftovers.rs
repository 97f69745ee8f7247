//! What an earlier supervisor left running is ended before a start. That supervisor is a restarter whose
//! handles were dropped: it signals and reaps nothing any more.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use vitald_core::restarter::ProcessIdentity;
use vitald_process::{identity, is_same, procfs};

use crate::bed::{Bed, CLOSE_ALL, clear, eventually, is_alive, verbatim, within};

/// Starts a run and forgets it.
async fn leave(bed: &Bed) -> ProcessIdentity {
    bed.start().await.process()
}

#[tokio::test]
async fn what_holds_the_lock_is_ended_first() {
    let bed = Bed::sh("trap 'echo asked; exit 0' TERM; echo 1; while :; do sleep 0.05; done");
    let left = leave(&bed).await;
    bed.numbers(1).await;
    let run = bed.start().await;
    assert!(!is_same(&left));
    assert!(run.is_alive());
    assert!(bed.log().contains("asked\n"), "{}", bed.log());
    clear(&run).await;
}

#[tokio::test]
async fn it_is_killed_when_the_grace_is_over() {
    let mut bed = Bed::sh("trap '' TERM; echo 1; while :; do sleep 1000; done");
    bed.grace = Duration::from_millis(200);
    let left = leave(&bed).await;
    bed.numbers(1).await;
    bed.previous = Some(left.clone());
    let run = bed.start().await;
    assert!(!is_same(&left));
    clear(&run).await;
}

#[tokio::test]
async fn a_recorded_process_is_ended_even_if_it_gave_up_lock_and_mark() {
    let script = format!("{CLOSE_ALL}; exec env -i sleep 1000");
    let mut bed = Bed::new(&["bash", "-c", &verbatim(&script)]);
    let left = leave(&bed).await;
    eventually("it has become `sleep`", || procfs::stat(left.pid).is_some_and(|s| s.comm == "sleep")).await;
    bed.previous = Some(left.clone());
    let run = bed.start().await;
    assert!(!is_same(&left));
    clear(&run).await;
}

#[tokio::test]
async fn descendants_without_their_main_process_are_ended() {
    let bed = Bed::sh("(setsid sh -c 'echo $$; exec sleep 1000' & ) ; exec sleep 1000");
    let left = leave(&bed).await;
    let daemon = bed.numbers(1).await[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(left.pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the main process is dead", || !is_same(&left)).await;
    assert!(is_alive(daemon));
    let run = bed.start().await;
    assert!(!is_alive(daemon));
    clear(&run).await;
}

#[tokio::test]
async fn a_stranger_that_has_the_recorded_pid_is_left_alone() {
    // In a session of its own, as a component would be.
    let mut stranger = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
    let pid = stranger.id().cast_signed();
    eventually("it has its own session", || procfs::stat(pid).is_some_and(|s| s.session == pid)).await;
    let now = identity(pid).unwrap();
    let mut bed = Bed::new(&["sleep", "1000"]);
    bed.previous = Some(ProcessIdentity { start_time: now.start_time - 1, ..now.clone() });
    let run = bed.start().await;
    bed.previous = Some(ProcessIdentity { boot_id: "an earlier boot".into(), ..now.clone() });
    clear(&run).await;
    let run = bed.start().await;
    assert!(is_same(&now));
    clear(&run).await;
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn a_lock_that_cannot_be_freed_names_who_holds_it() {
    let bed = Bed::new(&["true"]);
    bed.output().await;
    let path = bed.path("locks/it.lock");
    let file = File::open(&path).unwrap();
    file.lock().unwrap();
    let message = within("the refusal", bed.refusal()).await;
    let expected = format!("already running: {} is locked by", path.display());
    assert!(message.starts_with(&expected), "{message}");
    drop(file);
    bed.output().await;
}

#[tokio::test]
async fn a_stranger_that_only_has_the_lock_file_open_is_left_alone() {
    let bed = Bed::sh("(env -i setsid sleep 1000 & ); sleep 0.1; echo 1");
    let left = leave(&bed).await;
    bed.numbers(1).await;
    let file = File::open(bed.path("locks/it.lock")).unwrap();
    // As `less` or `tar` would have it.
    let mut stranger = Command::new("setsid");
    let mut stranger = stranger.args(["sleep", "1000"]).env_clear().stdin(file).spawn().unwrap();
    let pid = stranger.id().cast_signed();
    eventually("it is `sleep`", || procfs::stat(pid).is_some_and(|s| s.comm == "sleep")).await;
    let run = bed.start().await;
    assert!(!is_same(&left));
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
    clear(&run).await;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn what_carries_the_mark_is_ended_where_the_lock_is_free() {
    // Its descriptors closed, deaf to SIGTERM: what is asked for in vain is killed, and that is the end.
    let script = format!("{CLOSE_ALL}; trap '' TERM; echo 1; while :; do sleep 1; done");
    let mut bed = Bed::new(&["bash", "-c", &verbatim(&script)]);
    let left = leave(&bed).await;
    bed.numbers(1).await;
    bed.previous = Some(left.clone());
    bed.grace = Duration::from_millis(300);
    let started = Instant::now();
    let run = bed.start().await;
    assert!(!is_same(&left));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    clear(&run).await;
}

//! What a run tells of itself, by the means that services have.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use vitald_core::notify::{Notified, RunNeeds};
use vitald_core::restarter::{Adoption, Exit, Restarter, RunHandle, RunId};

use crate::bed::{Bed, clear, eventually, skip, verbatim, within};

const NEEDS: RunNeeds = RunNeeds { notify_socket: true, watchdog: None };

/// For python: `say(text)`, and `barrier()` as sd_notify_barrier(3) has it.
const SPEAK: &str = "
import os, select, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
def say(text):
    s.send(text.encode())
def barrier():
    read, write = os.pipe()
    socket.send_fds(s, [b'BARRIER=1'], [write])
    os.close(write)
    assert select.select([read], [], [], 20)[0], 'nobody closed it'
";

fn has(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap();
    let found = path.split(':').any(|dir| fs::exists(format!("{dir}/{program}")).unwrap_or(false));
    if !found {
        skip(&format!("there is no {program}"));
    }
    found
}

fn python(script: &str) -> Option<Bed> {
    if !has("python3") {
        return None;
    }
    let mut bed = Bed::new(&["python3", "-c", &verbatim(&format!("{SPEAK}{script}"))]);
    bed.needs = NEEDS;
    bed.inherited = std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME").collect();
    Some(bed)
}

async fn told(run: &Arc<dyn RunHandle>, what: &str, holds: impl Fn(&Notified) -> bool) -> Notified {
    let mut known = Notified::default();
    within(what, async {
        while !holds(&known) {
            known = run.news(&known).await;
        }
    })
    .await;
    known
}

#[tokio::test]
async fn who_waits_at_a_barrier_has_been_heard() {
    let Some(bed) = python("say('READY=1\\nSTATUS=up')\nbarrier()\nprint('through')") else { return };
    let run = bed.start().await;
    assert_eq!(within("its end", run.exited()).await, Exit::Code(0), "{}", bed.log());
    assert_eq!(bed.log(), "through\n");
    let heard = run.heard().await.unwrap();
    assert!(heard.notified.ready && heard.notified.status == "up" && !heard.missed, "{heard:?}");
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn shell_scripts_speak_by_systemd_notify() {
    if !has("systemd-notify") {
        return;
    }
    let script = "systemd-notify --ready --status='by a script'; exec sleep 1000";
    let mut bed = Bed::sh(script);
    bed.needs = NEEDS;
    let run = bed.start().await;
    let told = told(&run, "that it is ready", |told| told.ready).await;
    assert_eq!(told.status, "by a script");
    clear(&run).await;
}

#[tokio::test]
async fn descriptors_that_come_along_are_closed_and_nothing_else_comes_of_them() {
    let script = "
r, w = os.pipe()
socket.send_fds(s, [b'FDSTORE=1\\nFDNAME=x'], [w] * 100)
os.close(w)
assert select.select([r], [], [], 20)[0]
say('READY=1')
barrier()
";
    let Some(bed) = python(script) else { return };
    let run = bed.start().await;
    assert_eq!(within("its end", run.exited()).await, Exit::Code(0), "{}", bed.log());
    assert!(run.heard().await.unwrap().notified.ready);
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn what_is_too_long_is_passed_over() {
    let Some(bed) = python("say('READY=1\\nSTATUS=' + 5000 * 'x')\nbarrier()\ntime.sleep(1000)") else {
        return;
    };
    let run = bed.start().await;
    let mut passed_over = None;
    within("that it was passed over", async {
        while passed_over.is_none() {
            passed_over = run.heard().await.unwrap().passed_over;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(passed_over.as_deref(), Some("one of more than 4096 bytes"));
    assert!(!run.heard().await.unwrap().notified.ready);
    clear(&run).await;
}

#[tokio::test]
async fn what_was_said_just_before_the_end_is_heard_before_it() {
    let script = "
child = os.fork()
if child == 0:
    os.setsid()
    time.sleep(1000)
say(f'MAINPID={child}')
os._exit(0)
";
    let Some(bed) = python(script) else { return };
    let run = bed.start().await;
    let first = run.process();
    let exit = {
        let run = Arc::clone(&run);
        tokio::spawn(async move { run.exited().await })
    };
    let told = told(&run, "its main process", |told| told.main_process.is_some()).await;
    assert_eq!(told.main_process, Some(run.process()));
    assert_ne!(run.process().pid, first.pid);
    eventually("the end of the first one", || !vitald_process::is_same(&first)).await;
    assert!(!exit.is_finished() && run.is_alive(), "that was not the end of the run");

    // The next supervisor takes over who is the main process now.
    let next = bed.restarter();
    let adoption = within("the adoption", next.adopt(RunId(1), Some(&run.process()), 0)).await.unwrap();
    let Adoption::Running(adopted) = adoption else { panic!("it is not taken over") };
    assert_eq!(adopted.process(), run.process());
    let heard = adopted.heard().await.unwrap();
    assert!(heard.missed && heard.notified == Notified::default(), "{heard:?}");
    adopted.remember(told.clone());
    assert_eq!(adopted.heard().await.unwrap().notified, told);
    clear(&adopted).await;
    let exit = within("its end", exit).await.unwrap();
    assert_eq!(exit, Exit::Signal("SIGKILL".into()));
    within("the end of its tree", run.gone()).await;
}

#[tokio::test]
async fn what_was_received_is_not_lost_with_who_asked() {
    let dir = tempfile::tempdir().unwrap();
    let said = dir.path().join("said");
    // Another than the main process: who that is must be looked up before it is believed.
    let script = format!(
        "
if os.fork() == 0:
    say('READY=1')
    open({said:?}, 'w').close()
time.sleep(1000)
"
    );
    let Some(bed) = python(&script) else { return };
    let run = bed.start().await;
    // Nobody else listens meanwhile: this blocks the only thread that there is.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !said.exists() {
        assert!(std::time::Instant::now() < deadline, "{}", bed.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    // As a probe is, at its deadline.
    drop(tokio::time::timeout(Duration::ZERO, run.heard()).await);
    told(&run, "that it is ready", |told| told.ready).await;
    clear(&run).await;
}

#[tokio::test]
async fn without_a_socket_there_is_nothing_to_hear() {
    let run = Bed::sh("echo \"[$NOTIFY_SOCKET$WATCHDOG_USEC$WATCHDOG_PID]\"; sleep 1000").start().await;
    assert_eq!(run.heard().await.unwrap_err(), "it was given no socket to tell on");
    clear(&run).await;
}

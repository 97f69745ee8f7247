//! Whoever starts vitald leaves to it what they have themselves: signals that are blocked or ignored, and limits.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use vitald_tests::{Output, Supervisor, eventually, seconds, skip};

/// One that ends with a status, once, and one that tells how it finds its signals.
const ENDS_AND_TELLS: &str = "
    metadata: {name: ends}
    spec: {command: [sh, -c, 'exit 7'], restartPolicy: Never}
    ---
    metadata: {name: tells}
    spec:
      command: [sh, -c, 'grep ^Sig /proc/self/status; exec vitald-fixture sleep']
      startupProbe: {exec: {command: [sh, -c, 'exit 0']}, periodSeconds: 0.2, timeoutSeconds: 5}
";

fn words(prefix: &[&str]) -> Vec<String> {
    prefix.iter().map(|word| (*word).to_owned()).collect()
}

/// Within limits that a shell sets.
fn within(limits: &str) -> Vec<String> {
    words(&["sh", "-c", &format!("{limits}; exec \"$@\""), "sh"])
}

#[test]
fn signals_that_are_blocked_or_ignored_take_nothing_away() {
    let mut s = Supervisor::prepare(ENDS_AND_TELLS).with_prefix(words(&[
        "env",
        "--ignore-signal=CHLD,PIPE,HUP,TERM,INT",
        "--block-signal",
    ]));
    s.start();
    let ends = s.wait_state("ends", "Stopped", seconds(10));
    assert_eq!(ends.last_exit.and_then(|exit| exit.code), Some(7));
    s.wait_ready("tells");
    let told = s.wait_log("tells", "SigCgt");
    let of = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        u64::from_str_radix(line, 16).unwrap()
    };
    assert_eq!((of("SigBlk:"), of("SigIgn:")), (0, 0), "{told}");
    s.pid().signal(Signal::SIGTERM);
    eventually(
        "the supervisor to end",
        seconds(10),
        || s.supervisors().is_empty().then_some(()),
        || s.said(),
    );
    assert!(s.said().contains("all stopped"), "{}", s.said());
}

#[test]
fn what_is_written_beyond_the_limit_of_file_sizes_ends_nobody() {
    // Each failed start is told in a line of more than a kilobyte.
    let manifest = format!(
        "
        metadata: {{name: missing}}
        spec:
          command: [{}]
          restart: {{maxRestarts: 100, backoff: {{initialSeconds: 0.01, maxSeconds: 0.01}}}}
        ",
        "x".repeat(1000)
    );
    // In blocks of 512 bytes, or twice as much.
    let mut s = Supervisor::prepare(&manifest).with_prefix(within("ulimit -f 64"));
    s.start();
    s.wait_state("missing", "Failed", seconds(30));
    assert!(fs::metadata(s.path("said")).unwrap().len() >= 32 * 1024, "the limit was reached");
    s.cli(&["down"]).expect(0);

    let nothing = s.within(&["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"]).up();
    assert_eq!(nothing.code, 1, "no signal: {nothing:?}");
    assert!(nothing.stderr.contains("File too large"), "{nothing:?}");
}

#[test]
fn who_may_have_no_threads_is_told_before_anything_begins() {
    let s = Supervisor::prepare(ENDS_AND_TELLS).with_prefix(within("ulimit -d 10000"));
    let output = s.background(&["run", "-f", "manifests"]).end(seconds(20)).expect(1);
    assert!(output.stderr.contains("does not allow the threads that a supervisor needs"), "{output:?}");
    assert!(!s.state_dir().join("components").exists());
}

#[test]
fn supervising_outlives_a_time_without_new_processes() {
    if !Uid::effective().is_root() {
        skip("only root may become another user, whose processes are counted for themselves");
        return;
    }
    let user = 61_000 + std::process::id() % 1000;
    let mut s = Supervisor::prepare_for(
        user,
        "
        metadata: {name: sleeper}
        spec:
          command: [vitald-fixture, sleep]
          restart: {maxRestarts: 1000, backoff: {initialSeconds: 0.2, maxSeconds: 0.2}}
        ",
    );
    s.start();
    let sleeper = s.wait_ready("sleeper").pid();
    // Its runtime would give up threads that have been idle for ten seconds.
    std::thread::sleep(seconds(14));
    let may_have = |number: &str| {
        let mut limit = std::process::Command::new("setpriv");
        limit
            .args([format!("--reuid={user}"), format!("--regid={user}")])
            .args(["--clear-groups", "prlimit"])
            .args([format!("--pid={}", s.pid().0), format!("--nproc={number}:")]);
        Output::of(&mut limit).expect(0);
    };
    let (_, most) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
    may_have("1");
    sleeper.kill();
    let refused = s.wait_for("sleeper", "some failed starts", seconds(20), |c| c.restart_count >= 3);
    let why = refused.last_error.unwrap();
    assert!(why.contains("the system allows no more of them now (`ulimit -u`"), "{why}");
    may_have(&most.to_string());
    s.wait_ready("sleeper");
    s.cli(&["down"]).expect(0);
}

#[test]
fn state_dir_that_we_may_not_enter_is_told_of_where_one_is_needed() {
    if !Uid::effective().is_root() {
        skip("root may enter every folder; who runs this cannot become another user");
        return;
    }
    // As with `sudo -u USER`, which leaves HOME as it is.
    let closed = tempfile::Builder::new().prefix("v").tempdir_in("/tmp").unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let user = 62_000 + std::process::id() % 1000;
    for place in [closed.path().join("state"), "/dev/null/state".into()] {
        let s = Supervisor::prepare_for(user, ENDS_AND_TELLS).with_state_dir(place);
        s.cli(&["validate", "-f", "manifests"]).expect(0);
        let up = s.up().expect(1);
        assert!(up.stderr.contains("--state-dir or VITALD_STATE_DIR names another folder"), "{up:?}");
    }
}

#[test]
fn down_is_done_when_it_has_ended_also_where_it_cannot_be_told() {
    let s = Supervisor::run(
        "
        metadata: {name: slow}
        spec: {command: [sh, -c, 'trap \"sleep 1; exit\" TERM; while :; do sleep 0.1; done']}
        ",
    );
    s.wait_ready("slow");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut down = s.command(&["down"]);
    let output = Output::from(down.stdin(Stdio::null()).stdout(full).output().unwrap()).expect(1);
    assert!(output.stderr.contains("cannot write to stdout: No space left on device"), "{output:?}");
    s.cli(&["status"]).expect(3);
    s.assert_nothing_left();
}

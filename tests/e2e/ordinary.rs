//! Most who use vitald are not root: all of it is theirs alone, and works with what they may do.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::process::Stdio;

use nix::unistd::{Uid, User};
use vitald_tests::{Output, Pid, Supervisor, seconds, skip};

/// `nobody`, whom the system knows.
const NOBODY: u32 = 65534;

/// One whose children run away from it, and one that says itself when it is ready.
const TREE_AND_SPEAKER: &str = "
    metadata: {name: tree}
    spec:
      command: [vitald-fixture, traced, TRACES, runaways, TRACES, setsid, 'setsid,env', 'env,fds']
      terminationGracePeriodSeconds: 0.4
      restart: {backoff: {initialSeconds: 0.1}}
      livenessProbe:
        allOf: [{pid: {}}, {memory: {max: 4Gi}}, {exec: {command: ['true']}}]
        periodSeconds: 0.5
        timeoutSeconds: 0.5
    ---
    metadata: {name: speaker}
    spec:
      command: [vitald-fixture, notify-say, 'READY=1']
      startupProbe: {notify: {}, periodSeconds: 0.2, timeoutSeconds: 0.2}
";

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep]}
";

/// A user whom the system does not know, and whom no other run of these tests takes.
fn stranger() -> u32 {
    let first = 50_000 + std::process::id() % 10_000;
    let is_free = |uid: &u32| User::from_uid(Uid::from_raw(*uid)).unwrap().is_none();
    (first..).find(is_free).unwrap()
}

/// What has been prepared, as a user's; none where that cannot be.
fn of_user(manifests: &str, uid: u32) -> Option<Supervisor> {
    if !Uid::effective().is_root() {
        skip("only root may become another user; who runs this is an ordinary one already");
        return None;
    }
    Some(Supervisor::prepare_for(uid, manifests))
}

fn owner(pid: Pid) -> u32 {
    fs::metadata(format!("/proc/{}", pid.0)).unwrap().uid()
}

/// Up, a death of the supervisor, adoption, a crash, down; and nothing is left.
fn lives_through_all(s: &mut Supervisor, uid: u32) {
    let complete = |s: &Supervisor, run: usize| {
        s.traces().wait("tree", "complete", run, seconds(15));
        let mut tree: Vec<Pid> =
            s.traces().all("tree", "child").iter().rev().take(3).map(|mark| mark.pid).collect();
        tree.push(s.component("tree").pid());
        assert!(tree.iter().all(|pid| pid.exists() && owner(*pid) == uid), "{tree:?}");
        tree
    };
    s.up().expect(0);
    let first = complete(s, 1);
    assert_eq!(owner(s.pid()), uid);
    let private = fs::metadata(s.state_dir()).unwrap();
    assert_eq!((private.uid(), private.mode() & 0o777), (uid, 0o700));

    s.kill9();
    let status = s.cli(&["status"]).expect(3);
    assert!(status.stderr.contains("has died and left 2 components running"), "{status:?}");
    assert!(first.iter().all(|pid| pid.exists()), "they go on");
    s.up().expect(0);
    let tree = s.component("tree");
    assert_eq!((tree.pid(), tree.restart_count, tree.reason.as_str()), (first[3], 0, "Adopted"));
    assert!(s.component("speaker").ready);

    first[3].kill();
    s.wait_for("tree", "a second run", seconds(10), |c| c.ready && c.restart_count == 1);
    let second = complete(s, 2);
    assert!(first.iter().all(|pid| !pid.exists()), "all of the first run has ended: {first:?}");

    s.cli(&["down"]).expect(0);
    assert!(second.iter().all(|pid| !pid.exists()), "{second:?}");
    s.assert_nothing_left();
}

#[test]
fn whoever_runs_this_has_it_all() {
    lives_through_all(&mut Supervisor::prepare(TREE_AND_SPEAKER), Uid::effective().as_raw());
}

#[test]
fn nobody_has_it_all() {
    let Some(mut s) = of_user(TREE_AND_SPEAKER, NOBODY) else { return };
    lives_through_all(&mut s, NOBODY);
}

#[test]
fn user_without_a_name_has_it_all_and_leaves_no_sockets() {
    let uid = stranger();
    let Some(mut s) = of_user(TREE_AND_SPEAKER, uid) else { return };
    let sockets = format!("/tmp/vitald-{uid}");
    lives_through_all(&mut s, uid);
    // Not removed but where it is empty.
    fs::remove_dir(sockets).unwrap();
}

#[test]
fn folder_for_sockets_that_is_somebody_elses_is_named() {
    let uid = stranger() + 10_000;
    let Some(s) = of_user(TREE_AND_SPEAKER, uid) else { return };
    let sockets = format!("/tmp/vitald-{uid}");
    DirBuilder::new().mode(0o700).create(&sockets).unwrap();
    s.cli(&["up", "-f", "manifests", "--timeout", "2"]).expect(1);
    let failed = s.events_of("speaker");
    fs::remove_dir(&sockets).unwrap();
    let reason = format!("{sockets} belongs to another user (uid 0)");
    assert!(failed.iter().any(|event| event.contains(&reason)), "{failed:?}");
    assert!(s.component("tree").ready, "others do not need it");
}

#[test]
fn where_no_state_can_be_kept_one_is_told_what_to_do() {
    let Some(s) = of_user(SLEEPER, stranger()) else { return };
    let without_home = |args: &[&str], home: Option<&str>| {
        let mut command = s.command(args);
        command.env_remove("HOME").env_remove("VITALD_STATE_DIR").envs(home.map(|home| ("HOME", home)));
        Output::of(command.stdin(Stdio::null()))
    };
    let up = ["up", "-f", "manifests"];
    let told = without_home(&up, None).expect(1).stderr;
    assert!(told.contains("no home directory") && told.contains("--state-dir"), "{told}");
    for args in [&up[..], &["run", "-f", "manifests"]] {
        let told = without_home(args, Some("/no-such-home")).expect(1).stderr;
        assert!(told.contains("cannot"), "{told}");
        assert!(told.contains("/no-such-home/.local/state/vitald/"), "{told}");
        assert!(told.contains("--state-dir or VITALD_STATE_DIR names another folder"), "{told}");
    }
    let doctor = without_home(&["doctor"], Some("/no-such-home")).expect(1).stdout;
    assert!(
        doctor.contains("missing  state: /no-such-home/.local/state/vitald cannot be made: / "),
        "{doctor}"
    );
    without_home(&["--state-dir", "named", "up", "-f", "manifests"], None).expect(0);
    without_home(&["--state-dir", "named", "down"], None).expect(0);
}

#[test]
fn supervisor_of_another_user_is_not_taken_for_none() {
    let Some(s) = of_user(SLEEPER, stranger()) else { return };
    let roots = Supervisor::run(SLEEPER);
    let pid = roots.wait_ready("sleeper").pid();
    let s = s.with_state_dir(roots.state_dir().to_owned());
    for args in [&["status"][..], &["down"], &["logs"], &["describe", "sleeper"], &["stop", "sleeper"]] {
        let told = s.cli(args).expect(1).stderr;
        assert!(
            told.contains("Permission denied") && told.contains("private to the user"),
            "{args:?}: {told}"
        );
    }
    assert_eq!(roots.component("sleeper").pid(), pid);
}

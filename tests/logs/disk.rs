//! A disk that fills up and is freed, with the whole state dir on it.

use std::fs;

use vitald_tests::{Disk, Kind, Numbered, Supervisor, assert_numbered, assert_part, eventually, seconds};

use crate::writer::{assert_shown, wait_done, writer};

const MIB: u64 = 1 << 20;

#[test]
fn full_disk_ends_nothing_and_is_told_on_ext4() {
    full_disk_ends_nothing_and_is_told(Kind::Ext4);
}

#[test]
fn full_disk_ends_nothing_and_is_told_on_tmpfs() {
    full_disk_ends_nothing_and_is_told(Kind::Tmpfs);
}

fn full_disk_ends_nothing_and_is_told(kind: Kind) {
    const BYTES: u64 = 8 * MIB;
    let Some(disk) = Disk::small(kind, 20) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: web}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let done = s.path("done");
    let calm = "metadata: {name: calm}\nspec:\n  command: [vitald-fixture, sleep]\n  restart: {backoff: \
                {initialSeconds: 0.1}}";
    let web = writer("web", BYTES, 10, &done, "{maxSize: 3Mi, maxFiles: 10}");
    s.write_manifests(&[&web, calm].join("\n---\n"));
    let ballast = disk.fill(5 * MIB);
    s.up().expect(0);
    let (web, calm) = (s.wait_pid("web"), s.wait_ready("calm").pid());
    wait_event(&s, "web", "DiskFull", 15.0);
    wait_event(&s, "", "DiskFull", 15.0);

    assert_eq!(s.component("web").state, "Running");
    s.kill_supervisors();
    s.up().expect(0);
    assert_eq!((s.wait_pid("web").0, s.wait_ready("calm").pid().0), (web.0, calm.0));
    wait_event(&s, "", "DiskFull", 15.0);

    // All that people may ask for now works, and so does what the supervisor does by itself.
    s.cli(&["describe", "web"]).expect(0);
    s.cli(&["logs", "web", "--tail", "3"]).expect(0);
    calm.kill();
    s.wait_for("calm", "another run", seconds(10), |c| c.restart_count == 1 && c.ready);
    for _ in 0..20 {
        s.cli(&["restart", "calm"]).expect(0);
    }
    s.cli(&["stop", "calm"]).expect(0);
    s.cli(&["start", "calm"]).expect(0);
    let calm = s.wait_ready("calm").pid();
    assert!(!done.exists(), "it could write all of it");

    // What is needed to find it again was written down, for which there was no room but what was set aside.
    let before = s.component("calm").restart_count;
    s.kill_supervisors();
    s.up().expect(0);
    let now = s.wait_ready("calm");
    assert_eq!((now.pid().0, now.restart_count), (calm.0, before), "{}", s.cli(&["events"]).all());
    s.cli(&["stop", "calm"]).expect(0);
    s.kill_supervisors();
    s.up().expect(0);
    assert_eq!(s.component("calm").reason, "StoppedByUser");
    s.cli(&["start", "calm"]).expect(0);
    let calm = s.wait_ready("calm").pid();
    wait_event(&s, "", "DiskFull", 15.0);

    fs::remove_file(&ballast).unwrap();
    wait_event(&s, "", "DiskFreed", 15.0);
    wait_done(&done, 30.0);
    wait_event(&s, "web", "DiskFreed", 60.0);
    s.wait_rotated("web", 3 * MIB, seconds(40));
    let now = s.component("web");
    assert_eq!((now.pid().0, now.restart_count), (web.0, 0));
    assert_eq!(s.wait_ready("calm").pid().0, calm.0);
    s.cli(&["restart", "calm"]).expect(0);
    assert_shown(&s, "web", Numbered::whole(BYTES));
    s.cli(&["down"]).expect(0);
    assert!(s.log_files("web").len() > 2, "{}", s.log_listing());
    assert_numbered("the files", "web", Numbered::whole(BYTES), s.log_bytes("web"));
    let account = fs::read_to_string(s.state_dir().join("vitald.log")).unwrap();
    let torn: Vec<_> =
        account.lines().filter(|line| !line.starts_with("20") && !line.starts_with(' ')).collect();
    assert!(torn.is_empty(), "{torn:?}");
}

/// Where no room could be set aside either: the record is older than what runs.
#[test]
fn what_could_not_be_written_down_is_found_again() {
    let mut s = Supervisor::prepare("metadata: {name: calm}\nspec: {command: [vitald-fixture, sleep]}");
    s.up().expect(0);
    let first = s.wait_ready("calm").pid();
    let path = s.state_dir().join("components/calm.json");
    let record = fs::read(&path).unwrap();
    for _ in 0..3 {
        s.cli(&["restart", "calm"]).expect(0);
    }
    let last = s.wait_ready("calm").pid();
    assert!(first.0 != last.0 && !first.exists());
    s.kill_supervisors();
    fs::write(&path, &record).unwrap();
    s.up().expect(0);
    let now = s.wait_ready("calm");
    assert_eq!((now.pid().0, now.restart_count), (last.0, 0), "{}", s.cli(&["events"]).all());
    wait_event(&s, "calm", "FailedRead", 5.0);
    wait_event(&s, "calm", "Adopted", 5.0);

    // The same where nothing of that run is left: it has ended.
    s.kill_supervisors();
    last.kill();
    fs::write(&path, &record).unwrap();
    s.up().expect(0);
    let now = s.wait_ready("calm");
    assert!(now.pid().0 != last.0 && now.restart_count <= 1, "{now:?}");
    s.cli(&["down"]).expect(0);
}

#[test]
fn oldest_files_go_first_if_that_is_wanted_on_ext4() {
    oldest_files_go_first_if_that_is_wanted(Kind::Ext4);
}

#[test]
fn oldest_files_go_first_if_that_is_wanted_on_tmpfs() {
    oldest_files_go_first_if_that_is_wanted(Kind::Tmpfs);
}

fn oldest_files_go_first_if_that_is_wanted(kind: Kind) {
    const BYTES: u64 = 60 * MIB;
    let Some(disk) = Disk::small(kind, 20) else { return };
    let mut s = Supervisor::prepare("{metadata: {name: web}, spec: {command: [vitald-fixture, sleep]}}")
        .with_state_dir(disk.path().join("state"));
    let done = s.path("done");
    s.write_manifests(&writer(
        "web",
        BYTES,
        10,
        &done,
        "{maxSize: 1Mi, maxFiles: 100, onDiskFull: DropOldest}",
    ));
    s.start();
    wait_done(&done, 60.0);
    s.wait_rotated("web", MIB, seconds(20));
    wait_event(&s, "web", "LogsDropped", 5.0);
    assert!(
        s.events().iter().all(|event| event.reason != "DiskFull" || event.component.is_empty()),
        "{:?}",
        s.events()
    );
    assert_end_of_it(&s, BYTES, 10 * MIB);

    // Somebody else takes all the room that is left.
    disk.fill(0);
    eventually(
        "older files to go",
        seconds(30),
        || (disk.room() >= MIB).then_some(()),
        || format!("{} bytes of room\n{}", disk.room(), s.log_listing()),
    );
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    assert_end_of_it(&s, BYTES, 8 * MIB);
}

#[test]
fn where_a_full_disk_let_no_supervisor_begin_there_is_nothing_to_stop_on_ext4() {
    where_a_full_disk_let_no_supervisor_begin_there_is_nothing_to_stop(Kind::Ext4);
}

#[test]
fn where_a_full_disk_let_no_supervisor_begin_there_is_nothing_to_stop_on_tmpfs() {
    where_a_full_disk_let_no_supervisor_begin_there_is_nothing_to_stop(Kind::Tmpfs);
}

fn where_a_full_disk_let_no_supervisor_begin_there_is_nothing_to_stop(kind: Kind) {
    let Some(disk) = Disk::small(kind, 20) else { return };
    let s = Supervisor::prepare("metadata: {name: web}\nspec: {command: [vitald-fixture, sleep]}")
        .with_state_dir(disk.path().join("state"));
    let ballast = disk.fill(0);
    s.up().expect(1);
    let told = s.cli(&["down"]).expect(0);
    assert!(told.stdout.contains("nothing to stop"), "{told:?}");

    fs::remove_file(ballast).unwrap();
    s.up().expect(0);
    s.cli(&["down"]).expect(0);
}

/// What is left of the log is its end, and at least so much.
fn assert_end_of_it(s: &Supervisor, bytes: u64, at_least: u64) {
    let (end, left) = (Numbered::whole(bytes), s.log_sizes("web").iter().sum::<u64>());
    assert!(left >= at_least && left < end, "{}", s.log_listing());
    assert_part("the files", "web", end - left..end, s.log_bytes("web"));
    let shown = s.command(&["logs", "web"]).output().unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{:?}", shown.stderr);
    assert_part("vitald logs", "web", end - left..end, &shown.stdout[..]);
}

/// Waits for an event about a component, or about none.
fn wait_event(s: &Supervisor, component: &str, reason: &str, within: f64) {
    let is_it = |event: &vitald_tests::Event| event.component == component && event.reason == reason;
    eventually(
        &format!("the event {reason} about {component:?}"),
        seconds(within),
        || s.events().iter().any(is_it).then_some(()),
        || format!("{}\n{}", s.cli(&["events"]).all(), s.log_listing()),
    );
}

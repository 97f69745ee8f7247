//! The state dir.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use vitald_tests::{Supervisor, seconds};

const SLEEPER: &str = "
    metadata: {name: sleeper}
    spec: {command: [vitald-fixture, sleep]}
";

#[test]
fn files_are_where_they_should_be_and_private() {
    let s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    let mode = |path: &str| fs::metadata(s.state_dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("vitald.sock"), 0o600);
    assert!(fs::metadata(s.state_dir().join("vitald.sock")).unwrap().file_type().is_socket());
    for path in ["vitald.lock", "logs/sleeper.log", "components/sleeper.json", "locks/sleeper.lock"] {
        assert!(s.state_dir().join(path).is_file(), "{path} is missing");
    }
    let record = fs::read_to_string(s.state_dir().join("components/sleeper.json")).unwrap();
    let pid = s.wait_pid("sleeper").0;
    assert!(record.contains(&pid.to_string()), "{record}");
}

#[test]
fn socket_works_however_long_the_path_is() {
    let s = Supervisor::prepare(SLEEPER);
    let long = s.path("deep".repeat(20)).join("deeper".repeat(20)).join("deepest".repeat(20));
    assert!(long.as_os_str().len() > 250);
    let mut s = s.with_state_dir(long);
    s.start();
    s.wait_ready("sleeper");
    s.cli(&["restart", "sleeper"]).expect(0);
    s.wait_ready("sleeper");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    s.up().expect(0);
    s.cli(&["down"]).expect(0);
}

#[test]
fn stale_socket_is_in_nobodys_way() {
    let mut s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    s.kill9();
    assert!(s.state_dir().join("vitald.sock").exists());
    s.cli(&["status"]).expect(3);
    s.start();
    s.wait_ready("sleeper");
}

#[test]
fn broken_record_is_told_and_in_nobodys_way() {
    let mut s = Supervisor::run(SLEEPER);
    s.wait_ready("sleeper");
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    fs::write(s.state_dir().join("components/sleeper.json"), "{ half a rec").unwrap();
    s.start();
    s.wait_ready("sleeper");
    let told = s.events_of("sleeper").join("\n");
    assert!(told.contains("FailedRead: what an earlier vitald knew of it cannot be read"), "{told}");
    let aside = s.state_dir().join("components/sleeper.json.bad");
    assert_eq!(fs::read_to_string(aside).unwrap(), "{ half a rec");
}

#[test]
fn nothing_half_written_is_left() {
    let mut s = Supervisor::run(
        "
        metadata: {name: crasher}
        spec:
          command: [vitald-fixture, crash, '1', '20']
          restart: {maxRestarts: 5, backoff: {initialSeconds: 0}}
        ",
    );
    s.wait_state("crasher", "Failed", seconds(10));
    assert_eq!(s.ctrl_c(seconds(8)), 0);
    for folder in ["components", "locks", "logs"] {
        let mut names: Vec<_> = fs::read_dir(s.state_dir().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // What is known of a log lies beside it.
            .filter(|name| ![".times", ".meta", ".meta.next"].iter().any(|end| name.ends_with(end)))
            .collect();
        // What is known about a log, and room for the next version of that or of a record.
        let beside = [".log.meta", ".log.meta.next", ".log.times", ".json.room"];
        names.retain(|name| !beside.iter().any(|end| name.ends_with(end)));
        assert_eq!(names.len(), 1, "{folder}: {names:?}");
    }
}

//! Files that others keep.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::json;
use vitald_core::probe::ProbeResult::Success;

use crate::bed::{Bed, assert_failure, assert_unknown, check_once};

fn append(path: &Path, text: &str) -> File {
    let mut file = OpenOptions::new().append(true).create(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("a line");
    file
}

#[tokio::test]
async fn what_was_there_before_the_run_is_not_its_own() {
    // Made before the run's process is.
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("app.log");
    append(&path, "bad\n");
    std::thread::sleep(std::time::Duration::from_millis(100));
    let bed = Bed::new();
    let probe = bed.probe(json!({"mustNotMatch": "^bad", "path": path}));
    assert_eq!(bed.check(&probe).await, Success);
    append(&path, "good\n");
    assert_eq!(bed.check(&probe).await, Success);
    append(&path, "bad again\n");
    let shown = format!("forbidden line in {}: bad again", path.display());
    assert_failure(&bed.check(&probe).await, &shown);
}

#[tokio::test]
async fn a_file_that_the_run_made_is_read_from_its_beginning() {
    let bed = Bed::new();
    append(&bed.path("app.log"), "ready\n");
    let probe = bed.probe(json!({"mustMatch": "^ready", "path": "app.log"}));
    assert_eq!(bed.check(&probe).await, Success);
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_waited_for() {
    let bed = Bed::new();
    let (wanted, forbidden) = (
        bed.probe(json!({"mustMatch": "^ready", "path": "app.log"})),
        bed.probe(json!({"mustNotMatch": "^bad", "path": "app.log"})),
    );
    assert_failure(&bed.check(&wanted).await, "yet");
    assert_unknown(&bed.check(&forbidden).await, "app.log does not exist");
    append(&bed.path("app.log"), "ready\n");
    assert_eq!(bed.check(&wanted).await, Success);
    assert_eq!(bed.check(&forbidden).await, Success);
}

#[tokio::test]
async fn renamed_it_is_read_to_its_end_and_then_the_new_one() {
    let bed = Bed::new();
    let path = bed.path("app.log");
    let mut old = append(&path, "one\n");
    let probe = bed.probe(json!({"mustNotMatch": "^bad", "path": "app.log"}));
    assert_eq!(bed.check(&probe).await, Success);
    fs::rename(&path, bed.path("app.log.1")).expect("renamed");
    assert_eq!(bed.check(&probe).await, Success);
    // logrotate has made the new file, and the writer has not been told yet.
    append(&path, "");
    assert_eq!(bed.check(&probe).await, Success);
    old.write_all(b"bad in the old one\n").expect("a line");
    append(&path, "in the new one\n");
    assert_failure(&bed.check(&probe).await, "bad in the old one");

    let probe = bed.probe(json!({"mustNotMatch": "^worse", "path": "app.log"}));
    assert_eq!(bed.check(&probe).await, Success);
    fs::rename(&path, bed.path("app.log.1")).expect("renamed");
    append(&path, "fine\nworse\n");
    assert_failure(&bed.check(&probe).await, "worse");
}

#[tokio::test]
async fn copied_and_truncated_it_is_read_from_its_beginning() {
    let bed = Bed::new();
    let path = bed.path("app.log");
    let file = append(&path, "a line that is longer than what comes next\n");
    let probe = bed.probe(json!({"mustNotMatch": "^bad", "path": "app.log"}));
    assert_eq!(bed.check(&probe).await, Success);
    file.set_len(0).expect("truncated");
    append(&path, "bad\n");
    assert_failure(&bed.check(&probe).await, "bad");
}

#[tokio::test]
async fn an_old_file_is_silent_from_the_beginning_of_the_run_only() {
    let bed = Bed::new();
    let file = append(&bed.path("app.log"), "old\n");
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(5000))
        .expect("an old file");
    let probe = bed.probe(json!({"path": "app.log", "maxSilenceSeconds": 1000}));
    assert_eq!(bed.check(&probe).await, Success);
}

#[tokio::test]
async fn outside_a_supervisor_all_of_a_file_is_read_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    append(&dir.path().join("app.log"), "old\nready");
    let check = |spec| check_once(spec, dir.path());
    assert_eq!(check(json!({"path": "app.log", "mustMatch": "^ready$"})).await, Success);
    assert_failure(&check(json!({"path": "app.log", "mustNotMatch": "^old"})).await, "old");
    assert_eq!(check(json!({"path": "app.log", "maxSilenceSeconds": 1000})).await, Success);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(5000);
    let file = File::options().append(true).open(dir.path().join("app.log")).expect("a file");
    file.set_modified(old).expect("an old file");
    let silent = check(json!({"path": "app.log", "maxSilenceSeconds": 1000})).await;
    // Time that the machine has slept since its start does not count.
    if slept().is_zero() {
        assert_failure(&silent, "longer than 1000 s");
    }
    assert_unknown(&check(json!({"mustMatch": "x"})).await, "without `path`");
    assert_unknown(&check(json!({"path": "none.log", "mustNotMatch": "x"})).await, "does not exist");
    let missing = check(json!({"path": "none.log", "mustMatch": "x"})).await;
    assert_failure(&missing, "matches `x` yet");
    assert_failure(&missing, "none.log does not exist");
}

pub(crate) fn slept() -> std::time::Duration {
    use rustix::time::{ClockId, clock_gettime};
    let [boot, awake] = [ClockId::Boottime, ClockId::Monotonic].map(|clock| clock_gettime(clock).tv_sec);
    std::time::Duration::from_secs(boot.abs_diff(awake))
}

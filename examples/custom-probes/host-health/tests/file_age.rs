//! `fileAge` on real files.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use host_health::FileAgeProbe;
use vitald_sdk::kit::{self, Kit, Value, json};
use vitald_sdk::probe::ProbeResult;

async fn check(folder: &Path, config: Value) -> ProbeResult {
    Kit::new().working_dir(folder).check::<FileAgeProbe>(config).await.expect("a good configuration")
}

fn write(file: &Path, text: &str, seconds_ago: u64) {
    fs::write(file, text).expect("a file");
    let file = File::options().write(true).open(file).expect("a file");
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).expect("its time");
}

#[tokio::test]
async fn a_file_is_young_enough_or_too_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.dump");
    let about = json!({"path": "a.dump", "maxAgeSeconds": 60});
    let said = format!("{} is not there", file.display());
    assert_eq!(check(folder.path(), about.clone()).await, ProbeResult::failure(said));
    write(&file, "", 0);
    let said = format!("{} has 0 bytes, fewer than 1", file.display());
    assert_eq!(check(folder.path(), about.clone()).await, ProbeResult::failure(said));
    write(&file, "dump", 30);
    assert_eq!(check(folder.path(), about.clone()).await, ProbeResult::Success);
    write(&file, "dump", 600);
    let said = format!("{} was written 10 min ago, more than 60 s", file.display());
    assert_eq!(check(folder.path(), about).await, ProbeResult::failure(said));
}

#[tokio::test]
async fn of_a_folder_the_newest_file_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let dumps = folder.path().join("dumps");
    fs::create_dir_all(dumps.join("a folder is no file")).expect("a folder");
    let about = json!({"path": "dumps", "maxAgeSeconds": 60});
    let none = check(folder.path(), about.clone()).await;
    assert_eq!(none, ProbeResult::failure(format!("there is no file in {}", dumps.display())));
    write(&dumps.join("old"), "dump", 600);
    assert!(check(folder.path(), about.clone()).await.message().contains("old was written 10 min ago"));
    write(&dumps.join("new"), "dump", 1);
    assert_eq!(check(folder.path(), about).await, ProbeResult::Success);
}

#[tokio::test]
async fn what_cannot_be_seen_is_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("file"), "dump", 0);
    let verdict = check(folder.path(), json!({"path": "file/below", "maxAgeSeconds": 60})).await;
    assert!(
        matches!(&verdict, ProbeResult::Unknown(said) if said.ends_with("not a directory")),
        "{verdict:?}"
    );
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |config| kit::mistake::<FileAgeProbe>(config).unwrap_or_default();
    for (config, said) in [
        (json!({"path": "a", "maxAgeSeconds": 0}), "maxAgeSeconds: invalid value 0: must be greater than 0"),
        (json!({"path": "a", "maxAgeSeconds": 1, "minSize": "1 MB"}), "minSize: invalid value \"1 MB\""),
        (json!({"path": "a"}), "maxAgeSeconds"),
    ] {
        let told = mistake(config);
        assert!(told.contains(said), "{told}, not {said}");
    }
}

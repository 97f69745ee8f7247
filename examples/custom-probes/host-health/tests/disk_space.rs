//! `diskSpace` on the disk at hand.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use host_health::DiskSpaceProbe;
use vitald_sdk::kit::{self, Kit, Value, json};
use vitald_sdk::probe::ProbeResult;

async fn check(config: Value) -> ProbeResult {
    kit::check::<DiskSpaceProbe>(config).await.expect("a good configuration")
}

#[tokio::test]
async fn there_is_always_a_byte_and_never_an_exbibyte() {
    assert_eq!(check(json!({"path": ".", "minFree": 1, "minFreeInodes": "0%"})).await, ProbeResult::Success);
    for least in ["15Ei", "100%"] {
        let verdict = check(json!({"path": ".", "minFree": least})).await;
        let end = format!(" free, less than {least}");
        assert!(matches!(&verdict, ProbeResult::Failure(said) if said.ends_with(&end)), "{verdict:?}");
    }
}

#[tokio::test]
async fn relative_paths_begin_where_the_component_works() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    let kit = Kit::new().working_dir(folder.path());
    let data = json!({"path": "data", "minFree": 1});
    assert_eq!(kit.check::<DiskSpaceProbe>(data).await, Ok(ProbeResult::Success));
    let gone = kit.check::<DiskSpaceProbe>(json!({"path": "gone", "minFree": 1})).await;
    let said = format!("{} is not there", folder.path().join("gone").display());
    assert_eq!(gone, Ok(ProbeResult::failure(said)));
}

/// Where nothing is counted, nothing can be said of it.
#[tokio::test]
async fn a_file_system_without_inodes_is_unknown() {
    let verdict = check(json!({"path": "/proc", "minFreeInodes": 1})).await;
    assert_eq!(verdict, ProbeResult::unknown("the file system of /proc does not count inodes"));
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |config| kit::mistake::<DiskSpaceProbe>(config).unwrap_or_default();
    for (config, said) in [
        (json!({"path": "/"}), "minFree: required: minFree, minFreeInodes or both must say how much"),
        (
            json!({"path": "/", "minFree": "101%"}),
            "minFree: invalid value \"101%\": must be a share from 0% to",
        ),
        (
            json!({"path": "/", "minFreeInodes": "few"}),
            "minFreeInodes: invalid value \"few\": must be a quantity",
        ),
        (json!({"minFree": 1}), "path"),
    ] {
        let told = mistake(config);
        assert!(told.contains(said), "{told}, not {said}");
    }
}

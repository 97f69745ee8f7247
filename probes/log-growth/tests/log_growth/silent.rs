//! Silence in the component's own log.

use std::fs::File;
use std::time::{Duration, Instant};

use serde_json::json;
use vitald_core::probe::ProbeResult::{self, Success};
use vitald_log::{Keeper, OnDiskFull, Policy, Settings};
use vitald_probe_log_growth::LogGrowthProbe;

use crate::bed::{Bed, assert_failure};

/// Checks until it fails; gives why, and when.
async fn until_failure(bed: &Bed, probe: &LogGrowthProbe) -> (ProbeResult, Instant) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let result = bed.check(probe).await;
        if result != Success {
            return (result, Instant::now());
        }
        assert!(Instant::now() < deadline, "it never failed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn silence_is_found_and_ends_with_the_next_byte() {
    let mut bed = Bed::after("a line of the run before\n");
    let probe = bed.probe(json!({"maxSilenceSeconds": 0.5}));
    assert_eq!(bed.check(&probe).await, Success, "the run has just begun");
    let (silent, _) = until_failure(&bed, &probe).await;
    assert_failure(&silent, "nothing new in its log for 0.");
    assert_failure(&silent, "s, longer than 0.5 s");
    bed.write("x");
    let written = Instant::now();
    assert_eq!(bed.check(&probe).await, Success);
    let (_, failed) = until_failure(&bed, &probe).await;
    assert!(failed - written >= Duration::from_millis(500), "{:?}", failed - written);
}

#[tokio::test]
async fn lines_that_are_looked_at_end_a_silence_too() {
    let mut bed = Bed::new();
    let probe = bed.probe(json!({"maxSilenceSeconds": 0.5, "mustNotMatch": "bad"}));
    until_failure(&bed, &probe).await;
    bed.write("good\n");
    assert_eq!(bed.check(&probe).await, Success);
    assert_failure(&until_failure(&bed, &probe).await.0, "nothing new");
}

#[tokio::test]
async fn a_rotation_is_no_growth_and_neither_is_a_truncation() {
    let mut bed = Bed::new();
    bed.write(("x".repeat(63) + "\n").repeat(1000));
    for spec in [json!({"maxSilenceSeconds": 0.5}), json!({"maxSilenceSeconds": 0.5, "mustNotMatch": "bad"})]
    {
        bed.write(("x".repeat(63) + "\n").repeat(1000));
        let probe = bed.probe(spec);
        until_failure(&bed, &probe).await;
        bed.rotate(8192, 10);
        assert_failure(&bed.check(&probe).await, "nothing new");
        bed.write(("x".repeat(63) + "\n").repeat(1000));
        assert_eq!(bed.check(&probe).await, Success);
        bed.rotate(8192, 1);
        until_failure(&bed, &probe).await;
        bed.write("x");
        assert_eq!(bed.check(&probe).await, Success);
        until_failure(&bed, &probe).await;
        File::options().write(true).open(bed.path("web.log")).expect("a log").set_len(0).expect("truncated");
        assert_failure(&bed.check(&probe).await, "nothing new");
    }
}

#[tokio::test]
async fn after_a_takeover_silence_goes_on_by_the_index_of_times() {
    let mut bed = Bed::new();
    let settings = Settings { max_size: 1 << 20, max_files: 2, on_disk_full: OnDiskFull::Keep, sync: false };
    let folder = bed.path("");
    let keeper = Keeper::start(&folder, Policy::default(), |_| {}).expect("a keeper");
    keeper.keep("web", settings);
    bed.write("the last line\n");
    let noted = |wanted: bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while (std::fs::metadata(bed.path("web.log.times")).map_or(0, |data| data.len()) > 0) != wanted {
            assert!(Instant::now() < deadline, "no note of the time");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    noted(true);
    let written = Instant::now();
    let first = bed.probe(json!({"maxSilenceSeconds": 2}));
    until_failure(&bed, &first).await;
    assert!(written.elapsed() < Duration::from_secs(20));
    let next = bed.probe(json!({"maxSilenceSeconds": 2}));
    let silent = bed.check(&next).await;
    if crate::files::slept().is_zero() {
        assert_failure(&silent, "nothing new in its log for");
    }
    drop(keeper);
}

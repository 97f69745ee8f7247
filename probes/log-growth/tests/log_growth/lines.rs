//! Lines that must or must not be there, in the component's own log.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use serde_json::json;
use vitald_core::probe::ProbeResult::Success;

use crate::bed::{Bed, assert_failure, assert_unknown};

#[tokio::test]
async fn a_wanted_line_is_waited_for_and_needed_only_once() {
    let mut bed = Bed::after("Worker ready, polling for tasks\n");
    let probe = bed.probe(json!({"mustMatch": "Worker ready, polling"}));
    assert_failure(&bed.check(&probe).await, "no line in its log matches `Worker ready, polling` yet");
    bed.write("starting\nWorker re");
    assert_failure(&bed.check(&probe).await, "yet");
    bed.write("ady, polling for tasks\n");
    assert_eq!(bed.check(&probe).await, Success);
    bed.write("something else\n");
    assert_eq!(bed.check(&probe).await, Success);
    let taken_over = bed.probe(json!({"mustMatch": "Worker ready, polling"}));
    assert_eq!(bed.check(&taken_over).await, Success, "the next supervisor reads the run from its beginning");
}

#[tokio::test]
async fn a_forbidden_line_fails_every_check_of_its_run() {
    let mut bed = Bed::after("thread 'main' panicked at before\n");
    let spec = json!({"mustNotMatch": "panicked at|FATAL"});
    let probe = bed.probe(spec.clone());
    assert_eq!(bed.check(&probe).await, Success);
    bed.write(format!("fine\n{} thread 'main' \x1b[31mpanicked at x.rs:7\x1b[0m\n", "x".repeat(5000)));
    let first = bed.check(&probe).await;
    assert_failure(&first, "forbidden line in its log: …x");
    assert_failure(&first, "panicked at x.rs:7");
    assert!(first.message().len() < 300 && !first.message().contains('\x1b'), "{first:?}");
    bed.write("fine again\nFATAL\n");
    assert_eq!(bed.check(&probe).await, first);
    let taken_over = bed.probe(spec);
    assert_eq!(bed.check(&taken_over).await, first, "a takeover forgets nothing");
}

#[tokio::test]
async fn a_line_without_an_end_counts_once_nothing_more_comes() {
    let mut bed = Bed::new();
    let probe = bed.probe(json!({"mustNotMatch": "exit code [1-9]$"}));
    bed.write("exit code 1");
    assert_eq!(bed.check(&probe).await, Success);
    bed.write("0 is fine\nexit code 2");
    assert_eq!(bed.check(&probe).await, Success);
    assert_failure(&bed.check(&probe).await, "exit code 2");
}

#[tokio::test]
async fn rotations_hide_nothing_and_invent_nothing() {
    let mut bed = Bed::new();
    let probe = bed.probe(json!({"mustNotMatch": "^needle$"}));
    let filler = "x".repeat(63) + "\n";
    for round in 0..5 {
        // Half a line in the archive, the other half behind it.
        bed.write(filler.repeat(200) + "hay and nee");
        assert_eq!(bed.check(&probe).await, Success);
        bed.rotate(8192, 10);
        assert_eq!(bed.check(&probe).await, Success);
        bed.write("dle\n");
        assert_eq!(bed.check(&probe).await, Success, "round {round}: it is no line of its own");
    }
    bed.write("nee");
    assert_eq!(bed.check(&probe).await, Success);
    bed.write("dle\n".to_owned() + &filler.repeat(300));
    bed.rotate(8192, 10);
    bed.write(filler.repeat(300));
    bed.rotate(8192, 10);
    assert_failure(&bed.check(&probe).await, "needle");
}

#[tokio::test]
async fn what_was_dropped_unread_may_have_been_what_is_wanted() {
    let mut bed = Bed::new();
    let (wanted, forbidden) =
        (bed.probe(json!({"mustMatch": "^ready"})), bed.probe(json!({"mustNotMatch": "^bad"})));
    bed.write("ready\n".to_owned() + &("x".repeat(63) + "\n").repeat(2000));
    bed.rotate(8192, 2);
    assert_unknown(&bed.check(&wanted).await, "dropped unread");
    assert_eq!(bed.check(&forbidden).await, Success);
    bed.write("ready\n");
    assert_eq!(bed.check(&wanted).await, Success);
}

#[tokio::test]
async fn a_log_that_others_truncate_is_followed() {
    let mut bed = Bed::after("ready\n");
    let probe = bed.probe(json!({"mustMatch": "^ready$"}));
    bed.write("one\ntwo\n");
    assert_failure(&bed.check(&probe).await, "yet");
    File::options().write(true).open(bed.path("web.log")).expect("a log").set_len(0).expect("truncated");
    assert_failure(&bed.check(&probe).await, "yet");
    bed.write("ready\n");
    assert_eq!(bed.check(&probe).await, Success);
}

#[tokio::test]
async fn a_log_of_gigabytes_costs_a_check_no_more_than_its_share() {
    let bed = Bed::new();
    // A hole of 50 GiB: one line, as long as that. In a log that vitald keeps there are none.
    let log = File::create(bed.path("app.log")).expect("a log");
    log.set_len(50 << 30).expect("a sparse file");
    let probe = bed.probe(json!({"mustNotMatch": "bad", "path": "app.log"}));
    for _ in 0..3 {
        let begun = Instant::now();
        let result = bed.check_within(&probe, Duration::from_millis(200)).await;
        assert_unknown(&result, "app.log are still to be read");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    let silent = bed.probe(json!({"maxSilenceSeconds": 1000, "path": "app.log"}));
    assert_eq!(
        bed.check_within(&silent, Duration::from_millis(200)).await,
        Success,
        "nothing needs to be read"
    );
}

#[tokio::test]
async fn a_check_that_falls_behind_goes_on_where_it_was() {
    let mut bed = Bed::new();
    bed.write(("x".repeat(1023) + "\n").repeat(16 << 10) + "bad\n");
    let probe = bed.probe(json!({"mustNotMatch": "^bad"}));
    let mut behind = 0;
    loop {
        match bed.check_within(&probe, Duration::from_millis(1)).await {
            result if result.message().contains("still to be read") => behind += 1,
            result => {
                assert_failure(&result, "bad");
                break;
            }
        }
        // A block a check, at least.
        assert!(behind <= 257, "{behind}");
    }
    assert!(behind > 0, "16 MiB take longer than half a millisecond");
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_no_failure() {
    let bed = Bed::new();
    let probe = bed.probe(json!({"mustMatch": "x", "path": "folder"}));
    fs::create_dir(bed.path("folder")).expect("a folder");
    assert_unknown(&bed.check(&probe).await, "folder cannot be read: not a regular file");
}

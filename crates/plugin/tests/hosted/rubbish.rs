//! Programs in the place of a library's process that say what makes no sense, or nothing at all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use vitald_core::probe::ComponentContext;
use vitald_core::registry::Isolation;

use crate::world::{World, ask, counted, folder, script, why};

/// Says that it is a library with a probe, on the connection at its stdin.
const HELLO: &str = r#"printf '%s\n' '{"hello":{"about":{"name":"false","version":"1","abi":"1.0","sdk":"1","rustc":"1","panicAborts":false},"kinds":[{"key":"odd","schema":{"type":"object"}}]}}' >&0; "#;
/// Builds a probe when it is asked to, and waits for a check.
const ASKED: &str = r#"read -r build
    probe=$(printf '%s' "$build" | sed 's/.*"instance":\([0-9]*\).*/\1/')
    printf '{"built":{"instance":%s,"answer":{"Ok":null}}}\n' "$probe" >&0
    read -r check
    id=$(printf '%s' "$check" | sed 's/.*{"id":\([0-9]*\).*/\1/')
    "#;

/// Why a library whose process is this script is refused.
#[track_caller]
fn refused(body: &str, reason: &str) {
    let dir = folder(&["libodd.so"]);
    let since = Instant::now();
    let world = World::with(dir.path(), script(body));
    assert!(since.elapsed() < Duration::from_secs(12), "took {:?}", since.elapsed());
    let refusal = world.refusal();
    let file = dir.path().join("libodd.so");
    assert!(refusal.starts_with(&format!("the host of {} ", file.display())), "{refusal}");
    assert!(refusal.contains(reason), "{refusal}");
}

#[test]
fn one_that_introduces_itself_with_rubbish() {
    refused("echo rubbish >&0; sleep 100", "was ended, since what it said is no message");
}

#[test]
fn one_that_says_no_text() {
    refused(r"printf '\377\376\n' >&0; sleep 100", "was ended, since what it said is no");
}

#[test]
fn one_that_never_stops_talking() {
    refused("exec 3<&0; tr '\\0' x < /dev/zero >&3", "was ended, since it said more than 1024 KiB at once");
}

#[test]
fn one_that_answers_before_it_introduces_itself() {
    let answer = r#"echo '{"checked":{"id":1,"answer":{"Ok":"success"}}}' >&0; sleep 100"#;
    refused(answer, "was ended, since it did not say what it is");
}

#[test]
fn one_that_says_nothing() {
    refused("sleep 100", "was ended, since it did not say within 8 s what it is");
}

#[test]
fn one_that_ends_at_once() {
    refused("echo no such thing >&2; exit 7", "exited with status 7: no such thing");
}

#[test]
fn one_that_hangs_up() {
    refused("exec <&- ; sleep 100", "was ended, since it closed its connection");
}

#[test]
fn no_program_at_all() {
    let dir = folder(&["libodd.so"]);
    let mut host = script("");
    host.program = "/no/such/program".into();
    let refusal = World::with(dir.path(), host).refusal();
    assert!(refusal.contains("cannot be started: No such file"), "{refusal}");
}

/// Why a check is unknown, where the library's process goes on with this script after its check was begun.
async fn unknown(body: &str, reason: &str) {
    let dir = folder(&["libodd.so"]);
    let world = World::with(dir.path(), script(&format!("{HELLO}{ASKED}{body}")));
    let why = why(ask(&*world.probe(json!("succeed"))).await);
    assert!(why.starts_with("the host of false (") && why.contains(reason), "{why}");
}

#[tokio::test]
async fn one_that_answers_with_rubbish() {
    unknown("echo rubbish >&0; sleep 100", "was ended, since what it said is no message").await;
}

#[tokio::test]
async fn one_that_answers_what_it_was_not_asked() {
    let body = r#"echo '{"checked":{"id":4711,"answer":{"Ok":"success"}}}' >&0; sleep 100"#;
    unknown(body, "was ended, since it answered what it was not asked").await;
}

#[tokio::test]
async fn one_that_asks_for_too_much() {
    let body = r#"n=0
        while [ $n -lt 1000 ]; do n=$((n+1))
            echo '{"serve":{"check":'$id',"id":'$n',"request":{"exec":{"command":["sleep","100"]}}}}' >&0
        done; sleep 100"#;
    unknown(body, "was ended, since a check asked for too much at once").await;
}

#[tokio::test]
async fn one_that_introduces_itself_again() {
    unknown(&format!("{HELLO} sleep 100"), "was ended, since it introduced itself twice").await;
}

#[tokio::test]
async fn one_that_does_not_read() {
    let dir = folder(&["libodd.so"]);
    let world = World::with(dir.path(), script(&format!("{HELLO} sleep 100")));
    // More than any buffer of the system's holds, from many.
    let much = "x".repeat(900 * 1024);
    let probes: Vec<_> = (0..6).map(|_| world.probe(json!({ "fail": much }))).collect();
    let mut checks = futures_util::stream::FuturesUnordered::new();
    checks.extend(probes.iter().map(|probe| ask(&**probe)));
    // Those that come after its end are asked in the next one, which reads nothing either.
    let why = why(checks.next().await.unwrap());
    assert!(why.contains("was ended, since it does not read what it is told"), "{why}");
}

#[tokio::test]
async fn a_configuration_that_is_too_long_to_be_said() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let much = world.probe(json!({ "fail": "x".repeat(2 * 1024 * 1024) }));
    let why = why(ask(&*much).await);
    assert!(why.contains("cannot be told to a library: it is too long: "), "{why}");
}

#[tokio::test]
async fn a_folder_whose_name_is_no_text() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let good = world.probe(json!("count"));
    let (_, _, process) = counted(&*good).await;
    let working_dir = OsStr::from_bytes(b"/srv/caf\xe9").into();
    let component = ComponentContext { working_dir, ..ComponentContext::default() };
    let (key, config) = ("odd", json!({ "does": "succeed" }));
    let sentence = "cannot be told to a library: path contains invalid UTF-8 characters";
    let mistake = world.registry.validate(key, &config, &component).unwrap_err();
    assert!(mistake.message.contains(sentence), "{mistake:?}");
    for isolation in [Isolation::Process, Isolation::InProcess] {
        let probe = world.registry.build(key, &config, &component, isolation).unwrap();
        let why = why(ask(&*probe).await);
        assert!(why.contains(sentence), "{isolation:?}: {why}");
    }
    // Nobody is ended for that.
    assert_eq!(counted(&*good).await.2, process);
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_read() {
    let dir = folder(&["libodd.so"]);
    let world = World::of(dir.path());
    let why = why(ask(&*world.probe(json!({ "huge": 2 * 1024 * 1024 }))).await);
    assert!(
        why.starts_with("the answer of the odd probe of odd-probes makes no sense: it is too long"),
        "{why}"
    );
    // One that can be read is not kept as it is.
    let long = ask(&*world.probe(json!({ "huge": 100_000 }))).await;
    assert_eq!(long.message().len(), 4096 + '…'.len_utf8());
}

//! The functions of a library, called as its host calls them: through C's types.

mod host;
mod probes;

use serde_json::{Value, json};
use vitald_core::notify::RunNeeds;
use vitald_core::probe::{ProbeResult, SpecErrorKind};

use self::host::{Answer, Library, Run, library};
use self::probes::{GATE, does};
use crate::message::Kind;

#[test]
fn kinds_are_told_with_their_schemas() {
    let kinds: Vec<Kind> = library().describe().read();
    let keys: Vec<_> = kinds.iter().map(|kind| &*kind.key).collect();
    assert_eq!(keys, ["needy", "obedient"]);
    assert_eq!(kinds[1].schema["properties"]["port"]["minimum"], 1);
}

#[test]
fn needs_are_those_of_the_configuration() {
    let needs: RunNeeds = library().needs("needy", json!({ "socket": true })).read();
    assert!(needs.notify_socket);
    let wrong: RunNeeds = library().needs("needy", json!({ "socket": "perhaps" })).read();
    assert_eq!(wrong, RunNeeds::default());
}

#[test]
fn a_mistake_is_told_with_its_field_and_builds_nothing() {
    let refused = library().build("obedient", named("web")).unwrap_err().refusal();
    assert_eq!((&*refused.path, refused.kind), ("port", SpecErrorKind::NotFound));
    let refused = library().build("other", json!({})).unwrap_err().refusal();
    assert_eq!(refused.known, ["needy", "obedient"]);
    let refused = library().build_raw(b"{ rubbish").unwrap_err().refusal();
    assert!(refused.message.contains("makes no sense"), "{refused}");
}

fn named(port: &str) -> Value {
    json!({ "does": "succeed", "number": 0, "port": port })
}

#[test]
fn a_panic_while_building_is_told() {
    let answer = library().build("obedient", does("panicInBuild")).unwrap_err();
    assert_eq!(answer, Answer::Panicked("panicked while it was built".to_owned()));
}

#[test]
fn a_check_is_answered_once() {
    let probe = library().build("obedient", does("succeed")).unwrap();
    let check = probe.check(&Run::None);
    assert_eq!(check.answer(), Answer::result(ProbeResult::Success));
    check.cancel_and_expect_no_more();
}

#[test]
fn tokio_is_at_hand() {
    let probe = library().build("obedient", does("sleep")).unwrap();
    assert_eq!(probe.check(&Run::None).answer(), Answer::result(ProbeResult::Success));
}

#[test]
fn what_a_cancelled_check_held_is_gone_when_its_end_is_told() {
    let probe = library().build("obedient", does("wait")).unwrap();
    let check = probe.check(&Run::None);
    check.wait_until_begun();
    assert!(!check.was_dropped());
    check.cancel();
    assert_eq!(check.answer(), Answer::Cancelled);
    assert!(check.was_dropped());
    check.expect_no_more();
}

#[test]
fn panics_are_told() {
    let panicked = |does_it: &str| {
        let probe = library().build("obedient", does(does_it)).unwrap();
        let check = probe.check(&Run::None);
        let answer = check.answer();
        check.cancel_and_expect_no_more();
        answer
    };
    assert_eq!(panicked("panicInCheck"), Answer::Panicked("panicked in its check".to_owned()));
    // What it panicked with panics, too.
    assert_eq!(panicked("panicTwice"), Answer::Panicked("it gave no message".to_owned()));
}

#[test]
fn a_panic_of_a_check_that_is_dropped_is_told() {
    let probe = library().build("obedient", does("panicInDrop")).unwrap();
    let check = probe.check(&Run::None);
    check.wait_until_begun();
    check.cancel();
    assert_eq!(check.answer(), Answer::Panicked("panicked while it was dropped".to_owned()));
    check.expect_no_more();
}

#[test]
fn a_panic_at_the_end_of_a_probe_stays_inside() {
    let probe = library().build("obedient", does("panicInEnd")).unwrap();
    assert_eq!(probe.check(&Run::None).answer(), Answer::result(ProbeResult::Success));
    drop(probe);
    // Another one is built and asked as if nothing had been.
    let probe = library().build("obedient", does("succeed")).unwrap();
    assert_eq!(probe.check(&Run::None).answer(), Answer::result(ProbeResult::Success));
}

#[test]
fn a_check_that_blocks_ends_when_it_comes_back() {
    let gate = GATE.lock().unwrap();
    let probe = library().build("obedient", does("block")).unwrap();
    let check = probe.check(&Run::None);
    check.wait_until_begun();
    check.cancel();
    // Others are answered meanwhile.
    let other = library().build("obedient", does("succeed")).unwrap();
    assert_eq!(other.check(&Run::None).answer(), Answer::result(ProbeResult::Success));
    check.expect_no_more();
    drop(gate);
    assert_eq!(check.answer(), Answer::result(ProbeResult::Success));
    check.expect_no_more();
}

#[test]
fn several_checks_run_at_once() {
    let probes: Vec<_> = (0..8).map(|_| library().build("obedient", does("wait")).unwrap()).collect();
    let checks: Vec<_> = probes.iter().map(|probe| probe.check(&Run::None)).collect();
    for check in &checks {
        check.wait_until_begun();
    }
    for check in checks {
        check.cancel();
        assert_eq!(check.answer(), Answer::Cancelled);
        check.expect_no_more();
    }
}

#[test]
fn a_probe_may_be_destroyed_before_a_cancelled_check_has_come_back() {
    let gate = GATE.lock().unwrap();
    let probe = library().build("obedient", does("block")).unwrap();
    let check = probe.check(&Run::None);
    check.wait_until_begun();
    check.cancel();
    drop(probe);
    drop(gate);
    assert_eq!(check.answer(), Answer::result(ProbeResult::Success));
}

#[test]
fn a_request_without_sense_is_refused_at_once() {
    let probe = library().build("obedient", does("succeed")).unwrap();
    let check = probe.check_raw(b"42");
    assert!(check.answer().refusal().message.contains("makes no sense"));
    check.cancel_and_expect_no_more();
    assert_eq!(check.host.released(), 1);
}

#[test]
fn a_check_asks_its_host() {
    let tell = |command: &str| {
        let config = does(json!({ "run": { "command": [command] } }));
        let probe = library().build("obedient", config).unwrap();
        let check = probe.check(&Run::Known);
        let answer = check.answer();
        assert_eq!(check.host.released(), 1, "after {command}");
        check.cancel_and_expect_no_more();
        answer
    };
    assert_eq!(tell("echo"), Answer::result(ProbeResult::failure("exited with status 0: echoed")));
    assert_eq!(tell("missing"), Answer::result(ProbeResult::unknown("no such file: `missing`")));
    let trouble = |reason| {
        let told = format!("asking vitald to run a command: {reason}");
        Answer::result(ProbeResult::unknown(told))
    };
    assert_eq!(tell("refuse"), trouble("not today"));
    assert_eq!(tell("wrong"), trouble("it answered something else: Memory(Ok(7))"));
    assert_eq!(tell("drop"), trouble("it was cancelled"));
    assert_eq!(tell("number"), trouble("its answer is of no kind that is known: 99"));
    assert_eq!(tell("rubbish"), trouble("its answer: expected value at line 1 column 1"));
}

#[test]
fn a_check_knows_its_run() {
    let probe = library().build("obedient", does("tell")).unwrap();
    let answer = probe.check(&Run::Known).answer();
    let told = "pid 4242, log at 17, container Some(\"c0ffee\"), pids Ok([4242, 4243]), memory Ok(7), \
                heard Err(\"nobody listens\")";
    assert_eq!(answer, Answer::result(ProbeResult::failure(told)));
    let answer = probe.check(&Run::None).answer();
    assert_eq!(answer, Answer::result(ProbeResult::unknown("no run")));
}

#[test]
fn a_command_of_a_cancelled_check_is_cancelled() {
    let config = does(json!({ "run": { "command": ["hang"] } }));
    let probe = library().build("obedient", config).unwrap();
    let check = probe.check(&Run::Known);
    check.host.wait_until_asked();
    assert_eq!((check.host.forgotten(), check.host.released()), (0, 0));
    check.cancel();
    assert_eq!(check.answer(), Answer::Cancelled);
    assert_eq!((check.host.forgotten(), check.host.released()), (1, 1));
}

#[test]
fn null_is_nothing_to_cancel_or_destroy() {
    Library::forget_nothing();
}

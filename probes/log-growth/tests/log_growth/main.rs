//! `logGrowth` against real files, rotated in all the ways there are.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

mod bed;
mod files;
mod lines;
mod silent;

use serde_json::json;
use vitald_core::probe::SpecErrorKind;

use crate::bed::Bed;

#[test]
fn mistakes_name_the_field() {
    let bed = Bed::new();
    for (spec, field, why) in [
        (json!({"maxSilenceSeconds": 0}), "maxSilenceSeconds", "greater than 0"),
        (json!({"maxSilenceSeconds": -1}), "maxSilenceSeconds", "greater than 0"),
        (json!({"maxSilenceSeconds": 1e300}), "maxSilenceSeconds", "greater than 0"),
        (json!({"mustMatch": "a("}), "mustMatch", "unclosed group, at character 2"),
        (json!({"mustNotMatch": "[b-a]"}), "mustNotMatch", "at character 2"),
        (json!({"mustNotMatch": ""}), "mustNotMatch", "empty line"),
        (json!({"mustMatch": ".*"}), "mustMatch", "empty line"),
        (json!({"mustMatch": "(\\w{200}){200}"}), "mustMatch", "smaller"),
        (json!({"mustMatch": "(".repeat(100_000)}), "mustMatch", "regular expression"),
        (json!({"mustMatch": "a", "path": ""}), "path", "must be a path"),
    ] {
        let mistake = bed.build(spec.clone()).err().expect("it is a mistake");
        assert!(mistake.path == field && mistake.message.contains(why), "{mistake:?}");
    }
    let nothing = bed.build(json!({"path": "x"})).err().expect("it asks for nothing");
    assert_eq!((nothing.kind, nothing.path.as_str()), (SpecErrorKind::Required, ""));
    assert!(bed.build(json!({"mustmatch": "a"})).is_err(), "an unknown field");
}

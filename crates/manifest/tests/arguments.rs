//! `vitald check HANDLER key=value…`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use vitald_manifest::handler_config;

fn config(key: &str, args: &[&str]) -> Result<serde_json::Value, String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    handler_config(&support::registry(), key, &args)
}

#[test]
fn values_are_read_as_their_field_wants_them() {
    assert_eq!(
        config("grpc", &["port=50051", "service=80", "tls=true"]),
        Ok(json!({"port": 50051, "service": "80", "tls": true}))
    );
    assert_eq!(config("tcpSocket", &["port=http"]), Ok(json!({"port": "http"})));
    assert_eq!(
        config("exec", &[r#"command=["sh","-c","exit 1 # no"]"#]),
        Ok(json!({"command": ["sh", "-c", "exit 1 # no"]}))
    );
    assert_eq!(
        config("httpGet", &["port=80", "path=/a?b=c: d # e", "scheme=HTTPS"]),
        Ok(json!({"port": 80, "path": "/a?b=c: d # e", "scheme": "HTTPS"}))
    );
    assert_eq!(
        config("httpGet", &["port=80", "httpHeaders=[{name: X-A, value: b}]"]),
        Ok(json!({"port": 80, "httpHeaders": [{"name": "X-A", "value": "b"}]}))
    );
    assert_eq!(config("pid", &[]), Ok(json!({})));
    assert_eq!(config("pid", &["pidFile="]), Ok(json!({"pidFile": ""})));
}

#[test]
fn words_of_a_list_need_no_quotes() {
    let command = |text: &str| config("exec", &[&format!("command={text}")]).map(|it| it["command"].clone());
    assert_eq!(command("false"), Ok(json!(["false"])));
    assert_eq!(command("/bin/true"), Ok(json!(["/bin/true"])));
    assert_eq!(command(r#""true""#), Ok(json!(["true"])));
    // What a shell leaves of `["true"]`, and of numbers as they were typed.
    assert_eq!(command("[true]"), Ok(json!(["true"])));
    assert_eq!(command("[sleep,010,1.50]"), Ok(json!(["sleep", "010", "1.50"])));
    assert!(command("[[true]]").is_err() && command("{a: b}").is_err() && command("").is_err());
}

#[test]
fn mistakes_are_told() {
    let told = |key: &str, args: &[&str]| config(key, args).unwrap_err();
    insta::assert_snapshot!(told("grcp", &[]), @"no handler is named `grcp` (did you mean `grpc`?)");
    insta::assert_snapshot!(told("kafka", &[]), @"no handler is named `kafka` (there are exec, grpc, httpGet, pid and tcpSocket)");
    insta::assert_snapshot!(told("grpc", &["prot=80"]), @"prot: unknown field (did you mean `port`?)");
    insta::assert_snapshot!(told("grpc", &["port=70000", "tls=yes"]), @r#"
    port: invalid value 70000: must be from 1 to 65535 (port to ask: a number from 1 to 65535, or the name of one of the component's ports)
    tls: invalid value "yes": expected a boolean; write true or false (whether to use TLS; leave it out for the default, `tls: false`)
    "#);
    insta::assert_snapshot!(told("grpc", &[]), @"port: required field is missing (port to ask: a number from 1 to 65535, or the name of one of the component's ports)");
    insta::assert_snapshot!(told("grpc", &["50051"]), @r#""50051": expected field=value"#);
    insta::assert_snapshot!(told("grpc", &["port=1", "port=2"]), @"port: given twice");
    insta::assert_snapshot!(told("grpc", &["port.x=1", "port=2"]), @"port: given twice");
    insta::assert_snapshot!(told("exec", &["command=sleep 1"]), @r#"command: invalid value "sleep 1": expected a list (write command='["sleep", "1"]')"#);
    insta::assert_snapshot!(told("exec", &["command=echo it's", "wrokingDir=/", "x"]), @r#"
    "x": expected field=value
    command: invalid value "echo it's": expected a list (write command='["echo", "it'\''s"]')
    wrokingDir: unknown field (did you mean `workingDir`?)
    "#);
    insta::assert_snapshot!(told("exec", &["command=[a, b"]), @"command: `[` without its `]`");
    insta::assert_snapshot!(told("httpGet", &["port=80", "scheme=https"]), @r#"scheme: unsupported value "https": expected HTTP or HTTPS (did you mean `HTTPS`?)"#);
}

#[test]
fn a_handler_that_is_not_there_may_be_of_a_library_that_was_refused() {
    let told = |key: &str| handler_config(&support::registry_with_custom(), key, &[]).unwrap_err();
    assert!(told("kafkaLag").ends_with(
        "; it may be of a library that was refused, /opt/plugins/libkafka.so: `vitald plugin list` says why)"
    ));
    assert!(told("diskSpac").contains("did you mean `diskSpace`? if not, it may be of a library"));
    assert!(told("diskSpace").starts_with("path: required"));
}

#[test]
fn a_configuration_is_held_against_a_schema_that_is_not_its_own() {
    let registry = support::registry();
    let told = |config: serde_json::Value| -> Vec<String> {
        let schema = registry.schema("tcpSocket").unwrap();
        vitald_manifest::objections(schema, &config).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(json!({ "port": 80 })), [""; 0]);
    assert_eq!(told(json!({ "host": "x" })), ["port: required field is missing"]);
    assert_eq!(told(json!({ "port": "http", "prot": 1 })), ["prot: unknown field"]);
}

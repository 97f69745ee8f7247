//! `postgres` and servers that are none. A real one is asked in vitald's own tests.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::time::Duration;

use postgres_query::PostgresProbe;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use vitald_sdk::kit::{Kit, Value, json};
use vitald_sdk::probe::ProbeResult;

async fn check(config: Value) -> ProbeResult {
    let kit = Kit::new().timeout(Duration::from_millis(500));
    kit.check::<PostgresProbe>(config).await.expect("a good configuration")
}

#[tokio::test]
async fn who_does_not_answer_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let of = json!({"host": "127.0.0.1", "port": port});
    let said = format!("no answer from 127.0.0.1:{port} within 0.45 s");
    assert_eq!(check(of.clone()).await, ProbeResult::failure(said));
    drop(listener);
    let said = format!("connection refused by 127.0.0.1:{port}: nothing listens there");
    assert_eq!(check(of).await, ProbeResult::failure(said));
    let gone = check(json!({"host": "/nowhere", "port": 5432})).await;
    assert_eq!(gone, ProbeResult::failure("/nowhere:5432 is not there"));
}

#[tokio::test]
async fn who_speaks_something_else_or_hangs_up_fails() {
    for said in [&b""[..], b"220 mail.example.org ESMTP\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            stream.write_all(said).await
        });
        let verdict = check(json!({"host": "127.0.0.1", "port": port})).await;
        assert!(matches!(verdict, ProbeResult::Failure(_)), "{said:?}: {verdict:?}");
    }
}

#[tokio::test]
async fn without_the_password_nothing_is_asked() {
    let verdict = check(json!({"port": 1, "passwordFile": "/nowhere/password"})).await;
    let said = "the password in /nowhere/password cannot be read: no such file or directory";
    assert_eq!(verdict, ProbeResult::unknown(said));
}

#[test]
fn mistakes_name_their_field() {
    let mistake = |config| Kit::new().port("sql", 5432).mistake::<PostgresProbe>(config).unwrap_or_default();
    for (config, said) in [
        (json!({"port": "sqll"}), "port: not found"),
        (json!({"query": " "}), "query: invalid value \" \": must not be empty"),
        (json!({"min": 2, "max": 1}), "min: invalid value 2: must not be more than `max`, 1"),
        (json!({"password": "hunter2"}), "unknown field `password`"),
    ] {
        let told = mistake(config);
        assert!(told.contains(said), "{told}, not {said}");
    }
    assert_eq!(mistake(json!({"port": "sql"})), "");
}

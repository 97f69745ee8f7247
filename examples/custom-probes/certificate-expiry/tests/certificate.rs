//! `certificate` on files, and on a real TLS server.

#![allow(clippy::expect_used, reason = "in a test, failing is the point")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certificate_expiry::CertificateProbe;
use rcgen::{CertificateParams, CertifiedKey, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vitald_sdk::kit::{self, Kit, Value, json};
use vitald_sdk::probe::ProbeResult;

/// One that is valid from so many days from now until so many days from now.
fn certificate(from: f64, until: f64) -> CertifiedKey<KeyPair> {
    let signing_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["example.org".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "example.org");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let day = |days: f64| date_time_ymd(1970, 1, 1) + Duration::from_secs_f64(now + days * 86_400.0);
    (params.not_before, params.not_after) = (day(from), day(until));
    let cert = params.self_signed(&signing_key).expect("a certificate");
    CertifiedKey { cert, signing_key }
}

async fn check(config: Value) -> ProbeResult {
    let kit = Kit::new().timeout(Duration::from_secs(2));
    kit.check::<CertificateProbe>(config).await.expect("a good configuration")
}

#[tokio::test]
async fn files_are_judged_by_what_expires_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tls.pem");
    let (long, short) = (certificate(-9.0, 99.0), certificate(-9.0, 9.5));
    let (future, past) = (certificate(1.5, 99.0), certificate(-9.0, -0.5));
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, said) in [
        (String::new(), "has no certificate"),
        (long.signing_key.serialize_pem(), "has no certificate"),
        (long.cert.pem(), ""),
        (format!("{}{}", long.signing_key.serialize_pem(), long.cert.pem()), ""),
        (format!("{}{}", long.cert.pem(), short.cert.pem()), "in 9.4 days: fewer than 14"),
        (past.cert.pem(), "has expired on "),
        (future.cert.pem(), "is not valid before "),
        (rubbish.to_owned(), "that is no certificate"),
    ] {
        std::fs::write(&file, &text).expect("a file");
        let verdict = check(json!({"file": file})).await;
        assert_eq!(verdict == ProbeResult::Success, said.is_empty(), "{verdict:?}");
        assert!(verdict.message().contains(said), "{verdict:?}");
    }
    std::fs::write(&file, short.cert.pem()).expect("a file");
    assert_eq!(check(json!({"file": file, "minDays": 9})).await, ProbeResult::Success);
    std::fs::remove_file(&file).expect("a file");
    let said = format!("{} is not there", file.display());
    assert_eq!(check(json!({"file": file})).await, ProbeResult::failure(said));
}

/// It speaks TLS with this certificate.
async fn serve(of: CertifiedKey<KeyPair>) -> u16 {
    let key = PrivateKeyDer::try_from(of.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![of.cert.der().clone()], key)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    port
}

#[tokio::test]
async fn servers_are_judged_by_what_they_show() {
    let of =
        |port, days| json!({"port": port, "host": "127.0.0.1", "serverName": "example.org", "minDays": days});
    let well = serve(certificate(-9.0, 20.0)).await;
    assert_eq!(check(of(well, 14)).await, ProbeResult::Success);
    assert!(check(of(well, 30)).await.message().contains("days: fewer than 30"));
    // One that no client would believe in is told of, not refused.
    let expired = serve(certificate(-9.0, -2.0)).await;
    let said = format!("the certificate of CN=example.org in 127.0.0.1:{expired} has expired on ");
    let verdict = check(of(expired, 0)).await;
    assert!(verdict.message().contains(&said), "{verdict:?}");
}

#[tokio::test]
async fn servers_that_show_none_are_not_well() {
    let of = |port| json!({"port": port, "host": "127.0.0.1"});
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = listener.local_addr().expect("an address").port();
    let said = format!("no certificate from 127.0.0.1:{silent} within 1.8 s");
    assert_eq!(check(of(silent)).await, ProbeResult::failure(said));
    drop(listener);
    let said = format!("connection refused by 127.0.0.1:{silent}: nothing listens there");
    assert_eq!(check(of(silent)).await, ProbeResult::failure(said));

    let plain = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = plain.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        use std::io::Write;
        plain.accept().map(|(mut stream, _)| stream.write_all(b"220 mail.example.org ESMTP\r\n"))
    });
    let verdict = check(of(port)).await;
    let said = format!("no TLS connection with 127.0.0.1:{port}: ");
    assert!(verdict.message().starts_with(&said), "{verdict:?}");
}

#[test]
fn mistakes_name_their_field() {
    let mistake =
        |config| Kit::new().port("https", 1).mistake::<CertificateProbe>(config).unwrap_or_default();
    for (config, said) in [
        (json!({}), "file: required: `file` or `port` must be there"),
        (json!({"file": "a", "port": 1}), "port: forbidden: is there beside `file`"),
        (json!({"file": "a", "serverName": "b"}), "serverName: forbidden: goes with `port`, not with `file`"),
        (json!({"port": "http"}), "port: not found"),
        (
            json!({"port": "https", "serverName": "a b"}),
            "serverName: invalid value \"a b\": must be a host name",
        ),
        (json!({"file": "a", "minDays": -1}), "minDays: invalid value -1"),
    ] {
        let told = mistake(config);
        assert!(told.contains(said), "{told}, not {said}");
    }
    assert_eq!(kit::mistake::<CertificateProbe>(json!({"port": 443})), None);
}

//! `certificate`, on one that is about to expire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use vitald_tests::{Stranger, Supervisor, seconds};

/// A certificate in PEM that expires so many days from now, and its key.
fn pem(days: f64) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["example.org".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "example.org");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs_f64(now + days * 86_400.0);
    let certificate = params.self_signed(&key).unwrap();
    format!("{}{}", key.serialize_pem(), certificate.pem())
}

#[test]
fn a_certificate_that_is_about_to_expire_is_told_in_time() {
    let mut s = Supervisor::prepare(
        "
        metadata: {name: proxy}
        spec:
          command: [vitald-fixture, sleep]
          readinessProbe:
            certificate: {file: tls.pem, minDays: 14}
            periodSeconds: 0.2
            failureThreshold: 1
        ",
    );
    s.install(&Stranger::build("examples/custom-probes").library("certificate-expiry"));
    s.write("manifests/tls.pem", &pem(14.5));
    s.start();
    s.wait_ready("proxy");
    let said = |what: &'static str| {
        s.wait_for("proxy", what, seconds(10), |c| {
            let said = &c.probe("readiness").message;
            !c.ready && what.split('…').all(|part| said.contains(part))
        });
    };
    s.write("manifests/tls.pem", &pem(13.95));
    said("the certificate of CN=example.org in …/tls.pem expires on …, in 13.9 days: fewer than 14");
    s.write("manifests/tls.pem", &pem(-1.0));
    said("the certificate of CN=example.org in …/tls.pem has expired on …");
    s.write("manifests/tls.pem", "no certificate\n");
    said("/tls.pem has no certificate");
    // The one that expires first counts.
    s.write("manifests/tls.pem", &format!("{}{}", pem(400.0), pem(2.0)));
    said("in 1.9 days: fewer than 14");
    s.write("manifests/tls.pem", &format!("{}{}", pem(400.0), pem(20.0)));
    s.wait_ready("proxy");
}

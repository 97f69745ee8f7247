//! `certificate`: healthy while a certificate holds for long enough to be renewed in peace: one in a file, or one
//! that a TLS server shows.
//!
//! Of a chain, the certificate that expires first counts. Who signed it does not: that is for clients to say.

mod server;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use vitald_sdk::async_trait;
use vitald_sdk::probe::{
    CheckContext, ComponentContext, HealthProbe, PortRef, ProbeKind, ProbeResult, SpecError,
};
use vitald_sdk::wording::{host_port, system_error};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

const DAY: f64 = 86_400.0;

/// Healthy while a certificate, in a file or of a TLS server, is valid for `minDays` more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSpec {
    /// A file of certificates in PEM; a relative path starts at the component's working directory.
    pub file: Option<PathBuf>,
    /// Instead of a file: the port of a TLS server, by number or by the name of one of the component's ports.
    pub port: Option<PortRef>,
    /// Host name or IP address of that server. Defaults to `localhost`.
    pub host: Option<String>,
    /// The name that the server is asked for, where it has several certificates. Defaults to `host`.
    pub server_name: Option<String>,
    /// Days that it must still be valid. Defaults to 14; 0 is satisfied until it expires.
    #[serde(default = "two_weeks")]
    #[schemars(range(min = 0.0))]
    pub min_days: f64,
}

fn two_weeks() -> f64 {
    14.0
}

/// Reads the certificates of a [`CertificateSpec`].
pub struct CertificateProbe {
    place: Place,
    min_days: f64,
}

enum Place {
    File(PathBuf),
    Server { host: String, port: u16, name: String },
}

impl ProbeKind for CertificateProbe {
    const KEY: &'static str = "certificate";
    type Spec = CertificateSpec;

    fn build(spec: CertificateSpec, component: &ComponentContext) -> Result<Self, SpecError> {
        let place = match (spec.file, spec.port) {
            (Some(file), None) => {
                let of_server = [("host", spec.host.is_some()), ("serverName", spec.server_name.is_some())];
                if let Some((field, _)) = of_server.iter().find(|(_, is_there)| *is_there) {
                    return Err(SpecError::forbidden("goes with `port`, not with `file`").at(field));
                }
                Place::File(component.working_dir.join(file))
            }
            (None, Some(port)) => {
                let port = component.port(&port).map_err(|err| err.at("port"))?;
                let host = spec.host.unwrap_or_else(|| "localhost".to_owned());
                let name = spec.server_name.unwrap_or_else(|| host.clone());
                server::check_name(&name).map_err(|err| err.at("serverName"))?;
                Place::Server { host, port, name }
            }
            (Some(_), Some(_)) => return Err(SpecError::forbidden("is there beside `file`").at("port")),
            (None, None) => return Err(SpecError::required("`file` or `port` must be there").at("file")),
        };
        if !spec.min_days.is_finite() || spec.min_days < 0.0 {
            return Err(SpecError::new("must not be negative").at("minDays"));
        }
        Ok(Self { place, min_days: spec.min_days })
    }
}

#[async_trait]
impl HealthProbe for CertificateProbe {
    async fn check(&self, cx: &CheckContext) -> ProbeResult {
        let place = self.place.name();
        let Ok(found) = timeout(cx.timeout, self.place.certificates()).await else {
            let within = cx.timeout.as_secs_f64();
            return ProbeResult::failure(format!("no certificate from {place} within {within} s"));
        };
        let certificates = match found {
            Ok(certificates) => certificates,
            Err(verdict) => return verdict,
        };
        let mut verdict = ProbeResult::failure(format!("{place} has no certificate"));
        let mut earliest = None;
        for der in &certificates {
            let Ok((_, certificate)) = X509Certificate::from_der(der) else {
                return ProbeResult::failure(format!("{place} has something that is no certificate"));
            };
            let end = certificate.validity().not_after.timestamp();
            if earliest.is_none_or(|earliest| end < earliest) {
                earliest = Some(end);
                verdict = self.judge(&certificate, &place, SystemTime::now());
            }
        }
        verdict
    }
}

impl CertificateProbe {
    fn judge(&self, certificate: &X509Certificate<'_>, place: &str, now: SystemTime) -> ProbeResult {
        let validity = certificate.validity();
        let subject = certificate.subject();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
        let of = format!("the certificate of {subject} in {place}");
        if (validity.not_before.timestamp() as f64) > now {
            return ProbeResult::failure(format!("{of} is not valid before {}", date(validity.not_before)));
        }
        let days = (validity.not_after.timestamp() as f64 - now) / DAY;
        let end = date(validity.not_after);
        if days < 0.0 {
            ProbeResult::failure(format!("{of} has expired on {end}"))
        } else if days < self.min_days {
            let (days, min_days) = ((days * 10.0).floor() / 10.0, self.min_days);
            ProbeResult::failure(format!("{of} expires on {end}, in {days} days: fewer than {min_days}"))
        } else {
            ProbeResult::Success
        }
    }
}

impl Place {
    /// In DER, in the order in which they are there.
    async fn certificates(&self) -> Result<Vec<Vec<u8>>, ProbeResult> {
        match self {
            Self::File(file) => {
                let text = tokio::fs::read(file).await.map_err(|err| match err.kind() {
                    io::ErrorKind::NotFound => ProbeResult::failure(format!("{} is not there", self.name())),
                    _ => {
                        let (file, err) = (self.name(), system_error(&err));
                        ProbeResult::unknown(format!("{file} cannot be read: {err}"))
                    }
                })?;
                let blocks = Pem::iter_from_buffer(&text)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|err| ProbeResult::failure(format!("{} is no PEM file: {err}", self.name())))?;
                // A private key may lie beside them.
                let certificates = blocks.into_iter().filter(|block| block.label == "CERTIFICATE");
                Ok(certificates.map(|block| block.contents).collect())
            }
            Self::Server { host, port, name } => server::certificates(host, *port, name).await,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(file) => file.display().to_string(),
            Self::Server { host, port, .. } => host_port(host, *port),
        }
    }
}

/// `2027-02-01`.
fn date(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

vitald_sdk::export_probe!(CertificateProbe);

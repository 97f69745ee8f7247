//! The certificates that a TLS server shows.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vitald_sdk::probe::{ProbeResult, SpecError};
use vitald_sdk::wording::{connect_failure, host_port, system_error, unanswered};

/// Whether a server can be asked for this name.
pub(crate) fn check_name(name: &str) -> Result<(), SpecError> {
    ServerName::try_from(name).map(drop).map_err(|_| SpecError::new("must be a host name or an IP address"))
}

/// What the server shows, in DER, its own first. A server that shows none is not well; that this machine cannot
/// ask says nothing of it.
pub(crate) async fn certificates(host: &str, port: u16, name: &str) -> Result<Vec<Vec<u8>>, ProbeResult> {
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|err| unanswered(&err, connect_failure(&err, host, port, &[])))?;
    let tls = |reason: String| {
        ProbeResult::failure(format!("no TLS connection with {}: {reason}", host_port(host, port)))
    };
    let name = ServerName::try_from(name.to_owned()).map_err(|err| tls(err.to_string()))?;
    let config = config().map_err(|err| ProbeResult::unknown(format!("cannot speak TLS: {err}")))?;
    let stream =
        TlsConnector::from(config).connect(name, stream).await.map_err(|err| tls(system_error(&err)))?;
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(shown.iter().map(|certificate| certificate.to_vec()).collect())
}

fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes whatever certificate there is: an expired one is to be told of, not to be refused.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! The certificate that all proxies show, and the clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// Whom clients ask for.
pub const HOST: &str = "api.example.com";

/// A certificate that signs itself: ECDSA on P-256.
pub struct Certificate {
    /// The file with the certificate.
    pub cert: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
    /// The file with both, as HAProxy wants it.
    pub both: PathBuf,
    /// Speaks HTTP/1.1.
    pub client: Arc<ClientConfig>,
    /// Speaks HTTP/2.
    pub http2_client: Arc<ClientConfig>,
}

impl Certificate {
    /// Makes one in a folder.
    pub fn make(folder: &Path) -> Result<Self> {
        let signer = KeyPair::generate()?;
        let cert = CertificateParams::new([HOST.to_owned()])?.self_signed(&signer)?;
        let file = |name: &str, text: String| -> Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {name}"))?;
            Ok(file)
        };
        let client = |protocol: &str| client(protocol).map(Arc::new);
        Ok(Self {
            client: client("http/1.1")?,
            http2_client: client("h2")?,
            both: file("both.pem", cert.pem() + &signer.serialize_pem())?,
            key: file("key.pem", signer.serialize_pem())?,
            cert: file("cert.pem", cert.pem())?,
        })
    }
}

/// One that leaves nobody a choice: TLS 1.3, one cipher, one group, every handshake a full one.
fn client(protocol: &str) -> Result<ClientConfig> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    });
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Believer));
    let mut client = builder.with_no_client_auth();
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(client)
}

/// Believes whoever answers: the load shall not be at its limit before the proxy, and is not what
/// is measured.
#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

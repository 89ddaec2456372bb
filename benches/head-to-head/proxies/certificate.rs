//! The certificate that all proxies show, and the client that believes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};

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
        let client = |protocol: &str| client(&cert, protocol).map(Arc::new);
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
fn client(cert: &rcgen::Certificate, protocol: &str) -> Result<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&TLS13])?.with_root_certificates(roots);
    let mut client = builder.with_no_client_auth();
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(client)
}

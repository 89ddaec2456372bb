//! TLS to targets with `https://`: whom to believe, and who we are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Target, UpstreamTls};

/// What connections to one upstream's targets begin with.
pub struct TlsClient {
    /// HTTP/2 or HTTP/1.1, as the target likes.
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    server_name: Option<String>,
    /// Of everything that it was made from.
    fingerprint: blake3::Hash,
}

/// Why an upstream's TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {what} in PEM")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("the certificate and key cannot be used")]
    Identity(#[source] rustls::Error),
}

impl TlsClient {
    /// Reads the files that the settings name.
    pub fn new(settings: &UpstreamTls) -> Result<Self, TlsError> {
        let mut fingerprint = blake3::Hasher::new();
        let mut read = |path: &Path| -> Result<Vec<u8>, TlsError> {
            let bytes = std::fs::read(path)
                .map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
            fingerprint.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
            Ok(bytes)
        };
        let roots = match &settings.ca {
            Some(path) => own_roots(path, &read(path)?)?,
            None => system_roots(),
        };
        let identity = match &settings.identity {
            Some((cert, key)) => {
                Some((certificates(cert, &read(cert)?)?, private_key(key, &read(key)?)?))
            }
            None => None,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server_name = settings.server_name.clone();
        fingerprint.update(format!("{settings:?}").as_bytes());
        Ok(Self {
            either: Arc::new(config),
            http1,
            server_name,
            fingerprint: fingerprint.finalize(),
        })
    }

    /// Whether both were made from the same settings and files, so that connections made with one
    /// are as good as those made with the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// What a connection begins with.
    pub(super) fn config(&self, http1: bool) -> &Arc<ClientConfig> {
        if http1 { &self.http1 } else { &self.either }
    }

    /// The name that the target's certificate must have.
    pub(super) fn server_name(
        &self,
        target: &Target,
    ) -> Result<ServerName<'static>, InvalidDnsNameError> {
        let name = self.server_name.as_ref().unwrap_or(&target.host);
        ServerName::try_from(name.clone())
    }
}

/// Those of the system; where it has none, Mozilla's list as it was when this was built.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::info!("the system has no certificate authorities; the built-in list is used");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(read))
}

fn own_roots(path: &Path, pem: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = certificates(path, pem)?;
    let (_, ignored) = roots.add_parsable_certificates(certificates);
    if ignored > 0 {
        return Err(TlsError::Pem { path: path.to_owned(), what: "usable certificates" });
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::Pem { path: path.to_owned(), what: "certificate" }),
    }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TlsError::Pem { path: path.to_owned(), what: "private key" })
}

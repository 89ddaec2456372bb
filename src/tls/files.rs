//! Certificates, keys and authorities in PEM files (RFC 7468), read and found usable.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use super::provider;

/// A certificate's two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to a root, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// Why a file can't be used. None of its content is told.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It could not be read.
    #[error("{} cannot be read: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not PEM, or what is in it is no certificate.
    #[error("{} holds no certificate that can be read: {source}", file.display())]
    Certificate {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It holds no private key, or one of a kind that nothing can be signed with.
    #[error("{} holds no private key that can be used", file.display())]
    Key {
        /// Which.
        file: PathBuf,
    },
    /// A key that is another certificate's.
    #[error("the key in {} is not that of the certificate in {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The library refused what the files hold.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl TlsError {
    /// The file that is wrong; of two that don't match, the key's.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { file, .. } | Self::Certificate { file, .. } | Self::Key { file } => {
                Some(file)
            }
            Self::Mismatch { key, .. } => Some(key),
            Self::Setup(_) => None,
        }
    }
}

/// Whether a certificate and its key can be served.
pub fn check_certificate(files: &CertificateFiles) -> Result<(), TlsError> {
    certified(files, &read(&files.cert)?, &read(&files.key)?).map(drop)
}

/// Whether a file holds authorities to check certificates by.
pub fn check_roots(file: &Path) -> Result<(), TlsError> {
    roots(file, &read(file)?).map(drop)
}

/// A file's content, wiped when it is dropped: it may be a key.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let content = std::fs::read(file);
    content
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Unreadable { file: file.to_owned(), source })
}

/// A certificate with its key, of the contents of its files.
pub(super) fn certified(
    files: &CertificateFiles,
    cert: &[u8],
    key: &[u8],
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.cert, cert)?;
    let unusable = || TlsError::Key { file: files.key.clone() };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unusable())?;
    let key = provider().key_provider.load_private_key(key).map_err(|_| unusable())?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that can't say its public half can't be compared.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone() })
        }
        Err(error) => Err(not_a_certificate(&files.cert, error)),
    }
}

/// Authorities, of the content of a file.
pub(super) fn roots(file: &Path, content: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, content)? {
        roots.add(certificate).map_err(|error| not_a_certificate(file, error))?;
    }
    Ok(roots)
}

/// The certificates that the content of a file holds, at least one.
pub(super) fn certificates(
    file: &Path,
    content: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(not_a_certificate(file, pem::Error::NoItemsFound))
        }
        certificates => certificates.map_err(|error| not_a_certificate(file, error)),
    }
}

fn not_a_certificate(
    file: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> TlsError {
    TlsError::Certificate { file: file.to_owned(), source: Box::new(error) }
}

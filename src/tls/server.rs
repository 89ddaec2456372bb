//! A listener's TLS: which certificate for which name, whose clients, which protocols.
//!
//! The one rule: what is in force is whole. The files are read together and checked together; if
//! anything is wrong with them, what was in force before stays so, and connections that stand are
//! touched by neither.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert,
    ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::files::{CertificateFiles, TlsError, certified, read, roots};
use super::provider;

/// Sessions of TLS 1.2 that can be resumed by an id; all others are by tickets, which take no room.
const SESSIONS: usize = 4_096;

/// What a listener's TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// At least one; the first is also for clients that name no host, or one that nothing is for.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities of client certificates, PEM; where they are given, every client needs one.
    pub client_ca: Option<PathBuf>,
}

/// A listener's TLS, fresh as its files.
pub struct TlsServer {
    files: ServerFiles,
    /// The protocols offered above TLS (RFC 7301), the preferred first.
    alpn: Vec<Vec<u8>>,
    /// Of the contents that were last seen, good or bad; `None` of what could not be read.
    seen: Vec<Option<blake3::Hash>>,
    resumption: Resumption,
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// Reads the files, for a listener of HTTP/2 and HTTP/1.1.
    pub fn new(files: ServerFiles) -> Result<Self, TlsError> {
        Self::offering(alpn(), files)
    }

    /// Reads the files, for a listener of HTTP/1.1 alone.
    pub fn http1(files: ServerFiles) -> Result<Self, TlsError> {
        Self::offering(vec![b"http/1.1".to_vec()], files)
    }

    fn offering(alpn: Vec<Vec<u8>>, files: ServerFiles) -> Result<Self, TlsError> {
        let resumption = Resumption::of(&files)?;
        let contents = Contents::read(&files);
        let config = configure(&files, &contents, &resumption, &alpn)?;
        Ok(Self { seen: contents.hashes(), files, alpn, resumption, config })
    }

    /// What it was made of.
    pub fn files(&self) -> &ServerFiles {
        &self.files
    }

    /// For connections from now on.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Reads the files again; whether what they hold is new, and so is [`Self::config`].
    ///
    /// What is wrong is told of once, until the contents change again.
    pub fn refresh(&mut self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.files);
        let hashes = contents.hashes();
        if hashes == self.seen {
            return Ok(false);
        }
        self.seen = hashes;
        self.config = configure(&self.files, &contents, &self.resumption, &self.alpn)?;
        Ok(true)
    }
}

/// The protocols offered above TLS (RFC 7301), the preferred first.
pub fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// The files' contents, in the order of [`ServerFiles`].
struct Contents {
    certificates: Vec<[Content; 2]>,
    client_ca: Option<Content>,
}

type Content = Result<Zeroizing<Vec<u8>>, TlsError>;

impl Contents {
    fn read(files: &ServerFiles) -> Self {
        let pairs = files.certificates.iter();
        Self {
            certificates: pairs.map(|pair| [read(&pair.cert), read(&pair.key)]).collect(),
            client_ca: files.client_ca.as_deref().map(read),
        }
    }

    fn hashes(&self) -> Vec<Option<blake3::Hash>> {
        let contents = self.certificates.iter().flatten().chain(&self.client_ca);
        contents.map(|content| content.as_ref().ok().map(|bytes| blake3::hash(bytes))).collect()
    }
}

/// How sessions are resumed. It outlives the certificates, so that their renewal costs no client a
/// handshake. Where clients need a certificate, nothing is resumed: a session would go on after its
/// certificate had expired, or its authority been taken away.
struct Resumption {
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Resumption {
    fn of(files: &ServerFiles) -> Result<Self, TlsError> {
        if files.client_ca.is_some() {
            return Ok(Self { tickets: None, sessions: Arc::new(NoServerSessionStorage {}) });
        }
        let tickets = Some(Ticketer::new().map_err(setup)?);
        Ok(Self { tickets, sessions: ServerSessionMemoryCache::new(SESSIONS) })
    }
}

fn configure(
    files: &ServerFiles,
    contents: &Contents,
    resumption: &Resumption,
    alpn: &[Vec<u8>],
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = match (&files.client_ca, &contents.client_ca) {
        (Some(file), Some(content)) => {
            let roots = Arc::new(roots(file, bytes(content)?)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            builder.with_client_cert_verifier(verifier.build().map_err(setup)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut certificates = Vec::new();
    for (files, [cert, key]) in files.certificates.iter().zip(&contents.certificates) {
        certificates.push(Arc::new(certified(files, bytes(cert)?, bytes(key)?)?));
    }
    let mut config = builder.with_cert_resolver(Arc::new(Certificates(certificates)));
    // The strongest first, whatever order an old client has; scanners look for it.
    config.ignore_client_order = true;
    config.alpn_protocols = alpn.to_vec();
    config.session_storage = Arc::clone(&resumption.sessions);
    match &resumption.tickets {
        Some(tickets) => config.ticketer = Arc::clone(tickets),
        None => config.send_tls13_tickets = 0,
    }
    Ok(Arc::new(config))
}

/// The content, or once more why there is none.
fn bytes(content: &Content) -> Result<&[u8], TlsError> {
    match content {
        Ok(bytes) => Ok(bytes),
        Err(TlsError::Unreadable { file, source }) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            Err(TlsError::Unreadable { file: file.clone(), source })
        }
        Err(other) => Err(setup(other)),
    }
}

fn setup(error: impl std::fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}

/// Which certificate a client gets: the first for the host that it names whose key it can check,
/// else the first whose key it can check. Several for one host are of different kinds of keys.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = || self.0.iter().filter(|c| c.key.choose_scheme(schemes).is_some());
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| usable().find(|certificate| is_for(certificate, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.end_entity_cert().and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

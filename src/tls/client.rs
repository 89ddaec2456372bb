//! TLS to upstreams: whom to believe, and who we are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use zeroize::Zeroizing;

use super::files::{CertificateFiles, TlsError, certificates, certified, read, roots};
use super::provider;

/// What TLS to one upstream is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// Authorities that are believed in place of the system's, PEM.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub identity: Option<CertificateFiles>,
    /// What the targets' certificates must be for, in place of the targets' hosts.
    pub server_name: Option<String>,
}

/// What connections to one upstream begin with.
pub struct TlsClient {
    settings: ClientSettings,
    /// Of the contents of the files that the settings name.
    contents: blake3::Hash,
    /// HTTP/2 or HTTP/1.1, as the target likes.
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

impl TlsClient {
    /// Reads the files that the settings name.
    pub fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let mut contents = blake3::Hasher::new();
        let mut read = |file: &Path| -> Result<Zeroizing<Vec<u8>>, TlsError> {
            let content = read(file)?;
            contents.update(&(content.len() as u64).to_le_bytes()).update(&content);
            Ok(content)
        };
        let believed = match &settings.ca {
            Some(file) => Arc::new(roots(file, &read(file)?)?),
            None => system_roots(),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_root_certificates(believed);
        let http1 = with_identity(builder, settings.identity.as_ref(), read)?;
        let mut config = ClientConfig::clone(&http1);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let settings = settings.clone();
        Ok(Self { settings, contents: contents.finalize(), either: Arc::new(config), http1 })
    }

    /// Whether both were made of the same, so that connections made with one are as good as those
    /// made with the other.
    pub fn is_like(&self, other: &Self) -> bool {
        self.settings == other.settings && self.contents == other.contents
    }

    /// What a connection begins with. `http1`: nothing else will do.
    pub fn config(&self, http1: bool) -> &Arc<ClientConfig> {
        if http1 { &self.http1 } else { &self.either }
    }

    /// What the certificate of a target on this host must be for.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        let name = self.settings.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
    }
}

/// What connections begin with that believe the system's authorities and, where a file is named,
/// those in it; without a certificate of our own, for HTTP/1.1.
pub fn beside_the_system(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let believed = match ca {
        None => system_roots(),
        Some(file) => {
            let mut all = RootCertStore::clone(&system_roots());
            all.extend(roots(file, &read(file)?)?.roots);
            Arc::new(all)
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_root_certificates(believed)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// With a certificate of our own, where there is one; for HTTP/1.1.
pub(super) fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<&CertificateFiles>,
    mut read: impl FnMut(&Path) -> Result<Zeroizing<Vec<u8>>, TlsError>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (cert, key) = (read(&files.cert)?, read(&files.key)?);
            // That they go together is found out here.
            certified(files, &cert, &key)?;
            let chain = certificates(&files.cert, &cert)?;
            let unusable = |_| TlsError::Key { file: files.key.clone() };
            let key = PrivateKeyDer::from_pem_slice(&key).map_err(unusable)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| TlsError::Setup(error.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
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

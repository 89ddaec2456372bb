//! Authorities and certificates for tests, in files, and a client that looks at the handshake.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::message::{Framing, read_body, read_head};
use super::{Answer, PATIENCE};

/// An authority, and a directory with all that it has signed.
pub(crate) struct Authority {
    dir: TempDir,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        let dir = TempDir::new().expect("a directory can be made");
        fs::write(dir.path().join("ca.pem"), &pem).expect("the file can be written");
        Self { dir, pem, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, as text.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A file of its directory; `ca.pem` is its own certificate.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `NAME.pem` and `NAME.key`: a fresh certificate for these hosts.
    pub(crate) fn issue(&self, name: &str, hosts: &[&str]) {
        let (cert, key) = self.certificate(hosts);
        replace(&self.file(&format!("{name}.pem")), &cert);
        replace(&self.file(&format!("{name}.key")), &key);
    }

    /// A fresh certificate for these hosts and its key, as text.
    pub(crate) fn certificate(&self, hosts: &[&str]) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = CertificateParams::new(hosts).expect("the hosts are names");
        let key = KeyPair::generate().expect("a key can be made");
        let cert = params.signed_by(&key, &self.issuer).expect("the authority signs");
        (cert.pem(), key.serialize_pem())
    }

    /// `tls = …` with the certificates of these names; several: by SNI.
    pub(crate) fn config(&self, names: &[&str], more: &str) -> String {
        let file = |name: String| self.file(&name).display().to_string();
        let one = |name: &&str| {
            let (cert, key) = (file(format!("{name}.pem")), file(format!("{name}.key")));
            format!("cert = \"{cert}\", key = \"{key}\"")
        };
        match names {
            [name] => format!("[server]\ntls = {{ {}{more} }}", one(name)),
            names => {
                let names: Vec<String> =
                    names.iter().map(|name| format!("{{ {} }}", one(name))).collect();
                format!("[server]\ntls = {{ certificates = [{}]{more} }}", names.join(", "))
            }
        }
    }
}

/// Puts a file in another's place at once.
pub(crate) fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).expect("the file can be written");
    fs::rename(&beside, file).expect("the file can be renamed");
}

/// A client that knows an authority, and what sessions it has had.
pub(crate) fn client(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("it is PEM");
    roots.add(ca).expect("it is an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A connection over TLS.
pub(crate) struct TlsWire(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl TlsWire {
    /// Connects as a client of this host.
    pub(crate) fn connect(address: SocketAddr, host: &str, client: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(address).expect("the listener takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let host = ServerName::try_from(host.to_owned()).expect("the host is a name");
        let connection = ClientConnection::new(Arc::clone(client), host).expect("a client");
        Self(BufReader::new(StreamOwned::new(connection, stream)))
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Answer {
        self.0.get_mut().write_all(request.as_bytes()).expect("the handshake succeeds");
        let head = read_head(&mut self.0).expect("an answer comes").expect("not closed");
        let mut answer = Answer::new(&head, Vec::new());
        let framing = Framing::of_answer(&answer.fields);
        answer.body = read_body(&mut self.0, framing).expect("a body comes");
        answer
    }

    /// What the handshake came to.
    pub(crate) fn connection(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }
}

//! TLS: certificates and keys from files, and what listeners and connections to upstreams do with
//! them.
//!
//! One provider of cryptography, aws-lc-rs, named wherever one is needed, so that no second one can
//! slip in as a default.

mod client;
mod files;
mod own;
mod server;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;

pub use client::{ClientSettings, TlsClient, beside_the_system};
pub use files::{CertificateFiles, TlsError, check_certificate, check_roots};
pub use own::to_own;
pub use server::{ServerFiles, TlsServer, alpn};

/// Whether a certificate can be for it: a host name or an address.
pub fn is_server_name(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

/// Names the provider for those who ask the process for one: the client of Redis.
pub fn install_provider() {
    // It fails where one is named already, which is this one.
    let _ = CryptoProvider::install_default(aws_lc_rs::default_provider());
}

/// Post-quantum key exchange (X25519MLKEM768) comes first in it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

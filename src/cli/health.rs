//! `health`: is the gateway of this configuration ready? Asked by a container's health check.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ClientConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::failure::{Failure, Result};
use super::{Globals, output, session};
use crate::config::units;
use crate::tls::{CertificateFiles, ServerFiles, to_own};

/// A status line and more; what comes after says nothing to this command.
const READ_AT_MOST: u64 = 4096;

/// `health`.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// How long the gateway may take to answer
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    #[arg(value_parser = units::parse_duration)]
    timeout: Duration,
    /// A client certificate, where `admin.tls.client_ca` asks for one: PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key: PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Asks `/readyz` of the admin listener.
pub(crate) async fn run(health: Health, globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    let address = reachable(loaded.config.admin.listen);
    let identity = health.cert.zip(health.key).map(|(cert, key)| CertificateFiles { cert, key });
    let tls = loaded.config.admin.tls.as_ref().map(|tls| of_gateway(tls, identity.as_ref()));
    let asked = timeout(health.timeout, ask(address, tls.transpose()?)).await;
    let status = match asked {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(not_ready(address, &error.to_string())),
        Err(_) => return Err(not_ready(address, "no answer in time")),
    };
    if globals.json {
        output::object(&json!({ "ready": status == Some(200), "status": status }))?;
    }
    match status {
        Some(200) if globals.json => Ok(()),
        Some(200) => output::line("ready"),
        Some(status) => Err(not_ready(address, &format!("it answers {status}"))),
        None => Err(not_ready(address, "what answers there does not speak HTTP")),
    }
}

/// A listener on every address is asked on the loopback one.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

/// The gateway is told by the certificate that its configuration names: names in it are others'.
pub(crate) fn of_gateway(
    tls: &ServerFiles,
    identity: Option<&CertificateFiles>,
) -> Result<Arc<ClientConfig>> {
    let mut certificates = tls.certificates.iter();
    let own = certificates.next().expect("a listener with TLS has a certificate");
    to_own(&own.cert, identity).map_err(|error| Failure::mistaken(error.to_string()))
}

async fn ask(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> io::Result<Option<u16>> {
    let stream = TcpStream::connect(address).await?;
    let Some(tls) = tls else { return ask_over(stream, address).await };
    let connector = TlsConnector::from(tls);
    ask_over(connector.connect(address.ip().into(), stream).await?, address).await
}

async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
) -> io::Result<Option<u16>> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(READ_AT_MOST).read_to_end(&mut answer).await?;
    Ok(status(&answer))
}

/// RFC 9112 section 4: `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ")?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

fn not_ready(address: SocketAddr, why: &str) -> Failure {
    Failure::failed(format!("the gateway at {address} is not ready: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("10.0.0.1:8081", "10.0.0.1:8081"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Some(503));
        for wrong in [&b""[..], b"HTTP/1.1 ", b"SSH-2.0-x", b"HTTP/1.1 abc"] {
            assert_eq!(status(wrong), None);
        }
    }
}

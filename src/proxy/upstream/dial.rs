//! Making a connection: an address after the other, TLS on top where the target has it.
//!
//! Used by the workers' pools and by the health checks, so it knows nothing of either.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::config::Target;
use crate::tls::TlsClient;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: a request at a time.
    Http1,
    /// HTTP/2: many at once.
    Http2,
}

/// How one target is reached.
#[derive(Clone)]
pub struct Dialer {
    /// Where it is.
    pub target: Target,
    /// For a target with `https://`.
    pub tls: Option<Arc<TlsClient>>,
    /// Whether a target without TLS speaks HTTP/2.
    pub http2: bool,
    /// How long all of it may take.
    pub connect_timeout: Duration,
}

/// A connection that stands.
pub struct Dialed {
    /// To where.
    pub address: SocketAddr,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The bytes.
    pub stream: Stream,
}

impl Dialer {
    /// Whether a connection made with one is as good as one made with the other.
    pub fn is_like(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        };
        same_tls
            && self.target == other.target
            && self.http2 == other.http2
            && self.connect_timeout == other.connect_timeout
    }

    /// Tries the addresses in turn, each for its share of the time that is left. `http1`: nothing
    /// else will do.
    pub async fn dial(&self, addresses: &[SocketAddr], http1: bool) -> io::Result<Dialed> {
        let deadline = Instant::now() + self.connect_timeout;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the target has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (addresses.len() - tried) as u32;
            match timeout_at(now + share, self.connect(*address, http1)).await {
                Ok(Ok(dialed)) => return Ok(dialed),
                Ok(Err(error)) => failure = error,
                Err(elapsed) => failure = elapsed.into(),
            }
        }
        Err(failure)
    }

    async fn connect(&self, address: SocketAddr, http1: bool) -> io::Result<Dialed> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            let protocol = if self.http2 && !http1 { Protocol::Http2 } else { Protocol::Http1 };
            return Ok(Dialed { address, protocol, stream: Stream::Clear(stream) });
        };
        let name = tls.server_name(&self.target.host).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(tls.config(http1)));
        let stream = connector.connect(name, stream).await?;
        // What the target chose (RFC 7301); one that chose nothing speaks HTTP/1.1.
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok(Dialed { address, protocol, stream: Stream::Tls(Box::new(stream)) })
    }
}

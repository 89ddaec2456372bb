//! A connection before its first request: what a proxy in front says of it, and TLS.
//!
//! Everything here is over within `server.header_timeout`, and nothing behind it is read.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::proxy_protocol::{Malformed, Parsed, parse};
use crate::config::Server;

/// A client's bytes, in clear or out of TLS.
pub enum Stream {
    /// As they come.
    Plain(TcpStream),
    /// Decrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the client speaks TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The protocol that was agreed on by ALPN (RFC 7301), such as `h2`; `None` in clear, and where
    /// the client named none.
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }
}

/// Who connected: the socket's peer or, where a trusted proxy says so, whom it speaks for.
pub async fn client(stream: &mut TcpStream, peer: IpAddr, server: &Server) -> io::Result<IpAddr> {
    if !server.proxy_protocol || !server.trusts(peer) {
        return Ok(peer);
    }
    // Boxed, as below: an ordinary connection's task has no room for what it never does.
    Ok(Box::pin(read_header(stream)).await?.unwrap_or(peer))
}

/// Its bytes from here on; in clear where the listener speaks no TLS.
pub async fn open(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Stream> {
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let handshake = Box::pin(TlsAcceptor::from(tls).accept(stream));
    Ok(Stream::Tls(Box::new(handshake.await?)))
}

/// Reads a header of the PROXY protocol and not a byte more.
async fn read_header(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::new();
    loop {
        let malformed = |error: Malformed| io::Error::new(io::ErrorKind::InvalidData, error);
        match parse(&header).map_err(malformed)? {
            Parsed::Done { source, .. } => return Ok(source),
            Parsed::Needs(more) => {
                let filled = header.len();
                header.resize(filled + more, 0);
                stream.read_exact(&mut header[filled..]).await?;
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

//! A connection's first bytes, before any request: what a proxy in front says of it.
//!
//! Everything here is over within `server.header_timeout`, and nothing behind it is read.

use std::io;
use std::net::IpAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::proxy_protocol::{Malformed, Parsed, parse};
use crate::config::Server;

/// Who connected: the socket's peer or, where a trusted proxy says so, whom it speaks for.
pub async fn client(stream: &mut TcpStream, peer: IpAddr, server: &Server) -> io::Result<IpAddr> {
    let trusted = || server.trusted_proxies.iter().any(|range| range.contains(peer));
    if !server.proxy_protocol || !trusted() {
        return Ok(peer);
    }
    Ok(read_header(stream).await?.unwrap_or(peer))
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

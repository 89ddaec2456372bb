//! Which HTTP a connection speaks, told by its first bytes.
//!
//! The one rule: no byte is lost. What was read to tell is read again by whoever serves the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4). No request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for an ordinary first head, so that an HTTP/1.1 client's is read at once as ever.
const READ: usize = 8 * 1024;

/// A version of HTTP that a connection speaks from its first byte to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The protocol that was agreed on by ALPN (RFC 7301), if it is one of these.
    pub fn from_alpn(name: &[u8]) -> Option<Self> {
        match name {
            b"h2" => Some(Self::Http2),
            b"http/1.1" => Some(Self::Http1),
            _ => None,
        }
    }
}

/// A stream that gives back first what was read of it.
#[derive(Debug)]
pub struct Rewound<S> {
    read: BytesMut,
    stream: S,
}

/// Reads until it is clear what the client speaks: the whole preface is HTTP/2 by prior knowledge,
/// the first byte that differs from it is HTTP/1.1, and so is a stream that ends.
pub async fn tell<S: AsyncRead + Unpin>(stream: S) -> io::Result<(Protocol, Rewound<S>)> {
    let mut rewound = Rewound { read: BytesMut::with_capacity(READ), stream };
    loop {
        let ended = rewound.stream.read_buf(&mut rewound.read).await? == 0;
        let seen = rewound.read.len().min(PREFACE.len());
        if rewound.read[..seen] != PREFACE[..seen] || ended {
            return Ok((Protocol::Http1, rewound));
        }
        if seen == PREFACE.len() {
            return Ok((Protocol::Http2, rewound));
        }
    }
}

impl<S> Rewound<S> {
    /// What was read, and what comes behind it.
    pub fn into_parts(self) -> (BytesMut, S) {
        (self.read, self.stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..length]);
        self.read.advance(length);
        if self.read.is_empty() {
            // Its room goes too: a connection lasts longer than its first bytes.
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    /// What is told of bytes that come in pieces, and all that is read afterwards.
    async fn told(sent: &[u8], piece: usize) -> (Protocol, Vec<u8>) {
        let (mut client, server) = duplex(1024);
        let told = tokio::spawn(tell(server));
        for piece in sent.chunks(piece) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(client);
        let (protocol, mut stream) = told.await.unwrap().unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        (protocol, read)
    }

    #[tokio::test]
    async fn a_protocol_is_told_without_losing_a_byte() {
        let preface = PREFACE.repeat(2);
        for (sent, protocol) in [
            (&preface[..], Protocol::Http2),
            (PREFACE, Protocol::Http2),
            (&PREFACE[..20], Protocol::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", Protocol::Http1),
            (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", Protocol::Http1),
            (b"PUT / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"G", Protocol::Http1),
            (b"", Protocol::Http1),
        ] {
            for piece in [1, 3, 1000] {
                assert_eq!(told(sent, piece).await, (protocol, sent.to_vec()), "{sent:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_first_byte_that_differs_decides() {
        for sent in [b"G".as_slice(), b"PO", b"PRI /"] {
            let (mut client, server) = duplex(64);
            client.write_all(sent).await.unwrap();
            assert_eq!(tell(server).await.unwrap().0, Protocol::Http1, "{sent:?}");
        }
    }
}

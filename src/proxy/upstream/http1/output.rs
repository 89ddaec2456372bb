//! A request on its way out (RFC 9112 sections 3, 6 and 7): its head, its body in the form that the
//! head announced, and what of both is still to be written.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncWrite;

/// A piece of a body that is longer is written from where it lies; a shorter one is cheaper copied
/// behind what goes before it.
const COPIED: usize = 4 * 1024;
/// Bytes of our own that are enough for one write.
const ENOUGH: usize = 16 * 1024;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// So many bytes are still to be sent.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What is to be written: bytes of our own, then a piece of the body, then what ends that.
#[derive(Debug, Default)]
pub(super) struct Output {
    own: Vec<u8>,
    piece: Bytes,
    tail: &'static [u8],
    /// Bytes of the three that are written.
    written: usize,
    unflushed: bool,
}

impl Output {
    /// Nothing yet; `own`: a buffer to use.
    pub(super) fn begin(&mut self, mut own: Vec<u8>) {
        own.clear();
        *self = Self { own, ..Self::default() };
    }

    /// The buffer, once everything is written.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(self).own
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// Whether everything is written and out of whatever the stream holds it in.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// Whether more can be put behind what there is.
    pub(super) fn has_room(&self) -> bool {
        self.piece.is_empty() && self.own.len() < ENOUGH
    }

    fn left(&self) -> usize {
        self.own.len() + self.piece.len() + self.tail.len() - self.written
    }

    /// A request's head. Its framing is ours to say, whatever the fields say of it.
    pub(super) fn head(&mut self, parts: &Parts, framing: Framing) {
        let out = &mut self.own;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        // RFC 9112 section 3.2.1: an absolute target may have a query and no path.
        let path = if target.starts_with('?') { " /" } else { " " };
        for part in [parts.method.as_str(), path, target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &parts.headers {
            if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
                field(out, name, value);
            }
        }
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Some of a body; `last`: all that was left of it. There has to be room.
    pub(super) fn piece(&mut self, framing: &mut Framing, mut piece: Bytes, last: bool) {
        debug_assert!(self.has_room());
        match framing {
            Framing::None => return,
            Framing::Length(left) => {
                // A longer body would begin the next request.
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
            }
            Framing::Chunked if piece.is_empty() => {
                if last {
                    self.own.extend_from_slice(b"0\r\n\r\n");
                }
                return;
            }
            Framing::Chunked => {
                write!(self.own, "{:X}\r\n", piece.len()).expect("a vector takes all");
                self.tail = if last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
            }
        }
        if piece.len() > COPIED {
            self.piece = piece;
        } else {
            self.own.extend_from_slice(&piece);
            self.own.extend_from_slice(std::mem::take(&mut self.tail));
        }
    }

    /// The end of a chunked body that has trailers. There has to be room.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        debug_assert!(self.has_room());
        self.own.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            field(&mut self.own, name, value);
        }
        self.own.extend_from_slice(b"\r\n");
    }

    /// Writes what can be written; how much was.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let own = self.own.get(self.written..).unwrap_or_default();
        let written = if self.piece.is_empty() {
            ready!(stream.poll_write(cx, own))?
        } else {
            let behind = self.written.saturating_sub(self.own.len());
            let piece = self.piece.get(behind..).unwrap_or_default();
            let tail = &self.tail[behind.saturating_sub(self.piece.len())..];
            let slices = [own, piece, tail];
            // Without what is empty: a stream might write the first alone.
            let first = slices.iter().position(|part| !part.is_empty()).unwrap_or_default();
            ready!(stream.poll_write_vectored(cx, &slices.map(IoSlice::new)[first..]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.written += written;
        if self.is_empty() {
            self.own.clear();
            (self.piece, self.tail, self.written) = (Bytes::new(), b"", 0);
        }
        Poll::Ready(Ok(written))
    }

    /// Has the stream send what it holds of what was written.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

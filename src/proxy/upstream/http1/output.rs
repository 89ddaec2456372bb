//! A request on its way out (RFC 9112 sections 3, 6 and 7): its head, its body in the form that the
//! head announced, and what of both is still to be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use tokio::io::AsyncWrite;

use crate::proxy::outbox::{Outbox, field};

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

/// What is to be written of a request.
#[derive(Debug, Default)]
pub(super) struct Output {
    outbox: Outbox,
    unflushed: bool,
}

impl Output {
    /// Nothing yet; `text`: a buffer to use.
    pub(super) fn begin(&mut self, mut text: Vec<u8>) {
        text.clear();
        *self = Self { outbox: Outbox::new(text), unflushed: false };
    }

    /// The buffer, once everything is written.
    pub(super) fn end(&mut self) -> Vec<u8> {
        std::mem::take(self).outbox.into_text()
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether everything is written and out of whatever the stream holds it in.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// Whether more can be put behind what there is.
    pub(super) fn has_room(&self) -> bool {
        !self.outbox.is_full()
    }

    /// A request's head. Its framing is ours to say, whatever the fields say of it.
    pub(super) fn head(&mut self, parts: &Parts, framing: Framing) {
        let out = self.outbox.text();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        // RFC 9112 section 3.2.1: an absolute target may have a query and no path.
        let path = if target.starts_with('?') { " /" } else { " " };
        for part in [parts.method.as_str(), path, target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &parts.headers {
            if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
                field(out, name.as_str(), value.as_bytes());
            }
        }
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
            }
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Some of a body; `last`: all that was left of it. There has to be room.
    pub(super) fn piece(&mut self, framing: &mut Framing, mut piece: Bytes, last: bool) {
        match framing {
            Framing::Length(left) => {
                // A longer body would begin the next request.
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                self.outbox.push(piece, b"");
            }
            Framing::Chunked if !piece.is_empty() => self.outbox.push_chunk(piece, last),
            Framing::Chunked if last => self.outbox.end_chunks(),
            Framing::Chunked | Framing::None => {}
        }
    }

    /// The end of a chunked body that has trailers. There has to be room.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        let out = self.outbox.text();
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            field(out, name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes once, as much as the stream takes.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.outbox.poll_write_once(stream, cx))?;
        self.unflushed = true;
        Poll::Ready(Ok(()))
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

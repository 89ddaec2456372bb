//! What is to be written to a connection of HTTP/1.1, to a client or to an upstream, in as few calls as
//! the stream takes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// Data up to so many bytes is copied behind what stands before it; more is written from where it
/// lies.
const COPIED: usize = 2 * 1024;
/// What is collected before it is written.
const COLLECTED: usize = 16 * 1024;

/// Some text, then data that lies elsewhere, then the end of its chunk.
#[derive(Debug, Default)]
pub struct Outbox {
    text: Vec<u8>,
    written: usize,
    data: Bytes,
    end: &'static [u8],
}

impl Outbox {
    /// One that writes its text there.
    pub fn new(text: Vec<u8>) -> Self {
        Self { text, ..Self::default() }
    }

    /// The text, for use in another.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// Where text goes; nothing else may be waiting.
    pub fn text(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.data.is_empty() && self.end.is_empty());
        &mut self.text
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.written == self.text.len() && self.data.is_empty() && self.end.is_empty()
    }

    /// Whether nothing more fits in before something is written.
    pub fn is_full(&self) -> bool {
        !self.data.is_empty() || !self.end.is_empty() || self.text.len() >= COLLECTED
    }

    /// Data, and what stands behind it. It must not be [full](Self::is_full).
    pub fn push(&mut self, data: Bytes, end: &'static [u8]) {
        if data.len() <= COPIED {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(end);
        } else {
            (self.data, self.end) = (data, end);
        }
    }

    /// A chunk of a chunked body (RFC 9112 section 7.1), which is not empty, and behind it what ends the
    /// body, if it is the `last`. It must not be [full](Self::is_full).
    pub fn push_chunk(&mut self, data: Bytes, last: bool) {
        chunk_size(self.text(), data.len());
        self.push(data, if last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
    }

    /// What ends a chunked body without trailers.
    pub fn end_chunks(&mut self) {
        if self.end.is_empty() {
            self.text.extend_from_slice(b"0\r\n\r\n");
        } else {
            self.end = b"\r\n0\r\n\r\n";
        }
    }

    /// Writes once, as much as the stream takes.
    pub fn poll_write_once(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (text, stream) = (&self.text[self.written..], Pin::new(stream));
        let written = if self.data.is_empty() && self.end.is_empty() {
            stream.poll_write(cx, text)
        } else {
            let parts = [text, &self.data, self.end];
            // Without what is empty: a stream might write the first alone.
            let first = parts.iter().position(|part| !part.is_empty()).unwrap_or_default();
            stream.poll_write_vectored(cx, &parts.map(IoSlice::new)[first..])
        };
        match ready!(written)? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => self.advance(written),
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, and has the stream send what it holds.
    pub fn poll_write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_write_once(stream, cx))?;
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, written: usize) {
        let of_text = written.min(self.text.len() - self.written);
        let of_data = (written - of_text).min(self.data.len());
        self.written += of_text;
        self.data.advance(of_data);
        self.end = &self.end[written - of_text - of_data..];
        if self.is_empty() {
            self.text.clear();
            self.written = 0;
        }
    }
}

/// Adds a line of a head, or of trailers.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn chunk_size(out: &mut Vec<u8>, size: usize) {
    let digits = usize::BITS.saturating_sub(size.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(b"0123456789ABCDEF"[size >> (4 * place) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

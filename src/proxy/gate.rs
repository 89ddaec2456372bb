//! Between the socket and the HTTP library: lets in only what [`super::head`] finds unambiguous.
//!
//! The library forgives heads that RFC 9112 calls ambiguous, and answers others without a body. So
//! every head is looked at here first, and exactly the bytes of one message at a time go on. In the
//! place of a head that is refused, the library is given a harmless one, and its request finds the
//! refusal in the [`Connection`]: refusals are answered in one place, whoever found them. Nothing is
//! read behind a refused head but to throw it away.
//!
//! The library must be one that reads the next head when the answer before it is written, and never
//! before (its `half_close`): then a client that has sent all it wants to send is still answered.

use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::io::poll_read_buf;

use super::connection::{Connection, Waiting};
use super::messages::{Found, Messages};
use crate::domain::Refusal;

/// What the library reads in the place of a refused head.
const PLACEHOLDER: &[u8] = b"UNREADABLE * HTTP/1.1\r\nHost: -\r\nConnection: close\r\n\r\n";
/// Read off behind a refused request, so that its client sees the answer and no reset.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Room for the rest of an ordinary head.
const READ: usize = 4 * 1024;

/// A client's stream, message by message.
pub struct Gate<S> {
    stream: S,
    connection: Rc<Connection>,
    now_ms: Box<dyn Fn() -> u64>,
    messages: Messages,
    /// What was read and has not gone on: a part of a head, or what came behind a message. Most
    /// messages come alone and in one piece, and never get here.
    pending: BytesMut,
    /// How many of the pending bytes may go on.
    passing: usize,
    /// Once a head is refused: what the library has not read of the placeholder.
    placeholder: Option<&'static [u8]>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
    is_shut: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// A gate for a fresh connection. `now_ms` is the worker's clock.
    pub fn new(
        stream: S,
        connection: Rc<Connection>,
        max_head: usize,
        now_ms: impl Fn() -> u64 + 'static,
    ) -> Self {
        Self {
            stream,
            connection,
            now_ms: Box::new(now_ms),
            messages: Messages::new(max_head),
            pending: BytesMut::new(),
            passing: 0,
            placeholder: None,
            linger: None,
            is_shut: false,
        }
    }

    /// Looks at what is pending, or else reads straight to where the library wants it and looks at
    /// that. `None` at the end of the stream.
    fn find(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Found>>> {
        if !self.pending.is_empty() {
            let found = self.messages.look(&self.pending);
            if let Found::Good(good) = found {
                self.passing = good;
            }
            return Poll::Ready(Ok(Some(found)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let found = self.messages.look(read);
        let good = if let Found::Good(good) = found { good } else { 0 };
        self.pending.extend_from_slice(&read[good..]);
        buf.set_filled(before + good);
        Poll::Ready(Ok(Some(found)))
    }

    /// Hands over what may go on of what is pending; whether there was any.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if let Some(left) = &mut self.placeholder {
            let (now, later) = left.split_at(left.len().min(buf.remaining()));
            buf.put_slice(now);
            *left = later;
            return true;
        }
        if self.passing == 0 {
            return false;
        }
        let length = self.passing.min(buf.remaining());
        buf.put_slice(&self.pending[..length]);
        self.pending.advance(length);
        self.passing -= length;
        if self.pending.is_empty() {
            // An idle connection holds no buffer.
            self.pending = BytesMut::new();
        }
        true
    }

    /// Reads more of a head that has come in part.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_begun = self.messages.has_begun();
        if has_begun && self.connection.waiting().0 == Waiting::Request {
            self.connection.wait_for(Waiting::Head, (self.now_ms)());
        }
        self.pending.reserve(READ);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.pending))?;
        if read == 0 {
            self.pending.clear();
            if has_begun {
                self.refuse(Refusal::BadRequest("the head breaks off"));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.connection.refuse(self.messages.heads(), refusal);
        self.pending = BytesMut::new();
        self.placeholder = Some(PLACEHOLDER);
    }

    /// Reads off what a client still sends while its refusal is on the way. Past the bound nothing
    /// more is read, but the socket stays open for the rest of the second: closed with bytes unread,
    /// it would be reset, and the client might never see the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (sleep, left) =
            self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        while *left > 0 {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut space = [MaybeUninit::uninit(); READ];
            let mut buf = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                _ => return Poll::Ready(()),
            }
        }
        sleep.as_mut().poll(cx)
    }

    /// What is pending of a client that did not wait for its 101, then the stream itself.
    fn read_tunnelled(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.placeholder.is_some() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if self.pending.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.passing = self.pending.len();
        self.hand_over(buf);
        Poll::Ready(Ok(()))
    }

    /// Whether the client may still be sending what nobody reads.
    fn has_unread(&self) -> bool {
        if self.connection.is_switched() {
            return false;
        }
        self.placeholder.is_some() || self.messages.is_in_body() || !self.pending.is_empty()
    }

    /// Takes note of whether the client takes its answer.
    fn watch<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Pending => self.connection.stick(&self.now_ms),
            Poll::Ready(_) => self.connection.unstick(),
        }
        written
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.connection.is_switched() {
            return this.read_tunnelled(cx, buf);
        }
        while !this.hand_over(buf) {
            match ready!(this.find(cx, buf))? {
                None => break,
                Some(Found::Good(_)) if this.passing == 0 => break,
                Some(Found::Good(_)) => {}
                Some(Found::Partial) => ready!(this.read_on(cx))?,
                Some(Found::Refused(refusal)) => this.refuse(refusal),
                Some(Found::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.has_unread() {
            ready!(self.poll_linger(cx));
        }
        self.is_shut = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;

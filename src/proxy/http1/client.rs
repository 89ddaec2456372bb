//! A client as its requests see it: it asks, is answered, and asks again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::head::Framing;
use super::body::Body;
use super::linger::Linger;
use super::request::Terms;
use super::stock::Stock;
use super::wire::{Next, Wire};
use super::write::{Encoder, Said};

/// A client's connection.
pub struct Client<S> {
    wire: Rc<RefCell<Wire<S>>>,
    stock: Rc<Stock>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Client<S> {
    /// A connection of which `read` was read already. A head has at most `max_head` bytes.
    pub fn new(stream: S, read: BytesMut, max_head: usize, stock: Rc<Stock>) -> Self {
        let wire = Wire::new(stream, read, max_head, Rc::clone(&stock));
        Self { wire: Rc::new(RefCell::new(wire)), stock }
    }

    /// The connection itself, and what was read of it that is no HTTP any more; `None` while somebody
    /// has a body of it.
    pub fn into_parts(self) -> Option<(S, BytesMut)> {
        Rc::into_inner(self.wire).map(|wire| wire.into_inner().into_parts())
    }

    /// The next head. The message before it is [settled](Self::settled).
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        self.wire.borrow_mut().poll_head(cx)
    }

    /// Whether a head has come in part.
    pub fn has_begun(&self) -> bool {
        self.wire.borrow().has_begun()
    }

    /// The body of the request whose head was just read; `None` where it has none.
    pub fn body(&self, framing: Framing) -> Option<Body> {
        Body::new(Rc::<RefCell<Wire<S>>>::clone(&self.wire), framing)
    }

    /// Writes an answer; whether the connection ends behind it, as it does unless it `may_go_on`. An
    /// error where it could not be written to its end: then nothing more may be. `watch` is told
    /// whether the client does not take what is written.
    pub async fn answer<B, E>(
        &self,
        response: Response<B>,
        terms: Terms,
        may_go_on: bool,
        watch: impl Fn(bool),
    ) -> Result<bool, E>
    where
        B: http_body::Body<Data = Bytes, Error = E> + Unpin,
        E: From<io::Error>,
    {
        let (mut head, body) = response.into_parts();
        let said = Said { terms, may_go_on, date: self.stock.date() };
        let mut encoder =
            Encoder::begin(self.wire.borrow_mut().begin_answer(), &head, &body, &said);
        self.stock.put_map(std::mem::take(&mut head.headers));
        drop(head);
        let mut body = Some(body);
        let written = poll_fn(|cx| {
            loop {
                let polled = self.poll_body(&mut encoder, &mut body, cx);
                let written = self.wire.borrow_mut().poll_write(cx);
                watch(written.is_pending());
                // What came before a failure is not held back, nor waited for.
                let is_waiting = polled?;
                ready!(written)?;
                if encoder.is_done() {
                    return Poll::Ready(Ok::<_, E>(()));
                }
                if is_waiting {
                    return Poll::Pending;
                }
            }
        });
        written.await?;
        self.wire.borrow_mut().end_answer();
        Ok(encoder.is_last())
    }

    /// Takes of the body what there is and what fits in; whether more is waited for. At its end it is
    /// gone, and with it the request's account.
    fn poll_body<B, E>(
        &self,
        encoder: &mut Encoder,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Result<bool, E>
    where
        B: http_body::Body<Data = Bytes, Error = E> + Unpin,
        E: From<io::Error>,
    {
        while let Some(stream) = body.as_mut().filter(|_| !encoder.is_done()) {
            if self.wire.borrow_mut().outbox().is_full() {
                return Ok(false);
            }
            // The client's own body may be read by this: the connection must be free for it.
            let Poll::Ready(frame) = Pin::new(&mut *stream).poll_frame(cx) else { return Ok(true) };
            let is_end = stream.is_end_stream();
            let mut wire = self.wire.borrow_mut();
            let outbox = wire.outbox();
            match frame.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => {
                    encoder.data(outbox, data);
                    if is_end {
                        encoder.end(outbox)?;
                    }
                }
                Some(Err(frame)) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    encoder.trailers(outbox, &trailers)?;
                }
                None => encoder.end(outbox)?,
            }
        }
        *body = None;
        Ok(false)
    }

    /// Whether another request may follow, once the body of this one is over.
    pub async fn settled(&self) -> bool {
        poll_fn(|cx| self.wire.borrow_mut().poll_settled(cx)).await
    }

    /// Ends the connection. What the client still sends is read off for a while, so that it sees its last
    /// answer and no reset.
    pub async fn close(&self) {
        let shut = poll_fn(|cx| Pin::new(self.wire.borrow_mut().stream()).poll_shutdown(cx)).await;
        if shut.is_ok() && self.wire.borrow().has_unread() {
            let mut linger = Linger::new();
            poll_fn(|cx| linger.poll(self.wire.borrow_mut().stream(), cx)).await;
        }
    }
}

//! A client connection that speaks HTTP/1.1 or 1.0: one request behind the other.
//!
//! The one rule: a head is checked and read in one look at its bytes ([`super::head`]), and what
//! fails there is answered as any other refusal, by the same [`serve`]. The next head is read when
//! the answer before it is written and its request's body has ended, and never before: so a client
//! that has sent all it wants to send is still answered.

pub mod body;
mod linger;
pub mod request;
pub mod stock;
pub mod wire;
pub mod write;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use self::linger::Linger;
use self::request::{Head, Terms};
use self::wire::{Next, Wire};
use self::write::{Encoder, Said};
use super::body::{BodyError, ClientStream};
use super::connection::{Connection, Waiting};
use super::serve::{Handler, serve};
use super::worker::Worker;
use crate::domain::Refusal;

pub use self::body::Body;
pub use self::stock::Stock;

/// Serves a connection, of which `read` was read already, until it ends or a tunnel begins; then the
/// stream, and what was read for the tunnel.
pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    stream: S,
    read: BytesMut,
    connection: Rc<Connection>,
    handler: impl Handler,
) -> Option<(S, Bytes)> {
    let stock = Rc::clone(worker.stock());
    let wire = Wire::new(stream, read, worker.max_header_bytes(), Rc::clone(&stock));
    let clients = Client { wire: Rc::new(RefCell::new(wire)), connection, worker, stock };
    while let Some((request, refused, terms)) = clients.next_request().await.ok()? {
        clients.connection.begin_request();
        let (worker, connection) = (Rc::clone(&clients.worker), Rc::clone(&clients.connection));
        let Ok(response) = serve(worker, connection, refused, request, handler).await;
        let is_last = clients.answer(response, terms).await.ok()?;
        if clients.connection.is_switched() {
            // Its request had no body, so nobody else has the connection.
            let (stream, early) = Rc::into_inner(clients.wire)?.into_inner().into_parts();
            return Some((stream, early.freeze()));
        }
        if !clients.settled().await || is_last {
            break;
        }
    }
    clients.close().await;
    None
}

/// One client, as its requests see it.
struct Client<S> {
    wire: Rc<RefCell<Wire<S>>>,
    connection: Rc<Connection>,
    worker: Rc<Worker>,
    stock: Rc<Stock>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Client<S> {
    /// The next request, and why it is refused if its head is; `None` when there is none any more.
    async fn next_request(
        &self,
    ) -> io::Result<Option<(Request<ClientStream>, Option<Refusal>, Terms)>> {
        let next = poll_fn(|cx| {
            if self.connection.is_leaving() {
                return Poll::Ready(Ok(Next::End));
            }
            let mut wire = self.wire.borrow_mut();
            let next = wire.poll_head(cx);
            if next.is_pending()
                && wire.has_begun()
                && self.connection.waiting().0 == Waiting::Request
            {
                self.connection.wait_for(Waiting::Head, self.worker.now_ms());
            }
            next
        });
        Ok(match next.await? {
            Next::Request(Head { request, framing, terms }) => {
                let body = wire::body(&self.wire, framing);
                let body = body.map_or(ClientStream::Empty, ClientStream::Http1);
                Some((request.map(|()| body), None, terms))
            }
            Next::Refused(refusal) => Some((unreadable(), Some(refusal), UNREADABLE)),
            Next::End => None,
        })
    }

    /// Writes an answer; whether the connection ends behind it. An error where it could not be written
    /// to its end: then nothing more may be.
    async fn answer<B>(&self, response: Response<B>, terms: Terms) -> Result<bool, BodyError>
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
    {
        let (mut head, body) = response.into_parts();
        let may_go_on = terms.keep_alive && !self.connection.is_leaving();
        let said = Said { terms, may_go_on, date: self.stock.date() };
        let mut encoder =
            Encoder::begin(self.wire.borrow_mut().begin_answer(), &head, &body, &said);
        self.stock.put_map(std::mem::take(&mut head.headers));
        drop(head);
        let mut body = Some(body);
        poll_fn(|cx| {
            loop {
                let polled = self.poll_body(&mut encoder, &mut body, cx);
                let written = self.wire.borrow_mut().poll_write(cx);
                self.watch(written.is_pending());
                // What came before a failure is not held back, nor waited for.
                let is_waiting = polled?;
                ready!(written)?;
                if encoder.is_done() {
                    return Poll::Ready(Ok::<_, BodyError>(()));
                }
                if is_waiting {
                    return Poll::Pending;
                }
            }
        })
        .await?;
        self.wire.borrow_mut().end_answer();
        Ok(encoder.is_last())
    }

    /// Takes of the body what there is and what fits in; whether more is waited for. At its end it is
    /// gone, and with it the request's account.
    fn poll_body<B>(
        &self,
        encoder: &mut Encoder,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Result<bool, BodyError>
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
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
            match frame.transpose()?.map(http_body::Frame::into_data) {
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

    /// Takes note of whether the client takes its answer.
    fn watch(&self, is_stuck: bool) {
        if is_stuck {
            self.connection.stick(|| self.worker.now_ms());
        } else {
            self.connection.unstick();
        }
    }

    /// Whether another request may follow, once the body of this one is over.
    async fn settled(&self) -> bool {
        poll_fn(|cx| self.wire.borrow_mut().poll_settled(cx)).await
    }

    async fn close(&self) {
        let shut = poll_fn(|cx| Pin::new(self.wire.borrow_mut().stream()).poll_shutdown(cx)).await;
        if shut.is_ok() && self.wire.borrow().has_unread() {
            let mut linger = Linger::new();
            poll_fn(|cx| linger.poll(self.wire.borrow_mut().stream(), cx)).await;
        }
    }
}

/// What is said of a request whose head nobody has read.
const UNREADABLE: Terms = Terms {
    http_11: true,
    keep_alive: false,
    is_head: false,
    expects_continue: false,
    reads_trailers: false,
};

/// What stands for a request whose head was refused.
fn unreadable() -> Request<ClientStream> {
    let mut request = Request::new(ClientStream::Empty);
    *request.method_mut() = Method::from_bytes(b"UNREADABLE").expect("it is a token");
    *request.uri_mut() = Uri::from_static("*");
    request.headers_mut().insert(HOST, HeaderValue::from_static("-"));
    request
}

//! A client connection that speaks HTTP/1.1 or 1.0: one request behind the other.
//!
//! The one rule: a head is checked and read in one look at its bytes ([`super::head`]), and what
//! fails there is answered as any other refusal, by the same [`serve`]. The next head is read when
//! the answer before it is written and its request's body has ended, and never before: so a client
//! that has sent all it wants to send is still answered.
//!
//! What knows nothing but bytes is `client` and what it is made of: `wire` reads, `write`
//! writes, `request` and `body` are what is made of what was read. Here it is brought together
//! with what serves requests, and with what the sweep is told.

pub mod body;
pub mod client;
mod fields;
mod linger;
mod pieces;
pub mod request;
pub mod stock;
pub mod wire;
pub mod write;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderValue, Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use self::client::Client;
use self::request::{Head, Terms};
use self::wire::Next;
use super::body::ClientStream;
use super::connection::{Connection, Waiting};
use super::serve::{Handler, serve};
use super::worker::Worker;

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
    let client = Client::new(stream, read, worker.max_header_bytes(), Rc::clone(worker.stock()));
    loop {
        let (request, refused, terms) = match next(&client, &connection, &worker).await.ok()? {
            Next::Request(Head { request, framing, terms }) => {
                let body = client.body(framing).map_or(ClientStream::Empty, ClientStream::Http1);
                (request.map(|()| body), None, terms)
            }
            Next::Refused(refusal) => (unreadable(), Some(refusal), UNREADABLE),
            Next::End => break,
        };
        connection.begin_request();
        let (frame, of) = (Rc::clone(&worker), Rc::clone(&connection));
        let Ok(response) = serve(frame, of, refused, request, handler).await;
        let may_go_on = terms.keep_alive && !connection.is_leaving();
        let watch = |is_stuck: bool| note(is_stuck, &connection, &worker);
        let is_last = client.answer(response, terms, may_go_on, watch).await.ok()?;
        if connection.is_switched() {
            return client.into_parts().map(|(stream, early)| (stream, early.freeze()));
        }
        if !client.settled().await || is_last {
            break;
        }
    }
    client.close().await;
    None
}

/// What comes next, unless the connection is to end before. A head that has begun is waited for from
/// then on.
async fn next<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    client: &Client<S>,
    connection: &Connection,
    worker: &Worker,
) -> io::Result<Next> {
    poll_fn(|cx| {
        if connection.is_leaving() {
            return Poll::Ready(Ok(Next::End));
        }
        let next = client.poll_next(cx);
        if next.is_pending() && connection.waiting().0 == Waiting::Request && client.has_begun() {
            connection.wait_for(Waiting::Head, worker.now_ms());
        }
        next
    })
    .await
}

/// Takes note of whether the client takes its answer.
fn note(is_stuck: bool, connection: &Connection, worker: &Worker) {
    if is_stuck {
        connection.stick(|| worker.now_ms());
    } else {
        connection.unstick();
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

#[cfg(test)]
mod tests;

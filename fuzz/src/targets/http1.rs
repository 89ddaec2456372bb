//! Bytes as what comes in on a connection, served by the gateway's own half of HTTP/1.1 and by the
//! HTTP library's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::header::TRAILER;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head::{MAX_HEAD, body, next_head};
use crate::proxy::http1::client::Client;
use crate::proxy::http1::request::Head;
use crate::proxy::http1::stock::Stock;
use crate::proxy::http1::wire::Next;

/// How bytes are cut makes no difference. Of messages that pass, both halves see as many, the same
/// in each, and write the same answers.
pub fn check(bytes: &[u8]) {
    let whole = ours(bytes, bytes.len().max(1));
    assert_eq!(whole, ours(bytes, 1), "pieces make no difference");
    assert_eq!(whole, ours(bytes, 7), "pieces make no difference");
    let good = good_messages(bytes);
    // The library takes no list for one that has other bytes in it.
    if good.is_ascii() {
        assert_eq!(ours(good, good.len().max(1)), theirs(good, good.len().max(1)));
        assert_eq!(ours(good, 5), theirs(good, 5));
    }
}

/// The messages that bytes begin with and that are good, the last perhaps without all of its body.
fn good_messages(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some((head, framing)) = next_head(&bytes[at..])
        && let Some(body) = body(&bytes[at + head..], framing)
    {
        at += head + body;
    }
    &bytes[..at]
}

/// What becomes of a connection: each request in words, and all that is written.
type Outcome = (Vec<String>, String);

fn ours(bytes: &[u8], piece: usize) -> Outcome {
    let (peer, seen) = (Peer::new(bytes, piece), RefCell::default());
    let written = Rc::clone(&peer.written);
    run(async {
        let client = Client::new(peer, BytesMut::new(), MAX_HEAD, Rc::new(Stock::new(0)));
        while let Ok(Next::Request(head)) = poll_fn(|cx| client.poll_next(cx)).await {
            let Head { request, framing, terms } = head;
            let answer = match client.body(framing) {
                Some(body) => echo(request.map(|()| body), &seen).await,
                None => echo(request.map(|()| Empty::new()), &seen).await,
            };
            let written: Result<_, io::Error> =
                client.answer(answer, terms, terms.keep_alive, |_| ()).await;
            if !matches!(written, Ok(false)) || !client.settled().await {
                break;
            }
        }
    });
    let date = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    (seen.take(), text(&written.borrow()).replace(date, ""))
}

fn theirs(bytes: &[u8], piece: usize) -> Outcome {
    let (peer, seen) = (Peer::new(bytes, piece), RefCell::default());
    let written = Rc::clone(&peer.written);
    run(async {
        let service = service_fn(async |request| Ok::<_, Infallible>(echo(request, &seen).await));
        let mut builder = http1::Builder::new();
        builder.half_close(true).auto_date_header(false).header_read_timeout(None);
        let _ = builder.serve_connection(TokioIo::new(peer), service).await;
    });
    (seen.take(), text(&written.borrow()))
}

/// Takes note of a request and answers it in one of several ways.
async fn echo<B: Body<Data = Bytes>>(
    request: Request<B>,
    seen: &RefCell<Vec<String>>,
) -> Response<Echo> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok().map(|all| {
        let trailers = all.trailers().cloned();
        (all.to_bytes(), trailers)
    });
    let said = format!("{} {} {:?} {:?}", head.method, head.uri, head.version, head.headers);
    seen.borrow_mut().push(format!("{said} {body:?}"));
    let mut response = Response::new(Echo::default());
    let (data, trailers) = body.unwrap_or_default();
    let kind = data.len() + head.uri.path().len();
    *response.status_mut() = match kind % 5 {
        // Its grant would be a tunnel's.
        _ if head.method == Method::CONNECT => StatusCode::METHOD_NOT_ALLOWED,
        1 => StatusCode::NO_CONTENT,
        2 => StatusCode::NOT_MODIFIED,
        _ => StatusCode::OK,
    };
    // To HTTP/1.0 the library promises to go on, and does not.
    response.body_mut().is_sized = kind % 2 == 0 || head.version == Version::HTTP_10;
    response.body_mut().data = (!data.is_empty()).then_some(data);
    if let Some(trailers) = trailers.filter(|_| kind % 3 > 0) {
        response.headers_mut().insert(TRAILER, HeaderValue::from_static("t, X-Sum"));
        response.body_mut().trailers = Some(trailers);
    }
    response
}

/// A body that is what the request's was.
#[derive(Default)]
struct Echo {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    is_sized: bool,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.data.as_ref().map_or(0, Bytes::len) as u64;
        if self.is_sized { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\r\n")
}

/// A client that sends its bytes in such pieces, reads all that it is sent, and closes its side.
struct Peer {
    pieces: VecDeque<Bytes>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Peer {
    fn new(bytes: &[u8], piece: usize) -> Self {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Self { pieces, written: Rc::default() }
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.front_mut() {
            let read = piece.split_to(piece.len().min(buf.remaining()));
            buf.put_slice(&read);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what waits for nothing but, at times, for its next turn.
fn run(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    let turns = (0..100_000).find(|_| future.as_mut().poll(&mut cx).is_ready());
    assert!(turns.is_some(), "it waits for ever");
}

//! A connection in a request's hands: the request goes out on it, and its answer comes back.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2::{self, Share};
use super::{Idle, Own, Stream, TargetPool};
use crate::proxy::body::{BodyError, ClientBody};

/// A connection, or a part of one, that is in use, and counts as such. Dropped before it is given
/// back, the connection is closed, or the request on it given up.
pub struct Lease {
    connection: Connection,
    /// How long it had been idle; `None`: it is new.
    pub idle_ms: Option<u64>,
    busy: Busy,
}

enum Connection {
    Own(Box<Own>),
    /// With the body of the answer, once it has come.
    Shared(Share, Option<Incoming>),
}

/// Why a request got no answer.
pub struct Unanswered {
    /// The whole of it, where nothing of it has gone out.
    pub request: Option<Box<Request<ClientBody>>>,
    /// Whether the target says that it has done nothing of it.
    pub refused: bool,
    /// What went wrong.
    pub cause: BodyError,
}

/// A request's share in how busy its target is, until it is dropped.
pub(super) struct Busy {
    pool: Rc<TargetPool>,
}

impl Lease {
    pub(super) fn own(own: Box<Own>, idle_ms: Option<u64>, busy: Busy) -> Self {
        Self { connection: Connection::Own(own), idle_ms, busy }
    }

    pub(super) fn shared(share: Share, busy: Busy) -> Self {
        Self { connection: Connection::Shared(share, None), idle_ms: Some(0), busy }
    }

    /// Sends a request, in the form of what is spoken. The answer's body is then read from here.
    pub async fn send(
        &mut self,
        mut request: Box<Request<ClientBody>>,
    ) -> Result<Response<()>, Unanswered> {
        match &mut self.connection {
            Connection::Own(own) => {
                http2::to_http1(&mut request);
                own.http.send(request).await.map_err(|failed| Unanswered {
                    request: failed.request,
                    refused: false,
                    cause: failed.error.into(),
                })
            }
            Connection::Shared(share, body) => {
                let tls = self.busy.pool.dialer.tls.is_some();
                http2::to_http2(&mut request, tls);
                // In a box, so that it takes no room where HTTP/1.1 is spoken.
                match Box::pin(share.sender().try_send_request(*request)).await {
                    Ok(response) => {
                        let (parts, incoming) = response.into_parts();
                        *body = Some(incoming);
                        Ok(Response::from_parts(parts, ()))
                    }
                    Err(mut failed) => {
                        let request = failed.take_message().map(Box::new);
                        let error = failed.into_error();
                        let refused = http2::is_refused(&error);
                        Err(Unanswered { request, refused, cause: error.into() })
                    }
                }
            }
        }
    }

    /// The next frame of the answer's body.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.connection {
            Connection::Own(own) => {
                own.http.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Connection::Shared(_, Some(body)) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Connection::Shared(_, None) => Poll::Ready(None),
        }
    }

    /// Whether the answer's body has ended.
    pub fn is_end_stream(&self) -> bool {
        match &self.connection {
            Connection::Own(own) => own.http.is_end_stream(),
            Connection::Shared(_, body) => body.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    /// How much of the answer's body is still to come.
    pub fn size_hint(&self) -> SizeHint {
        match &self.connection {
            Connection::Own(own) => own.http.size_hint(),
            Connection::Shared(_, body) => {
                body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
            }
        }
    }

    /// Whether other requests are on the same connection.
    pub fn is_shared(&self) -> bool {
        matches!(self.connection, Connection::Shared(..))
    }

    /// The request has had its whole answer: the connection is there for the next.
    pub fn give_back(self, now_ms: u64) {
        match self.connection {
            Connection::Own(own) => self.busy.pool.keep(Idle { own, since_ms: now_ms }),
            Connection::Shared(share, _) => share.finish(now_ms),
        }
    }

    /// The connection as what a 101 has made of it; `None`: others are on it, and it is not.
    pub fn upgrade(self) -> Option<Upgraded> {
        match self.connection {
            Connection::Own(own) => Some(Upgraded { own, _busy: self.busy }),
            Connection::Shared(..) => None,
        }
    }
}

/// A connection on which HTTP is not spoken any more. It is one of its target's until its end.
pub struct Upgraded {
    own: Box<Own>,
    _busy: Busy,
}

impl Upgraded {
    /// What the upstream sent right behind its answer, once.
    pub fn take_early(&mut self) -> Bytes {
        self.own.http.take_early()
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut Stream> {
        Pin::new(self.get_mut().own.http.stream())
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Busy {
    pub(super) fn new(pool: &Rc<TargetPool>) -> Self {
        pool.busy.set(pool.busy.get() + 1);
        Self { pool: Rc::clone(pool) }
    }

    /// One more, with the same target.
    pub(super) fn again(&self) -> Self {
        Self::new(&self.pool)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
    }
}

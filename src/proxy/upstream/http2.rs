//! Connections that many requests share: HTTP/2.

use std::cell::Cell;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue, TE};
use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::proxy::body::ClientBody;

/// Held of one answer that its client does not read.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Held of all answers on a connection: as much as 256 streams may hold, so that clients that do not
/// read stop nobody else. The library also takes half of it for its measure of how many small pieces
/// may lie unread before it takes them for an attack and closes the connection.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;
/// Held of one request's body that the target does not read.
const SEND_BUFFER: usize = 256 * 1024;
const MOST_HEADER_BYTES: u32 = 64 * 1024;
/// While requests are under way, a connection that answers no ping within `PING_TIMEOUT` is dead.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests given up on a connection before it is left to run dry. A library that has reset a
/// thousand streams closes the connection under all the others (h2 issue 737); clients that come and
/// go are not to bring that about.
const MOST_GIVEN_UP: u32 = 512;

/// A connection and the requests on it.
pub(super) struct Multiplexed {
    sender: SendRequest<ClientBody>,
    /// What the target allows at once, as it said last.
    most: Rc<Cell<usize>>,
    streams: Cell<usize>,
    given_up: Cell<u32>,
    retired: Cell<bool>,
    /// Where it leads.
    pub(super) address: SocketAddr,
    idle_since_ms: Cell<u64>,
}

/// One request's part of a connection. Dropped before it is [finished](Share::finish), it counts as
/// given up.
pub(super) struct Share {
    connection: Rc<Multiplexed>,
    finished: bool,
}

impl Multiplexed {
    /// Begins to speak HTTP/2. The connection's task lives on this worker's thread, and keeps
    /// `place` until its end.
    pub(super) async fn open(
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        address: SocketAddr,
        place: impl Sized + 'static,
        now_ms: u64,
    ) -> io::Result<Rc<Self>> {
        let mut builder = Builder::new(OnThisThread);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MOST_HEADER_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let most = Rc::new(Cell::new(connection.current_max_send_streams()));
        let said = Rc::clone(&most);
        spawn_local(async move {
            let _place = place;
            let mut connection = pin!(connection);
            // What goes wrong on it is told to the requests that were under way.
            let _ = std::future::poll_fn(|cx| {
                said.set(connection.current_max_send_streams());
                connection.as_mut().poll(cx)
            })
            .await;
        });
        Ok(Rc::new(Self {
            sender,
            most,
            streams: Cell::new(0),
            given_up: Cell::new(0),
            retired: Cell::new(false),
            address,
            idle_since_ms: Cell::new(now_ms),
        }))
    }

    /// A part for one more request, if there is one left.
    pub(super) fn share(self: &Rc<Self>) -> Option<Share> {
        if self.is_over() || self.streams.get() >= self.most.get() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        Some(Share { connection: Rc::clone(self), finished: false })
    }

    /// Whether it takes no further requests.
    pub(super) fn is_over(&self) -> bool {
        self.retired.get() || self.sender.is_closed()
    }

    /// Takes no further requests; those on it go on.
    pub(super) fn retire(&self) {
        self.retired.set(true);
    }

    /// Whether it has had no request since then.
    pub(super) fn is_idle_since(&self, at_ms: u64) -> bool {
        self.streams.get() == 0 && self.idle_since_ms.get() <= at_ms
    }
}

impl Share {
    /// To send the request with.
    pub(super) fn sender(&self) -> SendRequest<ClientBody> {
        self.connection.sender.clone()
    }

    /// The request has had its whole answer.
    pub(super) fn finish(mut self, now_ms: u64) {
        self.finished = true;
        self.connection.idle_since_ms.set(now_ms);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() - 1);
        if !self.finished {
            connection.given_up.set(connection.given_up.get() + 1);
            if connection.given_up.get() >= MOST_GIVEN_UP {
                connection.retire();
            }
        }
    }
}

/// Whether the target says that it has done nothing of the request (RFC 9113 section 8.7). A
/// `GOAWAY` is not enough: the library gives requests that were taken the same error.
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    h2.is_some_and(|e| {
        e.is_reset() && e.is_remote() && e.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

/// Makes a request one of HTTP/2: whom it is for stands in the URI (RFC 9113 section 8.3.1), and
/// `Connection` goes without what it names, which is `TE` alone (section 8.2.2).
pub(super) fn to_http2<B>(request: &mut Request<B>, tls: bool) {
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    *request.version_mut() = Version::HTTP_2;
    if let Some(host) = request.headers_mut().remove(HOST)
        && let Ok(authority) =
            Authority::from_maybe_shared(bytes::Bytes::copy_from_slice(host.as_bytes()))
    {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).expect("a path, a scheme and an authority");
    }
    request.headers_mut().remove(CONNECTION);
}

/// Takes that back, for a request that goes to a target that speaks HTTP/1.1 after all.
pub(super) fn to_http1<B>(request: &mut Request<B>) {
    if request.version() != Version::HTTP_2 {
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    if request.headers().contains_key(TE) {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("te"));
    }
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = None;
    if let Some(authority) = parts.authority.take()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = Uri::from_parts(parts).expect("a path alone");
}

/// Runs a connection's tasks on the worker's thread.
#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_on_its_way_to_http2_and_back() {
        let first = || {
            let request = Request::get("/a/b?c=d").header(HOST, "api.example:81");
            request.header(TE, "trailers").header(CONNECTION, "te").body(()).unwrap()
        };
        let mut request = first();
        to_http2(&mut request, true);
        assert_eq!(request.uri(), "https://api.example:81/a/b?c=d");
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers().keys().collect::<Vec<_>>(), [TE]);
        to_http1(&mut request);
        assert_eq!((request.uri(), request.version()), (first().uri(), first().version()));
        assert_eq!(request.headers(), first().headers());
    }
}

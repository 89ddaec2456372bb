//! A client connection from its acceptance to its end: its place among those that are open, what comes
//! before its first request, and the protocol that is spoken on it.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::super::connection::Connection;
use super::super::edge::{self, Stream};
use super::super::listener::Registered;
use super::super::protocol::{self, Protocol};
use super::super::serve::Handler;
use super::super::{http1, http2};
use super::{Order, Worker};
use crate::config::Server;

/// A connection's place among those that are open, given up when its task ends, however it ends.
pub(super) struct Place {
    worker: Rc<Worker>,
    /// The address it counts for, once that is known.
    counted: Option<IpAddr>,
}

impl Place {
    /// Takes a place, if one is left.
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let max = worker.adopted.borrow().plan.config.server.max_connections;
        let open = &worker.shared.open_connections;
        if open.fetch_add(1, Ordering::Relaxed) >= max {
            open.fetch_sub(1, Ordering::Relaxed);
            worker.metrics.connection_refused();
            return None;
        }
        worker.open.set(worker.open.get() + 1);
        worker.metrics.connection_opened();
        Some(Self { worker: Rc::clone(worker), counted: None })
    }

    /// Takes one of the address's own places, if one is left. A trusted proxy's are not counted: it
    /// brings everybody.
    fn count_for(&mut self, client: IpAddr, server: &Server) -> bool {
        if server.trusts(client) {
            return true;
        }
        let (worker, most) = (&self.worker, server.max_connections_per_address());
        let free = worker.shared.connections_by_address.take(client, most);
        if free {
            self.counted = Some(client);
        } else {
            worker.metrics.connection_refused_by_address();
        }
        free
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let worker = &self.worker;
        if let Some(client) = self.counted {
            worker.shared.connections_by_address.give_back(client);
        }
        worker.open.set(worker.open.get() - 1);
        worker.metrics.connection_closed();
        worker.shared.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a listener's connections come to.
pub(super) struct Entrance {
    pub(super) worker: Rc<Worker>,
    /// Everybody is sent to TLS.
    pub(super) redirects: bool,
}

pub(super) async fn accept(
    entrance: Entrance,
    listener: Registered,
    orders: watch::Receiver<Order>,
    handler: impl Handler,
) {
    listener.accept(orders, |stream, peer| take_in(&entrance, stream, peer, handler)).await;
}

fn take_in(entrance: &Entrance, stream: TcpStream, peer: SocketAddr, handler: impl Handler) {
    let Some(place) = Place::take(&entrance.worker) else {
        tracing::debug!("a connection beyond server.max_connections was closed");
        return;
    };
    spawn_local(serve_connection(place, stream, peer.ip(), entrance.redirects, handler));
}

/// What comes before the first request; `None` where it is wrong or takes too long, or the address
/// has too many connections already.
async fn begin(
    place: &mut Place,
    mut stream: TcpStream,
    peer: IpAddr,
    redirects: bool,
) -> Option<(Stream, Rc<Connection>)> {
    let worker = Rc::clone(&place.worker);
    let (adopted, accepted_ms) = (worker.adopted(), worker.now_ms());
    let server = &adopted.plan.config.server;
    let tls = worker.shared.tls.load_full().filter(|_| !redirects);
    let opening = async {
        let client = edge::client(&mut stream, peer, server).await?;
        // Before any work is done for it.
        if !place.count_for(client, server) {
            return Ok(None);
        }
        Ok(Some((client, edge::open(stream, tls).await?)))
    };
    let opened: Result<io::Result<_>, _> = timeout(server.header_timeout, opening).await;
    let Ok(Ok(opened)) = opened else {
        worker.metrics.connection_not_begun();
        return None;
    };
    let (client, stream) = opened?;
    let connection = Connection::new(client, accepted_ms);
    let connection = Rc::new(connection.over_tls(stream.is_tls(), redirects));
    worker.look_after(&connection);
    Some((stream, connection))
}

/// One client connection, from its first byte to its end.
pub(super) async fn serve_connection(
    mut place: Place,
    stream: TcpStream,
    peer: IpAddr,
    redirects: bool,
    handler: impl Handler,
) {
    let worker = Rc::clone(&place.worker);
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let Some((stream, connection)) = begin(&mut place, stream, peer, redirects).await else {
        return;
    };
    if redirects {
        // Whatever is said there in clear, in whichever protocol, gets the one answer.
        return serve_http1(worker, stream, BytesMut::new(), connection, handler).await;
    }
    let negotiated = stream.alpn().and_then(Protocol::from_alpn);
    serve_stream(worker, stream, negotiated, connection, handler).await;
}

/// Serves a stream in the protocol that was `negotiated` for it, or else in the one that its first
/// bytes tell.
async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    stream: S,
    negotiated: Option<Protocol>,
    connection: Rc<Connection>,
    handler: impl Handler,
) {
    let told = unless_ended(&connection, protocol::tell(stream)).await;
    // How a connection broke is its client's business.
    let Some(Ok((protocol, stream))) = told else { return };
    match (negotiated, protocol) {
        // Who then speaks HTTP/2 all the same is answered that this is not HTTP/1.1.
        (Some(Protocol::Http1), _) | (None, Protocol::Http1) => {
            let (read, stream) = stream.into_parts();
            serve_http1(worker, stream, read, connection, handler).await;
        }
        // Boxed, so that a connection of HTTP/1.1 has not its room as well.
        (_, Protocol::Http2) => {
            Box::pin(http2::serve_stream(worker, stream, connection, handler)).await;
        }
        (Some(Protocol::Http2), Protocol::Http1) => {}
    }
}

/// What a future gives, unless the sweep ends the connection first.
async fn unless_ended<T>(connection: &Connection, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        connection.runs_in(cx);
        if connection.is_ended() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    stream: S,
    read: BytesMut,
    connection: Rc<Connection>,
    handler: impl Handler,
) {
    let ended = {
        // Pinned where it is made: moved, it would have its room in the task twice.
        let mut serving =
            pin!(http1::serve_stream(worker, stream, read, Rc::clone(&connection), handler));
        let ending = poll_fn(|cx| {
            let served = serving.as_mut().poll(cx);
            // What waited has been refused by now, and what is read has ended: this is an answer that
            // its client does not take.
            if served.is_pending() && connection.cut().is_some() && !connection.is_switched() {
                connection.end();
            }
            served
        });
        // How a connection broke is its client's business.
        unless_ended(&connection, ending).await.flatten()
    };
    if let (Some((stream, early)), Some(tunnel)) = (ended, connection.take_tunnel()) {
        tunnel.run(stream, early).await;
    }
}

//! Serving the admin listener: HTTP/1.1, in clear or over TLS, bounded in connections and in how long
//! a handshake and a head may take.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::access::{Peer, session};
use super::{AdminState, router};
use crate::proxy::edge::{self, Stream};

/// Connections at once; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long a handshake may take, and a head, and how long a connection may stay without one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// How long what is being answered has, once no more is taken.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// After an accept that failed: mostly the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections begin with from now on; `None`: plain HTTP.
pub type AdminTls = Arc<ArcSwapOption<ServerConfig>>;

/// Serves until `shutdown` is done, and then until what is being answered is.
pub async fn serve(listener: TcpListener, state: AdminState, tls: AdminTls, shutdown: impl Future) {
    let tidy = tokio::spawn(session::keep_pruned(state.clone()));
    let router = router(state);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            _ = &mut shutdown => break,
            ((stream, peer), place) = accept(&listener, &places) => {
                let router = router.clone().layer(Extension(Peer(peer)));
                let stream = edge::open(stream, tls.load_full());
                connections.spawn(serve_connection(stream, router, place, stopped.clone()));
            }
            // Those that have ended are let go of.
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, stop));
    tidy.abort();
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(END_TIMEOUT, ended).await.is_err() {
        tracing::warn!("admin connections were cut: their answers did not end in time");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> ((TcpStream, SocketAddr), OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok(accepted) => return (accepted, place),
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first byte to its end. How it broke is its client's business.
async fn serve_connection(
    stream: impl Future<Output = io::Result<Stream>>,
    router: Router,
    place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<()>,
) {
    let stream = tokio::select! {
        stream = timeout(HEADER_TIMEOUT, stream) => stream,
        _ = stopped.changed() => return,
    };
    let Ok(Ok(stream)) = stream else { return };
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    drop(place);
}

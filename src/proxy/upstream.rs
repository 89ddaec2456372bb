//! A worker's connections to one target: made when needed, kept for the next request, last in first
//! out.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::ClientBody;
use crate::config::Target;
use crate::telemetry::metrics::TargetMetrics;

/// Idle connections kept at most; a burst's surplus is closed.
const MAX_IDLE: usize = 512;
/// An idle connection older than this is closed by the sweep.
const MAX_IDLE_MS: u64 = 60_000;

/// The idle connections to one target.
pub struct TargetPool {
    target: Target,
    connect_timeout: Duration,
    metrics: Arc<TargetMetrics>,
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<ClientBody>,
    since_ms: u64,
}

/// A connection that is in use. Dropped before it is given back, it is closed.
pub struct Lease {
    /// To send a request with.
    pub sender: SendRequest<ClientBody>,
    /// How long it had been idle; `None`: it is new.
    pub idle_ms: Option<u64>,
    pool: Rc<TargetPool>,
}

impl TargetPool {
    /// An empty pool.
    pub fn new(target: Target, connect_timeout: Duration, metrics: Arc<TargetMetrics>) -> Self {
        Self { target, connect_timeout, metrics, idle: RefCell::default() }
    }

    /// Whether it counts for these metrics: the same target of the same upstream.
    pub fn is_of(&self, metrics: &Arc<TargetMetrics>) -> bool {
        Arc::ptr_eq(&self.metrics, metrics)
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The connection given back last that still stands, if there is one.
    pub async fn take(self: &Rc<Self>, now_ms: u64) -> Option<Lease> {
        loop {
            // The borrow ends here, before anything is awaited.
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.sender.ready().await.is_ok() {
                let idle_ms = Some(now_ms.saturating_sub(idle.since_ms));
                return Some(Lease { sender: idle.sender, idle_ms, pool: Rc::clone(self) });
            }
        }
    }

    /// Makes a new connection. Its task lives on this worker's thread.
    pub async fn connect(self: &Rc<Self>) -> io::Result<Lease> {
        let connected = self.try_connect().await;
        self.metrics.set_up(connected.is_ok());
        connected
    }

    async fn try_connect(self: &Rc<Self>) -> io::Result<Lease> {
        let address = (self.target.host.as_str(), self.target.port);
        let stream = timeout(self.connect_timeout, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            // What goes wrong on it is told to the request that was under way.
            let _ = connection.with_upgrades().await;
        });
        Ok(Lease { sender, idle_ms: None, pool: Rc::clone(self) })
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self, now_ms: u64) {
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.sender.is_closed() && now_ms < idle.since_ms + MAX_IDLE_MS);
    }
}

impl Lease {
    /// Gives the connection back for the next request.
    pub fn give_back(self, now_ms: u64) {
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < MAX_IDLE && !self.sender.is_closed() {
            idle.push(Idle { sender: self.sender, since_ms: now_ms });
        }
    }
}

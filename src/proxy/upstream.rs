//! A worker's connections to one target: made when needed, kept for the next request, last in first
//! out.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::ClientBody;
use super::health::TargetState;
use super::plan::{TargetPlan, UpstreamPlan};
use crate::config::Target;

/// Idle connections kept at most; a burst's surplus is closed.
const MAX_IDLE: usize = 512;
/// An idle connection older than this is closed by the sweep.
const MAX_IDLE_MS: u64 = 60_000;

/// The idle connections to one target.
pub struct TargetPool {
    target: Target,
    connect_timeout: Duration,
    state: Arc<TargetState>,
    idle: RefCell<Vec<Idle>>,
    busy: Cell<u32>,
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
    busy: Busy,
}

/// A request's share in how busy its target is, until it is dropped.
struct Busy {
    pool: Rc<TargetPool>,
}

impl TargetPool {
    /// An empty pool.
    pub fn new(target: &TargetPlan, plan: &UpstreamPlan) -> Self {
        Self {
            target: target.target.clone(),
            connect_timeout: plan.upstream.connect_timeout,
            state: Arc::clone(&target.state),
            idle: RefCell::default(),
            busy: Cell::new(0),
        }
    }

    /// Whether a plan's target is this one, reached in the same way.
    pub fn serves(&self, target: &TargetPlan, plan: &UpstreamPlan) -> bool {
        Arc::ptr_eq(&self.state, &target.state)
            && self.target == target.target
            && self.connect_timeout == plan.upstream.connect_timeout
    }

    /// How the target stands.
    pub fn state(&self) -> &TargetState {
        &self.state
    }

    /// How many of this worker's requests are with the target now.
    pub fn busy(&self) -> u32 {
        self.busy.get()
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
                return Some(Lease { sender: idle.sender, idle_ms, busy: Busy::new(self) });
            }
        }
    }

    /// Makes a new connection. Its task lives on this worker's thread.
    pub async fn connect(self: &Rc<Self>) -> io::Result<Lease> {
        let busy = Busy::new(self);
        let address = (self.target.host.as_str(), self.target.port);
        let stream = timeout(self.connect_timeout, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::task::spawn_local(async move {
            // What goes wrong on it is told to the request that was under way.
            let _ = connection.with_upgrades().await;
        });
        Ok(Lease { sender, idle_ms: None, busy })
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
        let mut idle = self.busy.pool.idle.borrow_mut();
        if idle.len() < MAX_IDLE && !self.sender.is_closed() {
            idle.push(Idle { sender: self.sender, since_ms: now_ms });
        }
    }
}

impl Busy {
    fn new(pool: &Rc<TargetPool>) -> Self {
        pool.busy.set(pool.busy.get() + 1);
        Self { pool: Rc::clone(pool) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pool.busy.set(self.pool.busy.get() - 1);
    }
}

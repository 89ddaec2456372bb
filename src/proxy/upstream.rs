//! A worker's connections to one target: made when needed, kept for the next request.
//!
//! Of HTTP/1.1 each request has one to itself, the one given back last first; of HTTP/2 all share
//! one, or more where the target allows no more requests on it. With TLS the target chooses, and
//! what it chose last is expected of it next time.

mod dial;
pub mod http1;
mod http2;
mod lease;
mod names;
mod room;
mod stream;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};
use tokio::task::spawn_local;
use tokio::time::timeout;

pub use dial::{Dialed, Dialer, Protocol};
pub use lease::{Lease, Unanswered, Upgraded};
pub(super) use names::resolve;
pub use stream::Stream;

use self::http2::Multiplexed;
use self::lease::Busy;
use self::names::Names;
use self::room::{Grant, Place, Room};
use super::body::ClientBody;
use super::health::TargetState;
use super::plan::{TargetPlan, UpstreamPlan};
use crate::config::Target;

/// Idle connections kept at most; a burst's surplus is closed.
const MAX_IDLE: usize = 512;
/// An idle connection older than this is closed by the sweep.
const MAX_IDLE_MS: u64 = 60_000;

/// The connections to one target.
pub struct TargetPool {
    dialer: Dialer,
    names: Names,
    state: Arc<TargetState>,
    /// What it spoke last; `None`: not known yet.
    speaks: Cell<Option<Protocol>>,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Rc<Multiplexed>>>,
    /// The connection that is being made for all who wait for one to share.
    making: RefCell<Option<Making>>,
    room: Rc<Room<Idle>>,
    busy: Cell<u32>,
    buffers: Rc<http1::Buffers>,
}

type Making = Shared<LocalBoxFuture<'static, Result<(), Rc<io::Error>>>>;

struct Idle {
    own: Box<Own>,
    since_ms: u64,
}

/// A connection of HTTP/1.1.
struct Own {
    http: http1::Connection<Stream, ClientBody>,
    address: SocketAddr,
    _place: Place<Idle>,
}

/// Why a target takes no request.
#[derive(Debug)]
pub enum Unavailable {
    /// There are as many connections as there may be, and too many requests wait already, or this one
    /// has waited for too long.
    Overloaded,
    /// No connection could be made.
    Failed(io::Error),
}

impl TargetPool {
    /// An empty pool.
    pub fn new(target: &TargetPlan, plan: &UpstreamPlan) -> Self {
        let dialer = plan.dialer(&target.target);
        Self {
            names: Names::new(&dialer.target),
            speaks: Cell::new(match (&dialer.tls, dialer.http2) {
                (Some(_), _) => None,
                (None, true) => Some(Protocol::Http2),
                (None, false) => Some(Protocol::Http1),
            }),
            dialer,
            state: Arc::clone(&target.state),
            idle: RefCell::default(),
            shared: RefCell::default(),
            making: RefCell::default(),
            room: Room::new(Arc::clone(target.state.metrics())),
            busy: Cell::new(0),
            buffers: Rc::default(),
        }
    }

    /// Whether a plan's target is this one, reached in the same way.
    pub fn serves(&self, target: &TargetPlan, plan: &UpstreamPlan) -> bool {
        Arc::ptr_eq(&self.state, &target.state) && self.dialer.is_like(&plan.dialer(&target.target))
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.dialer.target
    }

    /// How the target stands.
    pub fn state(&self) -> &TargetState {
        &self.state
    }

    /// How many of this worker's requests are with the target now.
    pub fn busy(&self) -> u32 {
        self.busy.get()
    }

    /// A connection for one request: a kept one that still stands, else a new one. `http1`: nothing
    /// else will do, as for an upgrade, which then has a connection of its own.
    pub async fn lease(self: &Rc<Self>, http1: bool, now_ms: u64) -> Result<Lease, Unavailable> {
        let busy = Busy::new(self);
        loop {
            if self.speaks.get() == Some(Protocol::Http1) || http1 {
                return self.own(busy, http1, now_ms).await;
            }
            if let Some(lease) = self.share(&busy) {
                return Ok(lease);
            }
            Box::pin(self.make_shared(now_ms)).await?;
        }
    }

    /// A connection of the request's own, waited for where there are too many.
    async fn own(
        self: &Rc<Self>,
        busy: Busy,
        http1: bool,
        now_ms: u64,
    ) -> Result<Lease, Unavailable> {
        loop {
            // The borrow ends here, before anything is awaited.
            let kept = self.idle.borrow_mut().pop();
            let granted = match kept {
                Some(idle) => Grant::Connection(idle),
                None => self.granted().await?,
            };
            let (own, idle_ms) = match granted {
                Grant::Connection(mut idle) => {
                    if !idle.own.http.is_quiet() {
                        continue;
                    }
                    (idle.own, Some(now_ms.saturating_sub(idle.since_ms)))
                }
                // In a box: what makes a connection is large, and few requests need it.
                Grant::Place(place) => match Box::pin(self.open(place, http1, now_ms)).await? {
                    Some(own) => (own, None),
                    // It speaks HTTP/2 from now on.
                    None => return self.share(&busy).ok_or(Unavailable::Overloaded),
                },
            };
            return Ok(Lease::own(own, idle_ms, busy));
        }
    }

    async fn granted(&self) -> Result<Grant<Idle>, Unavailable> {
        if let Some(place) = self.room.place() {
            return Ok(Grant::Place(place));
        }
        let waiting = Box::pin(self.room.wait(self.dialer.connect_timeout));
        waiting.await.ok_or(Unavailable::Overloaded)
    }

    /// Makes a connection: for the caller alone, or `None` where it is one to share.
    async fn open(
        &self,
        place: Place<Idle>,
        http1: bool,
        now_ms: u64,
    ) -> io::Result<Option<Box<Own>>> {
        let addresses = timeout(self.dialer.connect_timeout, self.names.addresses());
        let dialed = self.dialer.dial(&addresses.await??, http1).await?;
        let address = dialed.address;
        if dialed.protocol == Protocol::Http1 {
            let http = http1::Connection::new(dialed.stream, Rc::clone(&self.buffers));
            return Ok(Some(Box::new(Own { http, address, _place: place })));
        }
        let made = Multiplexed::open(dialed.stream, address, place, now_ms).await?;
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_over());
        shared.push(made);
        self.speaks.set(Some(Protocol::Http2));
        Ok(None)
    }

    /// A part of the first shared connection that has one left.
    fn share(self: &Rc<Self>, busy: &Busy) -> Option<Lease> {
        let share = self.shared.borrow().iter().find_map(Multiplexed::share)?;
        Some(Lease::shared(share, busy.again()))
    }

    /// Makes one more connection to share. Whoever asks meanwhile waits for the same.
    async fn make_shared(self: &Rc<Self>, now_ms: u64) -> Result<(), Unavailable> {
        let under_way = self.making.borrow().clone();
        let making = under_way.unwrap_or_else(|| {
            let pool = Rc::clone(self);
            let making = async move {
                let made = pool.try_make_shared(now_ms).await;
                pool.making.take();
                made.map_err(Rc::new)
            };
            let making = making.boxed_local().shared();
            *self.making.borrow_mut() = Some(making.clone());
            // It is made even where nobody waits for it to the end.
            spawn_local(making.clone().map(drop));
            making
        });
        let again = |error: Rc<io::Error>| io::Error::new(error.kind(), error.to_string());
        making.await.map_err(|error| Unavailable::Failed(again(error)))
    }

    async fn try_make_shared(&self, now_ms: u64) -> io::Result<()> {
        let Some(place) = self.room.place() else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections"));
        };
        if let Some(own) = self.open(place, false, now_ms).await? {
            self.speaks.set(Some(Protocol::Http1));
            self.keep(Idle { own, since_ms: now_ms });
        }
        Ok(())
    }

    /// For whoever waits, or for the next request.
    fn keep(&self, idle: Idle) {
        if !idle.own.http.is_reusable() || !self.names.has(idle.own.address) {
            return;
        }
        let Some(idle) = self.room.hand_on(idle) else { return };
        let mut kept = self.idle.borrow_mut();
        if kept.len() < MAX_IDLE {
            kept.push(idle);
        }
    }

    /// Closes what has been idle for too long, and has an old name asked for again while there are
    /// connections to where it led.
    pub fn sweep(self: &Rc<Self>, now_ms: u64) {
        let too_old = now_ms.saturating_sub(MAX_IDLE_MS);
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| idle.since_ms >= too_old && idle.own.http.is_quiet());
        let mut shared = self.shared.borrow_mut();
        shared.retain(|connection| !connection.is_over() && !connection.is_idle_since(too_old));
        let connected = !idle.is_empty() || !shared.is_empty() || self.busy.get() > 0;
        if connected && self.names.is_old() && !self.names.is_asked() {
            spawn_local(Rc::clone(self).look_where_it_is());
        }
    }

    /// Lets go of connections to addresses that the name no longer has.
    async fn look_where_it_is(self: Rc<Self>) {
        if self.names.ask().await.is_ok() {
            self.idle.borrow_mut().retain(|idle| self.names.has(idle.own.address));
            let shared = self.shared.borrow();
            shared.iter().filter(|c| !self.names.has(c.address)).for_each(|c| c.retire());
        }
    }
}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::QuotaExceeded => Self::Overloaded,
            _ => Self::Failed(error),
        }
    }
}

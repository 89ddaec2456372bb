//! One worker: a thread with its own runtime, listeners, connections and upstream pool.
//!
//! Everything here lives on one thread, which is why it may use `Rc` and `RefCell`; the steps get
//! plain references. What workers share is read-mostly ([`Shared`]).

mod accept;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use self::accept::{Entrance, accept};

use super::adopted::Adopted;
use super::authorize::Books;
use super::connection::{Connection, Waiting};
use super::handle::handle;
use super::http1::Stock;
use super::listener::Listener;
use super::plan::PlanSource;
use super::redirect::redirect;
use super::refusals::{Noted, Refusals};
use super::serve::Handler;
use super::tunnel::FAREWELL;
use crate::auth::Authenticator;
use crate::auth::table::Moment;
use crate::domain::KeyId;
use crate::limit::{ConnectionCounts, SharedLimits};
use crate::self_service::Desk;
use crate::spend::Spender;
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::{Metrics, WaitedFor, WorkerMetrics};
use crate::usage::{Journal, Writer};

/// How often overdue connections are looked for: the precision of every timeout.
const SWEEP: Duration = Duration::from_millis(100);
/// How long, at the end, a client has that is about to send a request on a connection that it keeps:
/// closed under it, the connection would be reset. Clients in use send theirs sooner, and are told
/// with the answer that it was the last.
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// In every how many sweeps the keys of requests under way are looked at: three times a second, so
/// that one that has ended is cut well within a second of it.
const KEYS_EVERY: u32 = 3;

/// What all workers share.
pub struct Shared {
    /// The configuration in force.
    pub plan: PlanSource,
    /// Its generation: looked at by every request, written by a reload.
    pub generation: AtomicU64,
    /// Who is calling.
    pub auth: Authenticator,
    /// The limits, where other instances share them.
    pub limits: Option<SharedLimits>,
    /// Where requests get the money that they cost.
    pub spender: Spender,
    /// Where calls of the self-service API are handed in.
    pub desk: Desk,
    /// Where answered requests are written down.
    pub journal: Arc<Journal>,
    /// All counters.
    pub metrics: Arc<Metrics>,
    /// Where access log lines go.
    pub access_log: AccessLog,
    /// The last refusals.
    pub refusals: Refusals,
    /// What the listeners speak, where not in clear: for connections from now on.
    pub tls: ArcSwapOption<ServerConfig>,
    /// Where TLS is spoken, for those who come to the listener in clear.
    pub https_port: u16,
    /// Client connections that are open.
    pub open_connections: AtomicUsize,
    /// The same by the client's address.
    pub connections_by_address: ConnectionCounts,
}

impl Shared {
    /// Where requests are counted and paid.
    pub fn books(&self) -> Books<'_> {
        Books { shared: self.limits.as_ref(), spender: &self.spender }
    }
}

/// What a running worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Serve,
    /// Go on, but leave connections that are not begun yet to another process on the same addresses.
    LeaveNewcomers,
    /// Take nothing new, and be done by then.
    Drain(Instant),
}

/// One worker's listeners.
#[derive(Default)]
pub struct Listeners {
    /// Whose requests are served.
    pub serve: Vec<Listener>,
    /// Whose requests are sent to those, over TLS.
    pub redirect: Option<Listener>,
}

/// A worker's own things.
pub struct Worker {
    shared: Arc<Shared>,
    adopted: RefCell<Rc<Adopted>>,
    index: usize,
    metrics: Arc<WorkerMetrics>,
    usage: Rc<Writer>,
    stock: Rc<Stock>,
    connections: RefCell<Vec<std::rc::Weak<Connection>>>,
    open: Cell<usize>,
    sweeps: Cell<u32>,
    drain: Cell<Option<Drain>>,
}

/// The end of a worker, by its own clock.
#[derive(Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "it is their unit that they have in common")]
struct Drain {
    began_ms: u64,
    /// How long a connection may wait for a request.
    patience_ms: u64,
    /// When tunnels that are left must end.
    cut_at_ms: u64,
}

impl Drain {
    /// Whether a connection has waited long enough for a request that would have been its last.
    fn gives_up(self, waiting: (Waiting, u64), now_ms: u64) -> bool {
        let (what, since) = waiting;
        what != Waiting::Nothing && now_ms > since.max(self.began_ms) + self.patience_ms
    }
}

impl Worker {
    fn new(index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let metrics = shared.metrics.worker(index);
        let adopted = Rc::new(Adopted::new(shared.plan.load_full(), &shared.metrics, None));
        Rc::new(Self {
            index,
            adopted: RefCell::new(adopted),
            metrics,
            usage: shared.journal.writer(index),
            stock: Rc::new(Stock::new(shared.auth.sync.now().wall_ms)),
            connections: RefCell::default(),
            open: Cell::new(0),
            sweeps: Cell::new(0),
            drain: Cell::new(None),
            shared,
        })
    }

    /// The plan in force, taken up if it is new.
    pub fn adopted(&self) -> Rc<Adopted> {
        let adopted = Rc::clone(&self.adopted.borrow());
        if adopted.plan.generation == self.shared.generation.load(Ordering::Acquire) {
            return adopted;
        }
        let plan = self.shared.plan.load_full();
        let fresh = Rc::new(Adopted::new(plan, &self.shared.metrics, Some(&adopted)));
        *self.adopted.borrow_mut() = Rc::clone(&fresh);
        fresh
    }

    /// Who is calling.
    pub fn auth(&self) -> &Authenticator {
        &self.shared.auth
    }

    /// Where requests are counted and paid.
    pub fn books(&self) -> Books<'_> {
        self.shared.books()
    }

    /// Where calls of the self-service API are handed in.
    pub fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    /// This worker's counters.
    pub fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    /// This worker's part of the usage journal.
    pub fn usage(&self) -> &Rc<Writer> {
        &self.usage
    }

    /// What its connections use in turn.
    pub(super) fn stock(&self) -> &Rc<Stock> {
        &self.stock
    }

    /// Which worker this is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The port of the first listener, for those who are sent there.
    pub fn https_port(&self) -> u16 {
        self.shared.https_port
    }

    /// Where requests are logged.
    pub fn access_log(&self) -> &AccessLog {
        &self.shared.access_log
    }

    /// Keeps what is known of a refused request, and so many of them.
    pub fn note_refusal(&self, noted: Noted, most: usize) {
        self.shared.refusals.note(self.index, noted, most);
    }

    /// The time by both clocks.
    pub fn now(&self) -> Moment {
        self.shared.auth.sync.now()
    }

    /// The time by both clocks, where it is that instant now.
    pub fn moment_of(&self, now: Instant) -> Moment {
        self.shared.auth.sync.moment_of(now)
    }

    /// Monotonic milliseconds, to some of them: for timeouts.
    pub fn now_ms(&self) -> u64 {
        self.shared.auth.sync.coarse_ms()
    }

    /// When, while it drains, tunnels that are left must end; `u64::MAX`: not in sight.
    pub fn cut_at_ms(&self) -> u64 {
        self.drain.get().map_or(u64::MAX, |drain| drain.cut_at_ms)
    }

    /// Takes nothing new; connections end with their next answer or soon, and tunnels in time for the
    /// deadline.
    fn drain(&self, deadline: Instant) {
        let (began_ms, left) = (self.now_ms(), deadline.saturating_duration_since(Instant::now()));
        let until_cut = left.saturating_sub(SWEEP + FAREWELL.min(left / 2));
        self.drain.set(Some(Drain {
            began_ms,
            patience_ms: LAST_REQUEST.min(left / 2).as_millis() as u64,
            cut_at_ms: began_ms + until_cut.as_millis() as u64,
        }));
        self.wake_all();
    }

    /// What a request's head may measure.
    pub(super) fn max_header_bytes(&self) -> usize {
        self.adopted.borrow().plan.config.server.max_header_bytes
    }

    /// Whether nothing new is taken any more.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Has the sweep look after a connection for as long as it lasts.
    pub(super) fn look_after(&self, connection: &Rc<Connection>) {
        self.connections.borrow_mut().push(Rc::downgrade(connection));
    }

    /// Wakes or ends what has waited too long or whose key has ended, and closes idle upstream
    /// connections.
    fn sweep(&self) {
        let (now, now_ms) = (self.now(), self.now_ms());
        self.stock.tick(now.wall_ms);
        let looks_at_keys = self.sweeps.get().is_multiple_of(KEYS_EVERY);
        self.sweeps.set(self.sweeps.get().wrapping_add(1));
        let adopted = self.adopted();
        let server = &adopted.plan.config.server;
        let table = &self.auth().sync.table;
        let mut doubted: Vec<KeyId> = Vec::new();
        let over = |since: u64, bound: Duration| now_ms > since + bound.as_millis() as u64;
        self.connections.borrow_mut().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let (idle, head) = (server.idle_timeout, server.header_timeout);
            let has_waited = match (connection.stuck_since(), connection.waiting()) {
                (Some(since), _) => over(since, idle).then_some(WaitedFor::Reading),
                (None, (Waiting::Request, since)) => {
                    over(since, idle).then_some(WaitedFor::Request)
                }
                (None, (Waiting::Head, since)) => over(since, head).then_some(WaitedFor::Head),
                (None, (Waiting::Nothing, _)) => None,
            };
            if let Some(what) = has_waited.filter(|_| !connection.is_ended()) {
                self.metrics.connection_timed_out(what);
                connection.end();
            } else if connection.is_overdue(now_ms) {
                connection.wake();
            }
            if looks_at_keys {
                connection.look_at_key(now);
                let holder = connection.holder();
                let holder = holder.as_ref().filter(|holder| table.doubts_key(&holder.key));
                doubted.extend(holder.map(|holder| holder.key.id.clone()));
            }
            if self.drain.get().is_some_and(|drain| drain.gives_up(connection.waiting(), now_ms)) {
                connection.leave();
            }
            true
        });
        if !doubted.is_empty() {
            doubted.sort_unstable();
            doubted.dedup();
            self.auth().sync.reread(doubted);
        }
        adopted.pools().for_each(|pool| pool.sweep(now_ms));
    }

    fn wake_all(&self) {
        for connection in self.connections.borrow().iter().filter_map(std::rc::Weak::upgrade) {
            connection.wake();
        }
    }
}

/// Serves on the listeners until it is told to drain, and then until all is answered or the time is
/// up. Runs on a thread of its own, in a local runtime.
pub async fn run(
    index: usize,
    shared: Arc<Shared>,
    listeners: Listeners,
    orders: watch::Receiver<Order>,
) -> io::Result<()> {
    run_with(index, shared, listeners, orders, handle).await
}

async fn run_with(
    index: usize,
    shared: Arc<Shared>,
    listeners: Listeners,
    mut orders: watch::Receiver<Order>,
    handler: impl Handler,
) -> io::Result<()> {
    let worker = Worker::new(index, shared);
    let mut accepting = Vec::new();
    for listener in listeners.serve {
        let entrance = Entrance { worker: Rc::clone(&worker), redirects: false };
        let listener = listener.register()?;
        accepting.push(spawn_local(accept(entrance, listener, orders.clone(), handler)));
    }
    if let Some(listener) = listeners.redirect {
        let entrance = Entrance { worker: Rc::clone(&worker), redirects: true };
        let listener = listener.register()?;
        accepting.push(spawn_local(accept(entrance, listener, orders.clone(), redirect)));
    }
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deadline = loop {
        tokio::select! {
            _ = sweep.tick() => worker.sweep(),
            order = orders.wait_for(|order| matches!(order, Order::Drain(_))) => match order.map(|o| *o) {
                Ok(Order::Drain(deadline)) => break deadline,
                // Nobody is left to give orders.
                _ => break Instant::now(),
            },
        }
    };
    // The listeners close once what had been accepted by the kernel is taken.
    for accepting in accepting {
        let _ = accepting.await;
    }
    worker.drain(deadline);
    let drained = async {
        while worker.open.get() > 0 {
            sweep.tick().await;
            worker.sweep();
        }
    };
    if timeout_at(deadline, drained).await.is_err() {
        tracing::warn!(open = worker.open.get(), "the drain timeout is over: cutting what is left");
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! The one writer of the key table: loads what is asked for and follows the store's changes.
//!
//! One task, the [`Synchroniser`], does both in turn. So a row that was read before a change is in
//! the table before the change is looked at, and never after: nothing old comes back. Requests hold
//! a [`Sync`]: cheap questions, and loads.

mod reader;
mod synchroniser;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::table::{KeyPolicy, KeyTable, Moment, SecretEntry};
use crate::domain::{Clock, KeyId, PublicId};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

use reader::Reader;
pub use synchroniser::Synchroniser;

/// Loads that wait at most; past it a request is told that the store is out of reach.
const QUEUE: usize = 1_024;
/// The longest that requests wait while it is found out whether the store is still there: one that
/// answers is caught up with in milliseconds.
const SETTLES: Duration = Duration::from_secs(1);

/// Whether the table can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// Every change is known within milliseconds.
    Live,
    /// The subscription broke just now and changes may have been missed: wait.
    Checking,
    /// Out of reach since then, by the table's monotonic clock.
    Away {
        /// Milliseconds.
        since_ms: u64,
    },
}

impl StoreState {
    fn to_bits(self) -> u64 {
        match self {
            Self::Live => 0,
            Self::Checking => 1,
            Self::Away { since_ms } => since_ms.saturating_add(2),
        }
    }

    fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Live,
            1 => Self::Checking,
            since => Self::Away { since_ms: since - 2 },
        }
    }
}

/// What a load found.
pub enum Found {
    /// The secret is in the table now.
    Entry(Arc<SecretEntry>),
    /// There is no such secret.
    Nothing,
    /// The store could not be asked.
    Unavailable,
}

/// The worker's hold on the synchroniser: cheap questions, and loads.
pub struct Sync {
    /// What is held of the store.
    pub table: KeyTable,
    /// What keys are compiled with.
    pub policy: ArcSwap<KeyPolicy>,
    /// Wall time.
    pub clock: Clock,
    state: watch::Sender<StoreState>,
    /// The same for every request to look at: a number that is written when the store comes or goes.
    state_now: AtomicU64,
    /// The revision up to which every change is in the table; 0: nothing was read yet.
    applied: watch::Sender<i64>,
    asks: mpsc::Sender<Ask>,
    origin: Instant,
    /// The same by the coarse clock.
    coarse_origin_ms: u64,
    metrics: Arc<Metrics>,
}

/// Milliseconds of a monotonic clock that stands still for a tick of the kernel, 10 ms at most, and costs
/// a fifth of the exact one to look at (`CLOCK_MONOTONIC_COARSE`, `clock_gettime(2)`).
fn coarse_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec.unsigned_abs() * 1_000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

enum Ask {
    Load(PublicId, oneshot::Sender<Found>),
    Refresh(PublicId, KeyId),
    Reread(Vec<KeyId>),
}

impl Sync {
    /// Makes both halves. The table is empty and not trusted until the task runs.
    pub fn new(
        store: Arc<dyn Store>,
        policy: KeyPolicy,
        clock: Clock,
        capacity: usize,
        metrics: Arc<Metrics>,
    ) -> (Arc<Self>, Synchroniser) {
        let (asks, receiver) = mpsc::channel(QUEUE);
        let sync = Arc::new(Self {
            table: KeyTable::default(),
            policy: ArcSwap::from_pointee(policy),
            clock,
            state: watch::Sender::new(StoreState::Checking),
            state_now: AtomicU64::new(StoreState::Checking.to_bits()),
            applied: watch::Sender::new(0),
            asks,
            origin: Instant::now(),
            coarse_origin_ms: coarse_ms(),
            metrics,
        });
        let reader = Reader { sync: Arc::clone(&sync), store, capacity };
        let task = Synchroniser::new(reader, receiver);
        (sync, task)
    }

    /// The time by both clocks.
    pub fn now(&self) -> Moment {
        self.moment_of(Instant::now())
    }

    /// The time by both clocks, where it is that instant now.
    pub fn moment_of(&self, now: Instant) -> Moment {
        let monotonic_ms = now.duration_since(self.origin).as_millis() as u64;
        Moment { monotonic_ms, wall_ms: self.clock.now_ms() }
    }

    /// Milliseconds since the start.
    pub fn monotonic_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
    }

    /// The same to some milliseconds, for timeouts.
    pub fn coarse_ms(&self) -> u64 {
        coarse_ms() - self.coarse_origin_ms
    }

    /// Follows the revision up to which every change is in the table: what was revoked by then is
    /// refused. 0: nothing was read yet.
    pub fn applied(&self) -> watch::Receiver<i64> {
        self.applied.subscribe()
    }

    /// Whether the table can be trusted now.
    pub fn state(&self) -> StoreState {
        StoreState::from_bits(self.state_now.load(Ordering::Acquire))
    }

    /// Waits while the state is being found out.
    pub async fn settled(&self) -> StoreState {
        self.settles_within(SETTLES).await
    }

    /// The same, for as long as this at most.
    pub async fn settles_within(&self, limit: Duration) -> StoreState {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| *state != StoreState::Checking);
        match timeout(limit, settled).await {
            Ok(Ok(state)) => *state,
            _ => StoreState::Away { since_ms: self.monotonic_ms() },
        }
    }

    /// Reads a secret that is not in the table, or that may have changed since it was read.
    pub async fn load(&self, id: PublicId) -> Found {
        let (answer, answered) = oneshot::channel();
        if self.asks.try_send(Ask::Load(id, answer)).is_err() {
            return Found::Unavailable;
        }
        answered.await.unwrap_or(Found::Unavailable)
    }

    /// Asks for a fresh reading of an entry, once; nobody waits for it.
    pub fn refresh(&self, entry: &SecretEntry) {
        if entry.ask_refresh()
            && self.asks.try_send(Ask::Refresh(entry.id, entry.key.id.clone())).is_err()
        {
            entry.refresh_failed();
        }
    }

    /// Asks for a fresh reading of keys that may have changed since they were read and that requests
    /// under way hold: no request will come and ask. Nobody waits for it; whoever still doubts them
    /// later asks again.
    pub fn reread(&self, keys: Vec<KeyId>) {
        let _ = self.asks.try_send(Ask::Reread(keys));
    }

    fn set_state(&self, state: StoreState) {
        self.state.send_if_modified(|now| {
            let changed = std::mem::discriminant(now) != std::mem::discriminant(&state);
            if changed {
                self.state_now.store(state.to_bits(), Ordering::Release);
                self.metrics.store_up.set(u64::from(state == StoreState::Live));
                *now = state;
            }
            changed
        });
    }
}

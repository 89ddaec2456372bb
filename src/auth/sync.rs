//! The one writer of the key table: loads what is asked for and follows the store's changes.
//!
//! One task does both in turn. So a row that was read before a change is in the table before the
//! change is looked at, and never after: nothing old comes back. When the subscription breaks, what
//! may have been missed is caught up with before the table is trusted again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::table::{KeyEntry, KeyPolicy, KeyTable, Moment, SecretEntry};
use crate::domain::{Clock, KeyId, PublicId};
use crate::store::{Change, Changes, Feed, Loaded, Result, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Loads that wait at most; past it a request is told that the gateway is overloaded.
const QUEUE: usize = 1_024;
/// How often the store is asked although its feed is silent: the net below the feed, and how a
/// store that is frozen is noticed.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The longest that the store may take over one question before it counts as away.
const ANSWER: Duration = Duration::from_secs(2);
/// Past so many changes at once, keys that nobody has used here are not looked at one by one.
const ONE_BY_ONE: usize = 200;
/// Between attempts to reach a store that is away.
const RETRY: Duration = Duration::from_millis(200);
/// The longest that one attempt to find out whether the store is there may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The longest that catching up may take: a million ids are read within a few seconds.
const CATCH_UP: Duration = Duration::from_mins(1);
/// The deepest family of keys; a longer chain is a cycle made by hand.
const MAX_DEPTH: usize = 16;

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
    metrics: Arc<Metrics>,
}

enum Ask {
    Load(PublicId, oneshot::Sender<Found>),
    Refresh(PublicId, KeyId),
}

/// The task's half.
pub struct Synchroniser {
    sync: Arc<Sync>,
    store: Arc<dyn Store>,
    asks: mpsc::Receiver<Ask>,
    capacity: usize,
    revision: Option<i64>,
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
            metrics,
        });
        let task = Synchroniser {
            sync: Arc::clone(&sync),
            store,
            asks: receiver,
            capacity,
            revision: None,
        };
        (sync, task)
    }

    /// The time by both clocks.
    pub fn now(&self) -> Moment {
        Moment { monotonic_ms: self.monotonic_ms(), wall_ms: self.clock.now_ms() }
    }

    /// Milliseconds since the start.
    pub fn monotonic_ms(&self) -> u64 {
        self.origin.elapsed().as_millis() as u64
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

    /// Waits while the state is being found out, for at most one attempt.
    pub async fn settled(&self) -> StoreState {
        let mut states = self.state.subscribe();
        let settled = states.wait_for(|state| *state != StoreState::Checking);
        match timeout(ATTEMPT, settled).await {
            Ok(Ok(state)) => *state,
            _ => StoreState::Away { since_ms: self.monotonic_ms() },
        }
    }

    /// Reads a secret that is not in the table.
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

impl Synchroniser {
    /// Follows the store for ever.
    pub async fn run(mut self) {
        loop {
            match self.subscribe().await {
                Ok(feed) => {
                    tracing::info!(revision = self.revision, "following the store's changes");
                    self.sync.set_state(StoreState::Live);
                    let error = self.follow(feed).await;
                    tracing::warn!(%error, "lost the store's change feed; catching up");
                    self.sync.set_state(StoreState::Checking);
                }
                Err(error) => self.stay_away(&error).await,
            }
        }
    }

    /// Listens first and catches up then, so that no change falls between the two.
    async fn subscribe(&mut self) -> Result<Box<dyn Feed>> {
        let late = |_| StoreError::Unavailable("no answer in time".to_owned());
        let feed = timeout(ATTEMPT, self.store.listen()).await.map_err(late)??;
        timeout(CATCH_UP, self.catch_up()).await.map_err(late)??;
        Ok(feed)
    }

    async fn catch_up(&mut self) -> Result<()> {
        match self.revision {
            None => self.read_ids().await,
            Some(_) => self.apply_changes().await,
        }
    }

    /// The revision is asked before the ids, so that what comes between is seen twice, not never.
    async fn read_ids(&mut self) -> Result<()> {
        let revision = self.store.revision().await?;
        let ids = self.store.public_ids().await?;
        self.sync.table.set_existing(ids);
        self.has_applied(revision);
        Ok(())
    }

    /// Serves until the feed breaks, and says why it did.
    async fn follow(&mut self, mut feed: Box<dyn Feed>) -> StoreError {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                biased;
                changed = feed.next() => match changed {
                    Ok(()) => self.apply_changes().await,
                    Err(error) => Err(error),
                },
                _ = heartbeat.tick() => self.apply_changes().await,
                Some(ask) = self.asks.recv() => self.answer(ask).await,
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    async fn apply_changes(&mut self) -> Result<()> {
        let begun = Instant::now();
        let before = self.revision.unwrap_or(0);
        let revision = match within(self.store.changes_since(before)).await? {
            Changes::These { revision, .. } if revision == before => return Ok(()),
            Changes::These { changes, revision } => {
                self.apply_all(&changes).await?;
                revision
            }
            Changes::Everything { revision } => {
                self.reread_everything().await?;
                revision
            }
        };
        self.has_applied(revision);
        self.sync.metrics.change_lag.observe_shared(begun.elapsed());
        Ok(())
    }

    fn has_applied(&mut self, revision: i64) {
        self.revision = Some(revision);
        self.sync.applied.send_replace(revision);
    }

    async fn apply_all(&self, changes: &[Change]) -> Result<()> {
        let many = changes.len() > ONE_BY_ONE;
        if many {
            self.sync.table.set_existing(self.store.public_ids().await?);
        }
        for change in changes {
            match change {
                Change::Key(id) if many && self.sync.table.key(id).is_none() => {}
                change => self.apply(change).await.or_else(Self::only_outages)?,
            }
        }
        Ok(())
    }

    async fn apply(&self, change: &Change) -> Result<()> {
        match change {
            Change::Key(id) => self.reread_key(id).await,
            Change::Owner(id) if self.sync.table.holds_owner(id) => {
                if let Some(owner) = within(self.store.owner(id.as_str())).await? {
                    self.sync.table.put_owner(&owner);
                }
                Ok(())
            }
            Change::Owner(_) => Ok(()),
        }
    }

    /// A key that nobody has used here yet is only noted to exist.
    async fn reread_key(&self, id: &KeyId) -> Result<()> {
        let read = within(self.store.load_key(id)).await;
        if let Err(StoreError::Corrupt(_)) = &read {
            // What cannot be read is not let in on what was read before.
            self.sync.table.remove_key(id);
        }
        match read? {
            None => self.sync.table.remove_key(id),
            Some(loaded) if self.sync.table.key(id).is_some() => self.put(loaded).await?,
            Some(loaded) => {
                self.sync.table.add_existing(loaded.key.secrets.iter().map(|secret| secret.id));
            }
        }
        Ok(())
    }

    async fn reread_everything(&self) -> Result<()> {
        tracing::info!("too many changes since the last look: reading everything again");
        self.sync.table.set_existing(self.store.public_ids().await?);
        for id in self.sync.table.owner_ids() {
            if let Some(owner) = self.store.owner(id.as_str()).await? {
                self.sync.table.put_owner(&owner);
            }
        }
        for id in self.sync.table.key_ids() {
            self.reread_key(&id).await?;
        }
        Ok(())
    }

    /// An error goes to the caller, which gives up the feed: the store is away.
    async fn answer(&mut self, ask: Ask) -> Result<()> {
        match ask {
            Ask::Load(id, answer) => match self.load(id).await {
                Ok(found) => {
                    // The client may have gone; what was read stays.
                    let _ = answer.send(found);
                    Ok(())
                }
                Err(error) => {
                    let _ = answer.send(Found::Unavailable);
                    Self::only_outages(error)
                }
            },
            Ask::Refresh(secret, key) => {
                let outcome = self.reread_key(&key).await;
                if let (Err(_), Some(entry)) = (&outcome, self.sync.table.secret(secret)) {
                    entry.refresh_failed();
                }
                outcome.or_else(Self::only_outages)
            }
        }
    }

    /// One unreadable row harms its own key only.
    fn only_outages(error: StoreError) -> Result<()> {
        match error {
            StoreError::Corrupt(_) | StoreError::Conflict(_) => {
                tracing::error!(%error, "a key could not be read");
                Ok(())
            }
            StoreError::Unavailable(_) | StoreError::Schema { .. } => Err(error),
        }
    }

    async fn load(&self, id: PublicId) -> Result<Found> {
        if let Some(entry) = self.sync.table.secret(id) {
            return Ok(Found::Entry(entry));
        }
        let Some(loaded) = within(self.store.load_by_secret(id)).await? else {
            return Ok(Found::Nothing);
        };
        self.put(loaded).await?;
        self.sync.table.evict_beyond(self.capacity, id);
        Ok(self.sync.table.secret(id).map_or(Found::Nothing, Found::Entry))
    }

    /// Puts a key in the table, its ancestors first.
    async fn put(&self, loaded: Loaded) -> Result<()> {
        let mut family = vec![loaded];
        let mut seen = HashSet::new();
        let mut above: Option<Arc<KeyEntry>> = None;
        while let Some(parent) = family.last().and_then(|young| young.key.key.parent_id.clone()) {
            if let Some(entry) = self.sync.table.key(&parent) {
                above = Some(entry);
                break;
            }
            if family.len() >= MAX_DEPTH || !seen.insert(parent.clone()) {
                return Err(StoreError::Corrupt(format!("the ancestors of key {parent}")));
            }
            let missing = || StoreError::Corrupt(format!("the parent {parent} of a key is gone"));
            family.push(within(self.store.load_key(&parent)).await?.ok_or_else(missing)?);
        }
        let (policy, now) = (self.sync.policy.load(), self.sync.now());
        while let Some(loaded) = family.pop() {
            let id = loaded.key.key.id.clone();
            self.sync.table.put(loaded, above, &policy, now);
            above = self.sync.table.key(&id);
        }
        Ok(())
    }

    /// Says that the store is away, and answers what asks for it until it is time to try again.
    async fn stay_away(&mut self, error: &StoreError) {
        if !matches!(self.sync.state(), StoreState::Away { .. }) {
            tracing::error!(%error, "the store is away; known keys go on working for a while");
        }
        self.sync.set_state(StoreState::Away { since_ms: self.sync.monotonic_ms() });
        let retry = tokio::time::sleep(RETRY);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                () = &mut retry => return,
                Some(ask) = self.asks.recv() => self.decline(ask),
            }
        }
    }

    fn decline(&self, ask: Ask) {
        match ask {
            Ask::Load(_, answer) => drop(answer.send(Found::Unavailable)),
            Ask::Refresh(secret, _) => {
                if let Some(entry) = self.sync.table.secret(secret) {
                    entry.refresh_failed();
                }
            }
        }
    }
}

/// Waits for the store's answer, but not for ever: a frozen store is one that is away.
async fn within<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| StoreError::Unavailable("no answer in time".to_owned());
    timeout(ANSWER, answer).await.map_err(late)?
}

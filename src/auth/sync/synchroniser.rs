//! Following the store for ever: listen, catch up, then apply what comes.
//!
//! When the subscription breaks, what may have been missed is caught up with before the table is
//! trusted again, by revision. Where the log of changes does not reach back so far, every entry is
//! doubted: it is read again before its next use, and in any case when there is nothing else to do,
//! first of all the keys of requests under way.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::reader::{BATCH, Reader, within};
use super::{Ask, Found, StoreState};
use crate::domain::{KeyId, PublicId};
use crate::store::{Changes, Feed, Result, StoreError};

/// How often the store is asked although its feed is silent: the net below the feed, and how a
/// store that is frozen is noticed.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Between attempts to reach a store that is away.
const RETRY: Duration = Duration::from_millis(200);
/// The longest that one attempt to listen may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The longest that catching up may take: a million ids are read within a few seconds.
const CATCH_UP: Duration = Duration::from_mins(1);
/// For how long secrets are read ahead before the first request; the rest is read on the side.
const AHEAD: Duration = Duration::from_secs(1);

/// The task that keeps the table.
pub struct Synchroniser {
    reader: Reader,
    asks: mpsc::Receiver<Ask>,
    /// The revision that the table has; `None`: nothing was read yet.
    revision: Option<i64>,
    /// Whether secrets that can do without Argon2 are read at the start.
    ahead: bool,
    /// Keys of requests under way to read when there is nothing else to do.
    under_way: Vec<KeyId>,
    /// Secrets to read when not even that is to do.
    backlog: Vec<PublicId>,
    /// Whether the set of all ids may lack some.
    ids_doubted: bool,
}

impl Synchroniser {
    pub(super) fn new(reader: Reader, asks: mpsc::Receiver<Ask>) -> Self {
        Self {
            reader,
            asks,
            revision: None,
            ahead: false,
            under_way: Vec::new(),
            backlog: Vec::new(),
            ids_doubted: false,
        }
    }

    /// Reads at the start the secrets that have a MAC, those first that were used last.
    pub fn read_ahead(&mut self) {
        self.ahead = true;
    }

    /// Follows the store for ever.
    pub async fn run(mut self) {
        loop {
            match self.subscribe().await {
                Ok(feed) => {
                    tracing::info!(revision = self.revision, "following the store's changes");
                    self.set_state(StoreState::Live);
                    let error = self.follow(feed).await;
                    tracing::warn!(%error, "lost the store's change feed; catching up");
                    self.set_state(match error {
                        // Nobody waits for a store that says nothing.
                        StoreError::Silent(_) => self.away(),
                        _ => StoreState::Checking,
                    });
                }
                Err(error) => self.stay_away(&error).await,
            }
        }
    }

    /// Listens first and catches up then, so that no change falls between the two.
    async fn subscribe(&mut self) -> Result<Box<dyn Feed>> {
        let late = |_| StoreError::Silent("no answer in time".to_owned());
        let feed = timeout(ATTEMPT, self.reader.store.listen()).await.map_err(late)??;
        timeout(CATCH_UP, self.catch_up()).await.map_err(late)??;
        Ok(feed)
    }

    async fn catch_up(&mut self) -> Result<()> {
        match self.revision {
            None => self.begin().await,
            Some(_) => self.apply_changes().await,
        }
    }

    /// The revision is asked before the ids, so that what comes between is seen twice, not never.
    async fn begin(&mut self) -> Result<()> {
        let revision = self.reader.store.revision().await?;
        self.reader.read_ids().await?;
        self.has_applied(revision);
        if self.ahead {
            self.backlog = self.reader.secrets_with_mac().await?;
            let begun = Instant::now();
            while !self.backlog.is_empty() && begun.elapsed() < AHEAD {
                self.read_backlog().await?;
            }
        }
        Ok(())
    }

    /// Serves until the feed breaks, and says why it did.
    async fn follow(&mut self, mut feed: Box<dyn Feed>) -> StoreError {
        let mut heartbeat = heartbeat();
        let mut asks = Vec::with_capacity(BATCH);
        loop {
            let idle = self.under_way.is_empty() && self.backlog.is_empty() && !self.ids_doubted;
            let outcome = tokio::select! {
                biased;
                changed = feed.next() => match changed {
                    Ok(()) => self.apply_changes().await,
                    Err(error) => Err(error),
                },
                _ = heartbeat.tick() => self.apply_changes().await,
                _ = self.asks.recv_many(&mut asks, BATCH) => self.answer(&mut asks).await,
                () = std::future::ready(()), if !idle => self.read_backlog().await,
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    async fn apply_changes(&mut self) -> Result<()> {
        let begun = Instant::now();
        let before = self.revision.unwrap_or(0);
        let revision = match within(self.reader.store.changes_since(before)).await? {
            Changes::These { revision, .. } if revision == before => return Ok(()),
            Changes::These { changes, revision } => {
                self.reader.apply(&changes).await?;
                revision
            }
            Changes::Everything { revision } => {
                tracing::info!("too many changes since the last look: reading everything again");
                self.backlog = self.reader.doubt_everything();
                self.ids_doubted = true;
                revision
            }
        };
        self.has_applied(revision);
        self.reader.sync.metrics.change_lag.observe_shared(begun.elapsed());
        Ok(())
    }

    fn has_applied(&mut self, revision: i64) {
        self.revision = Some(revision);
        self.reader.sync.applied.send_replace(revision);
    }

    async fn read_backlog(&mut self) -> Result<()> {
        if !self.under_way.is_empty() {
            let table = &self.reader.sync.table;
            let at = self.under_way.len().saturating_sub(BATCH);
            let mut batch = self.under_way.split_off(at);
            batch.retain(|id| table.key(id).is_some_and(|key| table.doubts_key(&key)));
            return self.reader.read_keys(&batch).await;
        }
        if std::mem::take(&mut self.ids_doubted) {
            return self.reader.read_ids().await;
        }
        let batch = self.backlog.split_off(self.backlog.len().saturating_sub(BATCH));
        self.reader.read_secrets(&batch).await.map(|_| ())
    }

    /// Answers all at once; an error goes to the caller too, which gives up the feed: the store is
    /// away.
    async fn answer(&mut self, asks: &mut Vec<Ask>) -> Result<()> {
        let outcome = self.read_for(asks).await;
        let table = &self.reader.sync.table;
        for ask in asks.drain(..) {
            match (ask, &outcome) {
                (Ask::Load(id, answer), Ok(unreadable)) if !unreadable.contains(&id) => {
                    let entry = table.secret(id).filter(|entry| !table.doubts(entry));
                    // The client may have gone; what was read stays.
                    let _ = answer.send(entry.map_or(Found::Nothing, Found::Entry));
                }
                (Ask::Refresh(..), Ok(_)) => {}
                (Ask::Reread(keys), Ok(_)) => self.under_way.extend(keys),
                (ask, _) => self.decline(ask),
            }
        }
        outcome.map(|_| ())
    }

    /// Reads what is asked for; gives the secrets whose rows nobody can read.
    async fn read_for(&self, asks: &[Ask]) -> Result<HashSet<PublicId>> {
        let table = &self.reader.sync.table;
        let is_fresh = |id| table.secret(id).is_some_and(|entry| !table.doubts(&entry));
        let mut loads: Vec<PublicId> = Vec::new();
        let mut refreshes: Vec<KeyId> = Vec::new();
        for ask in asks {
            match ask {
                Ask::Load(id, _) if is_fresh(*id) => {}
                Ask::Load(id, _) => loads.push(*id),
                Ask::Refresh(_, key) => refreshes.push(key.clone()),
                Ask::Reread(_) => {}
            }
        }
        self.reader.read_keys(&refreshes).await?;
        if loads.is_empty() {
            return Ok(HashSet::new());
        }
        let unreadable = self.reader.read_secrets(&loads).await?;
        self.reader.make_room(&loads);
        Ok(unreadable)
    }

    /// Says that the store is away, and answers what asks for it until it is time to try again.
    async fn stay_away(&mut self, error: &StoreError) {
        if !matches!(self.reader.sync.state(), StoreState::Away { .. }) {
            tracing::error!(%error, "the store is away; known keys go on working for a while");
        }
        self.set_state(self.away());
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
                if let Some(entry) = self.reader.sync.table.secret(secret) {
                    entry.refresh_failed();
                }
            }
            Ask::Reread(_) => {}
        }
    }

    fn away(&self) -> StoreState {
        StoreState::Away { since_ms: self.reader.sync.monotonic_ms() }
    }

    fn set_state(&self, state: StoreState) {
        self.reader.sync.set_state(state);
    }
}

fn heartbeat() -> Interval {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

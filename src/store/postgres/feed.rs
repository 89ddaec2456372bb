//! Postgres tells of changes by NOTIFY. Once a second the feed also asks, on the same connection:
//! a server that hangs or a network that swallows packets would otherwise look like quiet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::timeout;

use crate::store::feed::{REVISION, Signals};
use crate::store::{Result, StoreError, error};

/// Quiet for this long, the connection is asked whether it still is one.
const QUIET: Duration = Duration::from_secs(1);
/// How long it may take to say so.
const ANSWER: Duration = Duration::from_secs(2);

/// Listens on one connection.
pub(super) struct Watcher {
    listener: PgListener,
    place: String,
    queries: Arc<AtomicU64>,
    revision: i64,
}

impl Watcher {
    /// Takes the present as its start; the listener listens already.
    pub(super) async fn new(
        listener: PgListener,
        place: String,
        queries: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut watcher = Self { listener, place, queries, revision: 0 };
        watcher.revision = watcher.newest().await?;
        Ok(watcher)
    }

    /// Listens until it cannot any more.
    pub(super) async fn watch(mut self, signals: Signals) -> StoreError {
        loop {
            if let Err(error) = self.hear(&signals).await {
                return error;
            }
        }
    }

    /// Waits for a notification or for a second of quiet, and looks where the log stands: what was
    /// notified is told at once, what was not is told now.
    async fn hear(&mut self, signals: &Signals) -> Result<()> {
        let notified = match timeout(QUIET, self.listener.try_recv()).await {
            Ok(Ok(Some(_))) => true,
            Ok(Ok(None)) => {
                let closed = format!("{} closed the connection", self.place);
                return Err(StoreError::Unavailable(closed));
            }
            Ok(Err(error)) => return Err(error::from_sqlx(&error, &self.place)),
            Err(_) => false,
        };
        if notified {
            signals.changed();
            // One signal is enough for all that came at once.
            while self.listener.next_buffered().is_some() {}
        }
        let newest = self.newest().await?;
        if newest != self.revision && !notified {
            signals.changed();
        }
        self.revision = newest;
        Ok(())
    }

    async fn newest(&mut self) -> Result<i64> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let ask = sqlx::query_as::<_, (i64,)>(REVISION).fetch_one(&mut self.listener);
        match timeout(ANSWER, ask).await {
            Ok(Ok((newest,))) => Ok(newest),
            Ok(Err(error)) => Err(error::from_sqlx(&error, &self.place)),
            Err(_) => Err(StoreError::Silent(format!("{} gave no answer", self.place))),
        }
    }
}

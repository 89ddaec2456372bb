//! The change feed: what changed, in the order of its commits, as each store tells it.

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{Result, StoreError};
use crate::domain::{KeyId, OwnerId};

/// One thing that changed. What it changed to is read from the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A key, or any of its secrets.
    Key(KeyId),
    /// An owner.
    Owner(OwnerId),
}

/// What changed after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These did, each once; the revision is now this.
    These {
        /// What changed.
        changes: Vec<Change>,
        /// The newest revision among them, or the one asked with.
        revision: i64,
    },
    /// Too much has been pruned since, or the store is an older copy of itself: everything must be
    /// read again.
    Everything {
        /// The newest revision.
        revision: i64,
    },
}

/// A standing subscription.
#[async_trait]
pub trait Feed: Send {
    /// Waits until something may have changed; ask [`super::Store::changes_since`] what. An error
    /// means that the subscription broke and that changes may have been missed.
    ///
    /// Cancel-safe: what was to be told is told by the next call.
    async fn next(&mut self) -> Result<()>;
}

/// A feed whose connection is watched by a task of its own, so that nobody who stops waiting can
/// leave it in the middle of a question.
pub(super) struct WatchedFeed {
    signals: mpsc::Receiver<Result<()>>,
    watcher: AbortHandle,
}

/// The watching task's end.
pub(super) struct Signals(mpsc::Sender<Result<()>>);

impl Signals {
    /// Says that something may have changed. One signal that nobody has taken yet stands for all.
    pub(super) fn changed(&self) {
        let _ = self.0.try_send(Ok(()));
    }
}

impl WatchedFeed {
    /// Runs `watch`, which ends by giving what broke.
    pub(super) fn start<F>(watch: impl FnOnce(Signals) -> F) -> Self
    where
        F: Future<Output = StoreError> + Send + 'static,
    {
        let (sender, signals) = mpsc::channel(1);
        let watching = watch(Signals(sender.clone()));
        let watcher = tokio::spawn(async move {
            let broken = watching.await;
            // A listener that is gone needs no telling.
            let _ = sender.send(Err(broken)).await;
        });
        Self { signals, watcher: watcher.abort_handle() }
    }
}

#[async_trait]
impl Feed for WatchedFeed {
    async fn next(&mut self) -> Result<()> {
        let ended = || Err(StoreError::Unavailable("the change feed has ended".to_owned()));
        self.signals.recv().await.unwrap_or_else(ended)
    }
}

impl Drop for WatchedFeed {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The number of the last change; 0: none yet.
pub(super) const REVISION: &str = "SELECT coalesce(max(revision), 0) FROM changes";

/// A line of the change log, newest of its record.
#[derive(sqlx::FromRow)]
pub(super) struct ChangeRow {
    revision: i64,
    kind: String,
    id: String,
}

/// The oldest and newest revision that the log still has; `None` where it is empty.
pub(super) type Kept = (Option<i64>, Option<i64>);

/// What the log says of the time since `since`. `kept` was read after `rows`, so that rows pruned
/// between the two are noticed.
pub(super) fn changes(since: i64, rows: Vec<ChangeRow>, (oldest, newest): Kept) -> Changes {
    let newest = newest.unwrap_or(0);
    let everything = Changes::Everything { revision: newest };
    if newest < since || oldest.is_some_and(|oldest| since + 1 < oldest) {
        return everything;
    }
    let revision = rows.iter().map(|row| row.revision).max().unwrap_or(since);
    let changes: Option<Vec<Change>> = rows
        .into_iter()
        .map(|row| match row.kind.as_str() {
            "key" => Some(Change::Key(KeyId::from_text(row.id))),
            "owner" => Some(Change::Owner(OwnerId::from_text(row.id))),
            // A whole table was emptied, or a newer keygate tells what this one does not know.
            _ => None,
        })
        .collect();
    changes.map_or(everything, |changes| Changes::These { changes, revision })
}

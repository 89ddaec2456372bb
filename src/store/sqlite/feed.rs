//! SQLite tells nobody, so the feed looks: `data_version` says whether any other connection, of
//! this process or another, has committed since.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::time::{MissedTickBehavior, interval};

use super::connections::{FileId, file_id};
use crate::store::feed::{REVISION, Signals};
use crate::store::{Result, StoreError, error};

/// Well within the tenth of a second in which a change is to be in force, at 40 looks a second.
const LOOK: Duration = Duration::from_millis(25);

/// Looks at one file on a connection of its own, which writes nothing and so hears of every write.
pub(super) struct Watcher {
    connection: SqliteConnection,
    path: PathBuf,
    file: FileId,
    queries: Arc<AtomicU64>,
    seen: Seen,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    data_version: i64,
    revision: i64,
}

impl Watcher {
    /// Takes the present as its start.
    pub(super) async fn new(
        (connection, path, file): (SqliteConnection, PathBuf, FileId),
        queries: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut watcher = Self { connection, path, file, queries, seen: Seen::default() };
        watcher.seen.data_version = watcher.ask("PRAGMA data_version").await?;
        watcher.seen.revision = watcher.ask(REVISION).await?;
        Ok(watcher)
    }

    /// Looks until it cannot any more.
    pub(super) async fn watch(mut self, signals: Signals) -> StoreError {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match self.look().await {
                Ok(true) => signals.changed(),
                Ok(false) => {}
                Err(error) => return error,
            }
        }
    }

    /// Whether the log of changes has moved.
    async fn look(&mut self) -> Result<bool> {
        let place = format!("the store's file {}", self.path.display());
        if file_id(&self.path, &place)? != self.file {
            return Err(StoreError::Unavailable(format!("{place} was replaced")));
        }
        let data_version = self.ask("PRAGMA data_version").await?;
        if data_version == self.seen.data_version {
            return Ok(false);
        }
        let seen = Seen { data_version, revision: self.ask(REVISION).await? };
        let moved = seen.revision != self.seen.revision;
        self.seen = seen;
        Ok(moved)
    }

    async fn ask(&mut self, question: &'static str) -> Result<i64> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let answer = sqlx::query_as::<_, (i64,)>(question).fetch_one(&mut self.connection).await;
        answer.map(|(value,)| value).map_err(|error| error::from_sqlx(&error, "the store's file"))
    }
}

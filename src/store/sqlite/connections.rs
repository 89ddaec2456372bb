//! One writer and a few readers of one file, and the counting of what is asked of them.
//!
//! A file that was moved away or replaced is noticed at the next question: connections to the old
//! one would show a state that no command can change any more.

use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::query::{Query, QueryAs};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, FromRow, Sqlite, SqlitePool, Transaction};
use tokio::time::Instant;

use crate::store::migrate::{NEEDED, VERSION};
use crate::store::{Result, StoreError, error};

/// How long a statement waits for another process's write to end.
const BUSY: Duration = Duration::from_secs(5);
/// Between two questions to a file that is locked.
const BETWEEN: Duration = Duration::from_millis(10);
const READERS: u32 = 4;

/// A question with its arguments, giving rows of `T`.
pub(super) type Ask<'q, T> = QueryAs<'q, Sqlite, T, SqliteArguments>;
/// A statement with its arguments, giving nothing.
pub(super) type Command<'q> = Query<'q, Sqlite, SqliteArguments>;

/// What tells one file from another that took its name.
pub(super) type FileId = (u64, u64);

/// The store's connections.
pub(super) struct Connections {
    path: PathBuf,
    place: String,
    open: ArcSwap<Open>,
    queries: Arc<AtomicU64>,
}

/// Connections to one file.
struct Open {
    file: FileId,
    readers: SqlitePool,
    writer: SqlitePool,
    /// Writes what need not outlive a power cut, and so waits for no disk.
    light: SqlitePool,
    /// Whether its schema was found to be new enough.
    ready: AtomicBool,
}

/// A transaction that holds the file's one write lock. Dropped, it undoes itself.
pub(super) struct Write<'a> {
    transaction: Transaction<'static, Sqlite>,
    connections: &'a Connections,
}

impl Connections {
    /// Makes the file where there is none.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let place = format!("the store's file {}", path.display());
        make(path).map_err(|error| StoreError::Unavailable(format!("{place}: {error}")))?;
        let open = Open::new(path, file_id(path, &place)?);
        Ok(Self {
            path: path.to_owned(),
            place,
            open: ArcSwap::from_pointee(open),
            queries: Arc::default(),
        })
    }

    /// Statements sent.
    pub(super) fn queries(&self) -> &Arc<AtomicU64> {
        &self.queries
    }

    /// All rows of an answer.
    pub(super) async fn all<T>(&self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let open = self.ready().await?;
        self.count();
        ask.fetch_all(&open.readers).await.map_err(|error| self.error(&error))
    }

    /// All rows that one statement by itself gives, which need not outlive a power cut.
    pub(super) async fn run_lightly<T>(&self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let open = self.ready().await?;
        self.count();
        ask.fetch_all(&open.light).await.map_err(|error| self.error(&error))
    }

    /// Begins a write, waiting for the one under way.
    pub(super) async fn write(&self) -> Result<Write<'_>> {
        let open = self.ready().await?;
        self.begin_in(&open).await
    }

    /// Begins a write whatever the schema says, for the migration.
    pub(super) async fn begin(&self) -> Result<Write<'_>> {
        let open = self.open()?;
        let until = Instant::now() + BUSY;
        loop {
            match self.begin_in(&open).await {
                Err(error) if may_ask_again(&error, until).await => {}
                answer => return answer,
            }
        }
    }

    /// A connection of its own and the file it is to, for the change feed.
    pub(super) async fn own(&self) -> Result<(SqliteConnection, PathBuf, FileId)> {
        let open = self.ready().await?;
        let connection = options(&self.path).connect().await.map_err(|error| self.error(&error))?;
        Ok((connection, self.path.clone(), open.file))
    }

    /// Asks the smallest question there is.
    pub(super) async fn ping(&self) -> Result<()> {
        let open = self.open()?;
        self.count();
        let one = sqlx::query("SELECT 1").execute(&open.readers).await;
        one.map(|_| ()).map_err(|error| self.error(&error))
    }

    /// The newest migration that the file has.
    pub(super) async fn schema_version(&self) -> Result<i64> {
        let open = self.open()?;
        let until = Instant::now() + BUSY;
        loop {
            match self.version_of(&open.readers).await {
                Err(error) if may_ask_again(&error, until).await => {}
                answer => return answer,
            }
        }
    }

    async fn version_of(&self, readers: &SqlitePool) -> Result<i64> {
        self.count();
        let version = sqlx::query_as::<_, (i64,)>(VERSION).fetch_one(readers).await;
        match version.map_err(|error| self.error(&error)) {
            Ok((version,)) => Ok(version),
            Err(StoreError::Schema { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    async fn begin_in(&self, open: &Open) -> Result<Write<'_>> {
        self.count();
        let transaction = open.writer.begin_with("BEGIN IMMEDIATE").await;
        Ok(Write {
            transaction: transaction.map_err(|error| self.error(&error))?,
            connections: self,
        })
    }

    /// The connections, once the schema is known to be new enough.
    async fn ready(&self) -> Result<Arc<Open>> {
        let open = self.open()?;
        if !open.ready.load(Ordering::Relaxed) {
            let found = self.version_of(&open.readers).await?;
            if found < NEEDED {
                return Err(StoreError::Schema { found, needed: NEEDED });
            }
            open.ready.store(true, Ordering::Relaxed);
        }
        Ok(open)
    }

    /// The connections to the file that has the name now.
    fn open(&self) -> Result<Arc<Open>> {
        let file = file_id(&self.path, &self.place)?;
        let open = self.open.load_full();
        if open.file == file {
            return Ok(open);
        }
        let fresh = Arc::new(Open::new(&self.path, file));
        self.open.store(Arc::clone(&fresh));
        Ok(fresh)
    }

    fn count(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }

    fn error(&self, error: &sqlx::Error) -> StoreError {
        error::from_sqlx(error, &self.place)
    }
}

impl Open {
    /// Connects to nothing yet.
    fn new(path: &Path, file: FileId) -> Self {
        let pool = |most, options| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(BUSY)
                .test_before_acquire(false)
                .connect_lazy_with(options)
        };
        Self {
            file,
            readers: pool(READERS, options(path)),
            writer: pool(1, options(path)),
            // What others commit is synced by them, with all that stands before it in the log.
            light: pool(1, options(path).synchronous(SqliteSynchronous::Normal)),
            ready: AtomicBool::new(false),
        }
    }
}

impl Write<'_> {
    /// All rows of an answer.
    pub(super) async fn all<T>(&mut self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        self.connections.count();
        let rows = ask.fetch_all(&mut *self.transaction).await;
        rows.map_err(|error| self.connections.error(&error))
    }

    /// How many rows a statement changed.
    pub(super) async fn run(&mut self, command: Command<'_>) -> Result<u64> {
        self.connections.count();
        let done = command.execute(&mut *self.transaction).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.connections.error(&error))
    }

    /// Runs a migration's text.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<()> {
        self.connections.count();
        let done = sqlx::raw_sql(text).execute(&mut *self.transaction).await;
        done.map(|_| ()).map_err(|error| self.connections.error(&error))
    }

    /// Makes it last.
    pub(super) async fn commit(self) -> Result<()> {
        self.connections.count();
        let done = self.transaction.commit().await;
        done.map_err(|error| self.connections.error(&error))
    }

    /// Undoes it, before the next writer's turn rather than during it.
    pub(super) async fn undo(self) -> Result<()> {
        self.connections.count();
        let done = self.transaction.rollback().await;
        done.map_err(|error| self.connections.error(&error))
    }
}

/// Waits a moment where the file is locked and it is not `until` yet. A fresh file is switched to its
/// write-ahead log by whoever opens it first, and SQLite tells everyone else so at once, whatever
/// the busy timeout.
async fn may_ask_again(error: &StoreError, until: Instant) -> bool {
    let is_locked =
        matches!(error, StoreError::Unavailable(text) if text.ends_with("database is locked"));
    let may = is_locked && Instant::now() < until;
    if may {
        tokio::time::sleep(BETWEEN).await;
    }
    may
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // One fsync a change: a revocation that was confirmed outlives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging()
}

/// Hashes of secrets are in it: readable by its owner alone. SQLite gives its side files the same
/// mode.
fn make(path: &Path) -> std::io::Result<()> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Which file has the name now.
pub(super) fn file_id(path: &Path, place: &str) -> Result<FileId> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| StoreError::Unavailable(format!("{place}: {error}")))?;
    Ok((metadata.dev(), metadata.ino()))
}

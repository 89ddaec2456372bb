//! A pool of connections to one database, how long an answer may take, and the counting of what is
//! asked.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgListener, PgPool, PgPoolOptions, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{ConnectOptions, Executor, FromRow, Postgres, Transaction};
use tokio::time::timeout;

use crate::store::migrate::{NEEDED, VERSION};
use crate::store::{Result, StoreError, error};

/// How long a connection may take, be it made or found to work.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take: a server that hangs is away.
const ANSWER: Duration = Duration::from_secs(5);
/// How long reading a whole table may take: a million public ids are a second or less.
const SCAN: Duration = Duration::from_mins(1);
/// The server gives up waiting for a lock before we do, so that its connection stays usable.
const SETTINGS: &str = "SET lock_timeout = '4s'";
const POOL: u32 = 8;

/// A question with its arguments, giving rows of `T`.
pub(super) type Ask<'q, T> = QueryAs<'q, Postgres, T, PgArguments>;
/// A statement with its arguments, giving nothing.
pub(super) type Command<'q> = Query<'q, Postgres, PgArguments>;

/// The store's connections.
pub(super) struct Connections {
    options: PgConnectOptions,
    place: String,
    pool: PgPool,
    queries: Arc<AtomicU64>,
    /// Whether the schema was found to be new enough.
    ready: AtomicBool,
}

/// A transaction. Dropped, it undoes itself.
pub(super) struct Write<'a> {
    transaction: Transaction<'static, Postgres>,
    connections: &'a Connections,
}

impl Connections {
    /// Connects to nothing yet.
    pub(super) fn new(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::Unavailable(format!("store.url: {error}")))?
            .application_name("keygate")
            .disable_statement_logging();
        let place = format!("Postgres at {}:{}", options.get_host(), options.get_port());
        let pool = PgPoolOptions::new()
            .max_connections(POOL)
            .acquire_timeout(CONNECT)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SETTINGS).await.map(|_| ()) })
            })
            .connect_lazy_with(options.clone());
        Ok(Self { options, place, pool, queries: Arc::default(), ready: AtomicBool::new(false) })
    }

    /// Statements sent.
    pub(super) fn queries(&self) -> &Arc<AtomicU64> {
        &self.queries
    }

    /// The server, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// All rows of an answer.
    pub(super) async fn all<T>(&self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.ready().await?;
        self.answer(ask.fetch_all(&self.pool)).await
    }

    /// Runs one statement by itself, without taking a turn among the writers.
    pub(super) async fn run(&self, command: Command<'_>) -> Result<()> {
        self.ready().await?;
        self.answer(command.execute(&self.pool)).await.map(|_| ())
    }

    /// All rows that one statement by itself gives, which need not outlive a power cut: see
    /// `not_lasting!`.
    pub(super) async fn run_lightly<T>(&self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.all(ask).await
    }

    /// All rows of an answer that reads a whole table.
    pub(super) async fn scan<T>(&self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.ready().await?;
        self.within(SCAN, ask.fetch_all(&self.pool)).await
    }

    /// Begins a write, in its turn: see the migration's `keygate_hold_changes`.
    pub(super) async fn write(&self) -> Result<Write<'_>> {
        self.ready().await?;
        let mut write = self.begin().await?;
        write.run(sqlx::query("SELECT pg_advisory_xact_lock(30229394607928421)")).await?;
        Ok(write)
    }

    /// Begins a transaction that takes no turn and asks for no schema, for the migration.
    pub(super) async fn begin(&self) -> Result<Write<'_>> {
        let transaction = self.answer(self.pool.begin()).await?;
        Ok(Write { transaction, connections: self })
    }

    /// A connection of its own that hears of every change.
    pub(super) async fn listener(&self) -> Result<PgListener> {
        self.ready().await?;
        // Only this pool's one connection can be made into a listener, and it is never lent twice.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .max_lifetime(None)
            .connect_lazy_with(self.options.clone().application_name("keygate feed"));
        let mut listener = self.answer(PgListener::connect_with(&pool)).await?;
        listener.eager_reconnect(false);
        self.answer(listener.listen("keygate_changes")).await?;
        Ok(listener)
    }

    /// Asks the smallest question there is.
    pub(super) async fn ping(&self) -> Result<()> {
        self.answer(sqlx::query("SELECT 1").execute(&self.pool)).await.map(|_| ())
    }

    /// The newest migration that the database has.
    pub(super) async fn schema_version(&self) -> Result<i64> {
        let there = sqlx::query_as("SELECT to_regclass('keygate_migrations') IS NOT NULL");
        let (there,): (bool,) = self.answer(there.fetch_one(&self.pool)).await?;
        if !there {
            return Ok(0);
        }
        let version = sqlx::query_as(VERSION).fetch_one(&self.pool);
        let (version,): (i64,) = self.answer(version).await?;
        Ok(version)
    }

    /// Fails while the schema is older than this keygate.
    async fn ready(&self) -> Result<()> {
        if !self.ready.load(Ordering::Relaxed) {
            let found = self.schema_version().await?;
            if found < NEEDED {
                return Err(StoreError::Schema { found, needed: NEEDED });
            }
            self.ready.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts one statement and waits for its answer.
    async fn answer<T>(&self, sent: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        self.within(ANSWER, sent).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        sent: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match timeout(limit, sent).await {
            Ok(answer) => answer.map_err(|error| error::from_sqlx(&error, &self.place)),
            Err(_) => Err(StoreError::Silent(format!(
                "{} gave no answer within {} s",
                self.place,
                limit.as_secs()
            ))),
        }
    }
}

impl Write<'_> {
    /// All rows of an answer.
    pub(super) async fn all<T>(&mut self, ask: Ask<'_, T>) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.connections.answer(ask.fetch_all(&mut *self.transaction)).await
    }

    /// How many rows a statement changed.
    pub(super) async fn run(&mut self, command: Command<'_>) -> Result<u64> {
        let done = self.connections.answer(command.execute(&mut *self.transaction)).await?;
        Ok(done.rows_affected())
    }

    /// Runs a migration's text, which may wait and take as long as it needs.
    pub(super) async fn script(&mut self, text: &'static str) -> Result<()> {
        let sent = sqlx::raw_sql(text).execute(&mut *self.transaction);
        self.connections.within(Duration::MAX, sent).await.map(|_| ())
    }

    /// Makes it last.
    pub(super) async fn commit(self) -> Result<()> {
        self.connections.answer(self.transaction.commit()).await
    }

    /// Undoes it now, so that the next writer need not wait for it.
    pub(super) async fn undo(self) -> Result<()> {
        self.connections.answer(self.transaction.rollback()).await
    }
}

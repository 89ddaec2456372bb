//! What both stores must do: every test runs on a SQLite file and on a real Postgres.

mod admin;
mod books;
mod deliveries;
mod family;
mod feed;
mod figures;
mod first_version;
mod hooks;
mod instances;
mod kept_answers;
mod keys;
mod leases;
mod money;
mod outage;
mod owners;
mod rotation;
mod schema;
mod search;
mod secrets;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keygate::config::StoreLocation;
use keygate::domain::{
    Act, Environment, JournalId, Key, KeyId, LastUse, Millionths, Owner, OwnerId, PublicId, Secret,
    Used, UsedInHour,
};
use keygate::store::{self, Batch, Change, Changes, Feed, PageRequest, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::support::postgres::Postgres;

/// The longest that anything awaited may take; only a failure takes it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A change by nobody in particular.
fn act() -> Act {
    Act::own(Timestamp::UNIX_EPOCH)
}

/// Which store a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// A store that no other test uses.
struct TestStore {
    store: Arc<dyn Store>,
    location: StoreLocation,
    _folder: Option<TempDir>,
}

impl Kind {
    /// A store without a schema; `None` where there is no server to test on.
    async fn empty(self) -> Option<TestStore> {
        let (location, folder) = match self {
            Self::Sqlite => {
                let folder = TempDir::new().unwrap();
                (StoreLocation::Sqlite(folder.path().join("keygate.db")), Some(folder))
            }
            Self::Postgres => (StoreLocation::Postgres(Postgres::shared()?.database()), None),
        };
        let store = store::open(&location).await.unwrap();
        Some(TestStore { store, location, _folder: folder })
    }

    /// A store with the schema and nothing in it.
    async fn ready(self) -> Option<TestStore> {
        let store = self.empty().await?;
        store.migrate().await.unwrap();
        Some(store)
    }
}

impl Deref for TestStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref()
    }
}

impl TestStore {
    /// The same store, as another process would open it.
    async fn another(&self) -> Arc<dyn Store> {
        store::open(&self.location).await.unwrap()
    }

    /// Runs statements as an operator would, by hand; how many rows the last one changed.
    async fn sql(&self, text: &str) -> u64 {
        self.hand().await.run(text).await
    }

    async fn hand(&self) -> Hand {
        match &self.location {
            StoreLocation::Sqlite(path) => {
                let url = format!("sqlite://{}", path.display());
                Hand::Sqlite(SqliteConnection::connect(&url).await.unwrap())
            }
            StoreLocation::Postgres(url) => {
                Hand::Postgres(Box::new(PgConnection::connect(url).await.unwrap()))
            }
        }
    }

    /// What changed since, which must be told one by one.
    async fn told(&self, since: i64) -> Vec<Change> {
        match self.changes_since(since).await.unwrap() {
            Changes::These { changes, .. } => changes,
            everything @ Changes::Everything { .. } => panic!("{everything:?}"),
        }
    }

    /// Mints an owner.
    async fn owner_named(&self, name: &str) -> Owner {
        let owner = Owner {
            id: OwnerId::mint(),
            name: name.to_owned(),
            disabled: false,
            credit_changes: 0,
            created_at: at(1_000),
        };
        self.create_owner(&act(), &owner).await.unwrap();
        owner
    }

    /// Makes a key with one secret.
    async fn key_with(&self, change: impl FnOnce(&mut Key)) -> (Key, Secret) {
        let mut key = key();
        change(&mut key);
        let secret = secret();
        self.create_key(&act(), &key, &secret).await.unwrap();
        (key, secret)
    }
}

/// An operator's own connection.
enum Hand {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Hand {
    async fn run(&mut self, text: &str) -> u64 {
        // Every statement is written out in a test.
        let sql = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        match self {
            Self::Sqlite(connection) => {
                sql.execute(connection).await.map(|done| done.rows_affected())
            }
            Self::Postgres(connection) => {
                sql.execute(connection.as_mut()).await.map(|done| done.rows_affected())
            }
        }
        .unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// The moment so many milliseconds after the epoch.
/// What a journal's first worker has to book of these, behind so many records.
fn batch(journal: &JournalId, from: u64, used: &[Used]) -> Batch {
    Batch {
        journal: journal.clone(),
        worker: 0,
        from,
        to: from + used.len() as u64,
        used: used.iter().map(in_its_hour).collect(),
        leased: used.iter().filter_map(|used| used.lease).collect(),
        requests: Vec::new(),
    }
}

fn in_its_hour(used: &Used) -> UsedInHour {
    const HOUR_MS: i64 = 3_600_000;
    let at_ms = used.at.as_millisecond();
    UsedInHour {
        hour: at(at_ms - at_ms.rem_euclid(HOUR_MS)),
        key: used.key.clone(),
        owner: used.owner.clone(),
        route: used.route.clone(),
        status: used.status,
        requests: 1,
        cost: used.cost,
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

/// A use at that moment, from nowhere in particular.
fn used_at(secret: PublicId, milliseconds: i64) -> LastUse {
    LastUse { secret, at: at(milliseconds), from: None }
}

/// A key of the default owner with every field set that needs no other record.
fn key() -> Key {
    Key {
        id: KeyId::mint(),
        name: "nightly \"backup\"; DROP TABLE keys; -- 'ключ' 🔑".to_owned(),
        owner_id: OwnerId::from_text("default"),
        parent_id: None,
        environment: Environment::Live,
        scopes: vec!["agents:read".to_owned(), "jobs:*".to_owned()],
        limits: vec!["60/min".parse().unwrap(), "1000/hour".parse().unwrap()],
        allowed_ips: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        monthly_budget: Millionths::new(50_000_001),
        expires_at: Some(at(9_000_000)),
        disabled: false,
        revoked_at: None,
        revoke_reason: None,
        metadata: BTreeMap::from([("team".to_owned(), "söme 'quoted' \"text\"".to_owned())]),
        rotation_interval_days: Some(30),
        rotation_due_from: None,
        created_at: at(1_234),
    }
}

/// A secret of a random public id.
fn secret() -> Secret {
    let id: PublicId = {
        let text = KeyId::mint();
        text.as_str()[text.as_str().len() - 8..].parse().unwrap()
    };
    let phc = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA";
    Secret::new(id, format!("sk_live_{id}"), phc.to_owned(), at(1_234))
}

fn first(limit: u32) -> PageRequest {
    PageRequest { after: None, limit }
}

/// Waits for the feed, which must speak within what a change may take.
async fn hears(feed: &mut Box<dyn Feed>) -> Result<(), StoreError> {
    tokio::time::timeout(PATIENCE, feed.next()).await.expect("the feed speaks")
}

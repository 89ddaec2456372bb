//! The lasting truth: owners, keys, secrets, and the order in which they changed.
//!
//! One trait in the contract's words, two stores behind it. A missing row is `Ok(None)`; an error
//! always means that the question could not be asked, and never that the answer is no. What both
//! stores do alike stands once, in `common/`, which each takes in as a child; their own files have
//! what differs. Every statement is run on both by the one suite in `tests/it/store/`.

pub mod admin;
pub mod audit;
pub mod books;
pub mod credits;
pub mod deliveries;
mod error;
pub mod family;
pub mod feed;
pub mod figures;
pub mod hooks;
pub mod idempotency;
pub mod leases;
mod list;
pub mod migrate;
pub mod outbox;
pub mod postgres;
mod rows;
pub mod schedule;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

use crate::config::{Keys, StoreLocation};
use crate::domain::{
    Act, AddressRange, Environment, Instance, InstanceId, Key, KeyId, KeyStatus, KeyWithSecrets,
    LastUse, Limit, Millionths, Owner, OwnerId, PublicId, Secret, SeenInstance,
};

pub use admin::AdminAccess;
pub use audit::{AuditFilter, AuditLog};
pub use books::{Batch, Booking, Books, UsageBy, UsageFilter, UsageRow};
pub use credits::{CreditBooks, CreditPolicy, Credits, Recharge};
pub use deliveries::Deliveries;
pub use family::Family;
pub use feed::{Change, Changes, Feed};
pub use figures::{Figures, NearBudget};
pub use hooks::{Hook, HookBook};
pub use idempotency::{Claim, Claimed, KeptAnswers};
pub use leases::{Grant, LeaseAsk, Leases, Spending};
pub use migrate::{SchemaStatus, prepare};
pub use outbox::Outbox;
pub use postgres::PostgresStore;
pub use schedule::Schedule;
pub use sqlite::SqliteStore;

/// Opens the store that the configuration names.
///
/// A SQLite file is made (mode 0600) where there is none; a Postgres server need not be there yet.
/// The schema is not touched: see [`Store::migrate`].
pub async fn open(location: &StoreLocation) -> Result<Arc<dyn Store>> {
    Ok(match location {
        StoreLocation::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        StoreLocation::Postgres(url) => Arc::new(PostgresStore::open(url)?),
    })
}

/// Why the store did not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It could not be reached, or broke off; asking again later may work.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// It took the question and gave no answer in time: it hangs, or the network swallows packets.
    #[error("the store is out of reach: {0}")]
    Silent(String),
    /// Its schema is not the one that this version needs.
    #[error("the store's schema is at version {found}, this keygate needs {needed}")]
    Schema {
        /// What the store says.
        found: i64,
        /// The newest migration in this binary.
        needed: i64,
    },
    /// A name or id is taken already, or an owner or key that is named does not exist.
    #[error("{0}")]
    Conflict(String),
    /// A row says what this version cannot read: changed by hand, or by a newer keygate.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// What the stores give.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The id of the last row where there are more: the next page begins behind it.
    pub next_cursor: Option<String>,
}

/// Where a page begins and how long it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The `next_cursor` of the page before.
    pub after: Option<String>,
    /// Rows at most, 1 to 1000.
    pub limit: u32,
}

/// Which keys are listed: all that every given field says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of this owner.
    pub owner: Option<OwnerId>,
    /// In this status at `now`.
    pub status: Option<(KeyStatus, Timestamp)>,
    /// Whose newest secret was made before this.
    pub secret_older_than: Option<Timestamp>,
    /// Made before this and not used since.
    pub unused_since: Option<Timestamp>,
    /// Children of this key.
    pub parent: Option<KeyId>,
    /// Keys under this one, over all generations.
    pub ancestor: Option<KeyId>,
    /// Of this environment.
    pub environment: Option<Environment>,
    /// Granted this scope in so many words.
    pub scope: Option<String>,
    /// Whose rotation is overdue.
    pub overdue: Option<Overdue>,
    /// Not revoked, and ending after the first moment and up to the second.
    pub expiring: Option<(Timestamp, Timestamp)>,
    /// All words of this are in the key's id, name or notes, its owner's name or its secrets' hints,
    /// as parts of them; A to Z are as a to z.
    pub search: Option<String>,
}

/// What makes a rotation overdue: as [`crate::auth::view::RotationView`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// When.
    pub now: Timestamp,
    /// How long a rotation that a schedule asks for may be claimed.
    pub grace: Duration,
    /// The age at which the newest secret of a key without a schedule is overdue.
    pub rotate_after: Duration,
}

impl Overdue {
    /// At `now`, under that policy.
    pub fn under(policy: &Keys, now: Timestamp) -> Self {
        Self { now, grace: policy.rotation_grace, rotate_after: policy.rotate_after }
    }
}

/// What of a key is changed in place; a field that is `None` stays as it is.
///
/// There is no field for what a key has spent or counted, so that no change can touch it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPatch {
    /// A new name.
    pub name: Option<String>,
    /// Another owner.
    pub owner_id: Option<OwnerId>,
    /// All scopes anew.
    pub scopes: Option<Vec<String>>,
    /// All limits anew; empty: the defaults again.
    pub limits: Option<Vec<Limit>>,
    /// All addresses anew; empty: from anywhere.
    pub allowed_ips: Option<Vec<AddressRange>>,
    /// A new budget; `Some(None)`: without bound.
    pub monthly_budget: Option<Option<Millionths>>,
    /// A new end; `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// Notes to set (`Some`) or remove (`None`), by their names.
    pub metadata: BTreeMap<String, Option<String>>,
}

impl KeyPatch {
    /// Changes `key` as the patch says.
    pub fn apply(&self, key: &mut Key) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut key.name, self.name.as_ref());
        set(&mut key.owner_id, self.owner_id.as_ref());
        set(&mut key.scopes, self.scopes.as_ref());
        set(&mut key.limits, self.limits.as_ref());
        set(&mut key.allowed_ips, self.allowed_ips.as_ref());
        set(&mut key.monthly_budget, self.monthly_budget.as_ref());
        set(&mut key.expires_at, self.expires_at.as_ref());
        for (name, note) in &self.metadata {
            match note {
                Some(note) => key.metadata.insert(name.clone(), note.clone()),
                None => key.metadata.remove(name),
            };
        }
    }
}

/// How a rotation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The new secret stands; the old ones end at the time given to the call.
    Done,
    /// The key has two live secrets already, and `replace` was not asked for.
    TwoLive,
    /// There is no such key, or it was revoked.
    NoKey,
}

/// A key as the key table needs it, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The key with all its secrets.
    pub key: KeyWithSecrets,
    /// Its owner.
    pub owner: Owner,
}

/// A MAC of a secret that Argon2 has confirmed against a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmedMac {
    /// Whose.
    pub secret: PublicId,
    /// The hash that it was confirmed against.
    pub phc: String,
    /// As the store keeps it.
    pub mac: String,
}

/// Owners, keys and secrets, kept. Every change of them names its [`Act`] and is in the audit log, and
/// what is to be told of it in the outbox, in one transaction with it.
#[async_trait]
pub trait Store:
    AdminAccess
    + AuditLog
    + Books
    + CreditBooks
    + Deliveries
    + Family
    + Figures
    + HookBook
    + KeptAnswers
    + Leases
    + Outbox
    + Schedule
    + Send
    + Sync
    + 'static
{
    /// Brings the schema up to date under a lock; what was done. Safe to call from several
    /// instances at once.
    async fn migrate(&self) -> Result<SchemaStatus>;
    /// Which migrations the store has and which it lacks.
    async fn schema_status(&self) -> Result<SchemaStatus>;
    /// Asks the smallest question there is.
    async fn ping(&self) -> Result<()>;

    /// Makes an owner. A name that is taken is a [`StoreError::Conflict`].
    async fn create_owner(&self, act: &Act, owner: &Owner) -> Result<()>;
    /// The owner with that id or, failing that, that name.
    async fn owner(&self, id_or_name: &str) -> Result<Option<Owner>>;
    /// Owners, newest first.
    async fn owners(&self, page: &PageRequest) -> Result<Page<Owner>>;
    /// Owners whose id or name has all words of the text, as [`KeyFilter::search`] looks for them;
    /// newest first.
    async fn find_owners(&self, search: &str, page: &PageRequest) -> Result<Page<Owner>>;
    /// Switches an owner; whether there is one.
    async fn set_owner_disabled(&self, act: &Act, id: &OwnerId, disabled: bool) -> Result<bool>;

    /// Makes a key with its first secret, in one transaction.
    async fn create_key(&self, act: &Act, key: &Key, secret: &Secret) -> Result<()>;
    /// A key with its secrets.
    async fn key(&self, id: &KeyId) -> Result<Option<KeyWithSecrets>>;
    /// Keys, newest first, with their secrets.
    async fn keys(&self, filter: &KeyFilter, page: &PageRequest) -> Result<Page<KeyWithSecrets>>;
    /// Changes a key in place; whether there is one that is not revoked.
    async fn update_key(&self, act: &Act, id: &KeyId, patch: &KeyPatch) -> Result<bool>;
    /// Switches a key; whether there is one that is not revoked.
    async fn set_key_disabled(&self, act: &Act, id: &KeyId, disabled: bool) -> Result<bool>;
    /// Adds a secret and lets the live ones end at `old_ends_at` or at their own end, whichever is
    /// sooner. Where two are live at `now`, that is refused unless `replace`, which ends the older
    /// one at once. Concurrent rotations of a key have one winner at a time.
    async fn rotate_key(
        &self,
        act: &Act,
        id: &KeyId,
        secret: &Secret,
        old_ends_at: Timestamp,
        replace: bool,
        now: Timestamp,
    ) -> Result<Rotation>;
    /// Ends a key and every descendant for good; how many keys that were (0: no such key, or
    /// ended already).
    async fn revoke_key(
        &self,
        act: &Act,
        id: &KeyId,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<u64>;
    /// Ends one secret of a key for good; whether there was a live one.
    async fn revoke_secret(
        &self,
        act: &Act,
        key: &KeyId,
        secret: PublicId,
        now: Timestamp,
    ) -> Result<bool>;

    /// What the key table needs of the key that has this secret.
    async fn load_by_secret(&self, secret: PublicId) -> Result<Option<Loaded>>;
    /// What the key table needs of this key.
    async fn load_key(&self, id: &KeyId) -> Result<Option<Loaded>>;
    /// What the key table needs of these keys, in one question; those that are not there are left
    /// out.
    async fn load_keys(&self, ids: &[KeyId]) -> Result<Vec<Loaded>>;
    /// What the key table needs of the keys that have these secrets, in one question; secrets that
    /// are not there are left out, and a key that has several of them comes once.
    async fn load_by_secrets(&self, secrets: &[PublicId]) -> Result<Vec<Loaded>>;
    /// The public ids of all secrets, for the set that stops unknown ones.
    async fn public_ids(&self) -> Result<Vec<PublicId>>;
    /// The public ids of these keys' secrets.
    async fn secrets_of(&self, keys: &[KeyId]) -> Result<Vec<PublicId>>;
    /// The public ids of secrets that have a MAC and are not ended for good, those first that were
    /// used last, and so many at most.
    async fn secrets_with_mac(&self, most: usize) -> Result<Vec<PublicId>>;
    /// Keeps MACs of confirmed secrets, each unless the secret's hash has become another one; tells
    /// the change feed nothing.
    async fn record_macs(&self, macs: &[ConfirmedMac]) -> Result<()>;
    /// Notes when secrets were last used, and from where; never moves a time back, and tells the
    /// change feed nothing.
    async fn record_last_use(&self, uses: &[LastUse]) -> Result<()>;

    /// Writes down what a running instance says of itself, and when, by the database's clock; how
    /// many others it has heard of lately. Waits for no writer and for no disk, and tells the change
    /// feed nothing.
    async fn report_instance(&self, instance: &Instance) -> Result<usize>;
    /// The instances that were heard of within a day, in the order of their start.
    async fn instances(&self) -> Result<Vec<SeenInstance>>;
    /// Removes an instance that has stopped.
    async fn forget_instance(&self, id: &InstanceId) -> Result<()>;
    /// Removes the instances that were not heard of for a day.
    async fn prune_instances(&self) -> Result<()>;

    /// How many statements were sent since the process began, for the metrics.
    fn queries(&self) -> u64;

    /// The number of the last change.
    async fn revision(&self) -> Result<i64>;
    /// What changed after `revision`.
    async fn changes_since(&self, revision: i64) -> Result<Changes>;
    /// Begins to listen for changes. The feed stands when this returns: no change after it is
    /// missed until [`Feed::next`] says that it broke.
    async fn listen(&self) -> Result<Box<dyn Feed>>;
}

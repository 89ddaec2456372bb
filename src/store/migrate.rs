//! Which schema a store has and which it needs.
//!
//! Migrations are numbered alike for both stores, so that a version means the same everywhere. Each
//! store runs them itself, in one transaction under a lock; this module only knows their texts.
//!
//! The one rule: **a migration adds, and the version before it runs on what comes of it.** While an
//! upgrade goes on, and after one that is taken back, older processes and commands work on the newer
//! schema, so:
//!
//! - what older statements read or write keeps its name, its type and its meaning;
//! - a new column can be left out: it may be null or has a default, and null means what was true
//!   before there was one;
//! - a new constraint refuses nothing that an older version writes;
//! - triggers go on telling of every change that an older version makes, as something it knows;
//! - what nobody needs any more goes one release after the last version that names it;
//! - it takes no lock for as long as a table is long.
//!
//! So a store that is newer is taken as it is, by every command and by the gateway. One that is older
//! lacks what this version's statements name.

use serde::Serialize;

use super::{Result, Store, StoreError};
use crate::config::StoreLocation;

/// Makes sure that this version can work on the store's schema.
///
/// A SQLite store that is behind is brought up to date, since one machine has all who use it; a
/// Postgres store that is behind is an error ([`StoreError::Schema`]): that is `keygate migrate`'s to
/// do, once for all.
pub async fn prepare(store: &dyn Store, location: &StoreLocation) -> Result<()> {
    let SchemaStatus { found, needed, pending } = store.schema_status().await?;
    if found > needed {
        tracing::debug!(found, needed, "the store's schema is of a newer keygate");
    }
    match location {
        _ if pending.is_empty() => Ok(()),
        StoreLocation::Sqlite(_) => store.migrate().await.map(drop),
        StoreLocation::Postgres(_) => Err(StoreError::Schema { found, needed }),
    }
}

/// A store's migrations against this binary's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaStatus {
    /// The newest migration that the store has; 0: none.
    pub found: i64,
    /// The newest migration in this binary.
    pub needed: i64,
    /// Names of the migrations that were applied by this call, or that would be.
    pub pending: Vec<String>,
}

/// One step of the schema.
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

macro_rules! migrations {
    ($store:literal, $($version:literal $name:literal),+) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../migrations/", $store, "/", $name, ".sql")),
        }),+]
    };
}

/// SQLite's, in their order.
pub(super) const SQLITE: &[Migration] = migrations!("sqlite", 1 "0001_owners_keys_secrets", 2 "0002_instances_cache_macs",
    3 "0003_money_usage_events_audit", 4 "0004_admin_tokens");
/// Postgres's, in their order.
pub(super) const POSTGRES: &[Migration] = migrations!("postgres", 1 "0001_owners_keys_secrets", 2 "0002_instances_cache_macs",
    3 "0003_money_usage_events_audit", 4 "0004_admin_tokens");

/// The newest migration in this binary.
pub(super) const NEEDED: i64 = SQLITE[SQLITE.len() - 1].version;

/// Asks a store for its newest migration; 0: none.
pub(super) const VERSION: &str = "SELECT coalesce(max(version), 0) FROM keygate_migrations";

/// What a store at `found` lacks.
pub(super) fn pending(
    migrations: &'static [Migration],
    found: i64,
) -> impl Iterator<Item = &'static Migration> {
    migrations.iter().filter(move |migration| migration.version > found)
}

/// The status of a store at `found`.
pub(super) fn status(migrations: &'static [Migration], found: i64) -> SchemaStatus {
    let pending = pending(migrations, found).map(|migration| migration.name.to_owned()).collect();
    SchemaStatus { found, needed: NEEDED, pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stores_have_the_same_migrations_numbered_without_a_gap() {
        assert_eq!(SQLITE.len(), POSTGRES.len());
        for ((sqlite, postgres), version) in SQLITE.iter().zip(POSTGRES).zip(1..) {
            assert_eq!((sqlite.version, sqlite.name), (version, postgres.name));
            assert_eq!(postgres.version, version);
            assert!(sqlite.name.starts_with(&format!("{version:04}_")), "{}", sqlite.name);
        }
    }
}

//! Which schema a store has and which it needs.
//!
//! Migrations are numbered alike for both stores, so that a version means the same everywhere. Each
//! store runs them itself, in one transaction under a lock; this module only knows their texts.

use serde::Serialize;

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
pub(super) const SQLITE: &[Migration] =
    migrations!("sqlite", 1 "0001_owners_keys_secrets", 2 "0002_instances_cache_macs");
/// Postgres's, in their order.
pub(super) const POSTGRES: &[Migration] =
    migrations!("postgres", 1 "0001_owners_keys_secrets", 2 "0002_instances_cache_macs");

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

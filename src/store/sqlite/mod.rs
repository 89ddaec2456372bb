//! The store in one SQLite file, which one gateway and the commands on its machine share.

/// The time by this machine's clock, in milliseconds since the epoch.
macro_rules! now_ms {
    () => {
        "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    };
}

/// Stands behind the values of an insert whose commit need not outlive a power cut; here that is the
/// connection's to know, and SQLite's grammar wants something before `ON CONFLICT`.
macro_rules! not_lasting {
    () => {
        " WHERE true"
    };
}

/// Stands behind a question whose rows are held until the transaction ends: SQLite's one write lock
/// holds them already.
macro_rules! held {
    () => {
        ""
    };
    ($of:literal) => {
        ""
    };
}

/// What cannot be named by a key of the table's own.
macro_rules! row_id {
    () => {
        "rowid"
    };
}

/// A text with A to Z as a to z, and nothing else changed.
macro_rules! ascii_lower {
    ($text:literal) => {
        concat!("lower(", $text, ")")
    };
}

/// The rows of `$1`, a JSON list of objects, as a table `r` of these columns.
macro_rules! rows {
    ($first:ident $first_type:ident $(, $name:ident $type:ident)*) => {
        concat!(
            "(SELECT value ->> '", stringify!($first), "' AS ", stringify!($first),
            $(", value ->> '", stringify!($name), "' AS ", stringify!($name),)*
            " FROM json_each($1)) AS r"
        )
    };
}

/// Ends a question for deliveries that others may be busy with; here nobody else is writing.
macro_rules! unless_taken {
    () => {
        ""
    };
}

#[expect(clippy::duplicate_mod, reason = "compiled for each store: see there")]
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod feed;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use sqlx::{Sqlite, query, query_as};

use self::connections::{Ask, Connections};
use super::feed::WatchedFeed;
use super::migrate::{Migration, SQLITE};
use super::rows::{KeyRow, json, select_keys};
use super::{ConfirmedMac, Result};
use crate::domain::{KeyId, LastUse, PublicId};

type This = SqliteStore;
type Database = Sqlite;

const MIGRATIONS: &[Migration] = SQLITE;
/// Makes the migrations' table; the write lock is their turn.
const PREPARE: &str = "CREATE TABLE IF NOT EXISTS keygate_migrations \
     (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT";

/// Whether nobody else makes events into deliveries, nor will until this one is done.
const DISPATCH_TURN: &str = "SELECT true";
/// The key that is rotated; SQLite's one write lock holds it already.
const HOLD_KEY: &str = "SELECT id FROM keys WHERE id = $1 AND revoked_at IS NULL";
/// Its live secrets, held likewise.
const HOLD_LIVE: &str = "SELECT id, created_at, expires_at FROM secrets WHERE key_id = $1 \
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";

/// Rolls what usage was counted by hour before `$1` into days; nothing is booked meanwhile.
const ROLL_HOURS: &[&str] = &[
    "INSERT INTO usage_days (period, key_id, owner_id, route, status, requests, cost) \
     SELECT period - period % 86400000 AS day, key_id, owner_id, route, status, \
     sum(requests), sum(cost) FROM usage_hours WHERE period < $1 \
     GROUP BY day, key_id, owner_id, route, status \
     ON CONFLICT (period, key_id, owner_id, route, status) DO UPDATE \
     SET requests = usage_days.requests + excluded.requests, \
     cost = usage_days.cost + excluded.cost",
    "DELETE FROM usage_hours WHERE period < $1",
];

/// A store in a SQLite file.
pub struct SqliteStore {
    connections: Connections,
}

impl SqliteStore {
    /// Opens the file, and makes it (mode 0600) where there is none; the schema is not touched.
    #[expect(clippy::unused_async, reason = "pools are made inside a runtime, and this says so")]
    pub async fn open(path: &Path) -> Result<Self> {
        Ok(Self { connections: Connections::new(path)? })
    }

    /// Asks for the keys that have these secrets.
    fn keys_of(secrets: &[PublicId]) -> Ask<'_, KeyRow> {
        let ask = query_as(select_keys!(
            "keys k",
            "WHERE k.id IN (SELECT p.key_id FROM secrets p \
             WHERE p.id IN (SELECT value FROM json_each($1)))"
        ));
        ask.bind(json(&secrets))
    }

    /// Asks for these keys.
    fn keys_named(keys: &[KeyId]) -> Ask<'_, KeyRow> {
        let ask =
            query_as(select_keys!("keys k", "WHERE k.id IN (SELECT value FROM json_each($1))"));
        ask.bind(json(&keys))
    }

    /// Asks for the ids of these keys' secrets.
    fn ids_of(keys: &[KeyId]) -> Ask<'_, (String,)> {
        let ask = "SELECT id FROM secrets WHERE key_id IN (SELECT value FROM json_each($1))";
        query_as(ask).bind(json(&keys))
    }

    /// One long text, with commas between: handing a million rows from SQLite's thread to ours
    /// takes seconds.
    async fn joined_public_ids(&self) -> Result<Option<String>> {
        let ask = query_as::<_, (Option<String>,)>("SELECT group_concat(id, ',') FROM secrets");
        Ok(self.connections.all(ask).await?.pop().and_then(|row| row.0))
    }

    /// As [`Self::note_uses`].
    async fn note_macs(&self, macs: Vec<&ConfirmedMac>) -> Result<()> {
        let macs: Vec<(PublicId, &str, &str)> = macs
            .iter()
            .map(|confirmed| (confirmed.secret, &*confirmed.phc, &*confirmed.mac))
            .collect();
        let update = query(
            "UPDATE secrets SET cache_mac = confirmed.mac FROM \
             (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS phc, \
              json_extract(value, '$[2]') AS mac FROM json_each($1)) AS confirmed \
             WHERE secrets.id = confirmed.id AND secrets.phc = confirmed.phc",
        );
        let mut write = self.connections.write().await?;
        write.run(update.bind(json(&macs))).await?;
        write.commit().await
    }

    /// Takes its turn among the writers, as SQLite has no other way.
    async fn note_uses(&self, latest: BTreeMap<PublicId, LastUse>) -> Result<()> {
        let latest: Vec<(PublicId, i64, Option<IpAddr>)> = latest
            .into_values()
            .map(|used| (used.secret, used.at.as_millisecond(), used.from))
            .collect();
        let update = query(
            "UPDATE secrets SET last_used_at = used.at, last_used_address = used.address FROM \
             (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at, \
              json_extract(value, '$[2]') AS address FROM json_each($1)) AS used \
             WHERE secrets.id = used.id \
             AND (secrets.last_used_at IS NULL OR secrets.last_used_at < used.at)",
        );
        let mut write = self.connections.write().await?;
        write.run(update.bind(json(&latest))).await?;
        write.commit().await
    }

    /// Looks on a connection of its own.
    async fn watch(&self) -> Result<WatchedFeed> {
        let own = self.connections.own().await?;
        let watcher = feed::Watcher::new(own, Arc::clone(self.connections.queries())).await?;
        Ok(WatchedFeed::start(|signals| watcher.watch(signals)))
    }
}

//! The store in a Postgres database, which any number of gateways and commands share.

/// The time by the database's clock, in milliseconds since the epoch.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::BIGINT"
    };
}

/// Stands behind the values of an insert whose commit need not outlive a power cut, so that it
/// waits for no disk and no standby.
macro_rules! not_lasting {
    () => {
        " FROM set_config('synchronous_commit', 'off', true)"
    };
}

/// Stands behind a question whose rows are held until the transaction ends.
macro_rules! held {
    () => {
        " FOR UPDATE"
    };
    ($of:literal) => {
        concat!(" FOR UPDATE OF ", $of)
    };
}

/// What cannot be named by a key of the table's own.
macro_rules! row_id {
    () => {
        "ctid"
    };
}

/// A text with A to Z as a to z, and nothing else changed.
macro_rules! ascii_lower {
    ($text:literal) => {
        concat!("lower((", $text, ") COLLATE \"C\")")
    };
}

/// The rows of `$1`, a JSON list of objects, as a table `r` of these columns.
macro_rules! rows {
    ($first:ident $first_type:ident $(, $name:ident $type:ident)*) => {
        concat!(
            "json_to_recordset($1::json) AS r (", stringify!($first), " ", stringify!($first_type),
            $(", ", stringify!($name), " ", stringify!($type),)* ")"
        )
    };
}

/// Ends a question for deliveries, named `d`, that others may be busy with: theirs are left out.
macro_rules! unless_taken {
    () => {
        " FOR UPDATE OF d SKIP LOCKED"
    };
}

#[expect(clippy::duplicate_mod, reason = "compiled for each store: see there")]
#[path = "../common/mod.rs"]
mod common;
mod connections;
mod feed;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{Postgres, query, query_as};

use self::connections::{Ask, Connections};
use super::feed::WatchedFeed;
use super::migrate::{Migration, POSTGRES};
use super::rows::{KeyRow, select_keys};
use super::{ConfirmedMac, Result};
use crate::domain::{KeyId, LastUse, PublicId};

type This = PostgresStore;
type Database = Postgres;

const MIGRATIONS: &[Migration] = POSTGRES;
/// Takes the migrations' turn, however long it takes to come, and makes their table.
const PREPARE: &str = "SET LOCAL lock_timeout = 0; \
     SELECT pg_advisory_xact_lock(30229394607928422); \
     CREATE TABLE IF NOT EXISTS keygate_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL)";

/// Whether nobody else makes events into deliveries, nor will until this one is done.
const DISPATCH_TURN: &str = "SELECT pg_try_advisory_xact_lock(30229394607928423)";
/// The key that is rotated, held also against transactions by hand.
const HOLD_KEY: &str = "SELECT id FROM keys WHERE id = $1 AND revoked_at IS NULL FOR UPDATE";
/// Its live secrets, held also against who notes uses.
const HOLD_LIVE: &str = "SELECT id, created_at, expires_at FROM secrets WHERE key_id = $1 \
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) ORDER BY id FOR UPDATE";

/// Rolls what usage was counted by hour before `$1` into days, in one statement: what is booked
/// meanwhile is in neither or in both parts of it.
const ROLL_HOURS: &[&str] =
    &["WITH gone AS (DELETE FROM usage_hours WHERE period < $1 RETURNING *) \
     INSERT INTO usage_days (period, key_id, owner_id, route, status, requests, cost) \
     SELECT period - period % 86400000 AS day, key_id, owner_id, route, status, \
     sum(requests)::BIGINT, sum(cost)::BIGINT FROM gone \
     GROUP BY day, key_id, owner_id, route, status \
     ON CONFLICT (period, key_id, owner_id, route, status) DO UPDATE \
     SET requests = usage_days.requests + excluded.requests, \
     cost = usage_days.cost + excluded.cost"];

/// A store in a Postgres database.
pub struct PostgresStore {
    connections: Connections,
}

impl PostgresStore {
    /// Takes the URL, which may hold a password; the server need not be there yet. Must be called
    /// inside a runtime, and connects when it is first asked.
    pub fn open(url: &str) -> Result<Self> {
        Ok(Self { connections: Connections::new(url)? })
    }

    /// Asks for the keys that have these secrets.
    fn keys_of(secrets: &[PublicId]) -> Ask<'_, KeyRow> {
        let ask = query_as(select_keys!(
            "keys k",
            "WHERE k.id IN (SELECT p.key_id FROM secrets p \
             WHERE p.id = ANY($1))"
        ));
        let secrets: Vec<&str> = secrets.iter().map(PublicId::as_str).collect();
        ask.bind(secrets)
    }

    /// Asks for these keys.
    fn keys_named(keys: &[KeyId]) -> Ask<'_, KeyRow> {
        let keys: Vec<&str> = keys.iter().map(KeyId::as_str).collect();
        query_as(select_keys!("keys k", "WHERE k.id = ANY($1)")).bind(keys)
    }

    /// Asks for the ids of these keys' secrets.
    fn ids_of(keys: &[KeyId]) -> Ask<'_, (String,)> {
        let keys: Vec<&str> = keys.iter().map(KeyId::as_str).collect();
        query_as("SELECT id FROM secrets WHERE key_id = ANY($1)").bind(keys)
    }

    /// One long text, with commas between: a million rows cost ten times as much to take apart.
    async fn joined_public_ids(&self) -> Result<Option<String>> {
        let ask = query_as::<_, (Option<String>,)>("SELECT string_agg(id, ',') FROM secrets");
        Ok(self.connections.scan(ask).await?.pop().and_then(|row| row.0))
    }

    /// As [`Self::note_uses`].
    async fn note_macs(&self, macs: Vec<&ConfirmedMac>) -> Result<()> {
        let ids: Vec<&str> = macs.iter().map(|confirmed| confirmed.secret.as_str()).collect();
        let hashes: Vec<&str> = macs.iter().map(|confirmed| confirmed.phc.as_str()).collect();
        let texts: Vec<&str> = macs.iter().map(|confirmed| confirmed.mac.as_str()).collect();
        let update = query(
            "WITH confirmed AS (SELECT id, phc, mac FROM \
             unnest($1::text[], $2::text[], $3::text[]) AS c (id, phc, mac)), \
             held AS (SELECT s.id, confirmed.mac FROM secrets s JOIN confirmed \
             ON confirmed.id = s.id AND confirmed.phc = s.phc ORDER BY s.id FOR NO KEY UPDATE OF s) \
             UPDATE secrets SET cache_mac = held.mac FROM held WHERE secrets.id = held.id",
        );
        self.connections.run(update.bind(ids).bind(hashes).bind(texts)).await
    }

    /// Takes no turn among the writers, and takes its rows in the order in which they do.
    async fn note_uses(&self, latest: BTreeMap<PublicId, LastUse>) -> Result<()> {
        let ids: Vec<String> = latest.keys().map(ToString::to_string).collect();
        let times: Vec<i64> = latest.values().map(|used| used.at.as_millisecond()).collect();
        let from = latest.values().map(|used| used.from.map(|address| address.to_string()));
        let from: Vec<Option<String>> = from.collect();
        let update = query(
            "WITH used AS (SELECT id, at, address FROM \
             unnest($1::text[], $2::bigint[], $3::text[]) AS u (id, at, address)), \
             held AS (SELECT s.id FROM secrets s JOIN used u ON u.id = s.id \
             WHERE s.last_used_at IS NULL OR s.last_used_at < u.at ORDER BY s.id FOR NO KEY UPDATE OF s) \
             UPDATE secrets SET last_used_at = used.at, last_used_address = used.address \
             FROM used JOIN held ON held.id = used.id WHERE secrets.id = used.id \
             AND (secrets.last_used_at IS NULL OR secrets.last_used_at < used.at)",
        );
        self.connections.run(update.bind(ids).bind(times).bind(from)).await
    }

    /// Listens on a connection of its own.
    async fn watch(&self) -> Result<WatchedFeed> {
        let listener = self.connections.listener().await?;
        let place = self.connections.place().to_owned();
        let queries = Arc::clone(self.connections.queries());
        let watcher = feed::Watcher::new(listener, place, queries).await?;
        Ok(WatchedFeed::start(|signals| watcher.watch(signals)))
    }
}

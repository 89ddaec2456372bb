//! The store in one SQLite file, which one gateway and the commands on its machine share.

mod connections;
mod feed;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, query, query_as};

use self::connections::{Ask, Connections};
use self::write::{check_parent, insert_key, insert_secret, rotate, update_key};
use super::feed::{ChangeRow, Kept, WatchedFeed, changes};
use super::list;
use super::migrate::{SQLITE, SchemaStatus, pending, status};
use super::rows::{self, KeyRow, OwnerRow, json, owner_columns, select_keys};
use super::{
    Changes, Feed, KeyFilter, KeyPatch, Loaded, Page, PageRequest, Result, Rotation, Store,
    StoreError,
};
use crate::domain::{Key, KeyId, KeyWithSecrets, Owner, OwnerId, PublicId, Secret};

const VERSION: &str = "SELECT coalesce(max(version), 0) FROM keygate_migrations";
const REVISION: &str = "SELECT coalesce(max(revision), 0) FROM changes";

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

    async fn load(&self, ask: Ask<'_, KeyRow>) -> Result<Option<Loaded>> {
        Ok(rows::loaded(self.connections.all(ask).await?)?.pop())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> Result<SchemaStatus> {
        let mut write = self.connections.write_schema().await?;
        write
            .script(
                "CREATE TABLE IF NOT EXISTS keygate_migrations \
                 (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
            )
            .await?;
        let found = write.all(query_as::<_, (i64,)>(VERSION)).await?.first().map_or(0, |row| row.0);
        for migration in pending(SQLITE, found) {
            write.script(migration.sql).await?;
            let note = query("INSERT INTO keygate_migrations (version, name) VALUES ($1, $2)");
            write.run(note.bind(migration.version).bind(migration.name)).await?;
        }
        write.commit().await?;
        let SchemaStatus { needed, pending, .. } = status(SQLITE, found);
        Ok(SchemaStatus { found: found.max(needed), needed, pending })
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        Ok(status(SQLITE, self.connections.schema_version().await?))
    }

    async fn ping(&self) -> Result<()> {
        self.connections.ping().await
    }

    async fn create_owner(&self, owner: &Owner) -> Result<()> {
        let insert = query(
            "INSERT INTO owners (id, name, disabled, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(owner.id.as_str())
        .bind(&owner.name)
        .bind(owner.disabled)
        .bind(owner.created_at.as_millisecond());
        let mut write = self.connections.write().await?;
        if write.run(insert).await? == 0 {
            write.undo().await?;
            let taken = format!("an owner named {} exists already", owner.name);
            return Err(StoreError::Conflict(taken));
        }
        write.commit().await
    }

    async fn owner(&self, id_or_name: &str) -> Result<Option<Owner>> {
        let ask = query_as::<_, OwnerRow>(concat!(
            "SELECT ",
            owner_columns!(),
            "FROM owners o WHERE o.id = $1 OR o.name = $1 ORDER BY o.id = $1 DESC LIMIT 1"
        ));
        let row = self.connections.all(ask.bind(id_or_name)).await?.pop();
        row.map(OwnerRow::read).transpose()
    }

    async fn owners(&self, page: &PageRequest) -> Result<Page<Owner>> {
        let ask = query_as::<_, OwnerRow>(concat!(
            "SELECT ",
            owner_columns!(),
            "FROM owners o WHERE o.id < $1 ORDER BY o.id DESC LIMIT $2"
        ));
        let ask = ask.bind(list::below(page)).bind(list::asked(page));
        let owners = self.connections.all(ask).await?;
        let owners = owners.into_iter().map(OwnerRow::read).collect::<Result<_>>()?;
        Ok(list::page(owners, page, |owner: &Owner| owner.id.as_str()))
    }

    async fn set_owner_disabled(&self, id: &OwnerId, disabled: bool) -> Result<bool> {
        let update = query("UPDATE owners SET disabled = $2 WHERE id = $1");
        let mut write = self.connections.write().await?;
        let changed = write.run(update.bind(id.as_str()).bind(disabled)).await?;
        write.commit().await?;
        Ok(changed > 0)
    }

    async fn create_key(&self, key: &Key, secret: &Secret) -> Result<()> {
        let mut write = self.connections.write().await?;
        check_parent(&mut write, key).await?;
        write.run(insert_key(key)).await?;
        insert_secret(&mut write, &key.id, secret).await?;
        write.commit().await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<KeyWithSecrets>> {
        Ok(self.load_key(id).await?.map(|loaded| loaded.key))
    }

    async fn keys(&self, filter: &KeyFilter, page: &PageRequest) -> Result<Page<KeyWithSecrets>> {
        let mut ask = QueryBuilder::<Sqlite>::default();
        list::push_page(&mut ask, filter, page);
        ask.push(select_keys!("page k", ""));
        let keys = rows::loaded(self.connections.all(ask.build_query_as()).await?)?;
        let keys = keys.into_iter().map(|loaded| loaded.key).collect();
        Ok(list::page(keys, page, |key: &KeyWithSecrets| key.key.id.as_str()))
    }

    async fn update_key(&self, id: &KeyId, patch: &KeyPatch) -> Result<bool> {
        let ask = query_as::<_, KeyRow>(select_keys!(
            "keys k",
            "WHERE k.id = $1 AND k.revoked_at IS NULL"
        ));
        let mut write = self.connections.write().await?;
        let found = rows::loaded(write.all(ask.bind(id.as_str())).await?)?.pop();
        let Some(mut key) = found.map(|loaded| loaded.key.key) else {
            write.undo().await?;
            return Ok(false);
        };
        patch.apply(&mut key);
        write.run(update_key(&key)).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn set_key_disabled(&self, id: &KeyId, disabled: bool) -> Result<bool> {
        let update = query("UPDATE keys SET disabled = $2 WHERE id = $1 AND revoked_at IS NULL");
        let mut write = self.connections.write().await?;
        let changed = write.run(update.bind(id.as_str()).bind(disabled)).await?;
        write.commit().await?;
        Ok(changed > 0)
    }

    async fn rotate_key(
        &self,
        id: &KeyId,
        secret: &Secret,
        old_ends_at: Timestamp,
        replace: bool,
        now: Timestamp,
    ) -> Result<Rotation> {
        let mut write = self.connections.write().await?;
        let rotation = rotate(&mut write, id, secret, old_ends_at.max(now), replace, now).await?;
        match rotation {
            Rotation::Done => write.commit().await?,
            Rotation::TwoLive | Rotation::NoKey => write.undo().await?,
        }
        Ok(rotation)
    }

    async fn revoke_key(&self, id: &KeyId, reason: Option<&str>, now: Timestamp) -> Result<u64> {
        let update = query(
            "WITH RECURSIVE family (id) AS (SELECT id FROM keys WHERE id = $1 \
             UNION SELECT k.id FROM keys k JOIN family f ON k.parent_id = f.id) \
             UPDATE keys SET revoked_at = $2, revoke_reason = $3 \
             WHERE id IN (SELECT id FROM family) AND revoked_at IS NULL",
        );
        let update = update.bind(id.as_str()).bind(now.as_millisecond()).bind(reason);
        let mut write = self.connections.write().await?;
        let revoked = write.run(update).await?;
        write.commit().await?;
        Ok(revoked)
    }

    async fn revoke_secret(&self, key: &KeyId, secret: PublicId, now: Timestamp) -> Result<bool> {
        let update = query(
            "UPDATE secrets SET revoked_at = $3 WHERE id = $2 AND key_id = $1 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)",
        );
        let update = update.bind(key.as_str()).bind(secret.as_str()).bind(now.as_millisecond());
        let mut write = self.connections.write().await?;
        let changed = write.run(update).await?;
        write.commit().await?;
        Ok(changed > 0)
    }

    async fn load_by_secret(&self, secret: PublicId) -> Result<Option<Loaded>> {
        let ask = query_as(select_keys!(
            "keys k",
            "WHERE k.id = (SELECT p.key_id FROM secrets p WHERE p.id = $1)"
        ));
        self.load(ask.bind(secret.as_str())).await
    }

    async fn load_key(&self, id: &KeyId) -> Result<Option<Loaded>> {
        self.load(query_as(select_keys!("keys k", "WHERE k.id = $1")).bind(id.as_str())).await
    }

    async fn load_by_secrets(&self, secrets: &[PublicId]) -> Result<Vec<Loaded>> {
        let ask = query_as(select_keys!(
            "keys k",
            "WHERE k.id IN (SELECT p.key_id FROM secrets p \
             WHERE p.id IN (SELECT value FROM json_each($1)))"
        ));
        rows::loaded(self.connections.all(ask.bind(json(&secrets))).await?)
    }

    async fn public_ids(&self) -> Result<Vec<PublicId>> {
        // One long text: handing a million rows from SQLite's thread to ours takes seconds.
        let ask = query_as::<_, (Option<String>,)>("SELECT group_concat(id, ',') FROM secrets");
        let ids = self.connections.all(ask).await?.pop().and_then(|row| row.0);
        let ids = ids.unwrap_or_default();
        Ok(ids.split_terminator(',').filter_map(rows::public_id).collect())
    }

    async fn record_last_use(&self, uses: &[(PublicId, Timestamp)]) -> Result<()> {
        let latest: Vec<(PublicId, i64)> = rows::latest(uses).into_iter().collect();
        let update = query(
            "UPDATE secrets SET last_used_at = used.at FROM \
             (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at \
              FROM json_each($1)) AS used \
             WHERE secrets.id = used.id \
             AND (secrets.last_used_at IS NULL OR secrets.last_used_at < used.at)",
        );
        let mut write = self.connections.write().await?;
        write.run(update.bind(json(&latest))).await?;
        write.commit().await
    }

    fn queries(&self) -> u64 {
        self.connections.queries().load(Ordering::Relaxed)
    }

    async fn revision(&self) -> Result<i64> {
        let newest = self.connections.all(query_as::<_, (i64,)>(REVISION)).await?;
        Ok(newest.first().map_or(0, |row| row.0))
    }

    async fn changes_since(&self, revision: i64) -> Result<Changes> {
        let rows = query_as::<_, ChangeRow>(
            "SELECT kind, id, max(revision) AS revision FROM changes WHERE revision > $1 \
             GROUP BY kind, id ORDER BY max(revision)",
        );
        let kept = query_as::<_, Kept>(
            "SELECT (SELECT min(revision) FROM changes), (SELECT max(revision) FROM changes)",
        );
        let rows = self.connections.all(rows.bind(revision)).await?;
        let kept = self.connections.all(kept).await?.pop().unwrap_or_default();
        Ok(changes(revision, rows, kept))
    }

    async fn listen(&self) -> Result<Box<dyn Feed>> {
        let own = self.connections.own().await?;
        let watcher = feed::Watcher::new(own, Arc::clone(self.connections.queries())).await?;
        Ok(Box::new(WatchedFeed::start(|signals| watcher.watch(signals))))
    }
}

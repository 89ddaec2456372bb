//! The [`Store`] of both databases, as far as they are asked alike.
//!
//! It is compiled twice, as a child of `postgres` and of `sqlite`: `super` is the one store or the
//! other, with its connections and with what it does its own way. Code generic over sqlx's databases
//! would have to bound the encoding of every type it binds, in every function.

mod admin;
mod audit;
mod books;
mod credits;
mod deliveries;
mod events;
mod family;
mod figures;
mod hooks;
mod idempotency;
mod instances;
mod leases;
mod schedule;
mod write;

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{QueryBuilder, query, query_as};

use self::audit::{Entry, differences, record};
use self::events::emit;
use self::family::check_alone;
use self::write::{make_key, rotate, update_key};
use super::connections::{Ask, Command, Write};
use super::{Database, HOLD_KEY, HOLD_LIVE, MIGRATIONS, PREPARE, ROLL_HOURS, This};
use crate::domain::{
    Act, Event, EventKind, Instance, InstanceId, Key, KeyId, KeyWithSecrets, LastUse, Owner,
    OwnerId, PublicId, Secret, SeenInstance,
};
use crate::store::feed::{ChangeRow, Kept, REVISION, changes};
use crate::store::migrate::{SchemaStatus, VERSION, pending, status};
use crate::store::rows::{self, KeyRow, OwnerRow, owner_columns, select_keys};
use crate::store::{
    Changes, ConfirmedMac, Feed, KeyFilter, KeyPatch, Loaded, Page, PageRequest, Result, Rotation,
    Store, StoreError, list,
};

impl This {
    async fn load(&self, ask: Ask<'_, KeyRow>) -> Result<Option<Loaded>> {
        Ok(rows::loaded(self.connections.all(ask).await?)?.pop())
    }
}

#[async_trait]
impl Store for This {
    async fn migrate(&self) -> Result<SchemaStatus> {
        let mut write = self.connections.begin().await?;
        write.script(PREPARE).await?;
        let found = write.all(query_as::<_, (i64,)>(VERSION)).await?.first().map_or(0, |row| row.0);
        for migration in pending(MIGRATIONS, found) {
            write.script(migration.sql).await?;
            let note = query("INSERT INTO keygate_migrations (version, name) VALUES ($1, $2)");
            write.run(note.bind(migration.version).bind(migration.name)).await?;
        }
        write.commit().await?;
        let SchemaStatus { needed, pending, .. } = status(MIGRATIONS, found);
        Ok(SchemaStatus { found: found.max(needed), needed, pending })
    }

    async fn schema_status(&self) -> Result<SchemaStatus> {
        Ok(status(MIGRATIONS, self.connections.schema_version().await?))
    }

    async fn ping(&self) -> Result<()> {
        self.connections.ping().await
    }

    async fn create_owner(&self, act: &Act, owner: &Owner) -> Result<()> {
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
        let after = Some(json!({ "name": owner.name }));
        let target = owner.id.as_str();
        record(&mut write, act, Entry { after, ..Entry::plain("owner.create", target) }).await?;
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

    async fn find_owners(&self, search: &str, page: &PageRequest) -> Result<Page<Owner>> {
        let mut ask = QueryBuilder::<Database>::new(concat!(
            "SELECT ",
            owner_columns!(),
            "FROM owners o WHERE o.id < "
        ));
        ask.push_bind(list::below(page).to_owned());
        list::push_words(&mut ask, ascii_lower!("o.id || ' ' || o.name"), search);
        ask.push(" ORDER BY o.id DESC LIMIT ").push_bind(list::asked(page));
        let owners = self.connections.all(ask.build_query_as::<OwnerRow>()).await?;
        let owners = owners.into_iter().map(OwnerRow::read).collect::<Result<_>>()?;
        Ok(list::page(owners, page, |owner: &Owner| owner.id.as_str()))
    }

    async fn set_owner_disabled(&self, act: &Act, id: &OwnerId, disabled: bool) -> Result<bool> {
        let update = query("UPDATE owners SET disabled = $2 WHERE id = $1");
        let mut write = self.connections.write().await?;
        let changed = write.run(update.bind(id.as_str()).bind(disabled)).await?;
        if changed > 0 {
            let action = if disabled { "owner.disable" } else { "owner.enable" };
            record(&mut write, act, Entry::plain(action, id.as_str())).await?;
        }
        write.commit().await?;
        Ok(changed > 0)
    }

    async fn create_key(&self, act: &Act, key: &Key, secret: &Secret) -> Result<()> {
        let mut write = self.connections.write().await?;
        make_key(&mut write, act, key, secret).await?;
        write.commit().await
    }

    async fn key(&self, id: &KeyId) -> Result<Option<KeyWithSecrets>> {
        Ok(self.load_key(id).await?.map(|loaded| loaded.key))
    }

    async fn keys(&self, filter: &KeyFilter, page: &PageRequest) -> Result<Page<KeyWithSecrets>> {
        let mut ask = QueryBuilder::<Database>::default();
        list::push_page(&mut ask, filter, page);
        ask.push(select_keys!("page k", ""));
        let keys = rows::loaded(self.connections.all(ask.build_query_as()).await?)?;
        let keys = keys.into_iter().map(|loaded| loaded.key).collect();
        Ok(list::page(keys, page, |key: &KeyWithSecrets| key.key.id.as_str()))
    }

    async fn update_key(&self, act: &Act, id: &KeyId, patch: &KeyPatch) -> Result<bool> {
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
        if patch.owner_id.as_ref().is_some_and(|owner| *owner != key.owner_id) {
            check_alone(&mut write, &key).await?;
        }
        let before = key.clone();
        patch.apply(&mut key);
        write.run(update_key(&key)).await?;
        let (before, after) = differences(&before, &key);
        let entry = Entry::plain("key.update", id.as_str());
        let entry = Entry { before: Some(before), after: Some(after), ..entry };
        record(&mut write, act, entry).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn set_key_disabled(&self, act: &Act, id: &KeyId, disabled: bool) -> Result<bool> {
        let update = query("UPDATE keys SET disabled = $2 WHERE id = $1 AND revoked_at IS NULL");
        let mut write = self.connections.write().await?;
        let changed = write.run(update.bind(id.as_str()).bind(disabled)).await?;
        if changed > 0 {
            let action = if disabled { "key.disable" } else { "key.enable" };
            record(&mut write, act, Entry::plain(action, id.as_str())).await?;
        }
        write.commit().await?;
        Ok(changed > 0)
    }

    async fn rotate_key(
        &self,
        act: &Act,
        id: &KeyId,
        secret: &Secret,
        old_ends_at: Timestamp,
        replace: bool,
        now: Timestamp,
    ) -> Result<Rotation> {
        let mut write = self.connections.write().await?;
        let old_ends_at = old_ends_at.max(now);
        let rotation = rotate(&mut write, id, secret, old_ends_at, replace, now).await?;
        match rotation {
            Rotation::Done => {
                let more = json!({ "secret_id": secret.id, "old_secret_expires_at": old_ends_at });
                let entry = Entry::plain("key.rotate", id.as_str());
                let entry = Entry { after: Some(more.clone()), ..entry };
                record(&mut write, act, entry).await?;
                let owner = write::owner_of(&mut write, id).await?;
                emit(&mut write, &Event::of_key(EventKind::KeyRotated, id, &owner, more, now))
                    .await?;
                write.commit().await?;
            }
            Rotation::TwoLive | Rotation::NoKey => write.undo().await?,
        }
        Ok(rotation)
    }

    async fn revoke_key(
        &self,
        act: &Act,
        id: &KeyId,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<u64> {
        let update = query_as::<_, (String, String)>(
            "WITH RECURSIVE family (id) AS (SELECT id FROM keys WHERE id = $1 \
             UNION SELECT k.id FROM keys k JOIN family f ON k.parent_id = f.id) \
             UPDATE keys SET revoked_at = $2, revoke_reason = $3 \
             WHERE id IN (SELECT id FROM family) AND revoked_at IS NULL RETURNING id, owner_id",
        );
        let update = update.bind(id.as_str()).bind(now.as_millisecond()).bind(reason);
        let mut write = self.connections.write().await?;
        let revoked = write.all(update).await?;
        for (revoked, owner) in &revoked {
            let revoked = KeyId::from_text(revoked.as_str());
            let entry = Entry::plain("key.revoke", revoked.as_str());
            record(&mut write, act, Entry { reason, ..entry }).await?;
            let owner = OwnerId::from_text(owner.as_str());
            let more = json!({ "reason": reason });
            let event = Event::of_key(EventKind::KeyRevoked, &revoked, &owner, more, now);
            emit(&mut write, &event).await?;
        }
        write.commit().await?;
        Ok(revoked.len() as u64)
    }

    async fn revoke_secret(
        &self,
        act: &Act,
        key: &KeyId,
        secret: PublicId,
        now: Timestamp,
    ) -> Result<bool> {
        let update = query(
            "UPDATE secrets SET revoked_at = $3 WHERE id = $2 AND key_id = $1 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)",
        );
        let update = update.bind(key.as_str()).bind(secret.as_str()).bind(now.as_millisecond());
        let mut write = self.connections.write().await?;
        let changed = write.run(update).await?;
        if changed > 0 {
            let before = Some(json!({ "secret_id": secret }));
            let entry = Entry::plain("key.revoke_secret", key.as_str());
            record(&mut write, act, Entry { before, ..entry }).await?;
        }
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
        rows::loaded(self.connections.all(Self::keys_of(secrets)).await?)
    }

    async fn load_keys(&self, ids: &[KeyId]) -> Result<Vec<Loaded>> {
        rows::loaded(self.connections.all(Self::keys_named(ids)).await?)
    }

    async fn public_ids(&self) -> Result<Vec<PublicId>> {
        let ids = self.joined_public_ids().await?;
        Ok(rows::public_ids(&ids.unwrap_or_default()))
    }

    async fn secrets_of(&self, keys: &[KeyId]) -> Result<Vec<PublicId>> {
        let ids = self.connections.all(Self::ids_of(keys)).await?;
        Ok(ids.iter().flat_map(|(id,)| rows::public_ids(id)).collect())
    }

    async fn secrets_with_mac(&self, most: usize) -> Result<Vec<PublicId>> {
        let ask = query_as::<_, (String,)>(
            "SELECT id FROM secrets WHERE cache_mac IS NOT NULL AND revoked_at IS NULL \
             ORDER BY coalesce(last_used_at, 0) DESC LIMIT $1",
        );
        let ids = self.connections.all(ask.bind(i64::try_from(most).unwrap_or(i64::MAX))).await?;
        Ok(ids.iter().flat_map(|(id,)| rows::public_ids(id)).collect())
    }

    async fn record_macs(&self, macs: &[ConfirmedMac]) -> Result<()> {
        self.note_macs(rows::in_order(macs)).await
    }

    async fn record_last_use(&self, uses: &[LastUse]) -> Result<()> {
        self.note_uses(rows::latest(uses)).await
    }

    async fn report_instance(&self, instance: &Instance) -> Result<usize> {
        let others = self.connections.run_lightly(instances::report(instance)).await?;
        Ok(instances::count(&others))
    }

    async fn instances(&self) -> Result<Vec<SeenInstance>> {
        instances::read(self.connections.all(instances::list()).await?)
    }

    async fn forget_instance(&self, id: &InstanceId) -> Result<()> {
        self.connections.run_lightly(instances::forget(id)).await.map(drop)
    }

    async fn prune_instances(&self) -> Result<()> {
        self.connections.run_lightly(instances::prune()).await.map(drop)
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
        Ok(Box::new(self.watch().await?))
    }
}

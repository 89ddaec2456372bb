//! The statements of a write, each part of its caller's transaction.

use jiff::Timestamp;
use sqlx::{query, query_as};

use super::audit::{Entry, policy, record};
use super::events::{created, emit};
use super::{Command, HOLD_KEY, HOLD_LIVE, Write};
use crate::domain::{Act, Key, KeyId, Millionths, OwnerId, Secret};
use crate::store::rows::{self, LiveRow, json, ms};
use crate::store::{Result, Rotation, StoreError};

/// The rotation itself. It is this writer's turn, so that the next one waits.
pub(super) async fn rotate(
    write: &mut Write<'_>,
    id: &KeyId,
    secret: &Secret,
    old_ends_at: Timestamp,
    replace: bool,
    now: Timestamp,
) -> Result<Rotation> {
    let (id_text, now_ms) = (id.as_str(), now.as_millisecond());
    let key = query_as::<_, (String,)>(HOLD_KEY);
    if write.all(key.bind(id_text)).await?.is_empty() {
        return Ok(Rotation::NoKey);
    }
    let live = query_as::<_, LiveRow>(HOLD_LIVE);
    let older = rows::older(write.all(live.bind(id_text).bind(now_ms)).await?);
    if !older.is_empty() && !replace {
        return Ok(Rotation::TwoLive);
    }
    for secret in older {
        let end = query("UPDATE secrets SET expires_at = $2 WHERE id = $1");
        write.run(end.bind(secret).bind(now_ms)).await?;
    }
    let grace = query(
        "UPDATE secrets SET expires_at = $2 WHERE key_id = $1 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at > $2)",
    );
    write.run(grace.bind(id_text).bind(old_ends_at.as_millisecond())).await?;
    insert_secret(write, id, secret).await?;
    Ok(Rotation::Done)
}

/// Makes a key with its first secret, and says so.
pub(super) async fn make_key(
    write: &mut Write<'_>,
    act: &Act,
    key: &Key,
    secret: &Secret,
) -> Result<()> {
    check_parent(write, key).await?;
    write.run(insert_key(key)).await?;
    insert_secret(write, &key.id, secret).await?;
    let after = Some(policy(key).into());
    let entry = Entry::plain("key.create", key.id.as_str());
    record(write, act, Entry { after, ..entry }).await?;
    emit(write, &created(key)).await
}

/// A revoked key has no more children, also when it is revoked at the same moment; and they are its
/// owner's.
async fn check_parent(write: &mut Write<'_>, key: &Key) -> Result<()> {
    let Some(parent) = &key.parent_id else {
        return Ok(());
    };
    let ask = query_as::<_, (String,)>(
        "SELECT id FROM keys WHERE id = $1 AND owner_id = $2 AND revoked_at IS NULL",
    );
    let ask = ask.bind(parent.as_str()).bind(key.owner_id.as_str());
    if write.all(ask).await?.is_empty() {
        let gone = format!("the parent {parent} does not exist, was revoked or is another owner's");
        return Err(StoreError::Conflict(gone));
    }
    Ok(())
}

/// Makes the row.
fn insert_key(key: &Key) -> Command<'_> {
    query(
        "INSERT INTO keys (id, name, owner_id, parent_id, environment, scopes, limits, \
         allowed_ips, monthly_budget, expires_at, disabled, revoked_at, revoke_reason, metadata, \
         rotation_interval_days, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(key.id.as_str())
    .bind(&key.name)
    .bind(key.owner_id.as_str())
    .bind(key.parent_id.as_ref().map(KeyId::as_str))
    .bind(key.environment.name())
    .bind(json(&key.scopes))
    .bind(json(&key.limits))
    .bind(json(&key.allowed_ips))
    .bind(key.monthly_budget.map(Millionths::get))
    .bind(ms(key.expires_at))
    .bind(key.disabled)
    .bind(ms(key.revoked_at))
    .bind(&key.revoke_reason)
    .bind(json(&key.metadata))
    .bind(key.rotation_interval_days.map(i64::from))
    .bind(key.created_at.as_millisecond())
}

/// Every column that a patch can change.
pub(super) fn update_key(key: &Key) -> Command<'_> {
    query(
        "UPDATE keys SET name = $2, owner_id = $3, scopes = $4, limits = $5, allowed_ips = $6, \
         monthly_budget = $7, expires_at = $8, metadata = $9 WHERE id = $1",
    )
    .bind(key.id.as_str())
    .bind(&key.name)
    .bind(key.owner_id.as_str())
    .bind(json(&key.scopes))
    .bind(json(&key.limits))
    .bind(json(&key.allowed_ips))
    .bind(key.monthly_budget.map(Millionths::get))
    .bind(ms(key.expires_at))
    .bind(json(&key.metadata))
}

/// Adds a secret to a key.
async fn insert_secret(write: &mut Write<'_>, key: &KeyId, secret: &Secret) -> Result<()> {
    let insert = query(
        "INSERT INTO secrets \
         (id, key_id, hint, phc, created_at, expires_at, revoked_at, last_used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(secret.id.as_str())
    .bind(key.as_str())
    .bind(&secret.hint)
    .bind(&secret.phc)
    .bind(secret.created_at.as_millisecond())
    .bind(ms(secret.expires_at))
    .bind(ms(secret.revoked_at))
    .bind(ms(secret.last_used_at));
    if write.run(insert).await? == 0 {
        let taken = format!("a secret with the public id {} exists already", secret.id);
        return Err(StoreError::Conflict(taken));
    }
    Ok(())
}

/// Whose a key is that is there.
pub(super) async fn owner_of(write: &mut Write<'_>, key: &KeyId) -> Result<OwnerId> {
    let ask = query_as::<_, (String,)>("SELECT owner_id FROM keys WHERE id = $1");
    let owner = write.all(ask.bind(key.as_str())).await?.pop();
    let gone = || StoreError::Conflict(format!("there is no key {key}"));
    Ok(OwnerId::from_text(owner.ok_or_else(gone)?.0))
}

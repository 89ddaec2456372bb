//! Rotation on schedule, and what is told ahead of time.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{query, query_as};

use super::audit::{Entry, record};
use super::events::emit;
use super::{This, Write};
use crate::domain::{Act, KeyId, KeyWithSecrets, OwnerId};
use crate::store::rows::{self, KeyRow, select_keys};
use crate::store::schedule::{HourlyUse, Judge, Look, Schedule, Telling};
use crate::store::{Result, StoreError};

/// A key whose row nobody can read is left alone for so long.
const UNREADABLE: SignedDuration = SignedDuration::from_hours(1);
/// When a key is looked at of which nothing lies ahead: when something of it has changed.
const NEVER: i64 = i64::MAX;

/// Takes the look at a key; whether it is to be looked at, and nobody else has.
async fn take(write: &mut Write<'_>, id: &KeyId, now: Timestamp) -> Result<bool> {
    let take = query("UPDATE calendar SET look_at = $3 WHERE key_id = $1 AND look_at <= $2");
    let later = now.saturating_add(UNREADABLE).unwrap_or(Timestamp::MAX).as_millisecond();
    let take = take.bind(id.as_str()).bind(now.as_millisecond()).bind(later);
    Ok(write.run(take).await? > 0)
}

/// What the judge says of the key as it is now; of one that is gone there is nothing to say.
async fn look(write: &mut Write<'_>, id: &KeyId, judge: &Judge<'_>) -> Result<Look> {
    let ask = query_as::<_, KeyRow>(select_keys!("keys k", "WHERE k.id = $1"));
    let loaded = rows::loaded(write.all(ask.bind(id.as_str())).await?)?.pop();
    Ok(loaded.map(|loaded| judge(&loaded)).unwrap_or_default())
}

/// Writes an event down unless it was told; what was told about earlier times need not be known any
/// more.
async fn tell(write: &mut Write<'_>, telling: &Telling) -> Result<bool> {
    let (subject, about) = (&telling.event.subject, telling.about.as_millisecond());
    let note = query(
        "INSERT INTO reminders (subject, kind, about) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    if write.run(note.bind(subject).bind(telling.kind).bind(about)).await? == 0 {
        return Ok(false);
    }
    let forget = query("DELETE FROM reminders WHERE subject = $1 AND kind = $2 AND about < $3");
    write.run(forget.bind(subject).bind(telling.kind).bind(about)).await?;
    emit(write, &telling.event).await?;
    Ok(true)
}

/// From when on a schedule that is set now asks for something: from now on, unless the one before it
/// asks already. To set it again wins no time.
fn due_from(held: &KeyWithSecrets, now: Timestamp) -> Timestamp {
    held.next_rotation_at(now).map_or(now, |due| due.min(now))
}

/// The rows of [`Schedule::busy_keys`], gathered by key.
fn gathered(rows: Vec<(String, String, i64, i64)>) -> Result<Vec<HourlyUse>> {
    let mut all: Vec<HourlyUse> = Vec::new();
    for (key, owner, period, requests) in rows {
        let hour = Timestamp::from_millisecond(period)
            .map_err(|error| StoreError::Corrupt(format!("period of usage_hours: {error}")))?;
        let hour = (hour, requests.unsigned_abs());
        match all.last_mut().filter(|last| last.key.as_str() == key) {
            Some(last) => last.hours.push(hour),
            None => all.push(HourlyUse {
                key: KeyId::from_text(key),
                owner: OwnerId::from_text(owner),
                hours: vec![hour],
            }),
        }
    }
    Ok(all)
}

#[async_trait]
impl Schedule for This {
    async fn schedule_rotation(&self, act: &Act, id: &KeyId, days: Option<u32>) -> Result<bool> {
        let ask = query_as::<_, KeyRow>(select_keys!(
            "keys k",
            "WHERE k.id = $1 AND k.revoked_at IS NULL"
        ));
        let mut write = self.connections.write().await?;
        let found = rows::loaded(write.all(ask.bind(id.as_str())).await?)?.pop();
        let Some(held) = found.map(|loaded| loaded.key) else {
            write.undo().await?;
            return Ok(false);
        };
        let before = held.key.rotation_interval_days;
        let from = days.map(|_| due_from(&held, act.at).as_millisecond());
        let update = query(
            "UPDATE keys SET rotation_interval_days = $2, rotation_due_at = $3 WHERE id = $1",
        );
        write.run(update.bind(id.as_str()).bind(days.map(i64::from)).bind(from)).await?;
        let said = |days: Option<u32>| Some(json!({ "rotation_interval_days": days }));
        let entry = Entry::plain("key.schedule", id.as_str());
        let entry = Entry { before: said(before), after: said(days), ..entry };
        record(&mut write, act, entry).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn keys_to_look_at(&self, now: Timestamp, most: u32) -> Result<Vec<KeyId>> {
        let ask = query_as::<_, (String,)>(
            "SELECT key_id FROM calendar WHERE look_at <= $1 ORDER BY look_at LIMIT $2",
        );
        let ask = ask.bind(now.as_millisecond()).bind(i64::from(most));
        let ids = self.connections.all(ask).await?;
        Ok(ids.into_iter().map(|(id,)| KeyId::from_text(id)).collect())
    }

    async fn look_at_key(&self, id: &KeyId, now: Timestamp, judge: &Judge<'_>) -> Result<usize> {
        let mut write = self.connections.begin().await?;
        if !take(&mut write, id, now).await? {
            write.undo().await?;
            return Ok(0);
        }
        let Look { tell: tellings, again } = match look(&mut write, id, judge).await {
            Ok(look) => look,
            Err(error @ StoreError::Corrupt(_)) => {
                write.commit().await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let mut told = 0;
        for telling in &tellings {
            told += usize::from(tell(&mut write, telling).await?);
        }
        let again = again.map_or(NEVER, Timestamp::as_millisecond);
        let note = query("UPDATE calendar SET look_at = $2 WHERE key_id = $1");
        write.run(note.bind(id.as_str()).bind(again)).await?;
        write.commit().await?;
        Ok(told)
    }

    async fn tell_once(&self, telling: &Telling) -> Result<bool> {
        let mut write = self.connections.begin().await?;
        let told = tell(&mut write, telling).await?;
        write.commit().await?;
        Ok(told)
    }

    async fn busy_keys(
        &self,
        hour: Timestamp,
        least: u64,
        since: Timestamp,
        after: Option<&KeyId>,
        most: u32,
    ) -> Result<Vec<HourlyUse>> {
        let ask = query_as::<_, (String, String, i64, i64)>(
            "WITH busy AS (SELECT u.key_id, k.owner_id FROM usage_hours u \
             JOIN keys k ON k.id = u.key_id \
             WHERE u.period = $1 AND u.key_id > $4 AND k.revoked_at IS NULL \
             GROUP BY u.key_id, k.owner_id HAVING sum(u.requests) >= $2 \
             ORDER BY u.key_id LIMIT $5) \
             SELECT b.key_id, b.owner_id, h.period, CAST(sum(h.requests) AS BIGINT) \
             FROM busy b JOIN usage_hours h ON h.key_id = b.key_id \
             WHERE h.period >= $3 AND h.period <= $1 \
             GROUP BY b.key_id, b.owner_id, h.period ORDER BY b.key_id, h.period",
        )
        .bind(hour.as_millisecond())
        .bind(i64::try_from(least).unwrap_or(i64::MAX))
        .bind(since.as_millisecond())
        .bind(after.map_or("", KeyId::as_str))
        .bind(i64::from(most));
        gathered(self.connections.all(ask).await?)
    }
}

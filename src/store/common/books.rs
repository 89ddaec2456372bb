//! What was used and spent, booked.
//!
//! Rows are taken in one order by whoever books or takes: hours, leases by their number, spending by
//! key and month, credits by owner. So no two of them wait for each other.

mod batch;
mod kept;
mod lines;
mod money;
mod thresholds;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{query, query_as};

use self::batch::Sums;
pub(super) use self::money::{LeaseRow, give_back};
use self::money::{release, spend};
use super::{This, Write};
use crate::domain::{JournalId, KeyId, Millionths, Month};
use crate::store::books::Kept;
use crate::store::{
    Batch, Booking, Books, Leases as _, Result, Spending, StoreError, UsageBy, UsageFilter,
    UsageRow,
};

#[async_trait]
impl Books for This {
    async fn book(&self, batch: &Batch, now: Timestamp) -> Result<Booking> {
        let mut write = self.connections.begin().await?;
        if let Some(elsewhere) = advance(&mut write, batch, now).await? {
            write.undo().await?;
            return Ok(Booking::At(elsewhere));
        }
        let sums = Sums::of(batch);
        batch::keep(&mut write, &batch.requests).await?;
        batch::count(&mut write, &sums).await?;
        if sums.moves_money() {
            spend(&mut write, &sums, now).await?;
        }
        write.commit().await?;
        Ok(Booking::Done)
    }

    async fn booked(&self, journal: &JournalId) -> Result<BTreeMap<u32, u64>> {
        let ask = query_as::<_, (i64, i64)>("SELECT worker, booked FROM journals WHERE id = $1");
        let rows = self.connections.all(ask.bind(journal.as_str())).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(worker, booked)| Some((worker.try_into().ok()?, booked.cast_unsigned())))
            .collect())
    }

    async fn keep_journal(&self, journal: &JournalId, now: Timestamp) -> Result<()> {
        let update = query("UPDATE journals SET booked_at = $2 WHERE id = $1");
        self.alone(update.bind(journal.as_str()).bind(now.as_millisecond())).await
    }

    async fn forget_journal(&self, journal: &JournalId) -> Result<()> {
        self.alone(query("DELETE FROM journals WHERE id = $1").bind(journal.as_str())).await
    }

    async fn release_leases(&self, holder: &JournalId) -> Result<usize> {
        let ask = query_as::<_, LeaseRow>(concat!(
            "SELECT id, key_id, owner_id, month, amount FROM leases WHERE holder = $1 ORDER BY id",
            held!()
        ));
        let mut write = self.connections.begin().await?;
        let leases = write.all(ask.bind(holder.as_str())).await?;
        release(&mut write, &leases).await?;
        write.commit().await?;
        Ok(leases.len())
    }

    async fn release_expired_leases(&self) -> Result<usize> {
        let ask = query_as::<_, LeaseRow>(concat!(
            "SELECT id, key_id, owner_id, month, amount FROM leases WHERE expires_at <= ",
            now_ms!(),
            " ORDER BY id",
            held!()
        ));
        let mut write = self.connections.begin().await?;
        let leases = write.all(ask).await?;
        release(&mut write, &leases).await?;
        write.commit().await?;
        Ok(leases.len())
    }

    async fn usage(&self, filter: &UsageFilter, by: UsageBy) -> Result<Vec<UsageRow>> {
        kept::usage(self, filter, by).await
    }

    async fn spent(&self, keys: &[KeyId], month: Month) -> Result<BTreeMap<KeyId, Millionths>> {
        let read = |(key, spending): (KeyId, Spending)| {
            let corrupt = || StoreError::Corrupt(format!("spent of {key} in spending is negative"));
            let spent = Millionths::new(spending.spent).ok_or_else(corrupt)?;
            Ok((key, spent))
        };
        self.spending(keys, month).await?.into_iter().map(read).collect()
    }

    async fn tidy_usage(&self, kept: &Kept) -> Result<()> {
        kept::tidy(self, kept).await
    }
}

impl This {
    /// Runs one statement by itself that takes no turn among the writers.
    async fn alone(&self, command: super::Command<'_>) -> Result<()> {
        let mut write = self.connections.begin().await?;
        write.run(command).await?;
        write.commit().await
    }
}

/// Moves the books on to the batch's end; where they are, if that is not its beginning.
async fn advance(write: &mut Write<'_>, batch: &Batch, now: Timestamp) -> Result<Option<u64>> {
    let (journal, worker) = (batch.journal.as_str(), i64::from(batch.worker));
    let advance = || {
        query(
            "UPDATE journals SET booked = $4, booked_at = $5 \
             WHERE id = $1 AND worker = $2 AND booked = $3",
        )
        .bind(journal)
        .bind(worker)
        .bind(batch.from.cast_signed())
        .bind(batch.to.cast_signed())
        .bind(now.as_millisecond())
    };
    if write.run(advance()).await? > 0 {
        return Ok(None);
    }
    let begin = query(
        "INSERT INTO journals (id, worker, booked, booked_at) VALUES ($1, $2, 0, $3) \
         ON CONFLICT DO NOTHING",
    );
    write.run(begin.bind(journal).bind(worker).bind(now.as_millisecond())).await?;
    if write.run(advance()).await? > 0 {
        return Ok(None);
    }
    let ask = query_as::<_, (i64,)>("SELECT booked FROM journals WHERE id = $1 AND worker = $2");
    let at = write.all(ask.bind(journal).bind(worker)).await?.pop();
    Ok(Some(at.map_or(0, |row| row.0.cast_unsigned())))
}

/// Rows as a statement's `rows!` takes them.
pub(super) fn list(rows: impl IntoIterator<Item = Value>) -> String {
    Value::Array(rows.into_iter().collect()).to_string()
}

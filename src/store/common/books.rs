//! What was used and spent, booked.
//!
//! Rows are taken in one order by whoever books or takes: hours, leases by their number, spending by
//! key and month, credits by owner. So no two of them wait for each other.

mod batch;
mod kept;
mod lines;
mod thresholds;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{query, query_as};

use self::batch::Sums;
use self::lines::Lines;
use super::{This, Write};
use crate::domain::{JournalId, KeyId, Millionths, Month};
use crate::store::books::Kept;
use crate::store::{Batch, Booking, Books, Result, StoreError, UsageBy, UsageFilter, UsageRow};

/// A lease, held.
type LeaseRow = (i64, String, Option<String>, i64, i64);

/// What a change does to what is held and spent of keys and credits.
#[derive(Default)]
struct Change {
    /// By key and month: spent, and no longer held.
    spending: BTreeMap<(String, i64), (i64, i64)>,
    /// By owner: spent, and no longer held.
    credits: BTreeMap<String, (i64, i64)>,
}

impl Change {
    /// Adds what no lease holds any more.
    fn release(&mut self, lease: &LeaseRow, amount: i64, lines: &Lines) {
        let (_, key, owner, month, _) = lease;
        for member in lines.of(key) {
            let held = &mut self.spending.entry((member.to_owned(), *month)).or_default().1;
            *held = held.saturating_add(amount);
        }
        if let Some(owner) = owner {
            let held = &mut self.credits.entry(owner.clone()).or_default().1;
            *held = held.saturating_add(amount);
        }
    }
}

#[async_trait]
impl Books for This {
    async fn book(&self, batch: &Batch, now: Timestamp) -> Result<Booking> {
        let mut write = self.connections.begin().await?;
        if let Some(elsewhere) = advance(&mut write, batch, now).await? {
            write.undo().await?;
            return Ok(Booking::At(elsewhere));
        }
        let sums = Sums::of(&batch.used);
        if batch.keep_requests {
            batch::keep(&mut write, &batch.used).await?;
        }
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
            .map(|(worker, booked)| (worker as u32, booked.cast_unsigned()))
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
        let ask = query_as(concat!(
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
        let ask = query_as(concat!(
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
        let ask = query_as::<_, (String, i64)>(concat!(
            "SELECT s.key_id, s.spent FROM spending s JOIN ",
            rows!(key_id text),
            " ON r.key_id = s.key_id WHERE s.month = $2"
        ));
        let keys = list(keys.iter().map(|key| json!({ "key_id": key })));
        let rows = self.connections.all(ask.bind(keys).bind(i64::from(month.number()))).await?;
        let read = |(key, spent): (String, i64)| {
            let corrupt = || StoreError::Corrupt(format!("spent of {key} in spending is negative"));
            Ok((KeyId::from_text(key.as_str()), Millionths::new(spent).ok_or_else(corrupt)?))
        };
        rows.into_iter().map(read).collect()
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

/// Takes what a batch has spent from leases, keys and credits.
async fn spend(write: &mut Write<'_>, sums: &Sums<'_>, now: Timestamp) -> Result<()> {
    let leases = hold_leases(write, sums).await?;
    let keys = sums.spent.keys().map(|(key, _)| key.as_str());
    let lines = lines::read(write, keys.chain(leases.iter().map(|lease| lease.1.as_str()))).await?;
    let mut change = Change::default();
    let mut taken = Vec::new();
    for lease in &leases {
        let (id, amount) = (lease.0, lease.4.min(sums.leased.get(&lease.0).copied().unwrap_or(0)));
        change.release(lease, amount, &lines);
        taken.push(json!({ "id": id, "taken": amount }));
    }
    for ((key, month), cost) in &sums.spent {
        for member in lines.of(key) {
            let entry = change.spending.entry((member.to_owned(), *month)).or_default();
            entry.0 = entry.0.saturating_add(*cost);
        }
    }
    for (owner, cost) in &sums.owners {
        change.credits.entry(owner.clone()).or_default().0 = *cost;
    }
    if !taken.is_empty() {
        let update = query(concat!(
            "UPDATE leases SET amount = leases.amount - r.taken FROM ",
            rows!(id bigint, taken bigint),
            " WHERE leases.id = r.id"
        ));
        write.run(update.bind(list(taken))).await?;
    }
    let spending = apply_to_keys(write, &change).await?;
    thresholds::of_budgets(write, &spending, &lines, now).await?;
    let credits = apply_to_credits(write, &change).await?;
    thresholds::of_credits(write, &credits, now).await
}

/// Ends held leases.
async fn release(write: &mut Write<'_>, leases: &[LeaseRow]) -> Result<()> {
    if leases.is_empty() {
        return Ok(());
    }
    let lines = lines::read(write, leases.iter().map(|lease| lease.1.as_str())).await?;
    let mut change = Change::default();
    for lease in leases {
        change.release(lease, lease.4, &lines);
    }
    let delete =
        query(concat!("DELETE FROM leases WHERE id IN (SELECT r.id FROM ", rows!(id bigint), ")"));
    write.run(delete.bind(list(leases.iter().map(|lease| json!({ "id": lease.0 }))))).await?;
    apply_to_keys(write, &change).await?;
    apply_to_credits(write, &change).await.map(drop)
}

/// Those of the leases named that are still there.
async fn hold_leases(write: &mut Write<'_>, sums: &Sums<'_>) -> Result<Vec<LeaseRow>> {
    if sums.leased.is_empty() {
        return Ok(Vec::new());
    }
    let ask = query_as::<_, LeaseRow>(concat!(
        "SELECT l.id, l.key_id, l.owner_id, l.month, l.amount FROM leases l \
         WHERE l.id IN (SELECT r.id FROM ",
        rows!(id bigint),
        ") ORDER BY l.id",
        held!()
    ));
    write.all(ask.bind(list(sums.leased.keys().map(|id| json!({ "id": id }))))).await
}

/// A key's month: key, month, spent, told.
type SpendingRow = (String, i64, i64, i64);

/// What is spent and held of keys, changed; how those stand of which was spent.
async fn apply_to_keys(write: &mut Write<'_>, change: &Change) -> Result<Vec<SpendingRow>> {
    if change.spending.is_empty() {
        return Ok(Vec::new());
    }
    let upsert = query_as::<_, SpendingRow>(concat!(
        "INSERT INTO spending (key_id, month, spent, held) \
         SELECT r.key_id, r.month, r.spent, -r.released FROM ",
        rows!(key_id text, month bigint, spent bigint, released bigint),
        " WHERE true ORDER BY r.key_id, r.month ON CONFLICT (key_id, month) DO UPDATE \
         SET spent = spending.spent + excluded.spent, held = spending.held + excluded.held \
         RETURNING key_id, month, spent, told"
    ));
    let rows = change.spending.iter().map(|((key, month), (spent, released))| {
        json!({ "key_id": key, "month": month, "spent": spent, "released": released })
    });
    let mut rows = write.all(upsert.bind(list(rows))).await?;
    rows.retain(|row| change.spending.get(&(row.0.clone(), row.1)).is_some_and(|c| c.0 > 0));
    Ok(rows)
}

/// Balances and what is held of them, changed; those owners that have credits and have spent some.
async fn apply_to_credits(write: &mut Write<'_>, change: &Change) -> Result<Vec<String>> {
    if change.credits.is_empty() {
        return Ok(Vec::new());
    }
    let hold = query_as::<_, (String,)>(concat!(
        // Until somebody has added to them, credits are not spent: then there is only a policy.
        "SELECT c.owner_id FROM credits c JOIN owners o ON o.id = c.owner_id \
         WHERE o.credit_changes > 0 AND c.owner_id IN (SELECT r.owner_id FROM ",
        rows!(owner_id text),
        ") ORDER BY c.owner_id",
        held!("c")
    ));
    let named = list(change.credits.keys().map(|owner| json!({ "owner_id": owner })));
    let held = write.all(hold.bind(named)).await?;
    let rows = held.iter().filter_map(|(owner,)| {
        let (spent, released) = change.credits.get(owner)?;
        Some(json!({ "owner_id": owner, "spent": spent, "released": released }))
    });
    let rows: Vec<Value> = rows.collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let update = query(concat!(
        "UPDATE credits SET balance = credits.balance - r.spent, \
         held = credits.held - r.released FROM ",
        rows!(owner_id text, spent bigint, released bigint),
        " WHERE credits.owner_id = r.owner_id"
    ));
    write.run(update.bind(list(rows))).await?;
    let spenders = held.into_iter().map(|(owner,)| owner);
    Ok(spenders.filter(|owner| change.credits.get(owner).is_some_and(|c| c.0 > 0)).collect())
}

/// Rows as a statement's `rows!` takes them.
fn list(rows: impl IntoIterator<Item = Value>) -> String {
    Value::Array(rows.into_iter().collect()).to_string()
}

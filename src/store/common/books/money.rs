//! What is spent and held of keys, leases and credits, changed in the one order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{query, query_as};

use super::super::Write;
use super::batch::Sums;
use super::lines::{self, Lines};
use super::{list, thresholds};
use crate::store::Result;

/// A lease that is held: its id, whose it is, whose credits are in it, its month, what is left.
pub(in super::super) type LeaseRow = (i64, String, Option<String>, i64, i64);

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

/// Takes what a batch has spent from leases, keys and credits.
pub(super) async fn spend(write: &mut Write<'_>, sums: &Sums<'_>, now: Timestamp) -> Result<()> {
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
pub(super) async fn release(write: &mut Write<'_>, leases: &[LeaseRow]) -> Result<()> {
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

/// A part of a held lease flows back.
pub(in super::super) async fn give_back(
    write: &mut Write<'_>,
    lease: &LeaseRow,
    amount: i64,
) -> Result<()> {
    let lines = lines::read(write, std::iter::once(lease.1.as_str())).await?;
    let mut change = Change::default();
    change.release(lease, amount, &lines);
    let shrink = query("UPDATE leases SET amount = amount - $2 WHERE id = $1");
    write.run(shrink.bind(lease.0).bind(amount)).await?;
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
pub(super) type SpendingRow = (String, i64, i64, i64);

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
    let ask = query_as::<_, (String,)>(concat!(
        // Before somebody has added to them there is only a policy, and nothing to be spent.
        "SELECT c.owner_id FROM credits c JOIN owners o ON o.id = c.owner_id \
         WHERE o.credit_changes > 0 AND c.owner_id IN (SELECT r.owner_id FROM ",
        rows!(owner_id text),
        ") ORDER BY c.owner_id",
        held!("c")
    ));
    let named = list(change.credits.keys().map(|owner| json!({ "owner_id": owner })));
    let held = write.all(ask.bind(named)).await?;
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

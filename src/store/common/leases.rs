//! The statements about leases. They take no turn among the writers: no key changes by them.
//!
//! Whoever holds several rows takes them in one order, so that no two wait for each other: leases by
//! their ids, then spending by key and month, then credits by owner.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sqlx::{query, query_as};

use super::books::{LeaseRow, give_back, list};
use super::{This, Write};
use crate::domain::money::{covers, lease_size};
use crate::domain::{JournalId, KeyId, LeaseId, Month, OwnerId, Reason};
use crate::store::Result;
use crate::store::leases::{Grant, LeaseAsk, Leases, Spending};

/// Begins a statement that speaks of `family`: the key `$1` and its ancestors, with their budgets.
macro_rules! family {
    ($rest:expr) => {
        concat!(
            "WITH RECURSIVE family (id, parent_id, monthly_budget) AS ( \
             SELECT id, parent_id, monthly_budget FROM keys WHERE id = $1 UNION \
             SELECT k.id, k.parent_id, k.monthly_budget FROM keys k \
             JOIN family f ON k.id = f.parent_id) ",
            $rest
        )
    };
}

/// Selects leases to be changed.
macro_rules! hold_leases {
    ($which:expr) => {
        concat!(
            "SELECT id, key_id, owner_id, month, amount FROM leases WHERE ",
            $which,
            " ORDER BY id",
            held!()
        )
    };
}

/// A key of a family: its id, what it may spend, what it has spent and what is held.
type AccountRow = (String, Option<i64>, i64, i64);

#[async_trait]
impl Leases for This {
    async fn grant(&self, ask: &LeaseAsk) -> Result<Grant> {
        let mut write = self.connections.begin().await?;
        let grant = take(&mut write, ask).await?;
        match grant {
            Grant::Granted(_) => write.commit().await?,
            Grant::Short(_) => write.undo().await?,
        }
        Ok(grant)
    }

    async fn give_back(&self, lease: LeaseId, amount: i64) -> Result<()> {
        let mut write = self.connections.begin().await?;
        let hold = query_as::<_, LeaseRow>(hold_leases!("id = $1"));
        if let Some(row) = write.all(hold.bind(lease.number())).await?.pop() {
            give_back(&mut write, &row, amount.min(row.4)).await?;
        }
        write.commit().await
    }

    async fn renew_leases(&self, holder: &JournalId, lasts: Duration) -> Result<Vec<LeaseId>> {
        let hold = query_as::<_, LeaseRow>(hold_leases!("holder = $1"));
        let mut write = self.connections.begin().await?;
        write.all(hold.bind(holder.as_str())).await?;
        // One in which nothing is left has been booked to its end. Should it be granted more, it is made anew.
        let spent = query("DELETE FROM leases WHERE holder = $1 AND amount = 0");
        write.run(spent.bind(holder.as_str())).await?;
        let renew = query_as::<_, (i64,)>(concat!(
            "UPDATE leases SET expires_at = ",
            now_ms!(),
            " + $2 WHERE holder = $1 RETURNING id"
        ));
        let renew = renew.bind(holder.as_str()).bind(lasts.as_millis() as i64);
        let rows = write.all(renew).await?;
        write.commit().await?;
        Ok(rows.into_iter().filter_map(|(id,)| LeaseId::from_number(id)).collect())
    }

    async fn spending(&self, keys: &[KeyId], month: Month) -> Result<Vec<(KeyId, Spending)>> {
        let ask = query_as::<_, (String, i64, i64)>(concat!(
            "SELECT s.key_id, s.spent, s.held FROM spending s JOIN ",
            rows!(key_id text),
            " ON r.key_id = s.key_id WHERE s.month = $2"
        ));
        let keys = list(keys.iter().map(|key| json!({ "key_id": key })));
        let rows = self.connections.all(ask.bind(keys).bind(i64::from(month.number()))).await?;
        let read = |(key, spent, held): (String, i64, i64)| {
            (KeyId::from_text(key), Spending { spent, held })
        };
        Ok(rows.into_iter().map(read).collect())
    }
}

/// The grant itself. The lease's own row comes first, and says whose credits are in it: those that
/// there were when it was made.
async fn take(write: &mut Write<'_>, ask: &LeaseAsk) -> Result<Grant> {
    let (key, month) = (ask.key.as_str(), i64::from(ask.month.number()));
    let lease = query_as::<_, (Option<String>,)>(concat!(
        "INSERT INTO leases (id, holder, key_id, owner_id, month, amount, expires_at) \
         SELECT $1, $2, k.id, (SELECT c.owner_id FROM credits c WHERE c.owner_id = $4), $5, 0, ",
        now_ms!(),
        " + $6 FROM keys k WHERE k.id = $3 \
         ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at RETURNING owner_id"
    ));
    let lease = lease
        .bind(ask.lease.number())
        .bind(ask.holder.as_str())
        .bind(key)
        .bind(ask.credits_of.as_ref().map(OwnerId::as_str))
        .bind(month)
        .bind(ask.lasts.as_millis() as i64);
    let Some((credits_of,)) = write.all(lease).await?.pop() else {
        return Ok(Grant::Short(Reason::BudgetExceeded));
    };
    let open = query(family!(
        "INSERT INTO spending (key_id, month) SELECT id, $2 FROM family WHERE true ORDER BY id \
         ON CONFLICT DO NOTHING"
    ));
    write.run(open.bind(key).bind(month)).await?;
    let accounts = query_as::<_, AccountRow>(family!(concat!(
        "SELECT s.key_id, f.monthly_budget, s.spent, s.held FROM spending s \
         JOIN family f ON f.id = s.key_id WHERE s.month = $2 ORDER BY s.key_id",
        held!("s")
    )));
    let accounts = write.all(accounts.bind(key).bind(month)).await?;
    let credits = match &credits_of {
        Some(owner) => credits_left(write, owner).await?,
        None => None,
    };
    let amount = match size(&accounts, credits, ask) {
        Ok(amount) => amount,
        Err(reason) => return Ok(Grant::Short(reason)),
    };
    let hold = query(family!(
        "UPDATE spending SET held = held + $3 WHERE month = $2 AND key_id IN (SELECT id FROM family)"
    ));
    write.run(hold.bind(key).bind(month).bind(amount)).await?;
    if let Some(owner) = &credits_of {
        let hold = query("UPDATE credits SET held = held + $2 WHERE owner_id = $1");
        write.run(hold.bind(owner).bind(amount)).await?;
    }
    let grow = query("UPDATE leases SET amount = amount + $2 WHERE id = $1");
    write.run(grow.bind(ask.lease.number()).bind(amount)).await?;
    Ok(Grant::Granted(amount))
}

/// How much is granted of what is left in all of them; or in which there is too little.
fn size(accounts: &[AccountRow], credits: Option<i64>, ask: &LeaseAsk) -> Result<i64, Reason> {
    let left = |(_, budget, spent, held): &AccountRow| budget.map(|it| it - spent - held);
    let budgets = accounts.iter().filter_map(left).min().unwrap_or(i64::MAX);
    if accounts.is_empty() || !covers(budgets, ask.size.least) {
        return Err(Reason::BudgetExceeded);
    }
    let left = budgets.min(credits.unwrap_or(i64::MAX));
    lease_size(left, ask.size).ok_or(Reason::CreditsExhausted)
}

/// What is left of an owner's credits; `None` where it has none to be spent.
async fn credits_left(write: &mut Write<'_>, owner: &str) -> Result<Option<i64>> {
    let credits = query_as::<_, (i64, i64)>(concat!(
        "SELECT balance, held FROM credits WHERE owner_id = $1",
        held!()
    ));
    let credits = write.all(credits.bind(owner)).await?.pop();
    Ok(credits.map(|(balance, held)| balance - held))
}

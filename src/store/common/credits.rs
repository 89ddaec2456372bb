//! The statements about credits. Whoever changes them by hand changes their owner's row too, so that
//! every instance hears of it and asks anew.

use async_trait::async_trait;
use serde_json::json;
use sqlx::{FromRow, query, query_as};

use super::audit::{Entry, record};
use super::{This, Write};
use crate::domain::{Act, AuditId, Millionths, OwnerId};
use crate::store::credits::{CreditBooks, CreditPolicy, Credits, Recharge, balance};
use crate::store::{Result, StoreError};

/// An owner's credits as they are kept.
#[derive(FromRow)]
struct CreditRow {
    owner_id: String,
    balance: i64,
    held: i64,
    low_threshold: Option<i64>,
    recharge_threshold: Option<i64>,
    recharge_amount: Option<i64>,
    recharge_asked_at: Option<i64>,
}

impl CreditRow {
    fn read(self) -> Credits {
        let recharge = |(threshold, amount)| {
            Some(Recharge {
                threshold: Millionths::new(threshold)?,
                amount: Millionths::new(amount)?,
            })
        };
        Credits {
            owner: OwnerId::from_text(self.owner_id),
            balance: self.balance,
            held: self.held,
            low_threshold: self.low_threshold.and_then(Millionths::new),
            recharge: self.recharge_threshold.zip(self.recharge_amount).and_then(recharge),
            recharge_asked: self.recharge_asked_at.is_some(),
        }
    }
}

/// Selects an owner's row.
macro_rules! credits {
    ($end:expr) => {
        concat!(
            "SELECT owner_id, balance, held, low_threshold, recharge_threshold, recharge_amount, \
             recharge_asked_at FROM credits WHERE owner_id = $1",
            $end
        )
    };
}

#[async_trait]
impl CreditBooks for This {
    async fn credits(&self, owner: &OwnerId) -> Result<Option<Credits>> {
        let ask = query_as::<_, CreditRow>(credits!("")).bind(owner.as_str());
        Ok(self.connections.all(ask).await?.pop().map(CreditRow::read))
    }

    async fn add_credits(
        &self,
        act: &Act,
        owner: &OwnerId,
        amount: Millionths,
        reason: &str,
    ) -> Result<Credits> {
        let mut write = self.connections.write().await?;
        let before = open(&mut write, owner).await?;
        let more = before.balance.checked_add(amount.get());
        let more =
            more.ok_or_else(|| StoreError::Conflict("that many credits can't be kept".to_owned()))?;
        let add = query(
            "UPDATE credits SET balance = balance + $2, recharge_asked_at = NULL, \
             told_low = CASE WHEN balance + $2 < low_threshold THEN told_low ELSE false END \
             WHERE owner_id = $1",
        );
        write.run(add.bind(owner.as_str()).bind(amount.get())).await?;
        let entry = query(
            "INSERT INTO credit_entries (id, owner_id, at, amount, balance, reason, actor) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(AuditId::mint().to_string())
        .bind(owner.as_str())
        .bind(act.at.as_millisecond())
        .bind(amount.get())
        .bind(more)
        .bind(reason)
        .bind(act.actor.to_string());
        write.run(entry).await?;
        let change = query("UPDATE owners SET credit_changes = credit_changes + 1 WHERE id = $1");
        write.run(change.bind(owner.as_str())).await?;
        let entry = Entry {
            before: Some(json!({ "balance": balance(before.balance) })),
            after: Some(json!({ "balance": balance(more), "added": amount })),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
            ..Entry::plain("credits.add", owner.as_str())
        };
        record(&mut write, act, entry).await?;
        finish(write, owner).await
    }

    async fn set_credit_policy(
        &self,
        act: &Act,
        owner: &OwnerId,
        policy: &CreditPolicy,
    ) -> Result<Credits> {
        let mut write = self.connections.write().await?;
        let before = open(&mut write, owner).await?;
        let low = policy.low_threshold.unwrap_or(before.low_threshold);
        let recharge = policy.recharge.unwrap_or(before.recharge);
        let set = query(
            "UPDATE credits SET low_threshold = $2, recharge_threshold = $3, recharge_amount = $4, \
             told_low = false WHERE owner_id = $1",
        )
        .bind(owner.as_str())
        .bind(low.map(Millionths::get))
        .bind(recharge.map(|recharge| recharge.threshold.get()))
        .bind(recharge.map(|recharge| recharge.amount.get()));
        write.run(set).await?;
        let said = |low, recharge| Some(json!({ "low_threshold": low, "recharge": recharge }));
        let entry = Entry {
            before: said(before.low_threshold, before.recharge),
            after: said(low, recharge),
            ..Entry::plain("credits.policy", owner.as_str())
        };
        record(&mut write, act, entry).await?;
        finish(write, owner).await
    }
}

/// The owner's row, held, and made where there is none. It is this writer's turn.
async fn open(write: &mut Write<'_>, owner: &OwnerId) -> Result<Credits> {
    let make = query("INSERT INTO credits (owner_id) VALUES ($1) ON CONFLICT DO NOTHING");
    write.run(make.bind(owner.as_str())).await?;
    let hold = query_as::<_, CreditRow>(credits!(held!())).bind(owner.as_str());
    let row = write.all(hold).await?.pop();
    let gone = || StoreError::Conflict(format!("there is no owner {owner}"));
    Ok(row.ok_or_else(gone)?.read())
}

async fn finish(mut write: Write<'_>, owner: &OwnerId) -> Result<Credits> {
    let credits = open(&mut write, owner).await?;
    write.commit().await?;
    Ok(credits)
}

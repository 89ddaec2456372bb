//! What crosses a threshold by being booked, told once.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{query, query_as};

use super::super::Write;
use super::super::events::emit;
use super::lines::Lines;
use super::list;
use super::money::SpendingRow;
use crate::domain::{Event, EventKind, KeyId, Millionths, OwnerId};
use crate::store::Result;

/// The parts of a budget, in percent, that are told of.
const PERCENTS: [i64; 2] = [80, 100];
/// After so long a billing system that has not answered is asked again.
const ASK_AGAIN_MS: i64 = 24 * 3_600_000;

/// Tells of budgets of which so much is spent now, each percentage once a month.
pub(super) async fn of_budgets(
    write: &mut Write<'_>,
    rows: &[SpendingRow],
    lines: &Lines,
    now: Timestamp,
) -> Result<()> {
    for (key, month, spent, told) in rows {
        let Some(member) = lines.member(key) else { continue };
        let Some(budget) = member.budget else { continue };
        let crossed = |percent: &i64| percent > told && is_spent(*spent, budget, *percent);
        let crossed: Vec<i64> = PERCENTS.into_iter().filter(crossed).collect();
        let Some(highest) = crossed.last() else { continue };
        let update = query("UPDATE spending SET told = $3 WHERE key_id = $1 AND month = $2");
        write.run(update.bind(key).bind(month).bind(highest)).await?;
        let (key, owner) = (KeyId::from_text(&**key), OwnerId::from_text(&*member.owner));
        for percent in crossed {
            let more = json!({
                "percent": percent,
                "monthly_budget": Millionths::new(budget),
                "spent": Millionths::new(*spent),
            });
            let event = Event::of_key(EventKind::BudgetThreshold, &key, &owner, more, now);
            emit(write, &event).await?;
        }
    }
    Ok(())
}

/// Whether so many percent of a budget are spent.
fn is_spent(spent: i64, budget: i64, percent: i64) -> bool {
    i128::from(spent) * 100 >= i128::from(budget) * i128::from(percent)
}

/// An owner's credits: owner, balance, thresholds, whether the low one was told, the amount to ask for,
/// whether it may be asked for.
type CreditsRow = (String, i64, Option<i64>, Option<i64>, bool, Option<i64>, bool);

/// Tells of credits that are low now, and asks for more where the owner wants that.
pub(super) async fn of_credits(
    write: &mut Write<'_>,
    owners: &[String],
    now: Timestamp,
) -> Result<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let ask = query_as::<_, CreditsRow>(concat!(
        "SELECT c.owner_id, c.balance, c.low_threshold, c.recharge_threshold, c.told_low, \
         c.recharge_amount, (c.recharge_asked_at IS NULL OR c.recharge_asked_at < $2) \
         FROM credits c WHERE c.owner_id IN (SELECT r.owner_id FROM ",
        rows!(owner_id text),
        ") ORDER BY c.owner_id"
    ));
    let named = list(owners.iter().map(|owner| json!({ "owner_id": owner })));
    let now_ms = now.as_millisecond();
    for row in write.all(ask.bind(named).bind(now_ms - ASK_AGAIN_MS)).await? {
        let (owner, balance, low, recharge, told, amount, may_ask) = row;
        let is_low = !told && low.is_some_and(|threshold| balance < threshold);
        let asks = may_ask && recharge.is_some_and(|threshold| balance < threshold);
        if !is_low && !asks {
            continue;
        }
        let update = query(
            "UPDATE credits SET told_low = (told_low OR $2), \
             recharge_asked_at = CASE WHEN $3 THEN $4 ELSE recharge_asked_at END \
             WHERE owner_id = $1",
        );
        write.run(update.bind(&owner).bind(is_low).bind(asks).bind(now_ms)).await?;
        let threshold = if is_low { low } else { recharge };
        let mut data = json!({
            "owner": owner,
            "balance": signed(balance),
            "threshold": threshold.map(signed),
        });
        if asks {
            data["recharge"] = json!({ "amount": amount.map(signed) });
        }
        emit(write, &Event::new(EventKind::CreditsLow, &owner, data, now)).await?;
    }
    Ok(())
}

/// An amount that may be below zero, as text.
fn signed(millionths: i64) -> String {
    let magnitude = i64::try_from(millionths.unsigned_abs()).unwrap_or(i64::MAX);
    let magnitude = Millionths::new(magnitude).unwrap_or_default();
    if millionths < 0 { format!("-{magnitude}") } else { magnitude.to_string() }
}

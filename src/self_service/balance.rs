//! `GET /balance`: what the calling key has spent this month, and what it may still.

use jiff::Timestamp;
use serde::Serialize;

use super::amount::Amount;
use super::refused::{Names, of_mint, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::domain::{Key, KeyId, Millionths, Month};

/// A key's money. `null` is no bound.
#[derive(Serialize)]
pub(super) struct Balance {
    monthly_budget: Option<Amount>,
    spent: Amount,
    /// The least that is left of its own budget, of those of the keys above it and of the credits.
    remaining: Option<Amount>,
    credits: Option<Amount>,
    resets_at: Timestamp,
    auto_recharge_enabled: bool,
}

/// The balance of the calling key.
pub(super) async fn balance(mint: Mint<'_>, asked: &Asked) -> Outcome {
    Ok(Answered::ok(&of(mint, asked).await?))
}

/// The same, to be part of another answer.
pub(super) async fn of(mint: Mint<'_>, asked: &Asked) -> Outcome<Balance> {
    let month = Month::of(mint.clock.now());
    let own = asked.caller.id();
    let family = mint.family(own).await.map_err(|error| of_mint(error, Names { budget: "" }))?;
    let ids: Vec<KeyId> = family.iter().map(|key| key.id.clone()).collect();
    let spent = mint.store.spent(&ids, month).await.map_err(of_store)?;
    let spent = |id: &KeyId| spent.get(id).map_or(0, |spent| spent.get());
    let left = |key: &Key| Some(key.monthly_budget?.get() - spent(&key.id));
    let record = &asked.caller.rights.record;
    let credits = match record.owner.credit_changes() {
        0 => None,
        _ => mint.store.credits(&record.owner.id).await.map_err(of_store)?,
    };
    let credited = credits.as_ref().map(|credits| credits.balance);
    let remaining = family.iter().filter_map(left).chain(credited).min();
    Ok(Balance {
        monthly_budget: family.first().and_then(|key| key.monthly_budget).map(Amount),
        spent: amount(spent(own)),
        remaining: remaining.map(amount),
        credits: credited.map(amount),
        resets_at: month.ends(),
        auto_recharge_enabled: credits.is_some_and(|credits| credits.recharge.is_some()),
    })
}

/// What was overspent, by costs that nobody knew before, is nothing left.
fn amount(millionths: i64) -> Amount {
    Amount(Millionths::new(millionths).unwrap_or_default())
}

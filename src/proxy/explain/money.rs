//! What binds a key's spending, as far as the store knows it.

use std::sync::Arc;

use crate::auth::table::{KeyEntry, Moment};
use crate::domain::{KeyId, Month, Reason};
use crate::store::credits::balance;
use crate::store::{Store, StoreError};

/// What binds a key's spending this month, as the books have it.
#[derive(Default)]
pub(super) struct Money {
    /// Of the key and each ancestor that has one: whose, how much, how much of it is spent.
    budgets: Vec<(KeyId, i64, i64)>,
    /// What is left of the owner's credits, where it has any.
    credits: Option<i64>,
}

impl Money {
    pub(super) async fn of(
        key: &Arc<KeyEntry>,
        store: &dyn Store,
        now: Moment,
    ) -> Result<Self, StoreError> {
        let line = std::iter::successors(Some(key), |key| key.parent.as_ref());
        let budget = |key: &Arc<KeyEntry>| {
            let budget = key.row().key.monthly_budget?;
            Some((key.id.clone(), budget.get(), 0))
        };
        let mut budgets: Vec<(KeyId, i64, i64)> = line.filter_map(budget).collect();
        let ids: Vec<KeyId> = budgets.iter().map(|(id, ..)| id.clone()).collect();
        let spent = store.spent(&ids, Month::of_ms(now.wall_ms)).await?;
        for (id, _, so_far) in &mut budgets {
            *so_far = spent.get(id).map_or(0, |spent| spent.get());
        }
        let owner = Arc::clone(&key.row().owner);
        let credits = match owner.credit_changes() {
            0 => None,
            _ => store.credits(&owner.id).await?.map(|credits| credits.balance),
        };
        Ok(Self { budgets, credits })
    }

    /// What is nearest to its end: what is left of it, in words too, and what it is refused as.
    pub(super) fn tightest(&self) -> Option<(i64, String, Reason)> {
        let budgets = self.budgets.iter().map(|(id, budget, spent)| {
            let (left, all) = (budget - spent, balance(*budget));
            let told = format!("{} of the {all} of {id} left this month", balance(left));
            (left, told, Reason::BudgetExceeded)
        });
        let credits = self.credits.map(|left| {
            (
                left,
                format!("{} of the owner's credits left", balance(left)),
                Reason::CreditsExhausted,
            )
        });
        budgets.chain(credits).min_by_key(|(left, ..)| *left)
    }
}

//! What people look at of many keys at once: how much they are used and what they spend.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::Result;
use crate::domain::{KeyId, Millionths, Month};

/// A key that has spent most of its month's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearBudget {
    /// Which.
    pub key: KeyId,
    /// What people call it.
    pub name: String,
    /// What it may spend in a month.
    pub budget: Millionths,
    /// What it has spent, its descendants' spending among it.
    pub spent: Millionths,
}

/// Questions about many keys, each answered by one statement.
#[async_trait]
pub trait Figures {
    /// How many requests of these keys were answered, by day in UTC, from a moment's day on. A day
    /// or key that is left out had none.
    async fn requests_by_day(
        &self,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<BTreeMap<KeyId, BTreeMap<Date, u64>>>;
    /// What all keys together have spent in a month.
    async fn spent_by_all(&self, month: Month) -> Result<Millionths>;
    /// Keys that are not revoked and have spent 80 % of their month's budget or more, those first
    /// that have the least left, so many at most.
    async fn near_budget(&self, month: Month, most: u32) -> Result<Vec<NearBudget>>;
}

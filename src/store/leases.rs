//! Leases: parts of budgets that instances hold and spend in their memory.
//!
//! What is left of a budget is never written down. It is the budget without what was spent and what
//! is held in leases, so that whatever happens to a lease makes no money and loses none.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;
use crate::domain::money::LeaseSize;
use crate::domain::{JournalId, KeyId, LeaseId, Month, OwnerId, Reason};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseAsk {
    /// The lease that is to be made or made larger.
    pub lease: LeaseId,
    /// Who holds it.
    pub holder: JournalId,
    /// Whose budget it is taken from, and that of all its ancestors.
    pub key: KeyId,
    /// Of which month.
    pub month: Month,
    /// Whose credits it is taken from too, where that owner has any.
    pub credits_of: Option<OwnerId>,
    /// How much.
    pub size: LeaseSize,
    /// How long it is good for without being renewed.
    pub lasts: Duration,
}

/// What came of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// So many millionths more.
    Granted(i64),
    /// What is asked for at least is not there: the budget is spent, or the credits are, or other
    /// instances hold what is left.
    Short(Reason),
}

/// A key's money in a month, as the books have it. All amounts are millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// By it and all its descendants.
    pub spent: i64,
    /// In leases, and not booked as spent yet.
    pub held: i64,
}

/// Leases, taken and given back.
#[async_trait]
pub trait Leases {
    /// Takes a part of what is left of the key's budget, each of its ancestors' and the credits, in
    /// one transaction: as much as [`lease_size`](crate::domain::money::lease_size) says.
    async fn grant(&self, ask: &LeaseAsk) -> Result<Grant>;
    /// Gives millionths of a lease back to all that they were taken from; more than it has left on
    /// the books is not there to be given.
    async fn give_back(&self, lease: LeaseId, amount: i64) -> Result<()>;
    /// Lets a holder's leases last so long from now; gives those that are still there.
    async fn renew_leases(&self, holder: &JournalId, lasts: Duration) -> Result<Vec<LeaseId>>;
    /// What these keys have spent in a month; those that have spent nothing are left out.
    async fn spending(&self, keys: &[KeyId], month: Month) -> Result<Vec<(KeyId, Spending)>>;
}

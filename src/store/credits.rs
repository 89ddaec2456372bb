//! Prepaid credits of owners: what somebody adds, and what happens when they run out.

use async_trait::async_trait;
use serde::Serialize;

use super::Result;
use crate::domain::{Act, Millionths, OwnerId};

/// An owner's credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credits {
    /// Whose.
    pub owner: OwnerId,
    /// What is left, in millionths; below 0 only by costs that nobody knew before.
    #[serde(serialize_with = "signed")]
    pub balance: i64,
    /// In leases of running instances, and not spent yet.
    #[serde(skip)]
    pub held: i64,
    /// Below it `credits.low` is told.
    pub low_threshold: Option<Millionths>,
    /// What is asked for when they run out.
    pub recharge: Option<Recharge>,
    /// Whether that was asked for and has not come.
    pub recharge_asked: bool,
}

/// What is asked of the billing system, which answers by adding credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Recharge {
    /// Below this balance.
    pub threshold: Millionths,
    /// So much.
    pub amount: Millionths,
}

/// What is to happen when an owner's credits run out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditPolicy {
    /// Below which balance `credits.low` is told; `Some(None)`: never.
    pub low_threshold: Option<Option<Millionths>>,
    /// What is asked for, below which balance; `Some(None)`: nothing.
    pub recharge: Option<Option<Recharge>>,
}

/// Credits, kept.
#[async_trait]
pub trait CreditBooks {
    /// An owner's; `None` where none were ever added and nothing was said about them.
    async fn credits(&self, owner: &OwnerId) -> Result<Option<Credits>>;
    /// Adds to an owner's credits; from the first time on its keys spend them. A recharge that was
    /// asked for has come by this.
    async fn add_credits(
        &self,
        act: &Act,
        owner: &OwnerId,
        amount: Millionths,
        reason: &str,
    ) -> Result<Credits>;
    /// Says what is to happen when they run out.
    async fn set_credit_policy(
        &self,
        act: &Act,
        owner: &OwnerId,
        policy: &CreditPolicy,
    ) -> Result<Credits>;
}

/// A balance as text, which may be below 0.
pub fn balance(millionths: i64) -> String {
    let amount = Millionths::new(millionths.saturating_abs()).unwrap_or_default();
    let sign = if millionths < 0 { "-" } else { "" };
    format!("{sign}{amount}")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn signed<S: serde::Serializer>(millionths: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&balance(*millionths))
}

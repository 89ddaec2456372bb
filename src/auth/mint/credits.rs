//! Credits of owners: adding to them, and what happens when they run out.

use super::{Mint, MintError, rules};
use crate::domain::{Millionths, OwnerId};
use crate::store::{CreditPolicy, Credits};

impl Mint<'_> {
    /// Adds to an owner's credits, more than nothing; from the first time on its keys spend them.
    pub async fn add_credits(
        &self,
        owner: &OwnerId,
        amount: Millionths,
        reason: &str,
    ) -> Result<Credits, MintError> {
        rules::reason(reason, &self.config.keys.format)?;
        if amount.get() == 0 {
            return Err(MintError::invalid("nothing would be added: give an amount above 0"));
        }
        Ok(self.store.add_credits(&self.act(), owner, amount, reason).await?)
    }

    /// Says what is to happen when an owner's credits run out. A recharge leads above its threshold,
    /// or it would be asked for again at once.
    pub async fn set_credit_policy(
        &self,
        owner: &OwnerId,
        policy: &CreditPolicy,
    ) -> Result<Credits, MintError> {
        if *policy == CreditPolicy::default() {
            return Err(MintError::invalid_but(
                "there is nothing to change",
                "`keygate credits policy --help` lists what can be",
            ));
        }
        if policy.recharge.flatten().is_some_and(|recharge| recharge.amount.get() == 0) {
            return Err(MintError::invalid("a recharge of nothing: give an amount above 0"));
        }
        Ok(self.store.set_credit_policy(&self.act(), owner, policy).await?)
    }
}

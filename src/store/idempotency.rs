//! Answers to creations, kept so that asking again creates nothing.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;

/// What is to happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who asks: the id of a key or an admin token.
    pub asker: String,
    /// A digest of the name that the asker gave it.
    pub name: String,
    /// A digest of what is asked for.
    pub request: String,
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The caller's: nobody has done it.
    Now,
    /// It was claimed before.
    Before {
        /// For this.
        request: String,
        /// The status and the encrypted answer, once they are known.
        answer: Option<(i64, String)>,
    },
}

/// Answers, kept for a while.
#[async_trait]
pub trait KeptAnswers {
    /// Claims a name at `now`, unless it was claimed since `kept_since`: of callers at once, for one.
    async fn claim_answer(
        &self,
        claim: &Claim,
        now: Timestamp,
        kept_since: Timestamp,
    ) -> Result<Claimed>;
    /// Keeps the answer to what was claimed.
    async fn keep_answer(&self, claim: &Claim, status: i64, answer: &str) -> Result<()>;
    /// Gives up a claim of which nothing came.
    async fn let_claim_go(&self, claim: &Claim) -> Result<()>;
    /// Removes what was claimed before that; how many.
    async fn prune_answers(&self, before: Timestamp) -> Result<u64>;
}

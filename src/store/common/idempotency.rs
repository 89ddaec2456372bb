//! The statements about answers that are kept. A status of 0 is a claim without an answer.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{query, query_as};

use super::This;
use crate::store::Result;
use crate::store::idempotency::{Claim, Claimed, KeptAnswers};

#[async_trait]
impl KeptAnswers for This {
    async fn claim_answer(
        &self,
        claim: &Claim,
        now: Timestamp,
        kept_since: Timestamp,
    ) -> Result<Claimed> {
        let (asker, name) = (claim.asker.as_str(), claim.name.as_str());
        let outdated = query(
            "DELETE FROM idempotent_answers WHERE asker = $1 AND name = $2 AND created_at < $3",
        );
        let insert = query(
            "INSERT INTO idempotent_answers (asker, name, request, status, answer, created_at) \
             VALUES ($1, $2, $3, 0, '', $4) ON CONFLICT DO NOTHING",
        );
        let ask = query_as::<_, (String, i64, String)>(
            "SELECT request, status, answer FROM idempotent_answers WHERE asker = $1 AND name = $2",
        );
        let mut write = self.connections.begin().await?;
        let outdated = outdated.bind(asker).bind(name).bind(kept_since.as_millisecond());
        write.run(outdated).await?;
        let insert = insert.bind(asker).bind(name).bind(&claim.request).bind(now.as_millisecond());
        let inserted = write.run(insert).await?;
        let before = match inserted {
            0 => write.all(ask.bind(asker).bind(name)).await?.pop(),
            _ => None,
        };
        write.commit().await?;
        // One that was let go between the two statements is told as one under way.
        Ok(match (inserted, before) {
            (0, Some((request, status, answer))) => {
                Claimed::Before { request, answer: (status != 0).then_some((status, answer)) }
            }
            (0, None) => Claimed::Before { request: claim.request.clone(), answer: None },
            _ => Claimed::Now,
        })
    }

    async fn keep_answer(&self, claim: &Claim, status: i64, answer: &str) -> Result<()> {
        let update = query(
            "UPDATE idempotent_answers SET status = $3, answer = $4 \
             WHERE asker = $1 AND name = $2 AND status = 0",
        );
        let update = update.bind(&claim.asker).bind(&claim.name).bind(status).bind(answer);
        let mut write = self.connections.begin().await?;
        write.run(update).await?;
        write.commit().await
    }

    async fn let_claim_go(&self, claim: &Claim) -> Result<()> {
        let delete =
            query("DELETE FROM idempotent_answers WHERE asker = $1 AND name = $2 AND status = 0");
        let mut write = self.connections.begin().await?;
        write.run(delete.bind(&claim.asker).bind(&claim.name)).await?;
        write.commit().await
    }

    async fn prune_answers(&self, before: Timestamp) -> Result<u64> {
        let delete = query("DELETE FROM idempotent_answers WHERE created_at < $1");
        let mut write = self.connections.begin().await?;
        let pruned = write.run(delete.bind(before.as_millisecond())).await?;
        write.commit().await?;
        Ok(pruned)
    }
}

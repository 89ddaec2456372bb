//! The statements about events on their way. Those of a write are in `deliveries/claim.rs` and
//! `deliveries/dispatch.rs`.

mod claim;
mod dispatch;
mod rows;

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{QueryBuilder, query, query_as};

use self::rows::DeliveryRow;
use super::audit::{Entry, record};
use super::{Database, This, Write};
use crate::domain::{Act, DeliveryId};
use crate::store::deliveries::{
    Backlog, Claim, Deliveries, Delivery, DeliveryStatus, Outcome, Replay, Route, ToDo, Wanted,
};
use crate::store::{Page, PageRequest, Result, list};

/// Rows that one statement removes.
const PRUNED: i64 = 1_000;

#[async_trait]
impl Deliveries for This {
    async fn to_do(&self, now: Timestamp) -> Result<ToDo> {
        let ask = query_as::<_, (bool, bool)>(
            "SELECT EXISTS (SELECT 1 FROM events WHERE NOT dispatched), EXISTS \
             (SELECT 1 FROM deliveries WHERE status = 'pending' AND next_attempt_at <= $1)",
        );
        let rows = self.connections.all(ask.bind(now.as_millisecond())).await?;
        let (events, deliveries) = rows.first().copied().unwrap_or_default();
        Ok(ToDo { events, deliveries })
    }

    async fn dispatch(&self, route: &Route<'_>, now: Timestamp, most: u32) -> Result<u32> {
        let mut write = self.connections.begin().await?;
        let made = dispatch::dispatch(&mut write, route, now, most).await?;
        write.commit().await?;
        Ok(made)
    }

    async fn claim(&self, wanted: &Wanted, now: Timestamp, until: Timestamp) -> Result<Vec<Claim>> {
        let mut write = self.connections.begin().await?;
        let claims = claim::claim(&mut write, wanted, now, until).await?;
        write.commit().await?;
        Ok(claims)
    }

    async fn settle(&self, claim: &Claim, outcome: &Outcome, now: Timestamp) -> Result<()> {
        let mut write = self.connections.begin().await?;
        claim::settle(&mut write, claim, outcome, now).await?;
        write.commit().await
    }

    async fn deliveries(
        &self,
        status: Option<DeliveryStatus>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let mut ask = QueryBuilder::<Database>::new(
            "SELECT d.*, e.kind, e.at FROM deliveries d JOIN events e ON e.id = d.event_id \
             WHERE d.id < ",
        );
        ask.push_bind(list::below(page).to_owned());
        if let Some(status) = status {
            // Written out, for the indexes that go by it.
            ask.push(" AND d.status = '").push(status.name()).push("'");
        }
        ask.push(" ORDER BY d.id DESC LIMIT ").push_bind(list::asked(page));
        let rows = self.connections.all(ask.build_query_as::<DeliveryRow>()).await?;
        let rows = rows.into_iter().map(DeliveryRow::read).collect::<Result<_>>()?;
        Ok(list::page(rows, page, |delivery: &Delivery| delivery.id.as_str()))
    }

    async fn replay(&self, act: &Act, which: &Replay) -> Result<Vec<DeliveryId>> {
        let mut write = self.connections.write().await?;
        let found = replayed(&mut write, act, which).await?;
        let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, subject) in &found {
            let again = query(
                "UPDATE deliveries SET status = 'pending', attempts = 0, next_attempt_at = $2, \
                 last_error = NULL, ended_at = NULL WHERE id = $1",
            );
            write.run(again.bind(id).bind(act.at.as_millisecond())).await?;
            of.entry(subject.clone()).or_default().push(id.clone());
        }
        for (subject, ids) in of {
            let entry = Entry {
                after: Some(json!({ "deliveries": ids })),
                ..Entry::plain("webhook.replay", &subject)
            };
            record(&mut write, act, entry).await?;
        }
        write.commit().await?;
        Ok(found.into_iter().map(|(id, _)| DeliveryId::from_text(id)).collect())
    }

    async fn backlog(&self) -> Result<Backlog> {
        let ask = query_as::<_, (i64, Option<i64>)>(
            "SELECT count(*), min(created_at) FROM deliveries WHERE status = 'pending'",
        );
        let rows = self.connections.all(ask).await?;
        let (pending, oldest) = rows.first().copied().unwrap_or_default();
        let oldest = oldest.and_then(|at| Timestamp::from_millisecond(at).ok());
        Ok(Backlog { pending: u64::try_from(pending).unwrap_or(0), oldest })
    }

    async fn abandon(&self, known: &[String], before: Timestamp, now: Timestamp) -> Result<u64> {
        let mut update = QueryBuilder::<Database>::new(
            "UPDATE deliveries SET status = 'failed', last_error = 'no instance has this endpoint \
             in its configuration any more', ended_at = ",
        );
        update.push_bind(now.as_millisecond());
        update.push(" WHERE status = 'pending' AND next_attempt_at < ");
        update.push_bind(before.as_millisecond());
        update.push(" AND endpoint NOT IN (SELECT id FROM hooks) AND endpoint NOT IN ");
        claim::push_list(&mut update, known.iter().map(String::as_str));
        let mut write = self.connections.begin().await?;
        let abandoned = write.run(update.build()).await?;
        write.commit().await?;
        Ok(abandoned)
    }

    async fn prune_deliveries(&self, delivered: Timestamp, failed: Timestamp) -> Result<bool> {
        let deliveries = query(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries \
             WHERE status <> 'pending' AND ended_at < \
             CASE status WHEN 'delivered' THEN $1 ELSE $2 END LIMIT $3)",
        );
        let events = query(
            "DELETE FROM events WHERE id IN (SELECT e.id FROM events e WHERE e.dispatched \
             AND e.at < $1 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = e.id) \
             LIMIT $2)",
        );
        let (delivered, failed) = (delivered.as_millisecond(), failed.as_millisecond());
        let mut write = self.connections.begin().await?;
        let gone = write.run(deliveries.bind(delivered).bind(failed).bind(PRUNED)).await?;
        let told = write.run(events.bind(delivered).bind(PRUNED)).await?;
        write.commit().await?;
        Ok(gone.max(told) >= PRUNED as u64)
    }
}

/// The deliveries that are to be sent again, with their subjects.
async fn replayed(
    write: &mut Write<'_>,
    act: &Act,
    which: &Replay,
) -> Result<Vec<(String, String)>> {
    match which {
        Replay::Named(id) => {
            let ask = query_as(
                "SELECT id, subject FROM deliveries WHERE id = $1 OR event_id = $1 ORDER BY id",
            );
            write.all(ask.bind(id)).await
        }
        Replay::Failed(most) => {
            let ask = query_as(
                "SELECT id, subject FROM deliveries WHERE status = 'failed' AND ended_at <= $1 \
                 ORDER BY id LIMIT $2",
            );
            write.all(ask.bind(act.at.as_millisecond()).bind(i64::from(*most))).await
        }
    }
}

//! Who is busy with which delivery, and what became of it.

use jiff::Timestamp;
use sqlx::{QueryBuilder, query};

use super::super::super::Database;
use super::Write;
use super::rows::DueRow;
use crate::store::Result;
use crate::store::deliveries::{Claim, Outcome, Wanted};

/// The first pending delivery of the same subject to the same endpoint that stands before `d`.
macro_rules! before {
    ($what:literal) => {
        concat!(
            "(SELECT ",
            $what,
            " FROM deliveries f WHERE f.status = 'pending' AND f.endpoint = d.endpoint \
             AND f.subject = d.subject AND f.place < d.place ORDER BY f.place LIMIT 1)"
        )
    };
}

/// What stands behind another one is looked at again a second after that is due, so that what waits
/// for an endpoint that is down is not gone through again and again. Where the one before is done
/// sooner, [`settle`] says so.
pub(super) async fn put_back(write: &mut Write<'_>, now: Timestamp) -> Result<()> {
    let update = query(concat!(
        "WITH behind AS (SELECT d.id, ",
        before!("f.next_attempt_at"),
        " AS first_due FROM deliveries d WHERE d.status = 'pending' AND d.next_attempt_at <= $1 \
         AND EXISTS ",
        before!("1"),
        unless_taken!(),
        ") UPDATE deliveries SET next_attempt_at = 1000 + \
         CASE WHEN behind.first_due > $1 THEN behind.first_due ELSE $1 END \
         FROM behind WHERE deliveries.id = behind.id"
    ));
    write.run(update.bind(now.as_millisecond())).await.map(drop)
}

/// Takes on what is due, as far as `wanted` goes.
pub(super) async fn claim(
    write: &mut Write<'_>,
    wanted: &Wanted,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claim>> {
    let mut wanted = wanted.clone();
    let mut ask = QueryBuilder::<Database>::new(
        "SELECT d.id, d.event_id, d.subject, d.endpoint, d.host, d.attempts, e.kind, e.at, e.data, \
         h.url AS hook_url, h.secret AS hook_secret FROM deliveries d \
         JOIN events e ON e.id = d.event_id LEFT JOIN hooks h ON h.id = d.endpoint \
         WHERE d.status = 'pending' AND d.next_attempt_at <= ",
    );
    ask.push_bind(now.as_millisecond());
    ask.push(" AND (h.id IS NOT NULL OR d.endpoint IN ");
    push_list(&mut ask, wanted.endpoints.iter().map(String::as_str));
    ask.push(") AND d.host NOT IN ");
    push_list(&mut ask, wanted.busy());
    ask.push(concat!(" AND NOT EXISTS ", before!("1"), " ORDER BY d.next_attempt_at LIMIT "));
    ask.push_bind(i64::try_from(wanted.most).unwrap_or(i64::MAX)).push(unless_taken!());
    let mut due = write.all(ask.build_query_as::<DueRow>()).await?;
    due.retain(|row| wanted.admit(&row.host));
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let mut update = QueryBuilder::<Database>::new(
        "UPDATE deliveries SET attempts = attempts + 1, next_attempt_at = ",
    );
    update.push_bind(until.as_millisecond()).push(" WHERE id IN ");
    push_list(&mut update, due.iter().map(|row| row.id.as_str()));
    write.run(update.build()).await?;
    due.into_iter().map(DueRow::read).collect()
}

/// Writes down what came of an attempt, unless it is not the last one.
pub(super) async fn settle(
    write: &mut Write<'_>,
    claim: &Claim,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<()> {
    let now = now.as_millisecond();
    let (status, next, error, ended) = match outcome {
        Outcome::Delivered => ("delivered", now, None, Some(now)),
        Outcome::Again { at, error } => ("pending", at.as_millisecond(), Some(error), None),
        Outcome::Failed { error } => ("failed", now, Some(error), Some(now)),
    };
    let update = query(
        "UPDATE deliveries SET status = $3, next_attempt_at = $4, last_error = $5, ended_at = $6 \
         WHERE id = $1 AND attempts = $2 AND status = 'pending'",
    )
    .bind(claim.id.as_str())
    .bind(i64::from(claim.attempt))
    .bind(status)
    .bind(next)
    .bind(error)
    .bind(ended);
    if write.run(update).await? > 0 && ended.is_some() {
        let follow = query(
            "UPDATE deliveries SET next_attempt_at = $3 WHERE next_attempt_at > $3 AND id = \
             (SELECT id FROM deliveries WHERE status = 'pending' AND endpoint = $1 \
              AND subject = $2 ORDER BY place LIMIT 1) AND attempts = 0",
        );
        write.run(follow.bind(&claim.endpoint).bind(&claim.subject).bind(now)).await?;
    }
    Ok(())
}

/// A list in brackets, which may be empty.
pub(super) fn push_list<'t>(
    query: &mut QueryBuilder<Database>,
    texts: impl Iterator<Item = &'t str>,
) {
    // Nothing is named so; a list of nothing is no SQL.
    query.push("(''");
    for text in texts {
        query.push(", ").push_bind(text.to_owned());
    }
    query.push(")");
}

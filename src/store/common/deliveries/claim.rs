//! Who is busy with which delivery, and what became of it.

use jiff::Timestamp;
use sqlx::{QueryBuilder, query};

use super::super::super::Database;
use super::Write;
use super::rows::ClaimRow;
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

/// Hosts that have their turn in one claim.
const HOSTS: u32 = 64;
/// Due deliveries of a host that are looked at at once.
const LOOKED_AT: u32 = 64;
/// How often that is done where all of them stand behind others; the rest is the next claim's.
const LOOKS: usize = 16;

/// Takes on what is due, as far as `wanted` goes: host by host, so that what has piled up for one
/// costs those of the others nothing.
pub(super) async fn claim(
    write: &mut Write<'_>,
    wanted: &Wanted,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claim>> {
    let mut taken: Vec<String> = Vec::new();
    for host in hosts(write, wanted, now).await? {
        let room = wanted.room(&host).min(wanted.most - taken.len());
        if room == 0 {
            break;
        }
        taken.extend(first_of(write, wanted, &host, room, now).await?);
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let mut update = QueryBuilder::<Database>::new(
        "UPDATE deliveries SET attempts = attempts + 1, next_attempt_at = ",
    );
    update.push_bind(until.as_millisecond()).push(" WHERE id IN ");
    push_list(&mut update, taken.iter().map(String::as_str));
    write.run(update.build()).await?;
    let mut ask = QueryBuilder::<Database>::new(
        "SELECT d.id, d.event_id, d.subject, d.endpoint, d.host, d.attempts, e.kind, e.at, e.data, \
         h.url AS hook_url, h.secret AS hook_secret FROM deliveries d \
         JOIN events e ON e.id = d.event_id LEFT JOIN hooks h ON h.id = d.endpoint WHERE d.id IN ",
    );
    push_list(&mut ask, taken.iter().map(String::as_str));
    ask.push(" ORDER BY d.place");
    let rows = write.all(ask.build_query_as::<ClaimRow>()).await?;
    rows.into_iter().map(ClaimRow::read).collect()
}

/// Hosts that have something due and may have more under way, those behind the last one first.
async fn hosts(write: &mut Write<'_>, wanted: &Wanted, now: Timestamp) -> Result<Vec<String>> {
    let mut hosts = hosts_behind(write, wanted, &wanted.after, now).await?;
    if hosts.len() < HOSTS as usize && !wanted.after.is_empty() {
        for host in hosts_behind(write, wanted, "", now).await? {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    Ok(hosts)
}

/// From one host to the next in the index, whatever lies between.
async fn hosts_behind(
    write: &mut Write<'_>,
    wanted: &Wanted,
    after: &str,
    now: Timestamp,
) -> Result<Vec<String>> {
    let mut ask = QueryBuilder::<Database>::new(
        "WITH RECURSIVE hosts (host) AS (SELECT (SELECT min(d.host) FROM deliveries d \
         WHERE d.status = 'pending' AND d.host > ",
    );
    ask.push_bind(after.to_owned());
    ask.push(
        ") UNION ALL SELECT (SELECT min(d.host) FROM deliveries d WHERE d.status = 'pending' \
         AND d.host > hosts.host) FROM hosts WHERE hosts.host IS NOT NULL) \
         SELECT host FROM hosts WHERE host IS NOT NULL AND EXISTS (SELECT 1 FROM deliveries d \
         WHERE d.status = 'pending' AND d.host = hosts.host AND d.next_attempt_at <= ",
    );
    ask.push_bind(now.as_millisecond()).push(") AND host NOT IN ");
    push_list(&mut ask, wanted.busy());
    ask.push(" LIMIT ").push_bind(i64::from(HOSTS));
    let rows = write.all(ask.build_query_as::<(String,)>()).await?;
    Ok(rows.into_iter().map(|(host,)| host).collect())
}

/// A host's due deliveries that stand behind none, so many at most. What stands behind another one
/// is put off on the way.
async fn first_of(
    write: &mut Write<'_>,
    wanted: &Wanted,
    host: &str,
    room: usize,
    now: Timestamp,
) -> Result<Vec<String>> {
    for _ in 0..LOOKS {
        let mut ask = QueryBuilder::<Database>::new(concat!(
            "SELECT d.id, ",
            before!("f.next_attempt_at"),
            " AS first_due FROM deliveries d WHERE d.status = 'pending' AND d.host = "
        ));
        ask.push_bind(host.to_owned()).push(" AND d.next_attempt_at <= ");
        ask.push_bind(now.as_millisecond());
        ask.push(" AND (EXISTS (SELECT 1 FROM hooks h WHERE h.id = d.endpoint) OR d.endpoint IN ");
        push_list(&mut ask, wanted.endpoints.iter().map(String::as_str));
        ask.push(") ORDER BY d.next_attempt_at, d.place LIMIT ").push_bind(i64::from(LOOKED_AT));
        ask.push(unless_taken!());
        let looked_at = write.all(ask.build_query_as::<(String, Option<i64>)>()).await?;
        let all = looked_at.len() < LOOKED_AT as usize;
        let (mut first, behind): (Vec<_>, Vec<_>) =
            looked_at.into_iter().partition(|(_, first_due)| first_due.is_none());
        put_off(write, &behind, now).await?;
        if !first.is_empty() || all {
            first.truncate(room);
            return Ok(first.into_iter().map(|(id, _)| id).collect());
        }
    }
    Ok(Vec::new())
}

/// Until a second after what stands before them is due, so that what waits for an endpoint that is
/// down is not gone through again and again. Where that is done sooner, [`settle`] says so.
async fn put_off(
    write: &mut Write<'_>,
    behind: &[(String, Option<i64>)],
    now: Timestamp,
) -> Result<()> {
    if behind.is_empty() {
        return Ok(());
    }
    let mut update = QueryBuilder::<Database>::new(concat!(
        "WITH behind AS (SELECT d.id, ",
        before!("f.next_attempt_at"),
        " AS first_due FROM deliveries d WHERE d.id IN "
    ));
    push_list(&mut update, behind.iter().map(|(id, _)| id.as_str()));
    update.push(") UPDATE deliveries SET next_attempt_at = 1000 + CASE WHEN behind.first_due > ");
    update.push_bind(now.as_millisecond()).push(" THEN behind.first_due ELSE ");
    update.push_bind(now.as_millisecond());
    update.push(" END FROM behind WHERE deliveries.id = behind.id");
    write.run(update.build()).await.map(drop)
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

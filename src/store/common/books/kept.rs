//! Usage as it is kept and told: by hour for a while, then by day.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::{QueryBuilder, query, query_as};

use super::super::{Database, ROLL_HOURS, This};
use crate::domain::Millionths;
use crate::store::books::Kept;
use crate::store::{Result, StoreError, UsageBy, UsageFilter, UsageRow};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Rows that are removed at a time.
const PART: u64 = 10_000;

/// What was used, added up.
pub(super) async fn usage(
    store: &This,
    filter: &UsageFilter,
    by: UsageBy,
) -> Result<Vec<UsageRow>> {
    let group = match by {
        UsageBy::Hour => "u.period",
        UsageBy::Day => "u.period - u.period % 86400000",
        UsageBy::Key => "u.key_id",
        UsageBy::Owner => "u.owner_id",
        UsageBy::Route => "u.route",
        UsageBy::Status => "u.status",
    };
    let mut ask = QueryBuilder::<Database>::new("SELECT CAST(");
    ask.push(group).push(
        " AS TEXT) AS g, CAST(sum(u.requests) AS BIGINT), CAST(sum(u.cost) AS BIGINT) FROM (",
    );
    push_part(&mut ask, "usage_hours", HOUR_MS, filter);
    ask.push(" UNION ALL ");
    push_part(&mut ask, "usage_days", DAY_MS, filter);
    ask.push(") AS u GROUP BY ").push(group).push(" ORDER BY ").push(group);
    let rows = store.connections.all(ask.build_query_as::<(String, i64, i64)>()).await?;
    rows.into_iter().map(|row| read(row, by)).collect()
}

/// The rows of one table that are asked for.
fn push_part(ask: &mut QueryBuilder<Database>, table: &str, period: i64, filter: &UsageFilter) {
    ask.push("SELECT period, key_id, owner_id, route, status, requests, cost FROM ").push(table);
    let since = filter.since.map_or(0, Timestamp::as_millisecond);
    ask.push(" WHERE period >= ").push_bind(since - since.rem_euclid(period));
    if let Some(key) = &filter.key {
        ask.push(" AND key_id = ").push_bind(key.as_str().to_owned());
    }
    if let Some(owner) = &filter.owner {
        ask.push(" AND owner_id = ").push_bind(owner.as_str().to_owned());
    }
}

fn read((group, requests, cost): (String, i64, i64), by: UsageBy) -> Result<UsageRow> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("usage of {group}: {what}"));
    let moment = || {
        let at_ms = group.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at_ms.ok_or_else(|| corrupt("no moment"))
    };
    let named = match by {
        UsageBy::Hour => moment()?.to_string(),
        UsageBy::Day => moment()?.to_zoned(TimeZone::UTC).date().to_string(),
        _ => group.clone(),
    };
    Ok(UsageRow {
        group: named,
        requests: u64::try_from(requests).map_err(|_| corrupt("requests are negative"))?,
        cost: Millionths::new(cost).ok_or_else(|| corrupt("cost is negative"))?,
    })
}

async fn oldest_hour(store: &This) -> Result<Option<i64>> {
    let ask = query_as::<_, (Option<i64>,)>("SELECT min(period) FROM usage_hours");
    Ok(store.connections.all(ask).await?.pop().and_then(|row| row.0))
}

/// Removes what is kept no longer.
pub(super) async fn tidy(store: &This, kept: &Kept) -> Result<()> {
    loop {
        let delete = query(concat!(
            "DELETE FROM usage_requests WHERE ",
            row_id!(),
            " IN (SELECT ",
            row_id!(),
            " FROM usage_requests WHERE at < $1 LIMIT $2)"
        ));
        let delete = delete.bind(kept.requests_since.as_millisecond()).bind(PART.cast_signed());
        let mut write = store.connections.begin().await?;
        let gone = write.run(delete).await?;
        write.commit().await?;
        if gone < PART {
            break;
        }
    }
    let since = kept.hours_since.as_millisecond();
    let day = since - since.rem_euclid(DAY_MS);
    // A day at a time, so that none takes long.
    while let Some(first) = oldest_hour(store).await?.filter(|first| *first < day) {
        let end = first - first.rem_euclid(DAY_MS) + DAY_MS;
        let mut write = store.connections.begin().await?;
        for statement in ROLL_HOURS {
            write.run(query(*statement).bind(end)).await?;
        }
        write.commit().await?;
    }
    let forget = query("DELETE FROM journals WHERE booked_at < $1");
    store.alone(forget.bind(kept.journals_since.as_millisecond())).await
}

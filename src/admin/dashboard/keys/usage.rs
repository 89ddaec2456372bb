//! How a key is used: by day, by route, by outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::dashboard::chart::{Chart, Kind, Series};
use crate::admin::dashboard::words::{count, percent};
use crate::domain::rotation::earlier;
use crate::domain::{KeyId, Millionths};
use crate::store::{UsageBy, UsageFilter, UsageRow};

/// Days that are told, today among them.
pub(in crate::admin::dashboard) const DAYS: i64 = 30;

/// What was used by one day, route or status.
pub(super) struct Share {
    pub(super) name: String,
    pub(super) requests: u64,
    pub(super) cost: Millionths,
    /// Of all requests.
    pub(super) percent: u64,
}

impl Share {
    /// Its requests, in digits.
    pub(super) fn count(&self) -> String {
        count(self.requests)
    }
}

/// A key's use over [`DAYS`] days.
pub(super) struct Usage {
    pub(super) requests: u64,
    pub(super) chart: Chart,
    /// Days with any, newest first.
    pub(super) days: Vec<Share>,
    /// The most used first.
    pub(super) routes: Vec<Share>,
    pub(super) statuses: Vec<Share>,
}

impl Usage {
    /// Asks the books.
    pub(super) async fn of(state: &AdminState, key: &KeyId) -> Result<Self, PageError> {
        let now = state.now();
        let since = earlier(now, Duration::from_hours(24 * (DAYS.unsigned_abs() - 1)));
        let filter =
            UsageFilter { key: Some(key.clone()), since: Some(midnight(since)), owner: None };
        let days = state.store.usage(&filter, UsageBy::Day).await?;
        let routes = state.store.usage(&filter, UsageBy::Route).await?;
        let statuses = state.store.usage(&filter, UsageBy::Status).await?;
        let mut told = Self {
            requests: days.iter().map(|row| row.requests).sum(),
            chart: chart(now, &days),
            days: shares(days),
            routes: shares(routes),
            statuses: shares(statuses),
        };
        told.days.reverse();
        told.routes.sort_by_key(|share| std::cmp::Reverse(share.requests));
        Ok(told)
    }

    /// All requests, in digits.
    pub(super) fn count(&self) -> String {
        count(self.requests)
    }

    /// The paths of the routes that were used.
    pub(super) fn used_routes(&self) -> BTreeSet<String> {
        self.routes.iter().map(|share| share.name.clone()).collect()
    }
}

fn shares(rows: Vec<UsageRow>) -> Vec<Share> {
    let all: u64 = rows.iter().map(|row| row.requests).sum();
    let share = |row: UsageRow| Share {
        percent: percent(row.requests.cast_signed(), all.cast_signed()),
        name: row.group,
        requests: row.requests,
        cost: row.cost,
    };
    rows.into_iter().map(share).collect()
}

/// Every day has a bar, also one without any request.
pub(in crate::admin::dashboard) fn chart(now: Timestamp, rows: &[UsageRow]) -> Chart {
    let used: BTreeMap<&str, u64> =
        rows.iter().map(|row| (row.group.as_str(), row.requests)).collect();
    let today = now.to_zoned(TimeZone::UTC).date();
    let days =
        (0..DAYS).rev().map(|ago| today.saturating_sub(SignedDuration::from_hours(24 * ago)));
    let days: Vec<Date> = days.collect();
    let of_day = |day: &Date| used.get(day.to_string().as_str()).copied().unwrap_or(0) as f64;
    let values = days.iter().map(|day| Some(of_day(day))).collect();
    let at = days.iter().filter_map(|day| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    let series = Series { name: "requests", tone: "accent", values };
    Chart::new(Kind::Days, "requests", at.map(Timestamp::as_second).collect(), vec![series])
}

fn midnight(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_a_request_has_its_place() {
        let row = |group: &str, requests| UsageRow {
            group: group.to_owned(),
            requests,
            cost: Millionths::default(),
        };
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let chart = chart(now, &[row("2026-11-28", 3), row("2026-10-31", 1)]);
        let values = &chart.series[0].values;
        assert_eq!(values.len(), 30);
        assert_eq!(
            (values[0], values[1], values[28], values[29]),
            (Some(1.), Some(0.), Some(3.), Some(0.))
        );
    }

    #[test]
    fn shares_are_of_all_requests() {
        let row = |group: &str, requests| UsageRow {
            group: group.to_owned(),
            requests,
            cost: Millionths::default(),
        };
        let told = shares(vec![row("200", 3), row("404", 1)]);
        assert_eq!(told.iter().map(|share| share.percent).collect::<Vec<_>>(), [75, 25]);
    }
}

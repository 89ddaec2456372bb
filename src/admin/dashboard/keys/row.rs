//! A key as a row of a list.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::dashboard::words::{Moment, count, percent};
use crate::auth::view::KeyView;
use crate::domain::rotation::earlier;
use crate::domain::{KeyId, KeyWithSecrets, Millionths, OwnerId, SecretStatus};

/// Days that a row's line of usage shows, today among them.
const DAYS: i64 = 7;
/// The box that the line is drawn in.
const WIDTH: usize = 84;
const HEIGHT: u64 = 20;

/// What a row says of its key.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    /// Of the newest live secret.
    pub(super) hint: Option<String>,
    pub(super) owner_id: String,
    pub(super) owner: String,
    pub(super) environment: &'static str,
    pub(super) status: &'static str,
    pub(super) overdue: bool,
    pub(super) scopes: Vec<String>,
    pub(super) last_used: Option<Moment>,
    pub(super) expires: Option<Moment>,
    pub(super) usage: Line,
    pub(super) budget: Option<Spent>,
}

/// A budget and what is spent of it.
pub(super) struct Spent {
    pub(super) amount: Millionths,
    pub(super) budget: Millionths,
    pub(super) percent: u64,
}

impl Spent {
    /// Of a month's budget.
    pub(super) fn of(amount: Millionths, budget: Millionths) -> Self {
        Self { amount, budget, percent: percent(amount.get(), budget.get()) }
    }

    /// In a sentence, for who cannot see a bar.
    pub(super) fn words(&self) -> String {
        format!("{} of {} spent this month, {} %", self.amount, self.budget, self.percent)
    }
}

/// Requests by day as a line.
pub(super) struct Line {
    pub(super) requests: u64,
    /// As SVG wants them.
    pub(super) points: String,
}

impl Line {
    /// Of the days up to that one.
    fn new(today: Date, used: Option<&BTreeMap<Date, u64>>) -> Self {
        let day = |ago: i64| today.saturating_sub(SignedDuration::from_hours(24 * ago));
        let of_day = |ago| used.and_then(|used| used.get(&day(ago))).copied().unwrap_or(0);
        let requests: Vec<u64> = (0..DAYS).rev().map(of_day).collect();
        let most = requests.iter().copied().max().unwrap_or(0).max(1);
        let step = WIDTH / (requests.len() - 1).max(1);
        let point = |(place, requests): (usize, &u64)| {
            format!("{},{}", place * step, HEIGHT + 1 - requests * HEIGHT / most)
        };
        let points: Vec<String> = requests.iter().enumerate().map(point).collect();
        Self { requests: requests.iter().sum(), points: points.join(" ") }
    }

    /// In a sentence.
    pub(super) fn words(&self) -> String {
        format!("{} requests in {DAYS} days", count(self.requests))
    }
}

/// Keys as rows: their owners, their spending and their usage each by one question.
pub(super) async fn rows(
    state: &AdminState,
    keys: &[KeyWithSecrets],
) -> Result<Vec<Row>, PageError> {
    let (now, loaded) = (state.now(), state.loaded());
    let ids: Vec<KeyId> = keys.iter().map(|key| key.key.id.clone()).collect();
    let since = earlier(now, Duration::from_hours(24 * (DAYS.unsigned_abs() - 1)));
    let used = state.store.requests_by_day(&ids, since).await?;
    let owners = owners(state, &ids).await?;
    let views = state.views(keys, &loaded).await?;
    let today = now.to_zoned(TimeZone::UTC).date();
    let row = |view: &KeyView<'_>| {
        let usage = Line::new(today, used.get(view.id));
        Row { usage, ..row(view, owners.get(view.owner).cloned(), now) }
    };
    Ok(views.iter().map(row).collect())
}

/// The names of keys' owners.
pub(super) async fn owners(
    state: &AdminState,
    keys: &[KeyId],
) -> Result<BTreeMap<OwnerId, String>, PageError> {
    let loaded = state.store.load_keys(keys).await?;
    Ok(loaded.into_iter().map(|loaded| (loaded.owner.id, loaded.owner.name)).collect())
}

fn row(view: &KeyView<'_>, owner: Option<String>, now: Timestamp) -> Row {
    let live = |status| matches!(status, SecretStatus::Active | SecretStatus::Grace);
    let newest = view.secrets.iter().rev().find(|secret| live(secret.status));
    Row {
        id: view.id.to_string(),
        name: view.name.to_owned(),
        hint: newest.map(|secret| secret.hint.to_owned()),
        owner_id: view.owner.to_string(),
        owner: owner.unwrap_or_else(|| view.owner.to_string()),
        environment: view.environment.name(),
        status: view.status.name(),
        overdue: view.rotation.overdue && view.status == crate::domain::KeyStatus::Active,
        scopes: view.scopes.to_vec(),
        last_used: Moment::of(view.last_used_at, now),
        expires: Moment::of(view.expires_at, now),
        usage: Line::new(Date::ZERO, None),
        budget: view.monthly_budget.map(|budget| Spent::of(view.spent, budget)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_point_a_day_and_is_as_high_as_its_box() {
        let today = jiff::civil::date(2026, 11, 29);
        let used = BTreeMap::from([(today, 10), (jiff::civil::date(2026, 11, 23), 5)]);
        let line = Line::new(today, Some(&used));
        assert_eq!(line.points, "0,11 14,21 28,21 42,21 56,21 70,21 84,1");
        assert_eq!((line.requests, line.words().as_str()), (15, "15 requests in 7 days"));
        assert_eq!(Line::new(today, None).requests, 0);
    }
}

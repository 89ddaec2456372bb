//! A batch added up, so that its thousands of requests cost a few statements.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::query;

use super::super::Write;
use super::list;
use crate::domain::{LeaseId, Month, Used, UsedInHour};
use crate::store::{Batch, Result};

/// Hour, key, owner, route, status.
type Group<'u> = (i64, &'u str, &'u str, &'u str, u16);

/// What a batch comes to, each part in the order in which its rows are taken.
#[derive(Default)]
pub(super) struct Sums<'u> {
    /// Requests and cost by hour.
    hours: BTreeMap<Group<'u>, (i64, i64)>,
    /// Cost by key and month, where there is any.
    pub(super) spent: BTreeMap<(String, i64), i64>,
    /// Cost by lease, as far as it was spent from one.
    pub(super) leased: BTreeMap<i64, i64>,
    /// Cost by owner, where there is any.
    pub(super) owners: BTreeMap<String, i64>,
}

impl<'u> Sums<'u> {
    /// Adds up.
    pub(super) fn of(batch: &'u Batch) -> Self {
        let mut sums = Self::default();
        for used in &batch.used {
            sums.add(used);
        }
        for (lease, amount) in batch.leased.iter().filter(|(_, amount)| amount.get() > 0) {
            let leased = sums.leased.entry(LeaseId::number(*lease)).or_default();
            *leased = leased.saturating_add(amount.get());
        }
        sums
    }

    fn add(&mut self, used: &'u UsedInHour) {
        let (hour, cost) = (used.hour.as_millisecond(), used.cost.get());
        let group = (hour, used.key.as_str(), used.owner.as_str(), &*used.route, used.status);
        let (requests, sum) = self.hours.entry(group).or_default();
        *requests += used.requests.cast_signed();
        *sum = sum.saturating_add(cost);
        if cost > 0 {
            let month = i64::from(Month::of(used.hour).number());
            let spent = self.spent.entry((used.key.as_str().to_owned(), month)).or_default();
            *spent = spent.saturating_add(cost);
            let owner = self.owners.entry(used.owner.as_str().to_owned()).or_default();
            *owner = owner.saturating_add(cost);
        }
    }

    /// Whether anything was spent.
    pub(super) fn moves_money(&self) -> bool {
        !self.spent.is_empty() || !self.leased.is_empty()
    }
}

/// Keeps each request by itself.
pub(super) async fn keep(write: &mut Write<'_>, used: &[Used]) -> Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    let insert = query(concat!(
        "INSERT INTO usage_requests (at, request_id, key_id, owner_id, route, status, cost) \
         SELECT r.at, r.request_id, r.key_id, r.owner_id, r.route, r.status, r.cost FROM ",
        rows!(at bigint, request_id text, key_id text, owner_id text, route text, status bigint,
              cost bigint)
    ));
    let rows = used.iter().map(|used| {
        json!({
            "at": used.at.as_millisecond(),
            "request_id": used.request_id,
            "key_id": used.key,
            "owner_id": used.owner,
            "route": used.route,
            "status": used.status,
            "cost": used.cost.get(),
        })
    });
    write.run(insert.bind(list(rows))).await.map(drop)
}

/// Counts requests by their hours.
pub(super) async fn count(write: &mut Write<'_>, sums: &Sums<'_>) -> Result<()> {
    if sums.hours.is_empty() {
        return Ok(());
    }
    let upsert = query(concat!(
        "INSERT INTO usage_hours (period, key_id, owner_id, route, status, requests, cost) \
         SELECT r.period, r.key_id, r.owner_id, r.route, r.status, r.requests, r.cost FROM ",
        rows!(period bigint, key_id text, owner_id text, route text, status bigint,
              requests bigint, cost bigint),
        " WHERE true ORDER BY r.period, r.key_id, r.owner_id, r.route, r.status \
         ON CONFLICT (period, key_id, owner_id, route, status) DO UPDATE \
         SET requests = usage_hours.requests + excluded.requests, \
         cost = usage_hours.cost + excluded.cost"
    ));
    let rows = sums.hours.iter().map(|((period, key, owner, route, status), (requests, cost))| {
        json!({
            "period": period,
            "key_id": key,
            "owner_id": owner,
            "route": route,
            "status": status,
            "requests": requests,
            "cost": cost,
        })
    });
    write.run(upsert.bind(list(rows))).await.map(drop)
}

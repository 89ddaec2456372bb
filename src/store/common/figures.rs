//! The statements about many keys at once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;
use sqlx::query_as;

use super::This;
use super::books::list;
use crate::domain::{KeyId, Millionths, Month};
use crate::store::figures::{Figures, NearBudget};
use crate::store::{Result, StoreError};

const DAY_MS: i64 = 86_400_000;

#[async_trait]
impl Figures for This {
    async fn requests_by_day(
        &self,
        keys: &[KeyId],
        since: Timestamp,
    ) -> Result<BTreeMap<KeyId, BTreeMap<Date, u64>>> {
        let ask = query_as::<_, (String, i64, i64)>(concat!(
            "WITH asked (key_id) AS (SELECT r.key_id FROM ",
            rows!(key_id text),
            "), used (key_id, day, requests) AS (\
             SELECT h.key_id, h.period - h.period % 86400000, h.requests FROM asked a \
             JOIN usage_hours h ON h.key_id = a.key_id AND h.period >= $2 UNION ALL \
             SELECT d.key_id, d.period, d.requests FROM usage_days d \
             WHERE d.period >= $2 AND d.key_id IN (SELECT key_id FROM asked)) \
             SELECT key_id, day, CAST(sum(requests) AS BIGINT) FROM used GROUP BY key_id, day"
        ));
        let since = since.as_millisecond();
        let ask = ask.bind(list(keys.iter().map(|key| json!({ "key_id": key }))));
        let rows = self.connections.all(ask.bind(since - since.rem_euclid(DAY_MS))).await?;
        let mut used: BTreeMap<KeyId, BTreeMap<Date, u64>> = BTreeMap::new();
        for (key, day, requests) in rows {
            let corrupt = || StoreError::Corrupt(format!("the usage of {key}"));
            let day = Timestamp::from_millisecond(day).map_err(|_| corrupt())?;
            let requests = u64::try_from(requests).map_err(|_| corrupt())?;
            let day = day.to_zoned(TimeZone::UTC).date();
            used.entry(KeyId::from_text(key)).or_default().insert(day, requests);
        }
        Ok(used)
    }

    async fn spent_by_all(&self, month: Month) -> Result<Millionths> {
        // A key's spending is its ancestors' too, so those at the top have all of it.
        let ask = query_as::<_, (i64,)>(
            "SELECT CAST(coalesce(sum(s.spent), 0) AS BIGINT) FROM spending s \
             JOIN keys k ON k.id = s.key_id WHERE s.month = $1 AND k.parent_id IS NULL",
        );
        let spent = self.connections.all(ask.bind(i64::from(month.number()))).await?;
        amount(spent.first().map_or(0, |row| row.0), "all spending")
    }

    async fn near_budget(&self, month: Month, most: u32) -> Result<Vec<NearBudget>> {
        let ask = query_as::<_, (String, String, i64, i64)>(
            "SELECT k.id, k.name, k.monthly_budget, s.spent FROM spending s \
             JOIN keys k ON k.id = s.key_id WHERE s.month = $1 AND k.revoked_at IS NULL \
             AND s.spent > 0 AND s.spent >= k.monthly_budget - k.monthly_budget / 5 \
             ORDER BY k.monthly_budget - s.spent, k.id LIMIT $2",
        );
        let ask = ask.bind(i64::from(month.number())).bind(i64::from(most));
        let read = |(key, name, budget, spent): (String, String, i64, i64)| {
            let (budget, spent) = (amount(budget, &key)?, amount(spent, &key)?);
            Ok(NearBudget { key: KeyId::from_text(key), name, budget, spent })
        };
        self.connections.all(ask).await?.into_iter().map(read).collect()
    }
}

fn amount(millionths: i64, of: &str) -> Result<Millionths> {
    Millionths::new(millionths)
        .ok_or_else(|| StoreError::Corrupt(format!("an amount of {of} is negative")))
}

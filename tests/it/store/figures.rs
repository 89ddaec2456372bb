//! What people look at of many keys at once.

use std::collections::BTreeMap;

use keygate::domain::{JournalId, Key, KeyId, Millionths, Month, Used};
use keygate::store::NearBudget;
use keygate::store::books::Kept;
use rstest::rstest;

use super::{Kind, TestStore, act, at, batch};

/// 2026-11-29T12:30:00Z.
const NOW_MS: i64 = 1_795_955_400_000;
const DAY_MS: i64 = 86_400_000;

fn amount(millionths: i64) -> Millionths {
    Millionths::new(millionths).unwrap()
}

/// So many requests of a key, so many days ago, that cost so much each.
fn used(key: &Key, days_ago: i64, requests: usize, cost: i64) -> Vec<Used> {
    let used = |n| Used {
        at: at(NOW_MS - days_ago * DAY_MS),
        request_id: format!("{days_ago}-{n}"),
        key: key.id.clone(),
        owner: key.owner_id.clone(),
        route: format!("/{}", n % 2),
        status: 200,
        cost: amount(cost),
        lease: None,
    };
    (0..requests).map(used).collect()
}

async fn book(store: &TestStore, used: Vec<Used>) {
    store.book(&batch(&JournalId::mint(), 0, &used), at(NOW_MS)).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn requests_of_many_keys_are_told_by_day_whether_hours_or_days_are_kept_of_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (one, _) = store.key_with(|_| {}).await;
    let (two, _) = store.key_with(|_| {}).await;
    let (other, _) = store.key_with(|_| {}).await;
    for (key, days, requests) in
        [(&one, 0, 3), (&one, 5, 2), (&one, 9, 1), (&two, 5, 4), (&other, 0, 7)]
    {
        book(&store, used(key, days, requests, 0)).await;
    }
    let day = |days: i64| at(NOW_MS - days * DAY_MS).to_zoned(jiff::tz::TimeZone::UTC).date();
    let asked = [one.id.clone(), two.id.clone(), KeyId::mint()];
    let expected = BTreeMap::from([
        (one.id.clone(), BTreeMap::from([(day(0), 3), (day(5), 2)])),
        (two.id.clone(), BTreeMap::from([(day(5), 4)])),
    ]);
    for _ in 0..2 {
        let told = store.requests_by_day(&asked, at(NOW_MS - 5 * DAY_MS)).await.unwrap();
        assert_eq!(told, expected);
        let hours_since = at(NOW_MS - 2 * DAY_MS);
        let kept = Kept { requests_since: at(0), hours_since, journals_since: at(0) };
        store.tidy_usage(&kept).await.unwrap();
    }
    assert_eq!(store.requests_by_day(&[], at(0)).await.unwrap(), BTreeMap::new());
}

#[rstest]
#[tokio::test]
async fn all_spending_counts_what_a_child_spends_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let month = Month::of(at(NOW_MS));
    assert_eq!(store.spent_by_all(month).await.unwrap(), amount(0));
    let (parent, _) = store.key_with(|_| {}).await;
    let (child, _) = store.key_with(|key| key.parent_id = Some(parent.id.clone())).await;
    book(&store, used(&parent, 0, 2, 5)).await;
    book(&store, used(&child, 0, 1, 7)).await;
    assert_eq!(store.spent_by_all(month).await.unwrap(), amount(17));
    assert_eq!(store.spent_by_all(month.next()).await.unwrap(), amount(0));
}

#[rstest]
#[tokio::test]
async fn a_budget_is_near_its_end_from_four_fifths_on(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let month = Month::of(at(NOW_MS));
    let mut keys = Vec::new();
    for (budget, spent) in [
        (Some(100), 79),
        (Some(100), 80),
        (Some(100), 120),
        (None, 500),
        (Some(0), 0),
        (Some(100), 99),
    ] {
        let (key, _) = store.key_with(|key| key.monthly_budget = budget.map(amount)).await;
        book(&store, used(&key, 0, 1, spent)).await;
        keys.push(key);
    }
    store.revoke_key(&act(), &keys[5].id, None, at(NOW_MS)).await.unwrap();
    let near = |key: &Key, spent| NearBudget {
        key: key.id.clone(),
        name: key.name.clone(),
        budget: amount(100),
        spent: amount(spent),
    };
    let told = store.near_budget(month, 10).await.unwrap();
    assert_eq!(told, [near(&keys[2], 120), near(&keys[1], 80)]);
    assert_eq!(store.near_budget(month, 1).await.unwrap(), told[..1]);
}

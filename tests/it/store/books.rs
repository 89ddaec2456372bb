//! The books: each record once, spent by the key and all above it, taken off its lease, told once.

use std::collections::BTreeMap;

use keygate::domain::{JournalId, Key, KeyId, LeaseId, Millionths, Month, OwnerId, Used};
use keygate::store::books::Kept;
use keygate::store::{Batch, Booking, UsageBy, UsageFilter};
use rstest::rstest;

use super::Kind::{Postgres, Sqlite};
use super::{Hand, Kind, TestStore, at};

/// 2026-11-29T12:30:00Z.
const NOW_MS: i64 = 1_795_955_400_000;
const HOUR_MS: i64 = 3_600_000;

fn amount(millionths: i64) -> Millionths {
    Millionths::new(millionths).unwrap()
}

/// A request of a key that cost so much.
fn used(key: &Key, id: &str, cost: i64) -> Used {
    Used {
        at: at(NOW_MS),
        request_id: id.to_owned(),
        key: key.id.clone(),
        owner: key.owner_id.clone(),
        route: "/v1/{id}".to_owned(),
        status: 200,
        cost: amount(cost),
        lease: None,
    }
}

/// The same, spent from a lease.
fn leased(key: &Key, id: &str, cost: i64, lease: i64) -> Used {
    let lease = LeaseId::from_number(lease).unwrap();
    Used { lease: Some((lease, amount(cost))), ..used(key, id, cost) }
}

/// Of requests that are kept by themselves, too.
fn batch(journal: &JournalId, from: u64, used: Vec<Used>) -> Batch {
    let counted = super::batch(journal, from, &used);
    Batch { requests: used, ..counted }
}

impl TestStore {
    async fn books(&self, from: u64, journal: &JournalId, used: Vec<Used>) -> Booking {
        self.book(&batch(journal, from, used), at(NOW_MS)).await.unwrap()
    }

    /// Numbers of a row, or nothing where there is none.
    async fn numbers(&self, question: &str) -> Vec<i64> {
        let question = sqlx::AssertSqlSafe(question.to_owned());
        let rows: Vec<(i64,)> = match self.hand().await {
            Hand::Sqlite(mut hand) => sqlx::query_as(question).fetch_all(&mut hand).await,
            Hand::Postgres(mut hand) => sqlx::query_as(question).fetch_all(hand.as_mut()).await,
        }
        .unwrap();
        rows.into_iter().map(|row| row.0).collect()
    }

    /// The data of all events of a kind, in their order.
    async fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let question = format!("SELECT data FROM events WHERE kind = '{kind}' ORDER BY id");
        let question = sqlx::AssertSqlSafe(question);
        let rows: Vec<(String,)> = match self.hand().await {
            Hand::Sqlite(mut hand) => sqlx::query_as(question).fetch_all(&mut hand).await,
            Hand::Postgres(mut hand) => sqlx::query_as(question).fetch_all(hand.as_mut()).await,
        }
        .unwrap();
        rows.into_iter().map(|row| serde_json::from_str(&row.0).unwrap()).collect()
    }

    async fn spent_of(&self, key: &KeyId) -> i64 {
        let month = Month::of(at(NOW_MS));
        let spent = self.spent(std::slice::from_ref(key), month).await.unwrap();
        spent.get(key).map_or(0, |amount| amount.get())
    }

    async fn held_of(&self, key: &KeyId) -> i64 {
        let question = format!("SELECT held FROM spending WHERE key_id = '{key}'");
        self.numbers(&question).await.into_iter().sum()
    }

    /// Takes a lease by hand, as a holder would.
    async fn lease(
        &self,
        id: i64,
        holder: &JournalId,
        line: &[&Key],
        owner: Option<&str>,
        held: i64,
    ) {
        let month = Month::of(at(NOW_MS)).number();
        for key in line {
            self.sql(&format!(
                "INSERT INTO spending (key_id, month, held) VALUES ('{}', {month}, {held}) \
                 ON CONFLICT (key_id, month) DO UPDATE SET held = spending.held + {held}",
                key.id
            ))
            .await;
        }
        let named = owner.map_or("NULL".to_owned(), |owner| format!("'{owner}'"));
        if owner.is_some() {
            let update =
                format!("UPDATE credits SET held = held + {held} WHERE owner_id = {named}");
            self.sql(&update).await;
        }
        self.sql(&format!(
            "INSERT INTO leases (id, holder, key_id, owner_id, month, amount, expires_at) \
             VALUES ({id}, '{holder}', '{}', {named}, {month}, {held}, 0)",
            line[0].id
        ))
        .await;
    }

    async fn credits(&self, balance: i64, more: &str, values: &str) {
        self.sql(&format!(
            "INSERT INTO credits (owner_id, balance{more}) VALUES ('default', {balance}{values})"
        ))
        .await;
        self.sql("UPDATE owners SET credit_changes = 1 WHERE id = 'default'").await;
    }
}

#[rstest]
#[tokio::test]
async fn a_record_is_booked_once_however_often_it_is_brought(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let journal = JournalId::mint();
    let first = vec![used(&key, "a", 5), used(&key, "b", 5)];
    assert_eq!(store.books(0, &journal, first.clone()).await, Booking::Done);
    assert_eq!(store.books(0, &journal, first.clone()).await, Booking::At(2));
    // Beginning within what is booked, and behind its end.
    assert_eq!(store.books(1, &journal, first[1..].to_vec()).await, Booking::At(2));
    assert_eq!(store.books(7, &journal, first.clone()).await, Booking::At(2));
    assert_eq!(store.books(2, &journal, vec![used(&key, "c", 5)]).await, Booking::Done);
    assert_eq!(store.booked(&journal).await.unwrap(), BTreeMap::from([(0, 3)]));
    assert_eq!(store.spent_of(&key.id).await, 15);
    assert_eq!(store.numbers("SELECT count(*) FROM usage_requests").await, [3]);
    let rows = store.usage(&UsageFilter::default(), UsageBy::Route).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].group.as_str(), rows[0].requests, rows[0].cost),
        ("/v1/{id}", 3, amount(15))
    );
    store.forget_journal(&journal).await.unwrap();
    assert!(store.booked(&journal).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_bring_the_same_one_books_it(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let journal = JournalId::mint();
    let mut bringing = Vec::new();
    for _ in 0..6 {
        let (other, journal) = (store.another().await, journal.clone());
        let lines: Vec<Used> = (0..50).map(|n| used(&key, &format!("r{n}"), 2)).collect();
        bringing.push(tokio::spawn(async move {
            other.book(&batch(&journal, 0, lines), at(NOW_MS)).await.unwrap()
        }));
    }
    let mut outcomes = Vec::new();
    for brought in bringing {
        outcomes.push(brought.await.unwrap());
    }
    let done = outcomes.iter().filter(|outcome| **outcome == Booking::Done).count();
    assert_eq!(done, 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Booking::Done | Booking::At(50))));
    assert_eq!(store.spent_of(&key.id).await, 100);
    assert_eq!(store.numbers("SELECT count(*) FROM usage_requests").await, [50]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_the_same_rows_in_any_order_do_not_wait_for_each_other(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (parent, _) = store.key_with(|_| {}).await;
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.push(store.key_with(|key| key.parent_id = Some(parent.id.clone())).await.0);
    }
    store.credits(1_000_000, "", "").await;
    let mut writing = Vec::new();
    for writer in 0..4 {
        let (other, mut keys) = (store.another().await, keys.clone());
        keys.rotate_left(writer);
        writing.push(tokio::spawn(async move {
            let journal = JournalId::mint();
            for round in 0..10 {
                let lines = keys.iter().map(|key| used(key, "r", 1)).collect();
                let booking = other.book(&batch(&journal, round * 6, lines), at(NOW_MS)).await;
                assert_eq!(booking.unwrap(), Booking::Done);
            }
        }));
    }
    for written in writing {
        written.await.unwrap();
    }
    assert_eq!(store.spent_of(&parent.id).await, 240);
    assert_eq!(store.spent_of(&keys[0].id).await, 40);
    assert_eq!(store.numbers("SELECT balance FROM credits").await, [1_000_000 - 240]);
}

#[rstest]
#[tokio::test]
async fn what_is_spent_comes_off_its_lease_while_that_is_there(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (parent, _) = store.key_with(|_| {}).await;
    let (child, _) = store.key_with(|key| key.parent_id = Some(parent.id.clone())).await;
    store.credits(1_000, "", "").await;
    let journal = JournalId::mint();
    let other = JournalId::mint();
    store.lease(7, &journal, &[&child, &parent], Some("default"), 100).await;
    store.lease(8, &other, &[&child, &parent], None, 50).await;
    let lines = vec![leased(&child, "a", 30, 7), leased(&child, "b", 5, 8), used(&child, "c", 1)];
    store.books(0, &journal, lines).await;
    for key in [&child.id, &parent.id] {
        assert_eq!(store.spent_of(key).await, 36);
        assert_eq!(store.held_of(key).await, 150 - 35);
    }
    assert_eq!(store.numbers("SELECT amount FROM leases ORDER BY id").await, [70, 45]);
    assert_eq!(store.numbers("SELECT balance FROM credits").await, [1_000 - 36]);
    assert_eq!(store.numbers("SELECT held FROM credits").await, [70]);
    // What is left flows back, and only that holder's.
    assert_eq!(store.release_leases(&journal).await.unwrap(), 1);
    assert_eq!(store.release_leases(&journal).await.unwrap(), 0);
    assert_eq!(store.held_of(&child.id).await, 45);
    assert_eq!(store.held_of(&parent.id).await, 45);
    assert_eq!(store.numbers("SELECT held FROM credits").await, [0]);
    // Spent from a lease that is gone: it has given its hold back already.
    store.books(3, &journal, vec![leased(&child, "d", 10, 7)]).await;
    assert_eq!(store.spent_of(&parent.id).await, 46);
    assert_eq!(store.held_of(&parent.id).await, 45);
    assert_eq!(store.release_expired_leases().await.unwrap(), 1);
    assert_eq!(store.held_of(&parent.id).await, 0);
}

#[rstest]
#[tokio::test]
async fn a_month_is_that_of_the_request(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let end = Month::of(at(NOW_MS)).ends();
    let last = Used { at: end - std::time::Duration::from_millis(1), ..used(&key, "a", 3) };
    let first = Used { at: end, ..used(&key, "b", 4) };
    store.books(0, &JournalId::mint(), vec![last, first]).await;
    assert_eq!(store.spent_of(&key.id).await, 3);
    let keys = [key.id.clone()];
    let next = store.spent(&keys, Month::of(end)).await.unwrap();
    assert_eq!(next, BTreeMap::from([(key.id.clone(), amount(4))]));
}

#[rstest]
#[tokio::test]
async fn eighty_and_a_hundred_percent_are_told_once_each(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (parent, _) = store.key_with(|key| key.monthly_budget = Millionths::new(1_000)).await;
    let (child, _) = store
        .key_with(|key| {
            key.parent_id = Some(parent.id.clone());
            key.monthly_budget = None;
        })
        .await;
    let journal = JournalId::mint();
    let percents = async || -> Vec<i64> {
        let events = store.events("budget.threshold").await;
        events.iter().map(|event| event["percent"].as_i64().unwrap()).collect()
    };
    for (from, cost, told) in
        [(0, 799, &[][..]), (1, 1, &[80]), (2, 199, &[80]), (3, 1, &[80, 100])]
    {
        store.books(from, &journal, vec![used(&child, "r", cost)]).await;
        assert_eq!(percents().await, told, "{cost}");
    }
    store.books(4, &journal, vec![used(&child, "r", 5_000)]).await;
    assert_eq!(percents().await, [80, 100]);
    let event = &store.events("budget.threshold").await[0];
    let expected = serde_json::json!({
        "key_id": parent.id, "owner": "default", "percent": 80,
        "monthly_budget": "0.001", "spent": "0.0008",
    });
    assert_eq!(*event, expected);
    // Over both at once: both are told, and in the next month anew.
    let next = Used { at: Month::of(at(NOW_MS)).ends(), ..used(&child, "n", 2_000) };
    store.books(5, &journal, vec![next]).await;
    assert_eq!(percents().await, [80, 100, 80, 100]);
}

#[rstest]
#[tokio::test]
async fn low_credits_are_told_once_and_more_is_asked_for_once_a_day(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let more = ", low_threshold, recharge_threshold, recharge_amount, recharge_url";
    store.credits(1_000, more, ", 500, 300, 2000000, 'https://billing.example'").await;
    let journal = JournalId::mint();
    for (from, cost, events) in [(0, 500, 0), (1, 1, 1), (2, 199, 1), (3, 1, 2), (4, 400, 2)] {
        store.books(from, &journal, vec![used(&key, "r", cost)]).await;
        assert_eq!(store.events("credits.low").await.len(), events, "{cost}");
    }
    let events = store.events("credits.low").await;
    let low = serde_json::json!({"owner": "default", "balance": "0.000499", "threshold": "0.0005"});
    assert_eq!(events[0], low);
    let recharge = serde_json::json!({
        "owner": "default", "balance": "0.000299", "threshold": "0.0003",
        "recharge": {"amount": "2.00"},
    });
    assert_eq!(events[1], recharge);
    let day_later = at(NOW_MS + 24 * HOUR_MS + 1);
    store.book(&batch(&journal, 5, vec![used(&key, "r", 1)]), day_later).await.unwrap();
    let events = store.events("credits.low").await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[2]["balance"], "-0.000102");
    let owner = OwnerId::from_text("default");
    let filter = UsageFilter { owner: Some(owner), ..UsageFilter::default() };
    let rows = store.usage(&filter, UsageBy::Owner).await.unwrap();
    assert_eq!((rows[0].requests, rows[0].cost), (6, amount(1_102)));
}

#[rstest]
#[tokio::test]
async fn a_key_that_is_gone_spends_nothing_and_stops_nobody(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let gone = Key { id: KeyId::mint(), ..key.clone() };
    let lines = vec![used(&gone, "a", 3), used(&key, "b", 4)];
    assert_eq!(store.books(0, &JournalId::mint(), lines).await, Booking::Done);
    assert_eq!(store.spent_of(&key.id).await, 4);
    let rows = store.usage(&UsageFilter::default(), UsageBy::Key).await.unwrap();
    assert_eq!(rows.len(), 2);
}

#[rstest]
#[tokio::test]
async fn old_hours_become_days_and_nothing_of_them_is_lost(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let journal = JournalId::mint();
    let days = |days: i64| at(NOW_MS - days * 24 * HOUR_MS);
    let lines = (0..10).flat_map(|day| {
        let early = at(days(day).as_millisecond() - 2 * HOUR_MS);
        [Used { at: days(day), ..used(&key, "a", 1) }, Used { at: early, ..used(&key, "b", 2) }]
    });
    store.books(0, &journal, lines.collect()).await;
    let ask = async |by| store.usage(&UsageFilter::default(), by).await.unwrap();
    let (by_day, by_hour) = (ask(UsageBy::Day).await, ask(UsageBy::Hour).await);
    assert_eq!((by_day.len(), by_hour.len()), (10, 20));
    assert_eq!(by_day[9].group, "2026-11-29");
    assert_eq!((by_day[9].requests, by_day[9].cost), (2, amount(3)));
    assert_eq!(by_hour[19].group, "2026-11-29T12:00:00Z");
    let kept = Kept { requests_since: days(3), hours_since: days(5), journals_since: at(NOW_MS) };
    for _ in 0..2 {
        store.tidy_usage(&kept).await.unwrap();
        assert_eq!(ask(UsageBy::Day).await, by_day);
        assert_eq!(ask(UsageBy::Hour).await.len(), 4 + 6 * 2);
    }
    // Of each day kept two requests, and of the day that the border is in one.
    assert_eq!(store.numbers("SELECT count(*) FROM usage_requests").await, [7]);
    assert_eq!(store.booked(&journal).await.unwrap(), BTreeMap::from([(0, 20)]));
    let since = UsageFilter { since: Some(days(1)), ..UsageFilter::default() };
    let rows = store.usage(&since, UsageBy::Day).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.requests).collect::<Vec<_>>(), [1, 2]);
    // What comes late is added to its day in the end.
    store.books(20, &journal, vec![Used { at: days(9), ..used(&key, "late", 5) }]).await;
    store.tidy_usage(&kept).await.unwrap();
    let first = &ask(UsageBy::Day).await[0];
    assert_eq!((first.requests, first.cost), (3, amount(8)));
}

/// How fast the books take what is brought: `cargo test --release --test it measure -- --ignored
/// --nocapture`.
#[rstest]
#[tokio::test]
#[ignore = "it measures"]
async fn measure_how_many_requests_a_second_are_booked(#[values(Sqlite, Postgres)] kind: Kind) {
    const BATCHES: u64 = 20;
    let Some(store) = kind.ready().await else { return };
    let mut keys = Vec::new();
    for _ in 0..100 {
        keys.push(store.key_with(|_| {}).await.0);
    }
    let journal = JournalId::mint();
    let begun = tokio::time::Instant::now();
    for round in 0..BATCHES {
        let lines = (0..2_000).map(|n| used(&keys[n % 100], &format!("{round}-{n}"), 1)).collect();
        assert_eq!(store.books(round * 2_000, &journal, lines).await, Booking::Done);
    }
    let a_second = (BATCHES * 2_000) as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{kind:?}: {a_second:.0} requests of 100 keys, each with a cost, a second");
}

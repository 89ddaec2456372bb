//! `usage.unusual` from the books, on both stores.

use std::fmt::Write as _;
use std::sync::Arc;

use keygate::rotation::unusual;
use keygate::store::Store;
use rstest::rstest;

use super::{DAY, at, events};
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{TestStore, bulk};

const HOUR: i64 = 3_600;
const EVENT: &str = "usage.unusual";

/// So many keys with an empty history.
async fn keys(kind: Kind, count: usize) -> Option<(TestStore, Arc<dyn Store>, Vec<String>)> {
    let test = tokio::task::spawn_blocking(move || TestStore::of(kind)).await.unwrap()?;
    let store = bulk::open(&test).await;
    store.migrate().await.unwrap();
    let keys = tokio::task::block_in_place(|| bulk::insert(&test, count, |_, _| {}));
    let keys = keys.iter().map(|key| key.id().to_owned()).collect();
    Some((test, store, keys))
}

/// Books `requests` of a key in the hours from `from` up to `to`, on two routes.
fn book(test: &TestStore, key: &str, (from, to): (i64, i64), requests: u64) {
    let mut rows = String::new();
    for hour in from..to {
        let period = at(hour * HOUR).as_millisecond();
        let (one, other) = (requests / 2, requests - requests / 2);
        for (route, requests) in [("/a", one), ("/b", other)] {
            let comma = if rows.is_empty() { "" } else { ", " };
            let _ = write!(
                rows,
                "{comma}({period}, '{key}', 'default', '{route}', 200, {requests}, 0)"
            );
        }
    }
    tokio::task::block_in_place(|| {
        test.sql(&format!(
            "INSERT INTO usage_hours (period, key_id, owner_id, route, status, requests, cost) \
             VALUES {rows} ON CONFLICT (period, key_id, owner_id, route, status) \
             DO UPDATE SET requests = excluded.requests"
        ));
    });
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_told_of_once_a_day_with_what_it_was_compared_with(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some((test, store, keys)) = keys(kind, 3).await else { return };
    let days = 20 * 24;
    for key in &keys {
        book(&test, key, (0, days), 50);
    }
    // One as ever, one that has a burst, one of which too little is known.
    book(&test, &keys[0], (days, days + 1), 51);
    book(&test, &keys[1], (days, days + 1), 700);
    tokio::task::block_in_place(|| {
        let known = at((days - 167) * HOUR).as_millisecond();
        test.sql(&format!(
            "DELETE FROM usage_hours WHERE key_id = '{}' AND period < {known}",
            keys[2]
        ));
    });
    book(&test, &keys[2], (days, days + 1), 700);
    let soon = (days + 1) * HOUR + 120;
    assert_eq!(unusual::pass(&*store, at(soon)).await.unwrap(), 1);
    assert_eq!(unusual::pass(&*store, at(soon)).await.unwrap(), 0);
    let told = tokio::task::block_in_place(|| events(&test, EVENT));
    let [(subject, data)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((subject, &data["key_id"]), (&keys[1], &keys[1].as_str().into()));
    assert_eq!((&data["requests"], &data["usual"]), (&700.into(), &50.into()));
    assert_eq!(
        (&data["owner"], &data["hour"]),
        (&"default".into(), &at(days * HOUR).to_string().into())
    );
    assert!(data["rule"].as_str().unwrap().contains("three times"));

    // Much more in a later hour of the day is not told of again; on the next day it is.
    book(&test, &keys[1], (days + 5, days + 6), 7_000);
    assert_eq!(unusual::pass(&*store, at((days + 6) * HOUR)).await.unwrap(), 0);
    book(&test, &keys[1], (days + 30, days + 31), 70_000);
    assert_eq!(unusual::pass(&*store, at((days + 31) * HOUR)).await.unwrap(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_judged_however_many_there_are_and_revoked_ones_not(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    const KEYS: usize = 120;
    let Some((test, store, keys)) = keys(kind, KEYS).await else { return };
    let days = 8 * 24;
    for key in &keys {
        book(&test, key, (0, 1), 1);
        book(&test, key, (days, days + 1), 300);
    }
    let revoked = keygate::domain::KeyId::from_text(keys[7].as_str());
    let act = keygate::domain::Act::own(at(0));
    store.revoke_key(&act, &revoked, None, at(DAY)).await.unwrap();
    assert_eq!(unusual::pass(&*store, at((days + 1) * HOUR)).await.unwrap(), KEYS - 1);
}

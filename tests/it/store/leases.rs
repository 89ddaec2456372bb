//! Leases: what is left of a budget is what was neither spent nor is held by anybody.

use std::time::Duration;

use futures_util::future::join_all;
use keygate::domain::money::LeaseSize;
use keygate::domain::{JournalId, Key, KeyId, LeaseId, Millionths, Month, OwnerId, Reason};
use keygate::store::{Grant, LeaseAsk, Spending, Store};
use rstest::rstest;

use super::{Kind, TestStore, act};

const MONTH: u32 = 24_323;
const HOUR: Duration = Duration::from_hours(1);

fn holder(name: &str) -> JournalId {
    JournalId::from_text(name)
}

fn lease(number: i64) -> LeaseId {
    LeaseId::from_number(number).unwrap()
}

/// An ask for as much as there is, in steps of ten.
fn ask(key: &Key, number: i64, least: i64) -> LeaseAsk {
    LeaseAsk {
        lease: lease(number),
        holder: holder("jrn_1"),
        key: key.id.clone(),
        month: Month::from_number(MONTH),
        credits_of: None,
        size: LeaseSize { want: i64::MAX, ample: 0, least, unit: 10, instances: 1 },
        lasts: HOUR,
    }
}

async fn budgeted(store: &TestStore, budget: Option<i64>, parent: Option<&Key>) -> Key {
    let change = |key: &mut Key| {
        key.monthly_budget = budget.and_then(Millionths::new);
        key.parent_id = parent.map(|parent| parent.id.clone());
    };
    store.key_with(change).await.0
}

async fn held(store: &dyn Store, key: &KeyId) -> i64 {
    let found = store.spending(std::slice::from_ref(key), Month::from_number(MONTH)).await.unwrap();
    found.first().map_or(0, |(_, Spending { held, .. })| *held)
}

#[rstest]
#[tokio::test]
async fn a_lease_is_taken_from_the_key_and_all_above_it_and_flows_back_to_them(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let top = budgeted(&store, Some(100), None).await;
    let middle = budgeted(&store, None, Some(&top)).await;
    let child = budgeted(&store, Some(1_000), Some(&middle)).await;
    assert_eq!(store.grant(&ask(&child, 1, 10)).await.unwrap(), Grant::Granted(50));
    assert_eq!(store.grant(&ask(&child, 1, 10)).await.unwrap(), Grant::Granted(20));
    for key in [&top, &middle, &child] {
        assert_eq!(held(&*store, &key.id).await, 70);
    }
    assert_eq!(store.grant(&ask(&top, 2, 31)).await.unwrap(), Grant::Short(Reason::BudgetExceeded));
    assert_eq!(store.grant(&ask(&top, 2, 30)).await.unwrap(), Grant::Granted(30));
    store.give_back(lease(1), 40).await.unwrap();
    assert_eq!(held(&*store, &child.id).await, 30);
    assert_eq!(held(&*store, &top.id).await, 60);
    // There are but 30 left in it.
    store.give_back(lease(1), 1_000).await.unwrap();
    store.give_back(lease(99), 5).await.unwrap();
    assert_eq!((held(&*store, &child.id).await, held(&*store, &top.id).await), (0, 30));
}

#[rstest]
#[tokio::test]
async fn a_budget_of_nothing_and_a_key_that_is_gone_grant_nothing(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let spent = budgeted(&store, Some(0), None).await;
    let short = Grant::Short(Reason::BudgetExceeded);
    assert_eq!(store.grant(&ask(&spent, 1, 1)).await.unwrap(), short);
    let gone = Key { id: KeyId::mint(), ..spent.clone() };
    assert_eq!(store.grant(&ask(&gone, 1, 1)).await.unwrap(), short);
}

#[rstest]
#[tokio::test]
async fn credits_bind_once_there_are_some(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let key = budgeted(&store, Some(1_000), None).await;
    let owner = OwnerId::from_text("default");
    let credits_of = || Some(owner.clone());
    let with_credits =
        |number, least| LeaseAsk { credits_of: credits_of(), ..ask(&key, number, least) };
    let granted = store.grant(&with_credits(1, 10)).await.unwrap();
    assert_eq!(granted, Grant::Granted(500), "without credits the budget alone binds");
    let some = Millionths::new(100).unwrap();
    let credits = store.add_credits(&act(), &owner, some, "invoice 7").await.unwrap();
    assert_eq!((credits.balance, credits.held), (100, 0));
    assert_eq!(store.owner("default").await.unwrap().unwrap().credit_changes, 1);
    let short = Grant::Short(Reason::CreditsExhausted);
    assert_eq!(store.grant(&with_credits(2, 101)).await.unwrap(), short);
    assert_eq!(store.grant(&with_credits(2, 100)).await.unwrap(), Grant::Granted(100));
    assert_eq!(store.credits(&owner).await.unwrap().unwrap().held, 100);
    store.release_leases(&holder("jrn_1")).await.unwrap();
    assert_eq!(store.credits(&owner).await.unwrap().unwrap().held, 0);
    assert_eq!(held(&*store, &key.id).await, 0);
}

#[rstest]
#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_and_flows_back_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let key = budgeted(&store, Some(1_000), None).await;
    store.grant(&ask(&key, 1, 10)).await.unwrap();
    let other = LeaseAsk { holder: holder("jrn_2"), ..ask(&key, 2, 10) };
    store.grant(&other).await.unwrap();
    assert_eq!(store.renew_leases(&holder("jrn_1"), HOUR).await.unwrap(), [lease(1)]);
    assert_eq!(store.release_expired_leases().await.unwrap(), 0);
    store.sql("UPDATE leases SET expires_at = 1 WHERE holder = 'jrn_2'").await;
    let another = store.another().await;
    let both = join_all([store.release_expired_leases(), another.release_expired_leases()]).await;
    assert_eq!(both.into_iter().map(Result::unwrap).sum::<usize>(), 1);
    assert_eq!(held(&*store, &key.id).await, 500);
    store.give_back(lease(2), 100).await.unwrap();
    assert_eq!(held(&*store, &key.id).await, 500);
}

#[rstest]
#[tokio::test]
async fn many_who_ask_at_once_get_no_more_than_there_is(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let parent = budgeted(&store, Some(1_000), None).await;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(budgeted(&store, Some(500), Some(&parent)).await);
    }
    let stores = [store.another().await, store.another().await, store.another().await];
    let asks = (0..60_u8).map(|round| {
        let (store, child) = (&stores[usize::from(round) % 3], &children[usize::from(round) % 4]);
        let number = i64::from(round % 12) + 1;
        async move { store.grant(&ask(child, number, 10)).await.unwrap() }
    });
    let grants = join_all(asks).await.into_iter();
    let granted: i64 =
        grants.map(|it| if let Grant::Granted(amount) = it { amount } else { 0 }).sum();
    assert!(granted <= 1_000, "{granted}");
    assert_eq!(held(&*store, &parent.id).await, granted);
    // Each ask takes half of what is left, so that sixty leave less than what the smallest takes.
    assert!(granted > 990, "{granted}");
}

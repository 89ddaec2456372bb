//! The running instances: each has a row, and what is said of them goes by the database's clock.

use std::time::Duration;

use keygate::domain::{Instance, InstanceId, InstanceStatus, SeenInstance};
use rstest::rstest;
use tokio::time::timeout;

use super::{Kind, PATIENCE, TestStore, at, hears};

fn instance(revision: i64) -> Instance {
    Instance {
        id: InstanceId::mint(),
        host: "web-1 (pid 7)".to_owned(),
        version: "1.2.3".to_owned(),
        started_at: at(1_234),
        revision,
        config_hash: "abc".to_owned(),
    }
}

impl TestStore {
    /// Lets an instance have been silent for so long.
    async fn silence(&self, id: &InstanceId, ms: u64) {
        let by_hand = format!("UPDATE instances SET seen_at = seen_at - {ms} WHERE id = '{id}'");
        assert_eq!(self.sql(&by_hand).await, 1);
    }

    async fn seen(&self, id: &InstanceId) -> Option<SeenInstance> {
        let all = self.instances().await.unwrap();
        all.into_iter().find(|seen| seen.instance.id == *id)
    }
}

#[rstest]
#[tokio::test]
async fn what_an_instance_says_of_itself_is_read_back(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mut told = instance(store.revision().await.unwrap());
    assert_eq!(store.report_instance(&told).await.unwrap(), 0, "no other one");
    let seen = store.another().await.instances().await.unwrap();
    assert_eq!((seen.len(), &seen[0].instance), (1, &told));
    assert_eq!((seen[0].status, seen[0].lag_ms), (InstanceStatus::Running, 0));
    assert!(u128::from(seen[0].seen_ms_ago) < PATIENCE.as_millis(), "{seen:?}");

    store.silence(&told.id, 60_000).await;
    let silent = store.seen(&told.id).await.unwrap();
    assert_eq!(silent.status, InstanceStatus::Silent);
    assert!(silent.seen_ms_ago >= 60_000, "{silent:?}");

    store.owner_named("acme").await;
    (told.revision, told.config_hash) = (store.revision().await.unwrap(), "def".to_owned());
    store.report_instance(&told).await.unwrap();
    let again = store.seen(&told.id).await.unwrap();
    assert_eq!((again.instance, again.status), (told, InstanceStatus::Running));
}

#[rstest]
#[tokio::test]
async fn the_lag_is_the_age_of_the_oldest_change_that_is_not_applied(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mut told = instance(store.revision().await.unwrap());
    store.report_instance(&told).await.unwrap();
    store.owner_named("first").await;
    let first = store.revision().await.unwrap();
    store.owner_named("second").await;
    let age = format!("UPDATE changes SET at = at - 60000 WHERE revision = {first}");
    assert_eq!(store.sql(&age).await, 1);
    let lag = store.seen(&told.id).await.unwrap().lag_ms;
    assert!((60_000..90_000).contains(&lag), "{lag}");

    told.revision = first;
    store.report_instance(&told).await.unwrap();
    let lag = store.seen(&told.id).await.unwrap().lag_ms;
    assert!(lag < 30_000, "{lag}");

    told.revision = store.revision().await.unwrap();
    store.report_instance(&told).await.unwrap();
    assert_eq!(store.seen(&told.id).await.unwrap().lag_ms, 0);
}

#[rstest]
#[tokio::test]
async fn who_goes_by_a_later_state_than_the_store_has_applied_nothing_of_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let told = instance(store.revision().await.unwrap() + 1);
    store.report_instance(&told).await.unwrap();
    assert_eq!(store.seen(&told.id).await.unwrap().instance.revision, 0);
    store.owner_named("acme").await;
    let newest = store.revision().await.unwrap();
    assert_eq!(store.seen(&told.id).await.unwrap().instance.revision, newest);
}

#[rstest]
#[tokio::test]
async fn who_was_heard_of_lately_is_counted_and_who_stopped_is_gone(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let all = [instance(0), instance(0), instance(0)];
    let mut counts = Vec::new();
    for each in &all {
        counts.push(store.report_instance(each).await.unwrap());
    }
    assert_eq!(counts, [0, 1, 2]);
    let order: Vec<_> = store.instances().await.unwrap();
    assert!(order.iter().map(|seen| &seen.instance.id).eq(all.iter().map(|each| &each.id)));

    store.silence(&all[0].id, 10_000).await;
    assert_eq!(store.report_instance(&all[2]).await.unwrap(), 1);
    store.forget_instance(&all[1].id).await.unwrap();
    store.forget_instance(&all[1].id).await.unwrap();
    assert_eq!(store.report_instance(&all[2]).await.unwrap(), 0);
    assert!(store.seen(&all[1].id).await.is_none());
    assert!(store.seen(&all[0].id).await.is_some());
}

#[rstest]
#[tokio::test]
async fn who_was_not_heard_of_for_a_day_is_not_shown_and_is_pruned(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (old, young) = (instance(0), instance(0));
    for each in [&old, &young] {
        store.report_instance(each).await.unwrap();
    }
    store.silence(&old.id, 24 * 3_600_000 + 1).await;
    store.silence(&young.id, 23 * 3_600_000).await;
    assert!(store.seen(&old.id).await.is_none() && store.seen(&young.id).await.is_some());
    store.prune_instances().await.unwrap();
    assert_eq!(store.sql("UPDATE instances SET revision = 1").await, 1);
}

#[rstest]
#[tokio::test]
async fn a_heartbeat_is_no_change(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    let told = instance(since);
    for _ in 0..3 {
        store.report_instance(&told).await.unwrap();
    }
    store.forget_instance(&told.id).await.unwrap();
    assert_eq!((store.revision().await.unwrap(), store.told(since).await.len()), (since, 0));
    // Far longer than the feed takes to tell of a change.
    assert!(timeout(Duration::from_millis(200), feed.next()).await.is_err());
    store.owner_named("acme").await;
    hears(&mut feed).await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_waits_for_no_writer() {
    let Some(store) = Kind::Postgres.ready().await else { return };
    let mut hand = store.hand().await;
    hand.run("BEGIN; UPDATE owners SET disabled = true").await;
    let beat = timeout(PATIENCE, store.report_instance(&instance(0))).await;
    assert_eq!(beat.expect("it does not wait").unwrap(), 0);
    hand.run("ROLLBACK").await;
}

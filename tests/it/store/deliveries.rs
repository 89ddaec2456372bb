//! Events on their way: made into deliveries once, taken on by one at a time, and each subject's in
//! its order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keygate::domain::{Event, EventKind, HookId};
use keygate::store::deliveries::{
    Backlog, Claim, DeliveryStatus, Destination, Outcome, Replay, ToDo, Wanted,
};
use keygate::store::{AuditFilter, Hook};
use rstest::rstest;
use serde_json::json;

use super::{Kind, TestStore, act, at, first};

const END: &str = "end_1";

fn to(endpoint: &str) -> Destination {
    let (endpoint, url) = (endpoint.to_owned(), "https://a/?***".to_owned());
    Destination { endpoint, url, host: "a:443".to_owned() }
}

fn wanted(most: usize) -> Wanted {
    Wanted { endpoints: vec![END.to_owned()], per_host: 100, most, ..Wanted::default() }
}

impl TestStore {
    /// Writes events of these subjects down, one after the other.
    async fn happens(&self, subjects: &[&str]) -> Vec<Event> {
        let mut events = Vec::new();
        for subject in subjects {
            let data = json!({ "key_id": subject });
            let event = Event::new(EventKind::KeyRotated, subject, data, at(1_000));
            self.emit(&event).await.unwrap();
            events.push(event);
        }
        events
    }

    /// Makes all of them into deliveries to one endpoint.
    async fn dispatch_all(&self, now: Timestamp) -> u32 {
        self.dispatch(&|_| vec![to(END)], now, 1_000).await.unwrap()
    }

    /// Takes on what is due, until `now` and a second.
    async fn claim_at(&self, now: i64, most: usize) -> Vec<Claim> {
        self.claim(&wanted(most), at(now), at(now + 1_000)).await.unwrap()
    }
}

fn subjects(claims: &[Claim]) -> Vec<&str> {
    let mut subjects: Vec<_> = claims.iter().map(|claim| claim.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects
}

#[rstest]
#[tokio::test]
async fn an_event_becomes_a_delivery_to_each_address_that_wants_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    assert_eq!(store.to_do(at(0)).await.unwrap(), ToDo::default());
    let hook = Hook {
        id: HookId::mint(),
        subject: "key_1".to_owned(),
        url: "https://b:8443/c?d".to_owned(),
        sealed: "v1.x".to_owned(),
        created_at: at(0),
    };
    store.put_hook(&hook, "https://b:8443/c?***", "b:8443").await.unwrap();
    let events = store.happens(&["key_1", "key_2"]).await;
    let due = ToDo { events: true, deliveries: false };
    assert_eq!(store.to_do(at(0)).await.unwrap(), due);

    let route = |kind: &str| if kind == "key.rotated" { vec![to(END)] } else { Vec::new() };
    assert_eq!(store.dispatch(&route, at(2_000), 1).await.unwrap(), 1);
    assert_eq!(store.dispatch(&route, at(2_000), 10).await.unwrap(), 1);
    assert_eq!(store.dispatch(&route, at(2_000), 10).await.unwrap(), 0, "each once");
    assert_eq!(store.to_do(at(1_999)).await.unwrap(), ToDo::default());
    assert!(store.to_do(at(2_000)).await.unwrap().deliveries);

    let mut claims = store.claim_at(2_000, 10).await;
    claims.sort_by_key(|claim| (claim.subject.clone(), claim.hook.is_some()));
    assert_eq!(subjects(&claims), ["key_1", "key_1", "key_2"]);
    assert_eq!(claims[1].hook, Some((hook.url, hook.sealed)));
    assert_eq!(
        (claims[1].endpoint.as_str(), claims[1].host.as_str()),
        (hook.id.as_str(), "b:8443")
    );
    let plain = &claims[0];
    assert_eq!((plain.endpoint.as_str(), plain.attempt, &plain.hook), (END, 1, &None));
    assert_eq!((&plain.event_id, plain.at), (&events[0].id, at(1_000)));
    assert_eq!(
        (plain.kind.as_str(), plain.data.as_str()),
        ("key.rotated", r#"{"key_id":"key_1"}"#)
    );

    // What matches nothing is done with.
    store.happens(&["key_3"]).await;
    assert_eq!(store.dispatch(&|_| Vec::new(), at(2_000), 10).await.unwrap(), 1);
    assert_eq!(store.to_do(at(2_000)).await.unwrap(), ToDo::default());
}

#[rstest]
#[tokio::test]
async fn a_claim_is_one_instances_until_it_ends_and_a_late_one_changes_nothing(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let another = store.another().await;
    store.happens(&["key_1"]).await;
    store.dispatch_all(at(2_000)).await;
    let first_claim = store.claim_at(2_000, 10).await.pop().unwrap();
    assert!(another.claim(&wanted(10), at(2_999), at(9_000)).await.unwrap().is_empty());
    // The first instance was killed.
    let second = another.claim(&wanted(10), at(3_000), at(9_000)).await.unwrap().pop().unwrap();
    assert_eq!((second.attempt, &second.event_id), (2, &first_claim.event_id));
    store.settle(&first_claim, &Outcome::Failed { error: "late".into() }, at(3_500)).await.unwrap();
    assert_eq!(store.backlog().await.unwrap(), Backlog { pending: 1, oldest: Some(at(1_000)) });
    another.settle(&second, &Outcome::Delivered, at(3_500)).await.unwrap();
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
    let delivered = store.deliveries(Some(DeliveryStatus::Delivered), &first(10)).await.unwrap();
    assert_eq!((delivered.rows.len(), delivered.rows[0].attempts), (1, 2));
    assert_eq!(delivered.rows[0].ended_at, Some(at(3_500)));
}

#[rstest]
#[tokio::test]
async fn of_one_subject_the_next_waits_for_the_one_before_and_of_others_not(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let events = store.happens(&["key_1", "key_1", "key_2", "key_1"]).await;
    store.dispatch_all(at(2_000)).await;
    let claims = store.claim_at(2_000, 10).await;
    assert_eq!(subjects(&claims), ["key_1", "key_2"]);
    let one = claims.iter().find(|claim| claim.subject == "key_1").unwrap();
    assert_eq!(one.event_id, events[0].id);
    assert!(store.claim_at(2_001, 10).await.is_empty());
    let later = Outcome::Again { at: at(60_000), error: "answered 500".into() };
    store.settle(one, &later, at(2_100)).await.unwrap();
    let other = claims.iter().find(|claim| claim.subject == "key_2").unwrap();
    store.settle(other, &Outcome::Delivered, at(2_100)).await.unwrap();
    // What stands behind it is not even looked at again before that time.
    assert!(store.claim_at(30_000, 10).await.is_empty());
    assert!(!store.to_do(at(30_500)).await.unwrap().deliveries);

    let mut order = Vec::new();
    for turn in 0..3 {
        let now = 60_000 + turn;
        let claim = store.claim_at(now, 10).await.pop().unwrap();
        order.push(claim.event_id.clone());
        store.settle(&claim, &Outcome::Delivered, at(now)).await.unwrap();
    }
    assert_eq!(order, [&events[0].id, &events[1].id, &events[3].id].map(Clone::clone));
    // The same where the one before is given up.
    store.happens(&["key_1", "key_1"]).await;
    store.dispatch_all(at(61_000)).await;
    let claim = store.claim_at(61_000, 10).await.pop().unwrap();
    assert!(store.claim_at(61_001, 10).await.is_empty());
    store.settle(&claim, &Outcome::Failed { error: "gone".into() }, at(61_002)).await.unwrap();
    assert_eq!(store.claim_at(61_002, 10).await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn nobody_takes_on_more_than_it_wants_nor_what_it_does_not_know(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    store.happens(&["key_1", "key_2", "key_3", "key_4", "key_5"]).await;
    store.dispatch_all(at(2_000)).await;
    let claim = |wanted: Wanted| {
        let store = &store;
        async move { store.claim(&wanted, at(2_000), at(9_000)).await.unwrap().len() }
    };
    let stranger = Wanted { endpoints: vec!["end_2".to_owned()], ..wanted(10) };
    assert_eq!(claim(stranger).await, 0);
    let running = BTreeMap::from([("a:443".to_owned(), 1)]);
    assert_eq!(claim(Wanted { running: running.clone(), per_host: 1, ..wanted(10) }).await, 0);
    assert_eq!(claim(Wanted { running, per_host: 2, ..wanted(10) }).await, 1);
    assert_eq!(claim(wanted(3)).await, 3);
    assert_eq!(claim(wanted(10)).await, 1);
}

#[rstest]
#[tokio::test]
async fn deliveries_are_listed_in_pages_and_replayed_with_a_row_in_the_audit_log(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let events = store.happens(&["key_1", "own_1", "key_2"]).await;
    store.dispatch_all(at(2_000)).await;
    for claim in store.claim_at(2_000, 10).await {
        let failed = Outcome::Failed { error: "answered 410".into() };
        store.settle(&claim, &failed, at(2_100)).await.unwrap();
    }
    let page = store.deliveries(None, &first(2)).await.unwrap();
    assert_eq!(page.rows.len(), 2);
    let next = keygate::store::PageRequest { after: page.next_cursor, limit: 2 };
    let rest = store.deliveries(None, &next).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next_cursor), (1, None));
    let row = &rest.rows[0];
    assert_eq!((row.kind.as_str(), row.url.as_str()), ("key.rotated", "https://a/?***"));
    assert_eq!((row.status, row.attempts), (DeliveryStatus::Failed, 1));
    assert_eq!((row.next_attempt_at, row.last_error.as_deref()), (None, Some("answered 410")));

    let mut act = act();
    assert!(store.replay(&act, &Replay::Failed(10)).await.unwrap().is_empty(), "of later");
    act.at = at(5_000);
    let one = store.replay(&act, &Replay::Named(events[1].id.to_string())).await.unwrap();
    assert_eq!(one.len(), 1);
    assert!(store.replay(&act, &Replay::Named("evt_0".into())).await.unwrap().is_empty());
    assert_eq!(store.replay(&act, &Replay::Failed(1)).await.unwrap().len(), 1);
    assert_eq!(store.replay(&act, &Replay::Failed(10)).await.unwrap().len(), 1);
    let again = store.claim_at(5_000, 10).await;
    assert_eq!(subjects(&again), ["key_1", "key_2", "own_1"]);
    assert!(again.iter().all(|claim| claim.attempt == 1));
    let audit = store.audit(&AuditFilter::default(), &first(10)).await.unwrap().rows;
    let told: Vec<_> = audit.iter().map(|row| (row.action.as_str(), row.target.as_str())).collect();
    assert_eq!(told, ["key_2", "key_1", "own_1"].map(|target| ("webhook.replay", target)));
}

#[rstest]
#[tokio::test]
async fn what_is_old_goes_and_what_waits_for_nobody_is_given_up(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    store.happens(&["key_1", "key_2", "key_3"]).await;
    store.dispatch_all(at(2_000)).await;
    let claims = store.claim_at(2_000, 2).await;
    store.settle(&claims[0], &Outcome::Delivered, at(2_100)).await.unwrap();
    store.settle(&claims[1], &Outcome::Failed { error: "no".into() }, at(2_100)).await.unwrap();
    let known = [END.to_owned()];
    assert_eq!(store.abandon(&known, at(9_000), at(9_000)).await.unwrap(), 0);
    assert_eq!(store.abandon(&[], at(1_000), at(9_000)).await.unwrap(), 0);
    assert_eq!(store.abandon(&[], at(9_000), at(9_000)).await.unwrap(), 1);
    let statuses = || async {
        let rows = store.deliveries(None, &first(10)).await.unwrap().rows;
        rows.into_iter().map(|row| row.status).collect::<Vec<_>>()
    };
    assert!(!store.prune_deliveries(at(2_100), at(2_100)).await.unwrap());
    assert_eq!(statuses().await.len(), 3);
    store.prune_deliveries(at(2_101), at(2_100)).await.unwrap();
    assert_eq!(statuses().await, [DeliveryStatus::Failed, DeliveryStatus::Failed]);
    store.prune_deliveries(at(2_101), at(9_001)).await.unwrap();
    assert!(statuses().await.is_empty());
    assert_eq!(store.sql("UPDATE events SET dispatched = true").await, 0, "the events went too");
}

#[rstest]
#[tokio::test]
async fn instances_that_dispatch_at_once_make_each_delivery_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let subjects: Vec<String> = (0..40).map(|number| format!("key_{number}")).collect();
    store.happens(&subjects.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut instances = Vec::new();
    for _ in 0..4 {
        let store = store.another().await;
        instances.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..20 {
                store.dispatch(&|_| vec![to(END)], at(2_000), 7).await.unwrap();
                for claim in store.claim(&wanted(5), at(2_000), at(99_000)).await.unwrap() {
                    store.settle(&claim, &Outcome::Delivered, at(2_000)).await.unwrap();
                    taken.push(claim.subject);
                }
            }
            taken
        }));
    }
    let mut taken = Vec::new();
    for instance in instances {
        taken.extend(instance.await.unwrap());
    }
    taken.sort();
    let mut expected = subjects.clone();
    expected.sort();
    assert_eq!(taken, expected);
}

//! What is told of keys ahead of time: once, whatever happens and however many instances look.

use std::sync::Arc;
use std::time::Duration;

use keygate::domain::{Act, Key, Owner, OwnerId, Secret};
use keygate::rotation::{Terms, pass};
use keygate::store::{KeyPatch, Rotation, Store};
use rstest::rstest;
use serde_json::Value;

use super::{DAY, DUE, ENDS, Scene, at, events};
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{TestStore, bulk, until};

const DUE_EVENT: &str = "key.rotation_due";

/// A store that several instances look at.
struct Looked {
    test: TestStore,
    store: Arc<dyn Store>,
}

impl Looked {
    async fn at(kind: Kind) -> Option<Self> {
        let test = tokio::task::spawn_blocking(move || TestStore::of(kind)).await.unwrap()?;
        let store = bulk::open(&test).await;
        store.migrate().await.unwrap();
        Some(Self { test, store })
    }

    /// A key and its secret, made at the start.
    async fn key(&self, alter: impl Fn(usize, &mut Key)) -> (Key, Secret) {
        let (mut key, mut secret, _) = bulk::make(0, bulk::WEAK, &alter);
        (key.created_at, secret.created_at) = (at(0), at(0));
        self.store.create_key(&act(), &key, &secret).await.unwrap();
        (key, secret)
    }

    /// How much is told by that second.
    async fn told(&self, second: i64) -> usize {
        pass(&*self.store, &terms(), at(second)).await.unwrap()
    }

    fn events(&self, kind: &str) -> Vec<(String, Value)> {
        tokio::task::block_in_place(|| events(&self.test, kind))
    }

    fn sql(&self, statement: &str) {
        tokio::task::block_in_place(|| self.test.sql(statement));
    }
}

fn act() -> Act {
    Act::own(at(0))
}

fn terms() -> Terms {
    Terms {
        grace: Duration::from_hours(7 * 24),
        enforced: false,
        claim: Some("/v1/api-keys/rotate".to_owned()),
        unusual_usage: false,
    }
}

fn scheduled(_: usize, key: &mut Key) {
    key.rotation_interval_days = Some(30);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_stage_is_told_once_by_four_instances_that_look_at_once(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(looked) = Looked::at(kind).await else { return };
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(looked.key(scheduled).await.0);
    }
    let mut instances = Vec::new();
    for _ in 0..4 {
        instances.push(bulk::open(&looked.test).await);
    }
    let half = DUE + 7 * DAY / 2;
    for (second, stages) in [(DUE - 1, 0), (DUE, 1), (half, 2), (ENDS - 1, 3), (ENDS, 4)] {
        let mut passes = Vec::new();
        for instance in &instances {
            let instance = Arc::clone(instance);
            let pass = async move { pass(&*instance, &terms(), at(second)).await.unwrap() };
            passes.push(tokio::spawn(pass));
        }
        for pass in passes {
            pass.await.unwrap();
        }
        let told = looked.events(DUE_EVENT);
        assert_eq!(told.len(), stages * keys.len(), "{second}");
    }
    let told = looked.events(DUE_EVENT);
    let of_first: Vec<_> = told.iter().filter(|(key, _)| key == keys[0].id.as_str()).collect();
    let said = |name: &str| of_first.iter().map(|(_, data)| data[name].clone()).collect::<Vec<_>>();
    assert_eq!(said("reminder"), [0, 1, 2, 3].map(Value::from));
    assert_eq!(said("overdue"), [false, false, false, true].map(Value::from));
    assert!(said("due_at").iter().all(|due| *due == at(DUE).to_string()));
    assert!(said("ends_at").iter().all(|ends| *ends == at(ENDS).to_string()));
    assert_eq!(of_first[0].1["claim"]["path"], "/v1/api-keys/rotate");
    assert_eq!(looked.told(ENDS + 100 * DAY).await, 0, "nothing more is told of it");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_comes_late_tells_how_it_stands_and_no_more(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(looked) = Looked::at(kind).await else { return };
    looked.key(scheduled).await;
    assert_eq!(looked.told(ENDS - 1).await, 1);
    assert_eq!(looked.told(ENDS - 1).await, 0);
    assert_eq!(looked.events(DUE_EVENT)[0].1["reminder"], 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_ends_the_reminders_until_the_next_is_due(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(looked) = Looked::at(kind).await else { return };
    let (key, secret) = looked.key(scheduled).await;
    assert_eq!(looked.told(DUE).await, 1);
    let claimed = at(DUE + DAY);
    let new = Secret { id: other_id(&secret), created_at: claimed, ..secret };
    let rotation =
        looked.store.rotate_key(&act(), &key.id, &new, at(DUE + 8 * DAY), false, claimed).await;
    assert_eq!(rotation.unwrap(), Rotation::Done);
    assert_eq!(looked.told(ENDS).await, 0);
    assert_eq!(looked.told(DUE + DAY + DUE - 1).await, 0);
    assert_eq!(looked.told(DUE + DAY + DUE).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_by_an_older_version_or_by_hand_counts_as_well(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(looked) = Looked::at(kind).await else { return };
    let (key, secret) = looked.key(scheduled).await;
    assert_eq!(looked.told(DUE - 1).await, 0, "it has been looked at, and is put off");
    let made = at(DUE - 1).as_millisecond();
    looked.sql(&format!(
        "INSERT INTO secrets (id, key_id, hint, phc, created_at, expires_at, revoked_at, \
             last_used_at) VALUES ('{}', '{}', '', 'x', {made}, NULL, NULL, NULL)",
        other_id(&secret),
        key.id
    ));
    assert_eq!(looked.told(ENDS).await, 0);
    assert_eq!(looked.told(DUE - 1 + DUE).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_told_of_when_it_lives_again(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(looked) = Looked::at(kind).await else { return };
    let owner = Owner::new(OwnerId::mint(), "acme".to_owned(), at(0));
    looked.store.create_owner(&act(), &owner).await.unwrap();
    let (disabled, _) = looked.key(scheduled).await;
    let of_owner = |place: usize, key: &mut Key| {
        scheduled(place, key);
        key.owner_id = owner.id.clone();
    };
    looked.key(of_owner).await;
    let (revoked, _) = looked.key(scheduled).await;
    looked.store.set_key_disabled(&act(), &disabled.id, true).await.unwrap();
    looked.store.set_owner_disabled(&act(), &owner.id, true).await.unwrap();
    looked.store.revoke_key(&act(), &revoked.id, None, at(1)).await.unwrap();
    assert_eq!(looked.told(DUE).await, 0);
    looked.store.set_key_disabled(&act(), &disabled.id, false).await.unwrap();
    assert_eq!(looked.told(DUE + 1).await, 1);
    looked.store.set_owner_disabled(&act(), &owner.id, false).await.unwrap();
    assert_eq!(looked.told(DUE + 2).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_ahead_and_again_when_it_was_moved(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(looked) = Looked::at(kind).await else { return };
    let end = 60 * DAY;
    let (key, _) = looked.key(|_, key| key.expires_at = Some(at(end))).await;
    let told = async |second: i64| looked.told(second).await;
    assert_eq!(told(end - 7 * DAY - 1).await, 0);
    assert_eq!(told(end - 7 * DAY).await, 1);
    let patch = |end| KeyPatch { expires_at: Some(end), ..KeyPatch::default() };
    looked.store.update_key(&act(), &key.id, &patch(Some(at(2 * end)))).await.unwrap();
    assert_eq!(told(end - DAY).await, 0);
    assert_eq!(told(2 * end - 7 * DAY).await, 1);
    assert_eq!(told(2 * end - DAY - 1).await, 0);
    assert_eq!(told(2 * end - DAY).await, 1);
    assert_eq!(told(2 * end).await, 0);
    let days = looked.events("key.expiring").into_iter().map(|(_, data)| data["days"].clone());
    assert_eq!(days.collect::<Vec<_>>(), [7, 7, 1].map(Value::from));
    // And of one that gets an end only now.
    let (late, _) = looked.key(|_, _| {}).await;
    looked.store.update_key(&act(), &late.id, &patch(Some(at(3 * end)))).await.unwrap();
    assert_eq!(told(3 * end - DAY).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_can_read_harms_no_other(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(looked) = Looked::at(kind).await else { return };
    let (broken, _) = looked.key(scheduled).await;
    looked.key(scheduled).await;
    looked.sql(&format!("UPDATE keys SET scopes = 'no' WHERE id = '{}'", broken.id));
    assert_eq!(looked.told(DUE).await, 1);
    assert_eq!(looked.told(DUE).await, 0, "it is left alone for a while");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_more_keys_than_a_page_is_told_in_one_pass(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(looked) = Looked::at(kind).await else { return };
    looked.key(|_, _| {}).await;
    looked.sql(
        "INSERT INTO keys (id, name, owner_id, environment, expires_at, created_at) \
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200) \
             SELECT 'key_many' || n, 'many', 'default', 'live', 1800000000000, 0 FROM n",
    );
    let now = jiff::Timestamp::from_second(1_799_990_000).unwrap();
    assert_eq!(pass(&*looked.store, &terms(), now).await.unwrap(), 1_200);
    assert_eq!(pass(&*looked.store, &terms(), now).await.unwrap(), 0);
}

#[test]
fn running_instances_tell_it_once() {
    let Some(mut scene) = Scene::on(Postgres, "") else { return };
    scene.serve();
    let (held, key) = scene.key();
    scene.move_to(DUE);
    until("it is told", || !events(&scene.store, DUE_EVENT).is_empty());
    scene.move_to(ENDS);
    until("it is overdue", || events(&scene.store, DUE_EVENT).len() > 1);
    let told = events(&scene.store, DUE_EVENT);
    let reminders: Vec<_> = told.iter().map(|(_, data)| data["reminder"].clone()).collect();
    assert_eq!(reminders, [0, 3].map(Value::from));
    assert_eq!(told[0].0, held.key.id.as_str());
    assert_eq!(told[0].1["claim"], Value::Null, "there is no self-service API to claim it by");
    assert_eq!(scene.status(&key), 200);
}

/// Another public id than a secret's.
fn other_id(secret: &Secret) -> keygate::domain::PublicId {
    let text: String = secret.id.as_str().chars().rev().collect();
    let text = if text == secret.id.as_str() { "ZZZZZZZZ".to_owned() } else { text };
    text.parse().unwrap()
}

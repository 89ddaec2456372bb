//! Keys under others: how many, whose, and how they are listed.

use keygate::domain::{Environment, Key, KeyId};
use keygate::store::{KeyFilter, KeyPatch, StoreError};
use rstest::rstest;

use super::{Kind, TestStore, act, at, first, key, secret};

async fn child(store: &TestStore, parent: &KeyId, most: u32) -> Option<Key> {
    let child = Key { parent_id: Some(parent.clone()), ..key() };
    store.create_child(&act(), &child, &secret(), most).await.unwrap().then_some(child)
}

#[rstest]
#[tokio::test]
async fn a_family_has_so_many_living_keys_over_all_its_generations(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (top, _) = store.key_with(|_| {}).await;
    let (other, _) = store.key_with(|_| {}).await;
    let one = child(&store, &top.id, 3).await.unwrap();
    let two = child(&store, &one.id, 3).await.unwrap();
    child(&store, &two.id, 3).await.unwrap();
    for full in [&top, &one, &two] {
        assert_eq!(child(&store, &full.id, 3).await, None);
    }
    child(&store, &other.id, 3).await.unwrap();
    store.revoke_key(&act(), &two.id, None, at(1)).await.unwrap();
    child(&store, &one.id, 3).await.unwrap();
    let expired = KeyPatch { expires_at: Some(Some(at(0))), ..KeyPatch::default() };
    store.update_key(&act(), &one.id, &expired).await.unwrap();
    let later = keygate::domain::Act::own(at(1));
    let fits = Key { parent_id: Some(top.id.clone()), ..key() };
    assert!(store.create_child(&later, &fits, &secret(), 2).await.unwrap(), "one has expired");
}

#[rstest]
#[tokio::test]
async fn of_children_made_at_once_no_more_are_made_than_there_is_room_for(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (top, _) = store.key_with(|_| {}).await;
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let (store, parent) = (store.store.clone(), top.id.clone());
            tokio::spawn(async move {
                let child = Key { parent_id: Some(parent), ..key() };
                store.create_child(&act(), &child, &secret(), 3).await.unwrap()
            })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += u32::from(maker.await.unwrap());
    }
    assert_eq!(made, 3);
}

#[rstest]
#[tokio::test]
async fn all_keys_under_one_are_listed_and_nobody_elses(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (top, _) = store.key_with(|_| {}).await;
    let (other, _) = store.key_with(|key| key.environment = Environment::Test).await;
    let one = child(&store, &top.id, 9).await.unwrap();
    let two = child(&store, &one.id, 9).await.unwrap();
    child(&store, &other.id, 9).await.unwrap();
    let listed = |filter: KeyFilter| {
        let store = &store;
        async move {
            let page = store.keys(&filter, &first(100)).await.unwrap();
            page.rows.into_iter().map(|held| held.key.id).collect::<Vec<_>>()
        }
    };
    let under = |id: &KeyId| KeyFilter { ancestor: Some(id.clone()), ..KeyFilter::default() };
    assert_eq!(listed(under(&top.id)).await, [two.id.clone(), one.id.clone()]);
    assert_eq!(listed(under(&one.id)).await, std::slice::from_ref(&two.id));
    assert_eq!(listed(under(&two.id)).await, []);
    let test = KeyFilter { environment: Some(Environment::Test), ..KeyFilter::default() };
    assert_eq!(listed(test).await, [other.id]);
}

#[rstest]
#[tokio::test]
async fn a_child_has_its_parents_owner_for_ever(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    let (top, _) = store.key_with(|_| {}).await;
    let foreign = Key { owner_id: acme.id.clone(), parent_id: Some(top.id.clone()), ..key() };
    let error = store.create_child(&act(), &foreign, &secret(), 9).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    let moved = KeyPatch { owner_id: Some(acme.id), ..KeyPatch::default() };
    let below = child(&store, &top.id, 9).await.unwrap();
    for key in [&top.id, &below.id] {
        let error = store.update_key(&act(), key, &moved).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    }
    let (single, _) = store.key_with(|_| {}).await;
    assert!(store.update_key(&act(), &single.id, &moved).await.unwrap());
}

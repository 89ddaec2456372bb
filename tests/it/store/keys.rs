//! Keys: made, read, listed, changed, ended.

use std::collections::BTreeMap;

use keygate::domain::{Environment, Key, KeyId, KeyStatus, OwnerId};
use keygate::store::{KeyFilter, KeyPatch, PageRequest, StoreError};
use rstest::rstest;

use super::{Kind, TestStore, act, at, first, key, secret, used_at};

#[rstest]
#[tokio::test]
async fn a_key_is_read_as_it_was_made(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (full, full_secret) = store.key_with(|_| {}).await;
    let (bare, _) = store
        .key_with(|key| {
            key.parent_id = Some(full.id.clone());
            key.environment = Environment::Test;
            (key.scopes, key.limits, key.allowed_ips) = (vec![], vec![], vec![]);
            (key.monthly_budget, key.expires_at, key.rotation_interval_days) = (None, None, None);
            key.disabled = true;
            key.metadata = BTreeMap::new();
        })
        .await;
    let read = store.key(&full.id).await.unwrap().unwrap();
    assert_eq!((read.key, read.secrets), (full, vec![full_secret]));
    assert_eq!(store.key(&bare.id).await.unwrap().unwrap().key, bare);
    assert_eq!(store.key(&KeyId::mint()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn what_cannot_be_made_is_a_conflict_and_leaves_nothing_behind(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (known, known_secret) = store.key_with(|_| {}).await;
    let (gone, _) = store.key_with(|_| {}).await;
    store.revoke_key(&act(), &gone.id, None, at(5)).await.unwrap();
    for (wrong, wrong_secret) in [
        (Key { owner_id: OwnerId::mint(), ..key() }, secret()),
        (Key { parent_id: Some(KeyId::mint()), ..key() }, secret()),
        (Key { parent_id: Some(gone.id.clone()), ..key() }, secret()),
        (Key { id: known.id.clone(), ..key() }, secret()),
        (key(), known_secret.clone()),
    ] {
        let error = store.create_key(&act(), &wrong, &wrong_secret).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    }
    let all = store.keys(&KeyFilter::default(), &first(100)).await.unwrap();
    assert_eq!(all.rows.len(), 2);
    assert_eq!(store.public_ids().await.unwrap().len(), 2);
}

async fn names(store: &TestStore, filter: KeyFilter) -> Vec<String> {
    let page = store.keys(&filter, &first(100)).await.unwrap();
    page.rows.into_iter().map(|key| key.key.name).collect()
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_owner_and_by_parent(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    store.key_with(|key| key.name = "another".to_owned()).await;
    let of_acme = |name: &str, parent: Option<&Key>| {
        let (name, parent_id) = (name.to_owned(), parent.map(|parent| parent.id.clone()));
        let owner_id = acme.id.clone();
        move |key: &mut Key| (key.name, key.owner_id, key.parent_id) = (name, owner_id, parent_id)
    };
    let (parent, _) = store.key_with(of_acme("parent", None)).await;
    for name in ["a", "b"] {
        store.key_with(of_acme(name, Some(&parent))).await;
    }
    assert_eq!(names(&store, KeyFilter::default()).await, ["b", "a", "parent", "another"]);
    let of_acme = KeyFilter { owner: Some(acme.id.clone()), ..KeyFilter::default() };
    assert_eq!(names(&store, of_acme).await, ["b", "a", "parent"]);
    let children = KeyFilter { parent: Some(parent.id.clone()), ..KeyFilter::default() };
    assert_eq!(names(&store, children).await, ["b", "a"]);
    let nobody = KeyFilter { owner: Some(OwnerId::mint()), ..KeyFilter::default() };
    assert!(names(&store, nobody).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_the_status_that_the_record_says(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let now = at(1_000_000);
    for bits in 0..8 {
        store
            .key_with(|key| {
                key.name = format!("{bits}");
                key.disabled = bits & 1 != 0;
                key.expires_at = Some(if bits & 2 == 0 { at(1_000_001) } else { now });
                key.revoked_at = (bits & 4 != 0).then_some(now);
            })
            .await;
    }
    store.key_with(|key| key.expires_at = None).await;
    let all = store.keys(&KeyFilter::default(), &first(100)).await.unwrap().rows;
    for status in KeyStatus::ALL {
        let filter = KeyFilter { status: Some((status, now)), ..KeyFilter::default() };
        let mut wanted = all.clone();
        wanted.retain(|key| key.key.status(now) == status);
        assert!(!wanted.is_empty());
        assert_eq!(store.keys(&filter, &first(100)).await.unwrap().rows, wanted, "{status:?}");
    }
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_the_age_of_their_newest_secret_and_by_their_last_use(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (rotated, old) = store.key_with(|key| key.name = "rotated".to_owned()).await;
    let mut new = secret();
    new.created_at = at(5_000);
    store.rotate_key(&act(), &rotated.id, &new, at(9_000), false, at(5_000)).await.unwrap();
    let (_, used) = store.key_with(|key| key.name = "used".to_owned()).await;
    store.key_with(|key| key.name = "unused".to_owned()).await;
    store.record_last_use(&[used_at(used.id, 6_000), used_at(old.id, 4_000)]).await.unwrap();

    let older = |than| KeyFilter { secret_older_than: Some(at(than)), ..KeyFilter::default() };
    assert_eq!(names(&store, older(5_000)).await, ["unused", "used"]);
    assert_eq!(names(&store, older(5_001)).await, ["unused", "used", "rotated"]);
    let unused = |since| KeyFilter { unused_since: Some(at(since)), ..KeyFilter::default() };
    assert_eq!(names(&store, unused(4_001)).await, ["unused", "rotated"]);
    assert_eq!(names(&store, unused(4_000)).await, ["unused"]);
    assert!(names(&store, unused(1_234)).await.is_empty(), "made at that moment, not before");
}

#[rstest]
#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended_though_keys_were_made_since(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    for number in 0..5 {
        store.key_with(|key| key.name = format!("{number}")).await;
    }
    let all = KeyFilter::default();
    let page = store.keys(&all, &first(2)).await.unwrap();
    store.key_with(|key| key.name = "later".to_owned()).await;
    let rest = PageRequest { after: page.next_cursor.clone(), limit: 1_000_000 };
    let rest = store.keys(&all, &rest).await.unwrap();
    let names = |rows: Vec<keygate::domain::KeyWithSecrets>| -> Vec<String> {
        rows.into_iter().map(|key| key.key.name).collect()
    };
    assert_eq!(names(page.rows), ["4", "3"]);
    assert_eq!(names(rest.rows), ["2", "1", "0"]);
    assert_eq!(rest.next_cursor, None);
}

#[rstest]
#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    let (mut key, _) = store.key_with(|_| {}).await;
    assert!(store.update_key(&act(), &key.id, &KeyPatch::default()).await.unwrap());
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().key, key);

    let patch = KeyPatch {
        name: Some("new".to_owned()),
        owner_id: Some(acme.id.clone()),
        scopes: Some(vec!["*".to_owned()]),
        limits: Some(vec![]),
        allowed_ips: Some(vec!["192.0.2.1".parse().unwrap()]),
        monthly_budget: Some(None),
        expires_at: Some(None),
        metadata: BTreeMap::from([
            ("team".to_owned(), None),
            ("nobody".to_owned(), None),
            ("note".to_owned(), Some("é".to_owned())),
        ]),
    };
    assert!(store.update_key(&act(), &key.id, &patch).await.unwrap());
    patch.apply(&mut key);
    assert_eq!(key.metadata, BTreeMap::from([("note".to_owned(), "é".to_owned())]));
    assert_eq!((key.expires_at, key.monthly_budget), (None, None));
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().key, key);

    let wrong = KeyPatch { owner_id: Some(OwnerId::mint()), ..KeyPatch::default() };
    let error = store.update_key(&act(), &key.id, &wrong).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
}

#[rstest]
#[tokio::test]
async fn two_patches_at_once_lose_nothing_of_each_other(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|key| key.metadata.clear()).await;
    let patches = (0..8).map(|number| {
        let metadata = BTreeMap::from([(format!("{number}"), Some(String::new()))]);
        let (store, id) = (store.store.clone(), key.id.clone());
        tokio::spawn(async move {
            store.update_key(&act(), &id, &KeyPatch { metadata, ..KeyPatch::default() }).await
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        assert!(patch.await.unwrap().unwrap());
    }
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().key.metadata.len(), 8);
}

#[rstest]
#[tokio::test]
async fn a_key_is_switched_and_a_revoked_one_is_left_alone(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    for disabled in [true, false] {
        assert!(store.set_key_disabled(&act(), &key.id, disabled).await.unwrap());
        assert_eq!(store.key(&key.id).await.unwrap().unwrap().key.disabled, disabled);
    }
    assert_eq!(store.revoke_key(&act(), &key.id, Some("leaked: 'x'"), at(7)).await.unwrap(), 1);
    let revoked = store.key(&key.id).await.unwrap().unwrap().key;
    assert_eq!(revoked.revoked_at, Some(at(7)));
    assert_eq!(revoked.revoke_reason.as_deref(), Some("leaked: 'x'"));

    assert!(!store.set_key_disabled(&act(), &key.id, true).await.unwrap());
    assert!(!store.update_key(&act(), &key.id, &KeyPatch::default()).await.unwrap());
    assert_eq!(store.revoke_key(&act(), &key.id, None, at(8)).await.unwrap(), 0);
    assert_eq!(store.revoke_key(&act(), &KeyId::mint(), None, at(8)).await.unwrap(), 0);
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().key, revoked);
}

#[rstest]
#[tokio::test]
async fn a_revocation_takes_every_descendant_and_nobody_else(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mut family = vec![store.key_with(|_| {}).await.0];
    for _ in 0..4 {
        let parent = Some(family.last().unwrap().id.clone());
        store.key_with(|key| key.parent_id.clone_from(&parent)).await;
        family.push(store.key_with(|key| key.parent_id = parent).await.0);
    }
    let (stranger, _) = store.key_with(|_| {}).await;
    // One is revoked already and keeps its own time; what is below it was too.
    assert_eq!(store.revoke_key(&act(), &family[3].id, None, at(1)).await.unwrap(), 3);
    assert_eq!(store.revoke_key(&act(), &family[1].id, None, at(2)).await.unwrap(), 4);
    let revoked = |key: KeyId| {
        let store = &store;
        async move { store.key(&key).await.unwrap().unwrap().key.revoked_at }
    };
    assert_eq!(revoked(family[0].id.clone()).await, None);
    assert_eq!(revoked(stranger.id).await, None);
    assert_eq!(revoked(family[2].id.clone()).await, Some(at(2)));
    assert_eq!(revoked(family[4].id.clone()).await, Some(at(1)));
}

#[rstest]
#[tokio::test]
async fn no_child_outlives_a_revocation_that_happens_while_it_is_made(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (parent, _) = store.key_with(|_| {}).await;
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let (store, parent) = (store.store.clone(), parent.id.clone());
            tokio::spawn(async move {
                let child = Key { parent_id: Some(parent), ..key() };
                store.create_key(&act(), &child, &secret()).await
            })
        })
        .collect();
    let mut revoked = store.revoke_key(&act(), &parent.id, None, at(1)).await.unwrap() - 1;
    for maker in makers {
        match maker.await.unwrap() {
            Ok(()) => revoked -= 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error:?}"),
        }
    }
    assert_eq!(revoked, 0, "every child that was made was revoked");
}

//! Rotation: two live secrets at most, and one winner at a time.

use keygate::domain::{KeyId, Secret, SecretStatus};
use keygate::store::{Rotation, StoreError};
use rstest::rstest;

use super::{Kind, act, at, secret};

fn made_at(milliseconds: i64) -> Secret {
    Secret { created_at: at(milliseconds), ..secret() }
}

#[rstest]
#[tokio::test]
async fn the_old_secret_ends_with_its_grace_and_the_new_one_stands(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, old) = store.key_with(|_| {}).await;
    let new = made_at(2_000);
    let done = store.rotate_key(&act(), &key.id, &new, at(5_000), false, at(2_000)).await.unwrap();
    assert_eq!(done, Rotation::Done);
    let read = store.key(&key.id).await.unwrap().unwrap();
    assert_eq!(read.secrets, [Secret { expires_at: Some(at(5_000)), ..old }, new]);
    assert_eq!(read.key, key, "policy is the key's");
}

#[rstest]
#[tokio::test]
async fn inside_a_grace_only_replace_rotates_and_ends_the_older_one_at_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    store.rotate_key(&act(), &key.id, &made_at(2_000), at(5_000), false, at(2_000)).await.unwrap();
    let third = made_at(3_000);
    let refused =
        store.rotate_key(&act(), &key.id, &third, at(6_000), false, at(3_000)).await.unwrap();
    assert_eq!(refused, Rotation::TwoLive);
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().secrets.len(), 2);

    let done = store.rotate_key(&act(), &key.id, &third, at(6_000), true, at(3_000)).await.unwrap();
    assert_eq!(done, Rotation::Done);
    let ends: Vec<_> = store.key(&key.id).await.unwrap().unwrap().secrets;
    let ends: Vec<_> = ends.iter().map(|secret| secret.expires_at).collect();
    assert_eq!(ends, [Some(at(3_000)), Some(at(6_000)), None]);

    // After the grace there is one live secret again.
    let late =
        store.rotate_key(&act(), &key.id, &made_at(7_000), at(9_000), false, at(7_000)).await;
    assert_eq!(late.unwrap(), Rotation::Done);
    let ends = store.key(&key.id).await.unwrap().unwrap().secrets;
    assert_eq!(ends[1].expires_at, Some(at(6_000)), "what has ended stays as it ended");
}

#[rstest]
#[tokio::test]
async fn a_grace_never_lengthens_a_secret_that_ends_sooner(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, old) = store.key_with(|_| {}).await;
    store.sql(&format!("UPDATE secrets SET expires_at = 3000 WHERE id = '{}'", old.id)).await;
    store.rotate_key(&act(), &key.id, &made_at(2_000), at(5_000), false, at(2_000)).await.unwrap();
    let secrets = store.key(&key.id).await.unwrap().unwrap().secrets;
    assert_eq!(secrets[0].expires_at, Some(at(3_000)));
}

#[rstest]
#[tokio::test]
async fn the_older_of_two_made_in_one_millisecond_is_the_one_in_its_grace(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, old) = store.key_with(|_| {}).await;
    let (second, third) = (made_at(1_234), made_at(1_234));
    store.rotate_key(&act(), &key.id, &second, at(5_000), false, at(1_234)).await.unwrap();
    store.rotate_key(&act(), &key.id, &third, at(5_000), true, at(1_234)).await.unwrap();
    let secrets = store.key(&key.id).await.unwrap().unwrap().secrets;
    let status = |id| secrets.iter().find(|secret| secret.id == id).unwrap().status(at(1_234));
    assert_eq!(status(old.id), SecretStatus::Expired);
    assert_eq!(status(second.id), SecretStatus::Grace);
    assert_eq!(status(third.id), SecretStatus::Active);
}

#[rstest]
#[tokio::test]
async fn no_grace_ends_the_old_secret_at_once(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    store.rotate_key(&act(), &key.id, &made_at(2_000), at(2_000), false, at(2_000)).await.unwrap();
    let secrets = store.key(&key.id).await.unwrap().unwrap().secrets;
    assert_eq!(secrets[0].status(at(2_000)), SecretStatus::Expired);
}

#[rstest]
#[tokio::test]
async fn of_many_rotations_at_once_one_wins(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let mut rotations = Vec::new();
    for number in 0..8 {
        let (store, id) = (store.another().await, key.id.clone());
        rotations.push(tokio::spawn(async move {
            store
                .rotate_key(&act(), &id, &made_at(2_000 + number), at(9_000), false, at(3_000))
                .await
        }));
    }
    let mut done = 0;
    for rotation in rotations {
        match rotation.await.unwrap().unwrap() {
            Rotation::Done => done += 1,
            Rotation::TwoLive => {}
            Rotation::NoKey => panic!("the key is there"),
        }
    }
    assert_eq!(done, 1);
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().secrets.len(), 2);
}

#[rstest]
#[tokio::test]
async fn there_is_nothing_to_rotate_without_a_key_and_a_taken_id_is_a_conflict(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, old) = store.key_with(|_| {}).await;
    let rotate = |id: KeyId, secret: Secret| {
        let store = &store;
        async move { store.rotate_key(&act(), &id, &secret, at(5_000), false, at(2_000)).await }
    };
    assert_eq!(rotate(KeyId::mint(), secret()).await.unwrap(), Rotation::NoKey);
    let error = rotate(key.id.clone(), old.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(_)), "{error:?}");
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().secrets, [old], "nothing was changed");
    store.revoke_key(&act(), &key.id, None, at(2_000)).await.unwrap();
    assert_eq!(rotate(key.id, secret()).await.unwrap(), Rotation::NoKey);
}

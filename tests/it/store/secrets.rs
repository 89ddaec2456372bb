//! Secrets: found by their public ids, ended one by one, their use noted.

use std::collections::HashSet;

use keygate::domain::{KeyId, LastUse, PublicId, SecretStatus};
use keygate::store::{Loaded, StoreError};
use rstest::rstest;

use super::{Kind, act, at, secret, used_at};

#[rstest]
#[tokio::test]
async fn a_secret_finds_its_key_with_all_its_secrets_and_its_owner(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    let (key, old) = store.key_with(|key| key.owner_id = acme.id.clone()).await;
    let mut new = secret();
    new.created_at = at(2_000);
    store.rotate_key(&act(), &key.id, &new, at(5_000), false, at(2_000)).await.unwrap();
    let whole = store.key(&key.id).await.unwrap().unwrap();
    let loaded = Some(Loaded { key: whole, owner: acme });
    assert_eq!(store.load_by_secret(old.id).await.unwrap(), loaded);
    assert_eq!(store.load_by_secret(new.id).await.unwrap(), loaded);
    assert_eq!(store.load_key(&key.id).await.unwrap(), loaded);
    assert_eq!(store.load_by_secret(secret().id).await.unwrap(), None);
    assert_eq!(store.load_key(&KeyId::mint()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn many_secrets_are_asked_for_in_one_question(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (one, one_old) = store.key_with(|_| {}).await;
    let (other, other_secret) = store.key_with(|_| {}).await;
    store.key_with(|_| {}).await;
    let one_new = secret();
    store.rotate_key(&act(), &one.id, &one_new, at(5_000), false, at(2_000)).await.unwrap();

    let before = store.queries();
    let asked = [one_old.id, secret().id, other_secret.id, one_new.id, one_old.id];
    let loaded = store.load_by_secrets(&asked).await.unwrap();
    assert_eq!(store.queries() - before, 1);
    let found: HashSet<KeyId> = loaded.iter().map(|loaded| loaded.key.key.id.clone()).collect();
    assert_eq!(found, HashSet::from([one.id, other.id]));
    assert_eq!(loaded.len(), 2, "a key comes once");
    assert!(store.load_by_secrets(&[]).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn one_secret_is_ended_for_good_and_its_sister_goes_on(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, old) = store.key_with(|_| {}).await;
    let (stranger, _) = store.key_with(|_| {}).await;
    let new = secret();
    store.rotate_key(&act(), &key.id, &new, at(5_000), false, at(2_000)).await.unwrap();

    assert!(!store.revoke_secret(&act(), &stranger.id, old.id, at(3_000)).await.unwrap());
    assert!(store.revoke_secret(&act(), &key.id, old.id, at(3_000)).await.unwrap());
    assert!(!store.revoke_secret(&act(), &key.id, old.id, at(4_000)).await.unwrap());
    let secrets = store.key(&key.id).await.unwrap().unwrap().secrets;
    let status = |id| secrets.iter().find(|secret| secret.id == id).unwrap().status(at(4_000));
    assert_eq!(status(old.id), SecretStatus::Revoked);
    assert_eq!(status(new.id), SecretStatus::Active);
    assert_eq!(secrets.iter().find(|s| s.id == old.id).unwrap().revoked_at, Some(at(3_000)));

    // Past its end, a secret is not live and cannot be ended again.
    store.sql(&format!("UPDATE secrets SET expires_at = 6000 WHERE id = '{}'", new.id)).await;
    assert!(!store.revoke_secret(&act(), &key.id, new.id, at(6_000)).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn every_public_id_is_given_and_one_that_is_none_is_left_out(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    assert!(store.public_ids().await.unwrap().is_empty());
    let mut made = HashSet::new();
    let (key, _) = {
        let (key, secret) = store.key_with(|_| {}).await;
        made.insert(secret.id);
        (key, secret)
    };
    for _ in 0..3 {
        made.insert(store.key_with(|_| {}).await.1.id);
    }
    store.revoke_key(&act(), &key.id, None, at(1)).await.unwrap();
    store
        .sql(&format!(
            "INSERT INTO secrets (id, key_id, hint, phc, created_at) \
             VALUES ('by hand', '{}', '', '', 0)",
            key.id
        ))
        .await;
    let ids: HashSet<PublicId> = store.public_ids().await.unwrap().into_iter().collect();
    assert_eq!(ids, made);
}

#[rstest]
#[tokio::test]
async fn a_last_use_is_noted_and_never_moves_back(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, known) = store.key_with(|_| {}).await;
    let last = || async { store.key(&key.id).await.unwrap().unwrap().last_used_at() };
    store.record_last_use(&[]).await.unwrap();
    assert_eq!(last().await, None);
    for (uses, expected) in [(vec![20], 20), (vec![10], 20), (vec![40, 30], 40), (vec![40], 40)] {
        let mut uses: Vec<_> = uses.into_iter().map(|use_at| used_at(known.id, use_at)).collect();
        uses.push(used_at(secret().id, 99));
        store.record_last_use(&uses).await.unwrap();
        assert_eq!(last().await, Some(at(expected)));
    }
}

#[rstest]
#[tokio::test]
async fn a_last_use_has_its_address_and_a_later_one_takes_its_place(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, known) = store.key_with(|_| {}).await;
    let from = |text: &str| Some(text.parse().unwrap());
    let note = async |milliseconds, from| {
        let used = LastUse { from, ..used_at(known.id, milliseconds) };
        store.record_last_use(&[used]).await.unwrap();
        store.key(&key.id).await.unwrap().unwrap().secrets[0].last_used_from
    };
    assert_eq!(note(20, from("192.0.2.1")).await, from("192.0.2.1"));
    assert_eq!(note(10, from("192.0.2.2")).await, from("192.0.2.1"), "an earlier use");
    assert_eq!(note(30, from("2001:db8::1")).await, from("2001:db8::1"));
    assert_eq!(note(40, None).await, None);
    let nonsense =
        format!("UPDATE secrets SET last_used_address = 'home' WHERE id = '{}'", known.id);
    store.sql(&nonsense).await;
    assert_eq!(store.key(&key.id).await.unwrap().unwrap().secrets[0].last_used_from, None);
}

#[rstest]
#[tokio::test]
async fn an_unreadable_row_is_named_and_harms_no_other(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (well, well_secret) = store.key_with(|_| {}).await;
    for column in [
        "scopes = 'not json'",
        "scopes = '{}'",
        "limits = '[\"60/fortnight\"]'",
        "allowed_ips = '[\"nowhere\"]'",
        "metadata = '[1]'",
        "expires_at = 9000000000000000000",
    ] {
        let (key, secret) = store.key_with(|_| {}).await;
        store.sql(&format!("UPDATE keys SET {column} WHERE id = '{}'", key.id)).await;
        let error = store.load_by_secret(secret.id).await.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, StoreError::Corrupt(_)), "{message}");
        let name = column.split(' ').next().unwrap();
        assert!(message.contains(&format!("{name} of keys {}", key.id)), "{message}");
        // What must stop a key reads none of it.
        assert!(store.set_key_disabled(&act(), &key.id, true).await.unwrap());
        assert_eq!(store.revoke_key(&act(), &key.id, None, at(1)).await.unwrap(), 1);
    }
    assert_eq!(store.load_by_secret(well_secret.id).await.unwrap().unwrap().key.key, well);
}

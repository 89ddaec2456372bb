//! The change feed: every change is told, by whatever hand, and none is passed over.

use std::time::Duration;

use keygate::domain::{Key, KeyId, OwnerId};
use keygate::store::{Change, Changes, KeyPatch, StoreError};
use rstest::rstest;
use tokio::time::{Instant, timeout};

use super::{Kind, PATIENCE, act, at, hears, secret, used_at};

/// What a change may take from its commit to every instance's key table.
const IN_FORCE: Duration = Duration::from_millis(100);

#[rstest]
#[tokio::test]
async fn every_write_is_told_once_as_what_it_changed(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mut since = store.revision().await.unwrap();
    let owner = store.owner_named("acme").await;
    let (key, first) = store.key_with(|key| key.owner_id = owner.id.clone()).await;
    let told = store.told(since).await;
    assert_eq!(told, [Change::Owner(owner.id.clone()), Change::Key(key.id.clone())]);

    let below = |child: &mut Key| {
        child.parent_id = Some(key.id.clone());
        child.owner_id = owner.id.clone();
    };
    let (child, _) = store.key_with(below).await;
    let key_id = &key.id;
    for step in 0..6 {
        since = store.revision().await.unwrap();
        match step {
            0 => assert!(store.set_owner_disabled(&act(), &owner.id, true).await.unwrap()),
            1 => assert!(store.set_key_disabled(&act(), key_id, true).await.unwrap()),
            2 => {
                let patch = KeyPatch { name: Some("n".to_owned()), ..KeyPatch::default() };
                assert!(store.update_key(&act(), key_id, &patch).await.unwrap());
            }
            3 => drop(
                store.rotate_key(&act(), key_id, &secret(), at(5), false, at(4)).await.unwrap(),
            ),
            4 => assert!(store.revoke_secret(&act(), key_id, first.id, at(4)).await.unwrap()),
            _ => assert_eq!(store.revoke_key(&act(), key_id, None, at(4)).await.unwrap(), 2),
        }
        let expected = match step {
            0 => vec![Change::Owner(owner.id.clone())],
            5 => vec![Change::Key(key_id.clone()), Change::Key(child.id.clone())],
            _ => vec![Change::Key(key_id.clone())],
        };
        let mut told = store.told(since).await;
        told.sort_by_key(|change| change != &expected[0]);
        assert_eq!(told, expected, "step {step}");
    }
    let newest = store.revision().await.unwrap();
    let nothing = Changes::These { changes: vec![], revision: newest };
    assert_eq!(store.changes_since(newest).await.unwrap(), nothing);
}

#[rstest]
#[tokio::test]
async fn a_change_by_hand_is_heard_in_time_and_told(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, known) = store.key_with(|_| {}).await;
    let mut feed = store.listen().await.unwrap();
    let mut hand = store.hand().await;
    let (key_id, secret_id) = (&key.id, known.id);
    let mut delays = Vec::new();
    for (statement, change) in [
        (
            "INSERT INTO owners (id, name, created_at) VALUES ('own_1', 'x', 1)".to_owned(),
            Change::Owner(OwnerId::from_text("own_1")),
        ),
        (
            "UPDATE owners SET name = 'y' WHERE id = 'own_1'".to_owned(),
            Change::Owner(OwnerId::from_text("own_1")),
        ),
        (
            "DELETE FROM owners WHERE id = 'own_1'".to_owned(),
            Change::Owner(OwnerId::from_text("own_1")),
        ),
        (
            format!("UPDATE keys SET scopes = '[\"*\"]' WHERE id = '{key_id}'"),
            Change::Key(key_id.clone()),
        ),
        (
            format!("UPDATE secrets SET revoked_at = 5 WHERE id = '{secret_id}'"),
            Change::Key(key_id.clone()),
        ),
        (
            format!(
                "INSERT INTO secrets (id, key_id, hint, phc, created_at) \
                 VALUES ('aaaaaaaa', '{key_id}', '', '', 0)"
            ),
            Change::Key(key_id.clone()),
        ),
        ("DELETE FROM secrets WHERE id = 'aaaaaaaa'".to_owned(), Change::Key(key_id.clone())),
        (format!("DELETE FROM keys WHERE id = '{key_id}'"), Change::Key(key_id.clone())),
    ] {
        let since = store.revision().await.unwrap();
        hand.run(&statement).await;
        let committed = Instant::now();
        hears(&mut feed).await.unwrap();
        delays.push(committed.elapsed());
        assert_eq!(store.told(since).await, [change], "{statement}");
    }
    // A busy machine may hold up one of them, whatever the store does.
    delays.sort();
    assert!(delays[delays.len() / 2] < IN_FORCE, "{delays:?}");
}

#[rstest]
#[tokio::test]
async fn a_secret_moved_to_another_key_by_hand_is_told_as_both_keys(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (from, moved) = store.key_with(|_| {}).await;
    let (to, _) = store.key_with(|_| {}).await;
    let since = store.revision().await.unwrap();
    store.sql(&format!("UPDATE secrets SET key_id = '{}' WHERE id = '{}'", to.id, moved.id)).await;
    let told = store.told(since).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&Change::Key(from.id)) && told.contains(&Change::Key(to.id)));
}

#[rstest]
#[tokio::test]
async fn a_use_is_no_change(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, used) = store.key_with(|_| {}).await;
    let since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    store.record_last_use(&[used_at(used.id, 50)]).await.unwrap();
    store.sql(&format!("UPDATE secrets SET last_used_at = 60 WHERE id = '{}'", used.id)).await;
    assert_eq!(store.revision().await.unwrap(), since);
    assert!(timeout(IN_FORCE, feed.next()).await.is_err(), "the feed says nothing");
    // And it listens still.
    store.set_key_disabled(&act(), &key.id, true).await.unwrap();
    hears(&mut feed).await.unwrap();
    assert_eq!(store.told(since).await, [Change::Key(key.id)]);
}

#[rstest]
#[tokio::test]
async fn who_stops_waiting_misses_nothing(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let mut feed = store.listen().await.unwrap();
    for number in 0..20 {
        assert!(timeout(Duration::ZERO, feed.next()).await.is_err());
        store.set_key_disabled(&act(), &key.id, number % 2 == 0).await.unwrap();
        // Abandoned at another moment each time, the signal is kept for who asks next.
        let abandoned = timeout(Duration::from_millis(number), feed.next()).await;
        if abandoned.is_err() {
            hears(&mut feed).await.unwrap();
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_burst_of_changes_is_told_whole_to_who_asks_once(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    let mut made = Vec::new();
    for _ in 0..20 {
        made.push(Change::Key(store.key_with(|_| {}).await.0.id));
    }
    let told = timeout(PATIENCE, async {
        loop {
            feed.next().await.unwrap();
            let told = store.told(since).await;
            if told.len() == made.len() {
                return told;
            }
        }
    });
    assert_eq!(told.await.unwrap(), made, "in the order of their commits");
}

/// In Postgres two transactions can run side by side, and the second to draw a number may be the
/// first to commit. Whoever saw the higher number would never look for the lower one again.
#[tokio::test]
async fn a_revision_is_never_seen_before_one_below_it() {
    let Some(store) = Kind::Postgres.ready().await else { return };
    let (one, _) = store.key_with(|_| {}).await;
    let (other, _) = store.key_with(|_| {}).await;
    let mut since = store.revision().await.unwrap();
    let mut seen: Vec<Change> = Vec::new();

    let mut slow = store.hand().await;
    slow.run(&format!("BEGIN; UPDATE keys SET disabled = true WHERE id = '{}'", one.id)).await;
    let fast = {
        let (store, other) = (store.another().await, other.id.clone());
        tokio::spawn(async move { store.set_key_disabled(&act(), &other, true).await })
    };
    // The other one waits for its turn: nothing with a higher number can be seen yet.
    let waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let wait = async { while store.sql(waiting).await == 0 {} };
    timeout(PATIENCE, wait).await.expect("the second writer waits");
    for _ in 0..2 {
        if let Changes::These { changes, revision } = store.changes_since(since).await.unwrap() {
            seen.extend(changes);
            since = revision;
        }
        assert!(seen.is_empty(), "{seen:?}");
    }
    slow.run("COMMIT").await;
    assert!(fast.await.unwrap().unwrap());
    assert_eq!(store.told(since).await, [Change::Key(one.id), Change::Key(other.id)]);
}

#[rstest]
#[tokio::test]
async fn writers_at_once_are_all_seen_by_who_follows_them(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let mut since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for _ in 0..10 {
                    let key = super::key();
                    store.create_key(&act(), &key, &secret()).await.unwrap();
                    made.push(key.id);
                }
                made
            })
        })
        .collect();
    let mut seen: Vec<KeyId> = Vec::new();
    let follow = async {
        while seen.len() < 80 {
            feed.next().await.unwrap();
            let Changes::These { changes, revision } = store.changes_since(since).await.unwrap()
            else {
                panic!("nothing was pruned");
            };
            since = revision;
            seen.extend(changes.into_iter().map(|change| match change {
                Change::Key(id) => id,
                Change::Owner(id) => panic!("{id}"),
            }));
        }
    };
    timeout(PATIENCE, follow).await.expect("every key is told");
    for writer in writers {
        for id in writer.await.unwrap() {
            assert!(seen.contains(&id));
        }
    }
}

#[rstest]
#[tokio::test]
async fn the_log_is_pruned_and_who_is_behind_it_reads_everything(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let start = store.revision().await.unwrap();
    let many = match kind {
        Kind::Sqlite => {
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 102000) \
             INSERT INTO owners (id, name, created_at) SELECT 'own_' || n, 'n' || n, 0 FROM n"
        }
        Kind::Postgres => {
            "INSERT INTO owners (id, name, created_at) \
             SELECT 'own_' || n, 'n' || n, 0 FROM generate_series(1, 102000) AS n"
        }
    };
    store.sql(many).await;
    let newest = store.revision().await.unwrap();
    let everything = Changes::Everything { revision: newest };
    assert_eq!(store.changes_since(start).await.unwrap(), everything);
    assert_eq!(store.told(newest - 90_000).await.len(), 90_000);
    // A copy from a backup is behind who asks.
    assert_eq!(store.changes_since(newest + 5).await.unwrap(), everything);
}

#[tokio::test]
async fn an_emptied_table_is_told_as_everything() {
    let Some(store) = Kind::Postgres.ready().await else { return };
    let since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    store.sql("TRUNCATE secrets").await;
    hears(&mut feed).await.unwrap();
    let told = store.changes_since(since).await.unwrap();
    assert!(matches!(told, Changes::Everything { .. }), "{told:?}");
}

#[rstest]
#[tokio::test]
async fn a_broken_feed_says_so_and_a_new_one_catches_up(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let since = store.revision().await.unwrap();
    let mut feed = store.listen().await.unwrap();
    match kind {
        Kind::Sqlite => {
            let keygate::config::StoreLocation::Sqlite(path) = &store.location else {
                unreachable!()
            };
            let away = path.with_extension("away");
            std::fs::rename(path, &away).unwrap();
            let error = hears(&mut feed).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            assert!(store.listen().await.is_err());
            std::fs::rename(&away, path).unwrap();
        }
        Kind::Postgres => {
            store
                .sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'keygate feed' AND datname = current_database()",
                )
                .await;
            let error = hears(&mut feed).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    }
    assert!(feed.next().await.is_err(), "it stays broken");
    store.another().await.set_key_disabled(&act(), &key.id, true).await.unwrap();
    let mut again = store.listen().await.unwrap();
    assert_eq!(store.told(since).await, [Change::Key(key.id.clone())]);
    store.another().await.set_key_disabled(&act(), &key.id, false).await.unwrap();
    hears(&mut again).await.unwrap();
}

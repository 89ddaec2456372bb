//! A store that is away is an error within seconds, never a wrong answer; and it heals.

use std::path::PathBuf;
use std::time::Duration;

use keygate::config::StoreLocation;
use keygate::domain::OwnerId;
use keygate::store::{self, StoreError};
use tokio::time::{Instant, timeout};

use super::{Kind, PATIENCE, act, hears, secret};
use crate::support::postgres::Postgres;

/// Within this an absent store is known to be absent.
const KNOWN_AWAY: Duration = Duration::from_secs(4);

fn is_away(error: &StoreError) {
    let is_away = matches!(error, StoreError::Unavailable(_) | StoreError::Silent(_));
    assert!(is_away, "{error:?}");
}

#[tokio::test]
async fn an_absent_server_is_known_soon_and_the_password_is_not_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://keygate:hunter2@127.0.0.1:{free}/keygate");
    let location = StoreLocation::Postgres(url);
    let store = store::open(&location).await.unwrap();
    let begun = Instant::now();
    let error = store.load_by_secret(secret().id).await.unwrap_err();
    assert!(begun.elapsed() < KNOWN_AWAY, "{:?}", begun.elapsed());
    is_away(&error);
    let said = format!("{error} {error:?} {location:?}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains(&free.to_string()), "{said}");
}

#[tokio::test]
async fn a_url_that_is_none_is_told_without_its_password() {
    for url in ["postgres://u:hunter2@host:port/db", "postgres://u:hunter2@h/d?sslmode=maybe"] {
        let error = store::open(&StoreLocation::Postgres(url.to_owned())).await.err().unwrap();
        is_away(&error);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_stopped_server_breaks_the_feed_and_a_started_one_heals_everything() {
    let Some(server) = Postgres::own() else { return };
    let location = StoreLocation::Postgres(server.database());
    let store = store::open(&location).await.unwrap();
    store.migrate().await.unwrap();
    let mut feed = store.listen().await.unwrap();

    server.stop();
    is_away(&hears(&mut feed).await.unwrap_err());
    is_away(&store.owner("default").await.unwrap_err());
    is_away(&store.listen().await.err().unwrap());

    server.start();
    assert!(store.owner("default").await.unwrap().is_some());
    let mut feed = store.listen().await.unwrap();
    store.set_owner_disabled(&act(), &OwnerId::from_text("default"), true).await.unwrap();
    hears(&mut feed).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_away_like_one_that_is_gone() {
    let Some(server) = Postgres::own() else { return };
    let location = StoreLocation::Postgres(server.database());
    let store = store::open(&location).await.unwrap();
    store.migrate().await.unwrap();
    let mut feed = store.listen().await.unwrap();

    server.freeze();
    let asked = timeout(PATIENCE, store.owner("default")).await.expect("it gives up by itself");
    is_away(&asked.unwrap_err());
    is_away(&hears(&mut feed).await.unwrap_err());

    server.thaw();
    assert!(store.owner("default").await.unwrap().is_some());
}

#[tokio::test]
async fn a_transaction_left_open_by_hand_is_waited_for_and_then_told() {
    let Some(store) = Kind::Postgres.ready().await else { return };
    let (key, _) = store.key_with(|_| {}).await;
    let mut hand = store.hand().await;
    hand.run("BEGIN; UPDATE owners SET name = 'x' WHERE id = 'default'").await;
    is_away(&store.set_key_disabled(&act(), &key.id, true).await.unwrap_err());
    assert!(store.key(&key.id).await.unwrap().is_some(), "reading goes on");
    hand.run("ROLLBACK").await;
    assert!(store.set_key_disabled(&act(), &key.id, true).await.unwrap());
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_an_error_that_names_it() {
    let path = PathBuf::from("/nowhere/keygate.db");
    let error = store::open(&StoreLocation::Sqlite(path)).await.err().unwrap();
    is_away(&error);
    assert!(error.to_string().contains("/nowhere/keygate.db"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keygate.db");
    std::fs::write(&path, "these are not the tables you are looking for".repeat(100)).unwrap();
    let store = store::open(&StoreLocation::Sqlite(path)).await.unwrap();
    is_away(&store.owner("default").await.unwrap_err());
    is_away(&store.migrate().await.unwrap_err());
}

#[tokio::test]
async fn a_file_that_went_away_is_away_until_it_is_back_and_a_new_one_is_not_made() {
    let store = Kind::Sqlite.ready().await.unwrap();
    let StoreLocation::Sqlite(path) = &store.location else { unreachable!() };
    let away = path.with_extension("away");
    std::fs::rename(path, &away).unwrap();
    is_away(&store.owner("default").await.unwrap_err());
    is_away(
        &store.set_owner_disabled(&act(), &OwnerId::from_text("default"), true).await.unwrap_err(),
    );
    assert!(!path.exists());
    std::fs::rename(&away, path).unwrap();
    assert!(store.owner("default").await.unwrap().is_some());
}

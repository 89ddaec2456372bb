//! The schema: made once whoever comes first, and asked for before anything is read.

use std::os::unix::fs::PermissionsExt;

use keygate::config::StoreLocation;
use keygate::store::StoreError;
use rstest::rstest;

use super::Kind;

#[rstest]
#[tokio::test]
async fn a_store_without_its_schema_says_so_and_answers_no(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.empty().await else { return };
    store.ping().await.unwrap();
    let status = store.schema_status().await.unwrap();
    assert_eq!(status.found, 0);
    assert!(!status.pending.is_empty());
    let needed = status.needed;
    let unready = |error: StoreError| {
        assert!(
            matches!(error, StoreError::Schema { found: 0, needed: n } if n == needed),
            "{error:?}"
        );
    };
    unready(store.owner("default").await.unwrap_err());
    unready(store.revision().await.unwrap_err());
    unready(store.listen().await.err().unwrap());
    unready(store.record_last_use(&[]).await.unwrap_err());

    let done = store.migrate().await.unwrap();
    assert_eq!((done.found, done.needed, done.pending), (needed, needed, status.pending));
    assert!(store.owner("default").await.unwrap().is_some());
}

#[rstest]
#[tokio::test]
async fn of_eight_migrations_at_once_one_does_the_work(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.empty().await else { return };
    let mut migrations = Vec::new();
    for _ in 0..8 {
        let store = store.another().await;
        migrations.push(tokio::spawn(async move { store.migrate().await }));
    }
    let mut worked = 0;
    for migration in migrations {
        let status = migration.await.unwrap().unwrap();
        assert_eq!(status.found, status.needed);
        worked += usize::from(!status.pending.is_empty());
    }
    assert_eq!(worked, 1);
    assert!(store.schema_status().await.unwrap().pending.is_empty());
    assert!(store.owner("default").await.unwrap().is_some());
}

#[rstest]
#[tokio::test]
async fn a_schema_of_a_newer_keygate_is_worked_with(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    store.sql("INSERT INTO keygate_migrations (version, name) VALUES (9999, 'newer')").await;
    let store = store.another().await;
    let status = store.migrate().await.unwrap();
    assert_eq!((status.found, status.pending.len()), (9999, 0));
    assert!(store.owner("default").await.unwrap().is_some());
}

#[rstest]
#[tokio::test]
async fn every_statement_is_counted(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    store.revision().await.unwrap();
    let before = store.queries();
    store.revision().await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(store.queries() - before, 2);
}

#[tokio::test]
async fn a_sqlite_file_is_readable_by_its_owner_alone() {
    let store = Kind::Sqlite.ready().await.unwrap();
    let StoreLocation::Sqlite(path) = &store.location else { unreachable!() };
    store.owner_named("acme").await;
    let mut files = 0;
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        files += 1;
    }
    assert_eq!(files, 3, "the file, its log and the log's index");
}

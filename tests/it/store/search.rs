//! Keys and owners are found by what people know of them, by whatever hand that was written.

use keygate::domain::{Environment, Key, KeyStatus};
use keygate::store::{KeyFilter, KeyPatch, PageRequest};
use rstest::rstest;

use super::{Kind, TestStore, act, at, first, secret};

async fn found(store: &TestStore, search: &str) -> Vec<String> {
    listed(store, KeyFilter { search: Some(search.to_owned()), ..KeyFilter::default() }).await
}

async fn listed(store: &TestStore, filter: KeyFilter) -> Vec<String> {
    let page = store.keys(&filter, &first(100)).await.unwrap();
    page.rows.into_iter().map(|key| key.key.name).collect()
}

fn named(name: &'static str) -> impl FnOnce(&mut Key) {
    move |key| {
        key.name = name.to_owned();
        key.metadata.clear();
    }
}

#[rstest]
#[tokio::test]
async fn a_key_is_found_by_a_part_of_what_people_know_of_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("Acme & Söns").await;
    let (key, secret) = store
        .key_with(|key| {
            named("Nightly Backup")(key);
            key.owner_id = acme.id.clone();
            key.metadata.insert("Team".to_owned(), "Plattform".to_owned());
        })
        .await;
    store.key_with(named("another")).await;
    for search in [
        "nightly",
        "BACKUP",
        "tly",
        "acme",
        "söns",
        "team",
        "latt",
        key.id.as_str(),
        secret.hint.as_str(),
        secret.id.as_str(),
        "  backup   acme plattform ",
    ] {
        assert_eq!(found(&store, search).await, ["Nightly Backup"], "{search}");
    }
    for search in ["nightlybackup", "backup another", "%", "_ightly", "!", "\\", "'", "nosuch"] {
        assert!(found(&store, search).await.is_empty(), "{search}");
    }
    assert_eq!(found(&store, "").await.len(), 2, "no word asks for nothing");
}

#[rstest]
#[tokio::test]
async fn what_means_something_to_sql_is_a_character_like_any_other(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    store.key_with(named("100%_sure!'; --")).await;
    store.key_with(named("1000 times")).await;
    for search in ["100%", "%_s", "sure!", "'", "--"] {
        assert_eq!(found(&store, search).await, ["100%_sure!'; --"], "{search}");
    }
}

#[rstest]
#[tokio::test]
async fn a_search_knows_every_change_by_whatever_hand(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    let (key, old) = store.key_with(named("first")).await;
    let patch = KeyPatch {
        name: Some("second".to_owned()),
        owner_id: Some(acme.id.clone()),
        metadata: [("tier".to_owned(), Some("gold".to_owned()))].into(),
        ..KeyPatch::default()
    };
    assert!(store.update_key(&act(), &key.id, &patch).await.unwrap());
    for (search, count) in [("first", 0), ("second", 1), ("acme", 1), ("gold", 1)] {
        assert_eq!(found(&store, search).await.len(), count, "{search}");
    }
    let new = secret();
    store.rotate_key(&act(), &key.id, &new, at(9_000), false, at(5_000)).await.unwrap();
    assert_eq!(found(&store, &new.hint).await, ["second"]);
    assert_eq!(found(&store, &old.hint).await, ["second"], "secrets of the past are known too");
    store.sql(&format!("UPDATE owners SET name = 'Globex' WHERE id = '{}'", acme.id)).await;
    assert_eq!(found(&store, "globex").await, ["second"]);
    store.sql(&format!("UPDATE keys SET name = 'third' WHERE id = '{}'", key.id)).await;
    assert_eq!(found(&store, "third").await, ["third"]);
    store.sql(&format!("DELETE FROM secrets WHERE id = '{}'", old.id)).await;
    assert!(found(&store, &old.hint).await.is_empty());
    store.sql("DELETE FROM secrets").await;
    store.sql("DELETE FROM keys").await;
    assert!(found(&store, "third").await.is_empty());
    assert_eq!(store.sql("DELETE FROM key_search").await, 0, "nothing is left behind");
}

#[rstest]
#[tokio::test]
async fn a_search_goes_with_every_filter_and_from_page_to_page(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("acme").await;
    let now = at(1_000_000);
    for number in 0..9 {
        store
            .key_with(|key| {
                key.name = format!("job {number}");
                key.expires_at = None;
                key.disabled = number % 3 == 1;
                if number % 2 == 0 {
                    key.owner_id = acme.id.clone();
                    key.environment = Environment::Test;
                }
            })
            .await;
    }
    store.key_with(named("other")).await;
    let jobs = || KeyFilter { search: Some("job".to_owned()), ..KeyFilter::default() };
    let of_acme = KeyFilter { owner: Some(acme.id.clone()), ..jobs() };
    assert_eq!(listed(&store, of_acme).await, ["job 8", "job 6", "job 4", "job 2", "job 0"]);
    let disabled = KeyFilter {
        status: Some((KeyStatus::Disabled, now)),
        environment: Some(Environment::Test),
        ..jobs()
    };
    assert_eq!(listed(&store, disabled).await, ["job 4"]);
    let old = KeyFilter { secret_older_than: Some(at(1_235)), ..jobs() };
    assert_eq!(listed(&store, old).await.len(), 9);
    let unused = KeyFilter { unused_since: Some(at(1_234)), ..jobs() };
    assert!(listed(&store, unused).await.is_empty());

    let mut seen = Vec::new();
    let mut page = first(2);
    loop {
        let found = store.keys(&jobs(), &page).await.unwrap();
        seen.extend(found.rows.into_iter().map(|key| key.key.name));
        let Some(cursor) = found.next_cursor else { break };
        page = PageRequest { after: Some(cursor), limit: 2 };
    }
    let all: Vec<String> = (0..9).rev().map(|number| format!("job {number}")).collect();
    assert_eq!(seen, all);
}

#[rstest]
#[tokio::test]
async fn keys_are_listed_by_how_soon_they_end(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    for (name, end, revoked) in [
        ("never", None, None),
        ("over", Some(at(1_000)), None),
        ("soon", Some(at(1_001)), None),
        ("revoked", Some(at(1_500)), Some(at(1))),
        ("last", Some(at(2_000)), None),
        ("later", Some(at(2_001)), None),
    ] {
        store
            .key_with(|key| {
                named(name)(key);
                (key.expires_at, key.revoked_at) = (end, revoked);
            })
            .await;
    }
    let expiring = Some((at(1_000), at(2_000)));
    let filter = KeyFilter { expiring, ..KeyFilter::default() };
    assert_eq!(listed(&store, filter).await, ["last", "soon"]);
}

#[rstest]
#[tokio::test]
async fn owners_are_found_by_a_part_of_their_name_or_id(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let acme = store.owner_named("Acme Söns").await;
    store.owner_named("Globex").await;
    for search in ["acme", "SÖNS acme", "me s", acme.id.as_str()] {
        let search = search.replace("SÖNS", "Söns");
        let found = store.find_owners(&search, &first(10)).await.unwrap().rows;
        assert_eq!(found, std::slice::from_ref(&acme), "{search}");
    }
    assert!(store.find_owners("acme globex", &first(10)).await.unwrap().rows.is_empty());
    let page = store.find_owners("e", &first(2)).await.unwrap();
    assert_eq!(page.rows.len(), 2);
    let rest = PageRequest { after: page.next_cursor, limit: 2 };
    assert_eq!(store.find_owners("e", &rest).await.unwrap().rows[0].name, "default");
}

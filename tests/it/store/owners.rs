//! Owners.

use keygate::domain::{Owner, OwnerId};
use keygate::store::{PageRequest, StoreError};
use rstest::rstest;

use super::{Kind, act, at, first};

#[rstest]
#[tokio::test]
async fn the_default_owner_is_there_from_the_start(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let owner = store.owner("default").await.unwrap().unwrap();
    assert_eq!((owner.id.as_str(), owner.name.as_str()), ("default", "default"));
    assert!(!owner.disabled);
    assert!(owner.created_at > at(0));
}

#[rstest]
#[tokio::test]
async fn an_owner_is_found_by_its_id_and_by_its_name_whatever_is_in_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    for name in ["acme", "O'Brien \"& söns\" 株式会社 🏢", "%", "_", "'; DROP TABLE owners; --"]
    {
        let owner = store.owner_named(name).await;
        assert_eq!(store.owner(name).await.unwrap().as_ref(), Some(&owner));
        assert_eq!(store.owner(owner.id.as_str()).await.unwrap(), Some(owner));
    }
    assert_eq!(store.owner("ACME").await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn an_id_goes_before_a_name_that_looks_like_it(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    let owner = store.owner_named("acme").await;
    store.owner_named(owner.id.as_str()).await;
    assert_eq!(store.owner(owner.id.as_str()).await.unwrap(), Some(owner));
}

#[rstest]
#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict_that_says_so(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    store.owner_named("acme").await;
    let again = Owner {
        id: OwnerId::mint(),
        name: "acme".to_owned(),
        disabled: false,
        credit_changes: 0,
        created_at: at(1),
    };
    let error = store.create_owner(&act(), &again).await.unwrap_err();
    assert!(matches!(&error, StoreError::Conflict(_)), "{error:?}");
    assert_eq!(error.to_string(), "an owner named acme exists already");
    // The write lock is free again.
    store.owner_named("other").await;
}

#[rstest]
#[tokio::test]
async fn owners_come_newest_first_page_by_page(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    for name in ["a", "b", "c", "d"] {
        store.owner_named(name).await;
    }
    let mut names = Vec::new();
    let mut page = first(2);
    loop {
        let found = store.owners(&page).await.unwrap();
        assert!(found.rows.len() <= 2);
        names.extend(found.rows.into_iter().map(|owner| owner.name));
        match found.next_cursor {
            Some(cursor) => page = PageRequest { after: Some(cursor), limit: 2 },
            None => break,
        }
    }
    assert_eq!(names, ["d", "c", "b", "a", "default"]);
    assert_eq!(store.owners(&first(5)).await.unwrap().next_cursor, None);
}

#[rstest]
#[tokio::test]
async fn an_owner_is_switched_off_and_on(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = kind.ready().await else { return };
    let owner = store.owner_named("acme").await;
    for disabled in [true, true, false] {
        assert!(store.set_owner_disabled(&act(), &owner.id, disabled).await.unwrap());
        assert_eq!(store.owner("acme").await.unwrap().unwrap().disabled, disabled);
    }
    assert!(!store.set_owner_disabled(&act(), &OwnerId::mint(), true).await.unwrap());
}

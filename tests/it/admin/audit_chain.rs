//! The audit log's chain: whoever changes a row by hand is seen, whatever they may do.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::installation::{Installation, Printed};
use crate::support::{Kind, TestGateway, TestStore};

/// A store with seven rows in its log, and how a superuser gets past what keeps them.
fn written(kind: Kind) -> Option<(Installation, TestStore)> {
    let store = TestStore::of(kind)?;
    let (place, store) = TestGateway::with(store).install();
    place.run(&["migrate"]);
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        place.run(&["owner", "create", name]);
    }
    Some((place, store))
}

fn unlocked(store: &TestStore) {
    match store {
        TestStore::Sqlite { .. } => {
            store.sql("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_cut");
        }
        TestStore::Postgres { .. } => store.sql("ALTER TABLE audit DISABLE TRIGGER ALL"),
    }
}

fn verify(place: &Installation, more: &[&str]) -> (Printed, Value) {
    let told = place.try_run(&[&["audit", "verify"], more].concat());
    let json = place.try_run(&[&["audit", "verify", "--json"], more].concat());
    assert_eq!(told.code, json.code);
    (told, serde_json::from_str(&json.out).expect("it is JSON"))
}

/// The log is broken at that place, at the row of that owner.
#[track_caller]
fn is_broken(place: &Installation, at: usize, id: Option<&str>, how: &str) {
    let (told, json) = verify(place, &[]);
    assert_eq!(told.code, 1, "{}", told.out);
    assert_eq!(json["unbroken"], false);
    assert_eq!(json["broken_at"], json!({ "place": at, "id": id, "how": how }));
    assert!(told.err.contains(&format!("broken at row {at}")), "{}", told.err);
    assert!(told.err.contains(id.unwrap_or("missing")), "{}", told.err);
    assert!(told.err.contains("hint: "), "{}", told.err);
    assert_eq!(told.out, "");
}

/// The ids of the rows, oldest first.
fn ids(place: &Installation) -> Vec<String> {
    let rows: Value = serde_json::from_str(&place.run(&["audit", "--json"])).unwrap();
    let rows = rows["data"].as_array().unwrap();
    rows.iter().rev().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[rstest]
fn what_keygate_wrote_is_unbroken_and_can_be_noted(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let (place, store) = TestGateway::with(store).install();
    place.run(&["migrate"]);
    let (told, json) = verify(&place, &[]);
    assert_eq!((told.code, told.out.as_str()), (0, "no rows yet\n"));
    assert_eq!(json, json!({ "unbroken": true, "rows": 0, "last": null, "expected_found": null }));
    place.run(&["owner", "create", "a"]);
    place.run(&["owner", "create", "b"]);
    let (told, json) = verify(&place, &[]);
    let hash = json["last"]["hash"].as_str().unwrap().to_owned();
    assert_eq!((told.code, &json["rows"], hash.len()), (0, &json!(2), 64));
    assert!(told.out.starts_with("2 rows, unbroken, the last of 20"), "{}", told.out);
    assert!(told.out.ends_with(&format!("UTC, hash {hash}\n")), "{}", told.out);
    assert_eq!(json["last"]["id"], ids(&place)[1]);

    place.run(&["owner", "create", "c"]);
    let (told, json) = verify(&place, &["--expect", &hash.to_uppercase()]);
    assert_eq!((told.code, &json["expected_found"]), (0, &json!(true)));
    let other = "0".repeat(64);
    let (told, json) = verify(&place, &["--expect", &other]);
    assert_eq!((told.code, &json["expected_found"]), (1, &json!(false)));
    assert!(told.err.contains("cut off or written anew"), "{}", told.err);
    assert_eq!(place.try_run(&["audit", "verify", "--expect", "abc"]).code, 2);
    assert_eq!(place.try_run(&["audit", "--json", "verify"]).code, 0);
    assert_eq!(place.try_run(&["audit", "--actor", "setup", "verify"]).code, 2);

    // Cut off behind a row, it is whole again, but for who has noted what it was.
    let (_, json) = verify(&place, &[]);
    let newest = json["last"]["hash"].as_str().unwrap().to_owned();
    unlocked(&store);
    store.sql("DELETE FROM audit WHERE place = 3");
    assert_eq!(verify(&place, &[]).0.code, 0);
    assert_eq!(verify(&place, &["--expect", &newest]).0.code, 1);
    assert_eq!(verify(&place, &["--expect", &hash]).0.code, 0);
}

#[rstest]
#[case("UPDATE audit SET actor = 'command:nobody' WHERE place = 3", 3, "changed")]
#[case("UPDATE audit SET after = NULL WHERE place = 3", 3, "changed")]
#[case("UPDATE audit SET at = at + 1 WHERE place = 1", 1, "changed")]
#[case("UPDATE audit SET hash = previous WHERE place = 7", 7, "changed")]
#[case("DELETE FROM audit WHERE place = 4", 4, "missing")]
#[case("DELETE FROM audit WHERE place < 3", 1, "missing")]
#[case(
    "UPDATE audit SET place = -1 WHERE place = 5; UPDATE audit SET place = 5 WHERE place = 6; \
     UPDATE audit SET place = 6 WHERE place = -1",
    5,
    "moved"
)]
fn the_row_that_was_changed_by_hand_is_named(
    #[case] by_hand: &str,
    #[case] at: usize,
    #[case] how: &str,
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some((place, store)) = written(kind) else { return };
    let ids = ids(&place);
    assert_eq!(ids.len(), 7);
    assert_eq!(verify(&place, &[]).0.code, 0);
    unlocked(&store);
    store.sql(by_hand);
    let standing = match how {
        "missing" => None,
        // What was written after it stands there now.
        "moved" => Some(ids[at].as_str()),
        _ => Some(ids[at - 1].as_str()),
    };
    is_broken(&place, at, standing, how);
}

#[rstest]
fn the_store_itself_refuses_to_change_or_cut_the_log(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some((place, store)) = written(kind) else { return };
    for by_hand in ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"] {
        let refused = store.try_sql(by_hand).expect_err(by_hand);
        assert!(refused.contains("only ever added to"), "{refused}");
    }
    assert_eq!(verify(&place, &[]).0.code, 0);
}

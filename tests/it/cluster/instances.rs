//! `keygate instances`: who runs, and how far each has come.

use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use super::{listed, start, three};
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Origin, TestGateway, TestStore, until};

#[rstest]
fn an_instance_is_listed_with_what_it_has_applied(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = start(store, &origin);
    let first = only(&gateway);
    let id = first["id"].as_str().expect("an id");
    assert!(id.starts_with("inst_") && id.len() == 31, "{id}");
    let pid = format!("(pid {})", gateway.process_id());
    assert!(first["host"].as_str().is_some_and(|host| host.ends_with(&pid)), "{first}");
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&first["status"], &first["lag_ms"]), (&"running".into(), &0.into()));
    assert!(first["seen_ms_ago"].as_u64().is_some_and(|ms| ms <= 3_000), "{first}");
    assert!(first["started_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");
    assert_eq!(first["config_hash"].as_str().map(str::len), Some(64));

    gateway.key("--name a");
    let newer = |seen: &Value| seen["revision"].as_i64() > first["revision"].as_i64();
    until("it has applied the new key", || newer(&only(&gateway)));
    let (words, id) = (gateway.installation().run(&["instances"]), first["id"].as_str());
    assert!(words.starts_with("ID ") && words.contains(id.expect("an id")), "{words}");
}

#[test]
fn a_reload_changes_the_hash_that_is_shown() {
    let origin = Origin::start();
    let gateway = start(TestStore::sqlite(), &origin);
    let before = only(&gateway);
    gateway.rewrite("[cache]\nttl = \"61s\"");
    gateway.signal(Signal::HUP);
    until("the hash is another", || only(&gateway)["config_hash"] != before["config_hash"]);
    assert_eq!(only(&gateway)["id"], before["id"]);
}

#[test]
fn one_that_stops_is_gone_and_the_others_count_one_less() {
    let origin = Origin::start();
    let Some([first, second, mut third]) = three(&origin) else { return };
    assert_eq!(listed(&first).len(), 3);
    let counts =
        |gateway: &TestGateway, number: u64| gateway.metrics().total("keygate_instances") == number;
    for gateway in [&first, &second, &third] {
        until("each counts all", || counts(gateway, 3));
    }
    third.signal(Signal::TERM);
    assert_eq!(third.wait().code(), Some(0));
    let left: Vec<String> = listed(&first).iter().map(|seen| seen["host"].to_string()).collect();
    let gone = format!("(pid {})", third.process_id());
    assert!(left.len() == 2 && !left.iter().any(|host| host.contains(&gone)), "{left:?}");
    for gateway in [&first, &second] {
        until("each counts two", || counts(gateway, 2));
    }
}

#[test]
fn one_whose_store_comes_back_is_listed_again_and_says_once_that_it_was_not() {
    let origin = Origin::start();
    let Some(store) = TestStore::own_postgres() else { return };
    let gateway = start(store, &origin);
    let before = only(&gateway);
    gateway.store().server().stop();
    gateway.wait_for_log("this instance is not heard of");
    gateway.store().server().start();
    let back = "this instance is in the store's list";
    until("it is heard of again", || gateway.log().matches(back).count() == 2);
    assert_eq!(only(&gateway)["id"], before["id"]);
    assert_eq!(gateway.log().matches("this instance is not heard of").count(), 1);

    gateway.store().sql("DELETE FROM instances");
    until("it is listed again", || listed(&gateway).len() == 1);
    assert_eq!(only(&gateway)["started_at"], before["started_at"]);
}

fn only(gateway: &TestGateway) -> Value {
    let mut listed = listed(gateway);
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

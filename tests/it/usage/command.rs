//! `keygate usage`, from the request to the command.

use serde_json::{Value, json};

use super::{CONFIG, until_all_is_booked};
use crate::support::{Kind, Origin, TestGateway, TestStore};
use rstest::rstest;

#[rstest]
fn what_was_used_is_told_by_day_key_owner_route_and_status(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let origin = Origin::scripted(|call| {
        call.read_body()?;
        let status = if call.request.target.starts_with("/missing") { 404 } else { 200 };
        call.answer(status, &[], b"")
    });
    let config = "[[routes]]\npath = \"/open\"\npublic = true\nupstream = \"api\"\n\
         [[routes]]\npath = \"/a/{id}\"\nupstream = \"api\"\n\
         [[routes]]\npath = \"/**\"\nupstream = \"api\"\n";
    let setup = TestGateway::with(store).config(CONFIG).config(config);
    let gateway = setup.upstream("api", &origin).start();
    gateway.run("owner create acme");
    let key = gateway.key("--name a --owner acme");
    let other = gateway.key("--name b");
    for path in ["/a/1", "/a/2", "/missing"] {
        gateway.curl(path).bearer(&key).send();
    }
    gateway.curl("/a/3").bearer(&other).send();
    until_all_is_booked(&gateway);
    let rows = |flags: &str| gateway.run(&format!("usage {flags}"))["data"].clone();
    let row =
        |group: &str, requests: u64| json!({"group": group, "requests": requests, "cost": "0.00"});
    assert_eq!(rows("--by route"), json!([row("/**", 1), row("/a/{id}", 3)]));
    assert_eq!(rows("--by status"), json!([row("200", 3), row("404", 1)]));
    assert_eq!(rows("--by status --owner acme"), json!([row("200", 2), row("404", 1)]));
    assert_eq!(rows(&format!("--by key --key {}", other.id())), json!([row(other.id(), 1)]));
    assert_eq!(rows("--since 1d --by owner --owner default"), json!([row("default", 1)]));
    // The run may pass midnight.
    let sum = |rows: &Value| {
        let rows = rows.as_array().expect("a list").iter();
        rows.map(|row| row["requests"].as_u64().expect("a number")).sum::<u64>()
    };
    assert_eq!(sum(&rows("")), 4);
    assert_eq!(rows("")[0]["group"].as_str().map(str::len), Some("2026-11-29".len()));
    assert_eq!(sum(&rows("--by hour --since 2h")), 4);
    assert_eq!(gateway.run("usage")["next_cursor"], Value::Null);
    let wrong = gateway.installation().try_run(&["usage", "--by", "weather"]);
    assert_eq!(wrong.code, 2);
    let nobody = gateway.installation().try_run(&["usage", "--owner", "nobody"]);
    assert_eq!(nobody.code, 1, "{}", nobody.err);
    let table = gateway.installation().run(&["usage", "--by", "route"]);
    assert!(table.contains("ROUTE") && table.contains("/a/{id}"), "{table}");
}

#[test]
fn only_counts_are_kept_where_nothing_else_is_wished() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite());
    let setup = setup.config("[[routes]]\npath = \"/**\"\nupstream = \"api\"");
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    until_all_is_booked(&gateway);
    assert!(super::booked(gateway.store()).is_empty());
    assert_eq!(gateway.run("usage --by key")["data"][0]["requests"], 1);
}

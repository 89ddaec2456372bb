//! Lists: every row once, page by page; filters and searches as they are documented.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::Scene;
use crate::support::{Kind, MintedKey, until};

#[rstest]
fn pages_have_every_row_exactly_once(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(scene) = Scene::of(kind) else { return };
    for number in 0..7 {
        scene.key(&json!({ "name": format!("key {number}") }));
        scene.done("POST", "owners", &json!({ "name": format!("owner {number}") }));
        let body = json!({ "name": format!("t{number}"), "role": "viewer" });
        let token = scene.done("POST", "tokens", &body);
        crate::support::leaks::note(token["token"].as_str().unwrap());
    }
    for (path, rows) in [("keys", 7), ("owners", 8), ("tokens", 8), ("audit", 22), ("instances", 1)]
    {
        for size in [1, 3, 1000] {
            let all = scene.pages(path, size);
            let ids: BTreeSet<&str> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!((all.len(), ids.len()), (rows, rows), "{path}, {size} at a time");
        }
    }
    for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x", "cursor=%00", "limit=1&limit=2"] {
        let path = format!("/admin/v1/keys?{wrong}");
        scene.gateway.as_admin(&scene.admin, &path).send().is_error(400, "bad_request");
    }
}

fn names(scene: &Scene, query: &str) -> Vec<String> {
    scene.fields(&format!("keys?{query}"), "name")
}

#[rstest]
fn keys_are_found_and_filtered(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(scene) = Scene::of(kind) else { return };
    scene.done("POST", "owners", &json!({ "name": "Acme Corp" }));
    let nightly = scene.key(&json!({
        "name": "Nightly Backup", "owner": "Acme Corp", "scopes": ["agents:read"],
        "metadata": { "team": "Plattform" }, "expires": "3d",
    }));
    scene.key(&json!({ "name": "sandbox", "environment": "test", "expires": "30d" }));
    let off = scene.key(&json!({ "name": "off", "scopes": ["agents:read", "agents:write"] }));
    scene.done("POST", &format!("keys/{}/disable?wait=false", off.id()), &json!({}));

    let shown = scene.seen(&format!("keys/{}", nightly.id()));
    let hint = shown["secrets"][0]["hint"].as_str().unwrap().to_owned();
    for q in ["nightly", "acme", "plattform", "ACKUP%20corp", nightly.id(), &hint] {
        assert_eq!(names(&scene, &format!("q={q}")), ["Nightly Backup"], "{q}");
    }
    for (query, found) in [
        ("q=nosuch", &[][..]),
        ("owner=Acme%20Corp", &["Nightly Backup"]),
        ("owner=nosuch", &[]),
        ("status=disabled", &["off"]),
        ("status=active", &["sandbox", "Nightly Backup"]),
        ("status=revoked", &[]),
        ("environment=test", &["sandbox"]),
        ("scope=agents:write", &["off"]),
        ("scope=agents:read", &["off", "Nightly Backup"]),
        ("scope=agents", &[]),
        ("expiring_within=7d", &["Nightly Backup"]),
        ("expiring_within=36500d", &["sandbox", "Nightly Backup"]),
        ("unused_for=0", &["off", "sandbox", "Nightly Backup"]),
        ("unused_for=1d", &[]),
        ("older_than=1d", &[]),
        ("older_than=0", &["off", "sandbox", "Nightly Backup"]),
        ("overdue=true", &[]),
        ("overdue=false&q=off", &["off"]),
        ("q=a&status=active&environment=test", &["sandbox"]),
    ] {
        assert_eq!(names(&scene, query), found, "{query}");
    }
    for wrong in [
        "status=dead",
        "environment=prod",
        "unused_for=soon",
        "overdue=true&status=revoked",
        "overdue=maybe",
    ] {
        let path = format!("/admin/v1/keys?{wrong}");
        scene.gateway.as_admin(&scene.admin, &path).send().is_error(400, "bad_request");
    }
    assert_eq!(scene.fields("owners?q=acme", "name"), ["Acme Corp"]);
}

#[test]
fn usage_is_added_up_and_paged_by_its_groups() {
    let scene = Scene::new();
    let keys: Vec<_> = (0..3).map(|n| scene.key(&super::reader(&format!("k{n}")))).collect();
    for (place, key) in keys.iter().enumerate() {
        until("the key calls", || scene.calls(key, "/agents") == 200);
        for _ in 0..place {
            assert_eq!(scene.calls(key, "/agents"), 200);
        }
    }
    let requests = |rows: &[Value]| rows.iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    until("all is booked", || {
        let sum: u64 = requests(&scene.pages("usage?by=key&since=1h", 2));
        sum >= 6
    });
    let by_key = scene.pages("usage?by=key", 1);
    let groups: BTreeSet<&str> = by_key.iter().map(|row| row["group"].as_str().unwrap()).collect();
    assert_eq!(groups, keys.iter().map(MintedKey::id).collect());
    let total: u64 = requests(&by_key);
    for by in ["hour", "day", "owner", "route", "status"] {
        let rows = scene.pages(&format!("usage?by={by}"), 1);
        assert_eq!(requests(&rows), total, "{by}");
        assert_eq!(rows[0]["cost"], "0.00");
    }
    let last = scene.pages(&format!("keys/{}/usage?by=status", keys[2].id()), 5);
    assert_eq!((last[0]["group"].as_str(), last[0]["requests"].as_u64()), (Some("200"), Some(3)));
    assert_eq!(scene.pages(&format!("usage?by=status&key={}", keys[2].id()), 5), last);
    assert!(scene.pages("usage?since=2100-01-01T00:00:00Z", 5).is_empty());
    for wrong in ["by=planet", "since=soon", "cursor=nosuch"] {
        let path = format!("/admin/v1/usage?{wrong}");
        scene.gateway.as_admin(&scene.admin, &path).send().is_error(400, "bad_request");
    }
}

//! Keys made, changed and ended over HTTP are so on the data plane.

use rstest::rstest;
use serde_json::{Value, json};

use super::{Scene, reader};
use crate::support::{Kind, until};

#[rstest]
fn a_key_that_is_made_calls_and_one_that_is_revoked_does_not(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(scene) = Scene::of(kind) else { return };
    let key = scene.key(&reader("worker"));
    until("the key calls", || scene.calls(&key, "/agents") == 200);
    assert_eq!(scene.calls(&key, "/agents/write"), 403);

    let body = json!({ "reason": "it leaked" });
    let ended = scene.done("POST", &format!("keys/{}/revoke", key.id()), &body);
    assert_eq!((&ended["id"], &ended["status"]), (&json!(key.id()), &json!("revoked")));
    assert_eq!((&ended["revoked"], &ended["instances"]), (&json!(1), &json!(1)));
    assert_eq!(ended["confirmed"], 1, "{ended}");
    assert!(ended["slowest_ms"].as_u64().is_some_and(|ms| ms < 5_000), "{ended}");
    assert_eq!(scene.calls(&key, "/agents"), 401, "the receipt says that it is in force");

    let again = scene.done("POST", &format!("keys/{}/revoke?wait=false", key.id()), &json!({}));
    assert_eq!(again, json!({ "id": key.id(), "status": "revoked", "revoked": 0 }));
    for (method, call) in [("PATCH", ""), ("POST", "/enable"), ("POST", "/disable")] {
        let body = json!({ "name": "b" });
        let refused = scene.sent(method, &format!("keys/{}{call}", key.id()), &body);
        refused.is_error(409, "conflict");
    }
    let rotated = scene.sent("POST", &format!("keys/{}/rotate", key.id()), &json!({}));
    rotated.is_error(409, "conflict");
}

#[test]
fn a_key_has_every_field_that_it_was_given() {
    let scene = Scene::new();
    let owner = scene.done("POST", "owners", &json!({ "name": "acme" }));
    let made = scene.sent(
        "POST",
        "keys",
        &json!({
            "name": "full", "owner": "acme", "environment": "test",
            "scopes": ["agents:write"], "permissions": ["read-only"],
            "expires_at": "2100-01-31T12:00:00+02:00", "monthly_budget": 12.5,
            "limits": ["1000/hour", "60/min"], "allowed_ips": ["10.0.0.0/8"],
            "metadata": { "team": "core" }, "rotation_interval_days": 30,
        }),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let mut key = made.json();
    let minted = super::minted(&key);
    assert!(minted.secret().starts_with("sk_test_"));
    key.as_object_mut().unwrap().remove("secret");
    let expected = json!({
        "name": "full", "owner": owner["id"], "parent_id": null, "environment": "test",
        "status": "active", "scopes": ["agents:write", "agents:read"],
        "limits": ["60/min", "1000/hour"], "allowed_ips": ["10.0.0.0/8"],
        "monthly_budget": "12.50", "spent": "0.00", "expires_at": "2100-01-31T10:00:00Z",
        "last_used_at": null, "metadata": { "team": "core" },
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&key[field], value, "{field}");
    }
    assert_eq!(key["rotation"]["interval_days"], 30);
    assert_eq!(key["secrets"][0]["status"], "active");
    assert_eq!(scene.seen(&format!("keys/{}", minted.id())), key, "it is shown as it was made");
    let shown = scene.gateway.run(&format!("key show {}", minted.id()));
    for field in ["id", "name", "owner", "scopes", "limits", "monthly_budget", "expires_at"] {
        assert_eq!(shown[field], key[field], "{field}: the command says the same");
    }
}

#[test]
fn what_cannot_be_had_is_refused_in_words() {
    let scene = Scene::new();
    for (wrong, word) in [
        (json!({}), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a", "scopes": ["agents:raed"] }), "agents:raed"),
        (json!({ "name": "a", "permissions": ["nosuch"] }), "nosuch"),
        (json!({ "name": "a", "owner": "nosuch" }), "nosuch"),
        (json!({ "name": "a", "owner": "a\u{0}b" }), "control"),
        (json!({ "name": "a", "environment": "prod" }), "live or test"),
        (json!({ "name": "a", "monthly_budget": "-1" }), "decimal"),
        (json!({ "name": "a", "monthly_budget": 0.000_000_1 }), "decimal"),
        (json!({ "name": "a", "limits": ["60/fortnight"] }), "limits"),
        (json!({ "name": "a", "limits": ["60/min", "61/min"] }), "two limits"),
        (json!({ "name": "a", "allowed_ips": ["10.0.0.0/33"] }), "allowed_ips"),
        (json!({ "name": "a", "expires": "soon" }), "expires"),
        (json!({ "name": "a", "expires_at": "2001-01-01T00:00:00Z" }), "past"),
        (json!({ "name": "a", "expires": "1d", "expires_at": "2100-01-01T00:00:00Z" }), "not both"),
        (json!({ "name": "a", "parent_id": "key_nosuch" }), "parent_id"),
        (json!({ "name": "a", "parent_id": "\u{0}" }), "parent_id"),
        (json!({ "name": "a", "rotation_interval_days": 0 }), "rotated"),
        (json!({ "name": "a", "spent": "0" }), "spent"),
    ] {
        let refused = scene.sent("POST", "keys", &wrong);
        refused.is_error(400, "bad_request");
        assert!(refused.text().contains(word), "{wrong}: {}", refused.text());
    }
    assert!(scene.fields("keys", "id").is_empty());
}

#[test]
fn a_change_is_of_the_given_fields_alone_and_in_force_at_once() {
    let scene = Scene::new();
    let key = scene.key(&json!({
        "name": "worker", "scopes": ["agents:read"], "monthly_budget": "5", "expires": "90d",
        "metadata": { "team": "core", "tier": "gold" },
    }));
    until("the key calls", || scene.calls(&key, "/agents") == 200);
    let path = format!("keys/{}", key.id());
    let mut expected = scene.seen(&path);
    let change = |body: Value| scene.done("PATCH", &path, &body);
    let changed = change(json!({ "scopes": ["agents:write"], "name": "writer" }));
    (expected["scopes"], expected["name"]) = (json!(["agents:write"]), json!("writer"));
    expected["last_used_at"] = changed["last_used_at"].clone();
    expected["secrets"] = changed["secrets"].clone();
    assert_eq!(changed, expected);
    until("the scopes are in force", || scene.calls(&key, "/agents/write") == 200);
    assert_eq!(scene.calls(&key, "/agents"), 403);

    let cleared = change(json!({
        "monthly_budget": null, "expires_at": null, "metadata": { "tier": null, "new": "note" },
    }));
    assert_eq!(cleared["monthly_budget"], Value::Null);
    assert_eq!(cleared["expires_at"], Value::Null);
    assert_eq!(cleared["metadata"], json!({ "team": "core", "new": "note" }));
    assert_eq!(cleared["name"], "writer");
    assert_eq!(change(json!({ "rotation_interval_days": 30 }))["rotation"]["interval_days"], 30);
    let unscheduled = change(json!({ "rotation_interval_days": null }));
    assert_eq!(unscheduled["rotation"]["interval_days"], Value::Null);

    let audited = scene.seen("audit?action=key.update");
    let rows = audited["data"].as_array().unwrap().len();
    assert_eq!(change(json!({}))["name"], "writer");
    let audited = scene.seen("audit?action=key.update");
    assert_eq!(audited["data"].as_array().unwrap().len(), rows, "nothing was changed");
    for wrong in [
        json!({ "name": null }),
        json!({ "spent": "0" }),
        json!({ "environment": "test" }),
        json!({ "rotation_interval_days": 0, "name": "half" }),
    ] {
        scene.sent("PATCH", &path, &wrong).is_error(400, "bad_request");
    }
    assert_eq!(scene.seen(&path)["name"], "writer");
}

#[test]
fn a_key_is_switched_off_and_on() {
    let scene = Scene::new();
    let key = scene.key(&reader("worker"));
    until("the key calls", || scene.calls(&key, "/agents") == 200);
    let off = scene.done("POST", &format!("keys/{}/disable", key.id()), &json!({}));
    assert_eq!((&off["status"], &off["confirmed"]), (&json!("disabled"), &json!(1)), "{off}");
    assert_eq!(scene.calls(&key, "/agents"), 401);
    let on = scene.done("POST", &format!("keys/{}/enable", key.id()), &json!({}));
    assert_eq!(on["status"], "active");
    until("the key calls again", || scene.calls(&key, "/agents") == 200);
}

#[test]
fn a_rotated_key_calls_with_both_secrets_until_one_is_ended() {
    let scene = Scene::new();
    let old = scene.key(&reader("worker"));
    let path = format!("keys/{}/rotate", old.id());
    let new = scene.minted(&path, &json!({ "grace": "7d" }));
    assert_eq!(new.id(), old.id());
    until("the new secret calls", || scene.calls(&new, "/agents") == 200);
    assert_eq!(scene.calls(&old, "/agents"), 200);
    scene.sent("POST", &path, &json!({})).is_error(409, "conflict");

    let shown = scene.seen(&format!("keys/{}", old.id()));
    let first = shown["secrets"][0]["id"].as_str().unwrap().to_owned();
    let end = json!({ "secret": first });
    let ended = scene.done("POST", &format!("keys/{}/revoke", old.id()), &end);
    assert_eq!((&ended["secret_id"], &ended["status"]), (&json!(first), &json!("active")));
    assert_eq!(scene.calls(&old, "/agents"), 401);
    assert_eq!(scene.calls(&new, "/agents"), 200);
    let again = scene.sent("POST", &format!("keys/{}/revoke", old.id()), &end);
    again.is_error(404, "not_found");

    scene.minted(&path, &json!({ "grace": "0" }));
    until("the grace is over at once", || scene.calls(&new, "/agents") == 401);
}

#[test]
fn a_child_never_has_more_than_its_parent() {
    let scene = Scene::new();
    let parent = scene.key(&json!({
        "name": "parent", "scopes": ["agents:read"], "monthly_budget": "5",
    }));
    let path = format!("keys/{}/children", parent.id());
    let child = scene.minted(&path, &json!({ "name": "child" }));
    let shown = scene.seen(&format!("keys/{}", child.id()));
    assert_eq!(shown["parent_id"], parent.id());
    assert_eq!(shown["scopes"], json!(["agents:read"]));
    assert_eq!(scene.fields(&path, "id"), [child.id()]);
    assert_eq!(scene.fields(&format!("keys?parent={}", parent.id()), "id"), [child.id()]);
    for wide in [
        json!({ "name": "a", "scopes": ["agents:write"] }),
        json!({ "name": "a", "monthly_budget": "6" }),
        json!({ "name": "a", "parent_id": child.id() }),
        json!({ "name": "a", "environment": "test" }),
    ] {
        scene.sent("POST", &path, &wide).is_error(400, "bad_request");
    }
    until("the child calls", || scene.calls(&child, "/agents") == 200);
    let ended = scene.done("POST", &format!("keys/{}/revoke", parent.id()), &json!({}));
    assert_eq!(ended["revoked"], 2);
    assert_eq!(scene.calls(&child, "/agents"), 401);
}

#[test]
fn what_is_not_there_is_not_found() {
    let scene = Scene::new();
    for id in ["key_nosuch", "%00", "a%2Fb", "%FF", "..", "default", &"x".repeat(300)] {
        let answer = scene.gateway.as_admin(&scene.admin, &format!("/admin/v1/keys/{id}")).send();
        assert_eq!(answer.status, 404, "{id}: {}", answer.text());
    }
    for (method, path) in [
        ("PATCH", "keys/key_nosuch"),
        ("POST", "keys/key_nosuch/revoke"),
        ("POST", "keys/key_nosuch/disable"),
        ("POST", "keys/key_nosuch/enable"),
        ("POST", "keys/key_nosuch/rotate"),
        ("POST", "owners/own_nosuch/disable"),
        ("POST", "tokens/adm_nosuch/revoke"),
        ("POST", "sessions/ses_nosuch/end"),
        ("POST", "webhooks/deliveries/dlv_nosuch/replay"),
    ] {
        scene.sent(method, path, &json!({})).is_error(404, "not_found");
    }
}

//! Owners, credits, tokens, sessions, webhooks.

use serde_json::{Value, json};

use super::{Scene, reader};
use crate::support::{Origin, TestGateway, TestStore, leaks, until};

#[test]
fn an_owner_that_is_disabled_stops_its_keys() {
    let scene = Scene::new();
    let owner = scene.done("POST", "owners", &json!({ "name": "acme" }));
    let path = format!("owners/{}", owner["id"].as_str().unwrap());
    assert_eq!(scene.seen(&path), owner);
    scene.sent("POST", "owners", &json!({ "name": "acme" })).is_error(409, "conflict");
    for wrong in ["", "own_1", "a\nb", &"x".repeat(101)] {
        scene.sent("POST", "owners", &json!({ "name": wrong })).is_error(400, "bad_request");
    }
    let by_name = scene.gateway.as_admin(&scene.admin, "/admin/v1/owners/acme").send();
    by_name.is_error(404, "not_found");

    let key = scene.key(&json!({ "name": "a", "owner": "acme", "scopes": ["agents:read"] }));
    until("the key calls", || scene.calls(&key, "/agents") == 200);
    let off = scene.done("POST", &format!("{path}/disable"), &json!({}));
    assert_eq!((&off["status"], &off["confirmed"]), (&json!("disabled"), &json!(1)), "{off}");
    assert_eq!(scene.calls(&key, "/agents"), 401);
    let on = scene.done("POST", &format!("{path}/enable"), &json!({}));
    assert_eq!(on, owner);
    until("the key calls again", || scene.calls(&key, "/agents") == 200);
}

#[test]
fn credits_are_added_and_say_what_happens_when_they_run_out() {
    let scene = Scene::new();
    let path = "owners/default/credits";
    let get = scene.gateway.as_admin(&scene.admin, &format!("/admin/v1/{path}"));
    get.send().is_error(404, "not_found");
    let added = scene.sent("POST", path, &json!({ "amount": 12.5, "reason": "invoice 7" }));
    assert_eq!(added.status, 201, "{}", added.text());
    let mut expected = json!({
        "owner": "default", "balance": "12.50", "low_threshold": null, "recharge": null,
        "recharge_asked": false,
    });
    assert_eq!(added.json(), expected);
    let policy = json!({ "low_threshold": "2", "recharge": { "threshold": 1, "amount": "10" } });
    expected["low_threshold"] = json!("2.00");
    expected["recharge"] = json!({ "threshold": "1.00", "amount": "10.00" });
    assert_eq!(scene.done("PATCH", path, &policy), expected);
    expected["recharge"] = Value::Null;
    assert_eq!(scene.done("PATCH", path, &json!({ "recharge": null })), expected);
    assert_eq!(scene.seen(path), expected);
    for wrong in [json!({ "amount": 0 }), json!({ "amount": "-1" }), json!({}), json!([])] {
        scene.sent("POST", path, &wrong).is_error(400, "bad_request");
    }
    let too_many = scene.sent("POST", path, &json!({ "amount": "9223372036854.7" }));
    too_many.is_error(409, "conflict");
    for wrong in [
        json!({}),
        json!({ "recharge": { "threshold": 1, "amount": 0 } }),
        json!({ "recharge": [1, 2] }),
    ] {
        scene.sent("PATCH", path, &wrong).is_error(400, "bad_request");
    }
}

#[test]
fn a_token_is_shown_once_lets_in_and_is_revoked() {
    let scene = Scene::new();
    let new = json!({ "name": "deploy", "role": "admin", "expires": "90d" });
    let made = scene.sent("POST", "tokens", &new);
    assert_eq!(made.status, 201, "{}", made.text());
    let mut made = made.json();
    let text = made.as_object_mut().unwrap().remove("token").expect("the token");
    let text = text.as_str().unwrap().to_owned();
    leaks::note(&text);
    assert!(text.starts_with("kga_") && text.starts_with(made["hint"].as_str().unwrap()));
    assert_eq!((&made["status"], &made["role"]), (&json!("active"), &json!("admin")));
    let listed = scene.seen("tokens");
    let listed = listed["data"].as_array().unwrap().iter().find(|it| it["id"] == made["id"]);
    assert_eq!(listed, Some(&made));

    let ask = || {
        let call = crate::support::curl::Curl::new(
            scene.gateway.admin_address(),
            "/admin/v1/owners/default",
        );
        call.header(&format!("Authorization: Bearer {text}")).send().status
    };
    assert_eq!(ask(), 200);
    let path = format!("tokens/{}/revoke", made["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(scene.done("POST", &path, &json!({}))["status"], "revoked");
        assert_eq!(ask(), 401);
    }
    for wrong in [
        json!({ "name": "a" }),
        json!({ "name": "a", "role": "root" }),
        json!({ "name": "", "role": "viewer" }),
        json!({ "name": "a", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z" }),
    ] {
        scene.sent("POST", "tokens", &wrong).is_error(400, "bad_request");
    }
}

#[test]
fn a_session_that_is_ended_is_over() {
    let scene = Scene::new();
    let origin = format!("Origin: http://{}", scene.gateway.admin_address());
    let sign_in = crate::support::curl::Curl::new(scene.gateway.admin_address(), "/login");
    let signed_in = sign_in.header(&origin).body(&format!("token={}", scene.admin.text())).send();
    let cookie = signed_in.header("set-cookie").expect("a session").split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}");
    let page = || {
        let page = crate::support::curl::Curl::new(scene.gateway.admin_address(), "/");
        page.header(&cookie).send().status
    };
    assert_eq!(page(), 200);
    let sessions = scene.seen("sessions");
    let session = &sessions["data"][0];
    assert_eq!((&session["token_name"], &session["address"]), (&json!("ops"), &json!("127.0.0.1")));
    let id = session["id"].as_str().unwrap();
    assert_eq!(scene.done("POST", &format!("sessions/{id}/end"), &json!({}))["id"], id);
    assert_eq!(page(), 303, "it is sent to sign in");
    assert_eq!(scene.seen("sessions")["data"], json!([]));
    let again = scene.sent("POST", &format!("sessions/{id}/end"), &json!({}));
    again.is_error(404, "not_found");
}

#[test]
fn a_delivery_that_was_given_up_is_sent_again() {
    let api = Origin::start();
    let endpoint = Origin::start();
    let config = format!(
        "{}\n[webhooks]\nallow_private_networks = true\n[[webhooks.endpoints]]\n\
         url = \"http://{}/hook\"\nevents = [\"*\"]\n\
         secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n",
        super::CONFIG,
        endpoint.address()
    );
    let gateway = TestGateway::with(TestStore::sqlite()).config(&config).upstream("api", &api);
    let gateway = gateway.start();
    let admin = gateway.admin_token("--name ops");
    let scene = Scene { _origin: api, gateway, admin };
    let key = scene.key(&reader("told of"));
    endpoint.wait_for("the event", |received| !received.is_empty());
    let path = "webhooks/deliveries";
    until("it is delivered", || scene.fields(&format!("{path}?status=delivered"), "id").len() == 1);
    let delivery = scene.seen(path)["data"][0].clone();
    assert_eq!(
        (&delivery["type"], &delivery["subject"]),
        (&json!("key.created"), &json!(key.id()))
    );
    assert!(scene.fields(&format!("{path}?status=failed"), "id").is_empty());

    let id = delivery["id"].as_str().unwrap();
    let replayed = scene.done("POST", &format!("{path}/{id}/replay"), &json!({}));
    assert_eq!(replayed, json!({ "replayed": [id] }));
    endpoint.wait_for("the same event again", |received| received.len() >= 2);
    until("it is delivered", || scene.fields(&format!("{path}?status=delivered"), "id").len() == 1);
    let failed = "UPDATE deliveries SET status = 'failed', ended_at = 1";
    scene.gateway.store().sql(failed);
    let replayed = scene.done("POST", &format!("{path}/replay"), &json!({}));
    assert_eq!(replayed, json!({ "replayed": [id] }));
    endpoint.wait_for("the same event once more", |received| received.len() >= 3);
    assert_eq!(
        scene.done("POST", &format!("{path}/replay"), &json!({})),
        json!({ "replayed": [] })
    );
}

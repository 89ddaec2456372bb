//! Every call: its answer to the letter, and what it did.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CONFIG, Scene, made};
use crate::support::{MintedKey, Origin, Redis, TestGateway, TestStore, until};

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("RFC 3339")
}

fn days_between(from: &Value, to: &Value) -> f64 {
    time(to).duration_since(time(from)).as_secs_f64() / 86_400.0
}

#[test]
fn a_key_is_made_as_documented_and_is_the_callers_child() {
    let scene = Scene::new();
    let body = r#"{"name":"ReadOnlyResearchAgent","scopes":["models:read","models:use"],
        "monthly_budget":50.00,"expiration_days":30,"allowed_ips":["127.0.0.0/8"],
        "rate_limits":["10/min"]}"#;
    let answer = scene.ask(&scene.key, "POST", "/v1/api-keys", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.says("content-type", "application/json").says("cache-control", "no-store");
    assert!(answer.text().contains("\"monthly_budget\":50.00"), "a number, exact");
    assert_eq!(answer.number("x-ratelimit-limit"), 100_000, "it counts like any request");
    let (key, json) = made(&answer);
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected =
        ["id", "name", "scopes", "environment", "monthly_budget", "created_at", "expires_at"];
    assert_eq!(names, expected);
    assert_eq!(json["scopes"], json!(["models:read", "models:use"]));
    assert_eq!(json["environment"], "live");
    assert!((days_between(&json["created_at"], &json["expires_at"]) - 30.0).abs() < 0.01);
    assert_eq!(scene.status(&key, "/v1/models"), 200);
    let sent = scene.origin.last();
    assert_eq!(sent.header("x-auth-parent"), Some(scene.key.id()));
    assert_eq!(sent.header("x-auth-scopes"), Some("models:read models:use"));
    let shown = scene.gateway.run(&format!("key show {}", key.id()));
    assert_eq!(shown["parent_id"], scene.key.id());
    assert_eq!(shown["monthly_budget"], "50.00");
    assert_eq!(shown["limits"], json!(["10/min"]));
    assert_eq!(shown["allowed_ips"], json!(["127.0.0.0/8"]));
    let audit = scene.gateway.run(&format!("audit --key {}", key.id()));
    assert_eq!(audit["data"][0]["actor"], format!("key:{}", scene.key.id()));
    assert_eq!(audit["data"][0]["address"], "127.0.0.1");
    assert_eq!(scene.origin.count(), 1, "no call was forwarded");
}

#[test]
fn what_a_wish_leaves_out_is_taken_over() {
    let scene = Scene::with("--scope keys:write --scope models:use --expires 10d --limit 7/min");
    let (key, json) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"same"}"#);
    assert_eq!(json["scopes"], json!(["keys:write", "models:use"]));
    assert_eq!(json["monthly_budget"], Value::Null);
    let shown = scene.gateway.run(&format!("key show {}", key.id()));
    let parent = scene.gateway.run(&format!("key show {}", scene.key.id()));
    for field in ["expires_at", "limits", "allowed_ips", "owner", "environment"] {
        assert_eq!(shown[field], parent[field], "{field}");
    }
}

#[test]
fn keys_of_the_owner_are_listed_shown_and_ended_but_never_their_secrets() {
    let scene = Scene::new();
    let (first, _) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"one"}"#);
    let (second, _) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"two","scopes":[]}"#);
    let page = scene.ask(&scene.key, "GET", "/v1/api-keys?limit=2", "").json();
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&page), [second.id(), first.id()]);
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let rest = format!("/v1/api-keys?cursor={cursor}");
    let rest = scene.ask(&scene.key, "GET", &rest, "").json();
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec![scene.key.id().to_owned()], &Value::Null));
    let path = format!("/v1/api-keys/{}", first.id());
    let shown = scene.ask(&scene.key, "GET", &path, "");
    assert_eq!(shown.json()["parent_id"], scene.key.id());
    assert_eq!(shown.json(), page["data"][1]);
    assert!(!shown.text().contains(first.secret()));
    assert_eq!(scene.status(&first, "/v1/models"), 200);
    for _ in 0..2 {
        let ended = scene.ask(&scene.key, "DELETE", &path, "");
        assert_eq!(
            (ended.status, ended.json()),
            (200, json!({"id": first.id(), "status": "revoked"}))
        );
    }
    until("the key is refused", || scene.status(&first, "/v1/models") == 401);
    assert_eq!(scene.ask(&scene.key, "GET", &path, "").json()["status"], "revoked");
}

#[test]
fn a_child_is_made_listed_and_ended_by_id_or_secret_as_documented() {
    let scene = Scene::new();
    let body = r#"{"child_name":"ResearchAgent-1","child_budget":25.00,
        "scopes":["models:read","models:use"],"expiration_days":30}"#;
    let answer = scene.ask(&scene.key, "POST", "/v1/agents/create-child", body);
    let whole = answer.json();
    assert_eq!(answer.status, 201);
    assert_eq!(whole["child_key"], whole["api_key"]);
    assert!(answer.text().contains("\"child_budget\":25.00"));
    assert_eq!(whole["parent_id"], scene.key.id());
    let (child, _) = made(&answer);
    let listed = scene.ask(&scene.key, "GET", "/v1/agents", "").json();
    assert_eq!(listed["data"][0]["child_name"], "ResearchAgent-1");
    assert_eq!(listed["data"][0]["status"], "active");
    assert_eq!(scene.status(&child, "/v1/models"), 200);

    let wrong = wrong_secret(child.secret());
    let path = format!("/v1/agents/{}/revoke", wrong.secret());
    scene.ask(&scene.key, "DELETE", &path, "").is_refusal(404, "not_found", "Not found");
    let path = format!("/v1/agents/{}/revoke", child.secret());
    let ended = scene.ask(&scene.key, "DELETE", &path, "");
    assert_eq!((ended.status, ended.json()), (200, json!({"id": child.id(), "status": "revoked"})));
    let line = scene.gateway.access_line(ended.header("x-request-id").unwrap());
    assert_eq!(line["route"], "/v1/agents/{child}/revoke");
    assert!(line["path"].as_str().unwrap().contains("***"), "{line}");
    until("the child is refused", || scene.status(&child, "/v1/models") == 401);

    let (other, _) = scene.make(&scene.key, "/v1/agents/create-child", r#"{"child_name":"b"}"#);
    let path = format!("/v1/agents/{}/revoke", other.id());
    assert_eq!(scene.ask(&scene.key, "DELETE", &path, "").status, 200);
}

/// A secret with the same public id and a right checksum, and another random part.
fn wrong_secret(secret: &str) -> MintedKey {
    let body = &secret[..secret.len() - 6];
    let last = if body.ends_with('a') { 'b' } else { 'a' };
    let body = format!("{}{last}", &body[..body.len() - 1]);
    let mut sum = crc32fast::hash(body.as_bytes());
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut digits = [0u8; 6];
    for digit in digits.iter_mut().rev() {
        *digit = alphabet[(sum % 62) as usize];
        sum /= 62;
    }
    MintedKey::known("none", &format!("{body}{}", String::from_utf8_lossy(&digits)))
}

#[test]
fn a_key_rotates_itself_once_within_a_grace() {
    let scene = Scene::new();
    let answer = scene.ask(&scene.key, "POST", "/v1/api-keys/rotate", "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (new, json) = made(&answer);
    assert_eq!(new.id(), scene.key.id());
    let now =
        json!(Timestamp::from_millisecond(keygate::domain::Clock::system().now_ms()).unwrap());
    assert!((days_between(&now, &json["old_key_expires_at"]) - 7.0).abs() < 0.01);
    assert_eq!(scene.status(&new, "/v1/models"), 200);
    let old = scene.ask(&scene.key, "GET", "/v1/models", "");
    assert_eq!((old.status, old.header("x-api-key-rotate-by").is_some()), (200, true));
    for key in [&scene.key, &new] {
        let again = scene.ask(key, "POST", "/v1/api-keys/rotate", "");
        assert_eq!((again.status, again.json()["error"]["code"].as_str()), (409, Some("conflict")));
    }
    for wrong in [r#"{"grace_period_days":8}"#, r#"{"grace_period_days":-1}"#, r#"{"days":1}"#] {
        let refused = scene.ask(&new, "POST", "/v1/api-keys/rotate", wrong);
        assert_eq!(refused.status, 400, "{wrong}: {}", refused.text());
    }
}

#[test]
fn a_grace_of_nothing_ends_the_old_secret_at_once() {
    let scene = Scene::new();
    let body = r#"{"grace_period_days":0}"#;
    let (new, _) = made(&scene.ask(&scene.key, "POST", "/v1/api-keys/rotate", body));
    until("the old secret is refused", || scene.status(&scene.key, "/v1/models") == 401);
    assert_eq!(scene.status(&new, "/v1/models"), 200);
}

#[test]
fn a_key_is_told_of_itself_and_that_counts_once() {
    let scene = Scene::with("--scope models:use --limit 5/min --limit 100/hour --budget 10");
    let asked = scene.ask(&scene.key, "GET", "/v1/me", "");
    assert_eq!(asked.status, 200, "{}", asked.text());
    let me = asked.json();
    let names: Vec<&str> = me.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "id",
        "name",
        "owner",
        "environment",
        "scopes",
        "expires_at",
        "secret",
        "limits",
        "balance",
    ];
    assert_eq!(names, expected);
    assert_eq!((&me["id"], &me["name"]), (&json!(scene.key.id()), &json!("maker")));
    assert_eq!(me["scopes"], json!(["models:use"]));
    assert_eq!(me["secret"]["expires_at"], Value::Null);
    let limit = |place: usize| {
        let limit = &me["limits"][place];
        ["limit", "window_seconds", "remaining"].map(|name| limit[name].as_u64().unwrap())
    };
    assert_eq!((limit(0), limit(1)), ([5, 60, 4], [100, 3_600, 99]));
    let reset = me["limits"][0]["reset"].as_u64().unwrap();
    assert!(reset.abs_diff(asked.number("x-ratelimit-reset")) <= 1);
    assert!(asked.text().contains(r#""balance":{"monthly_budget":10.00,"spent":0.00,"remaining":10.00,"credits":null,"resets_at":"#));
    assert_eq!(scene.ask(&scene.key, "HEAD", "/v1/me", "").status, 200);
}

#[test]
fn limits_that_instances_share_are_told_as_they_stand() {
    let Some(redis) = Redis::start() else { return };
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG).config(&redis.setting());
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name maker --limit 5/min");
    let remaining = || {
        let me = gateway.curl("/v1/me").bearer(&key).send().json();
        me["limits"][0]["remaining"].as_u64().unwrap()
    };
    assert_eq!([remaining(), remaining(), remaining()], [4, 3, 2]);
}

#[test]
fn a_balance_is_the_least_of_all_that_bind_the_key() {
    let scene = Scene::with("--scope billing:read --scope keys:write --budget 50");
    let (child, _) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"child"}"#);
    let balance = |key: &MintedKey| scene.ask(key, "GET", "/v1/balance", "");
    let own = balance(&scene.key).json();
    assert_eq!(own["auto_recharge_enabled"], false);
    assert_eq!(
        (own["monthly_budget"].as_f64(), own["remaining"].as_f64()),
        (Some(50.0), Some(50.0))
    );
    assert!(time(&own["resets_at"]).to_string().ends_with("-01T00:00:00Z"));
    let below = balance(&child).json();
    assert_eq!((&below["monthly_budget"], below["remaining"].as_f64()), (&Value::Null, Some(50.0)));
    scene.gateway.run("credits add --owner default 12.5");
    until("the credits are known", || balance(&child).json()["credits"].as_f64() == Some(12.5));
    assert_eq!(balance(&child).json()["remaining"].as_f64(), Some(12.5));
}

#[test]
fn a_call_wins_over_a_route_and_other_methods_of_its_path_go_on() {
    let scene = Scene::new();
    assert_eq!(scene.status(&scene.key, "/v1/me"), 200);
    assert_eq!(scene.origin.count(), 0, "the route of /v1/{{anything}} has not got it");
    assert_eq!(scene.ask(&scene.key, "PUT", "/v1/me", "").status, 200);
    assert_eq!(scene.origin.count(), 1);
    let refused = scene.ask(&scene.key, "PUT", "/v1/api-keys/key_1", "");
    refused
        .is_refusal(405, "method_not_allowed", "Method not allowed")
        .says("allow", "DELETE, GET, HEAD");
    scene.gateway.curl("/v1/me").send().is_refusal(
        401,
        "unauthorized",
        "Invalid or missing API key",
    );
    let explained =
        scene.gateway.run(&format!("explain GET /v1/balance --key-id {}", scene.key.id()));
    assert!(
        explained["answer"]["message"].as_str().unwrap().contains("keygate itself"),
        "{explained}"
    );
}

#[test]
fn without_the_setting_there_is_no_such_api() {
    let scene = Scene::new();
    scene.gateway.rewrite("[self_service]\nenabled = false");
    until("the route has it", || {
        scene.ask(&scene.key, "GET", "/v1/me", "").status == 200 && scene.origin.count() > 0
    });
    assert_eq!(scene.ask(&scene.key, "POST", "/v1/api-keys", r#"{"name":"a"}"#).status, 200);
    assert_eq!(scene.origin.last().target, "/v1/api-keys");
}

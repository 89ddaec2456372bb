//! SkillBoss: scopes, permissions, budgets, expirations, and every call by which agents manage keys.

use serde_json::{Value, json};

use super::{Need, each_scope_opens_its_own_routes_and_no_other};
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, until};

const FILE: &str = "skillboss.toml";
const SCOPES: [&str; 6] =
    ["models:read", "models:use", "services:read", "services:use", "billing:write", "*"];
const NEEDS: [Need; 6] = [
    ("GET", "/v1/models", "models:read"),
    ("POST", "/v1/chat/completions", "models:use"),
    ("GET", "/v1/services", "services:read"),
    ("POST", "/v1/services/email/send", "services:use"),
    ("POST", "/v1/billing/credits", "billing:write"),
    ("GET", "/v1/models?limit=1", "models:read"),
];

/// An API whose calls cost 0.25 each.
fn api() -> Origin {
    Origin::scripted(|call| {
        call.read_body()?;
        call.answer(200, &[("x-cost", "0.25")], br#"{"data":[]}"#)
    })
}

fn gateway(api: &Origin) -> TestGateway {
    TestGateway::example(FILE, TestStore::sqlite())
        .variable("KEYGATE_CACHE_KEY", "0123456789abcdef0123456789abcdef")
        .upstream("api", api)
        .start()
}

fn post(gateway: &TestGateway, key: &MintedKey, path: &str, body: &Value) -> Answer {
    let call = gateway.curl(path).bearer(key).header("Content-Type: application/json");
    call.body(&body.to_string()).send()
}

/// The key that an answer holds under a name.
#[track_caller]
fn given(answer: &Answer, name: &str) -> MintedKey {
    assert!(answer.status < 300, "{}", answer.text());
    let json = answer.json();
    MintedKey::known(json["id"].as_str().expect("an id"), json[name].as_str().expect(name))
}

fn balance(gateway: &TestGateway, key: &MintedKey) -> Value {
    gateway.curl("/v1/balance").bearer(key).send().json()
}

#[test]
fn each_documented_scope_lets_its_own_calls_through() {
    let api = api();
    let gateway = gateway(&api);
    each_scope_opens_its_own_routes_and_no_other(&gateway, &SCOPES, &NEEDS, |answer, needed| {
        let message = format!("API key does not have required scope: {needed}");
        answer.is_refusal(403, "forbidden", &message);
    });
}

#[test]
fn a_limited_key_is_made_with_the_admin_key_as_documented() {
    let api = api();
    let gateway = gateway(&api);
    let admin = gateway.key("--name admin --permission admin");
    assert!(admin.secret().starts_with("sk-"));
    let wish = json!({
        "name": "ReadOnlyResearchAgent",
        "scopes": ["models:read", "models:use"],
        "monthly_budget": 50.00
    });
    let limited = given(&post(&gateway, &admin, "/v1/api-keys", &wish), "api_key");
    let chat = json!({
        "model": "gemini/gemini-2.5-flash",
        "messages": [{"role": "user", "content": "Hello"}]
    });
    assert_eq!(post(&gateway, &limited, "/v1/chat/completions", &chat).status, 200);
    assert_eq!(api.last().body, chat.to_string().into_bytes());
    assert_eq!(gateway.curl("/v1/services").bearer(&limited).send().status, 403);
}

#[test]
fn a_key_rotates_and_the_old_one_works_for_seven_days() {
    let api = api();
    let gateway = gateway(&api);
    let old = gateway.key("--name agent --permission read-only");
    let answer = gateway.curl("/v1/api-keys/rotate").method("POST").bearer(&old).send();
    let new = given(&answer, "new_api_key");
    assert!(answer.json()["old_key_expires_at"].is_string());
    for key in [&old, &new] {
        assert_eq!(gateway.curl("/v1/models").bearer(key).send().status, 200);
    }
}

#[test]
fn a_parent_makes_a_child_with_a_part_of_its_budget_and_ends_it_by_its_key() {
    let api = api();
    let gateway = gateway(&api);
    let parent = gateway.key("--name parent --permission admin --budget 100.00");
    let wish = json!({
        "child_name": "ResearchAgent-1",
        "child_budget": 0.50,
        "scopes": ["models:read", "models:use"],
        "expiration_days": 30
    });
    let child = given(&post(&gateway, &parent, "/v1/agents/create-child", &wish), "api_key");
    let chat = json!({"model": "claude-4-5-sonnet", "messages": []});
    for _ in 0..2 {
        assert_eq!(post(&gateway, &child, "/v1/chat/completions", &chat).status, 200);
    }
    // "Insufficient credits", as its table of errors has it.
    until("the budget is spent", || {
        post(&gateway, &child, "/v1/chat/completions", &chat).status == 402
    });
    let refused = post(&gateway, &child, "/v1/chat/completions", &chat);
    refused.is_refusal(402, "payment_required", "Insufficient credits");
    // "All child agent usage appears on parent's invoice."
    until("it is on the books", || balance(&gateway, &parent)["spent"].as_f64() >= Some(0.5));
    assert_eq!(balance(&gateway, &parent)["auto_recharge_enabled"], false);
    let path = format!("/v1/agents/{}/revoke", child.secret());
    assert_eq!(gateway.curl(&path).method("DELETE").bearer(&parent).send().status, 200);
    until("the child is refused", || {
        gateway.curl("/v1/models").bearer(&child).send().status == 401
    });
}

#[test]
fn an_unknown_key_and_a_flood_are_answered_as_documented() {
    let api = api();
    let gateway = gateway(&api);
    let refused = gateway.curl("/v1/models").header("Authorization: Bearer sk-YOUR_KEY").send();
    refused.is_refusal(401, "unauthorized", "Invalid or missing API key");
    let key = gateway.key("--name a --permission read-only --limit 1/min");
    assert_eq!(gateway.curl("/v1/models").bearer(&key).send().status, 200);
    let limited = gateway.curl("/v1/models").bearer(&key).send();
    limited.is_refusal(429, "rate_limited", "Too many requests");
}

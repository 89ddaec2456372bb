//! ServoAgent: two headers, two kinds of keys, nine scopes, allowlists, two errors.

use super::{Need, each_scope_opens_its_own_routes_and_no_other};
use crate::support::{Origin, TestGateway, TestStore};

const FILE: &str = "servoagent.toml";
const SCOPES: [&str; 9] = [
    "agents:read",
    "agents:write",
    "agents:execute",
    "contacts:read",
    "contacts:write",
    "analytics:read",
    "webhooks:manage",
    "billing:read",
    "workspace:admin",
];
const NEEDS: [Need; 17] = [
    ("GET", "/v1/agents", "agents:read"),
    ("GET", "/v1/agents/agt_1", "agents:read"),
    ("GET", "/v1/agents/agt_1/runs", "agents:read"),
    ("POST", "/v1/agents", "agents:write"),
    ("PATCH", "/v1/agents/agt_1", "agents:write"),
    ("DELETE", "/v1/agents/agt_1", "agents:write"),
    ("POST", "/v1/agents/agt_1/runs", "agents:execute"),
    ("GET", "/v1/contacts", "contacts:read"),
    ("POST", "/v1/contacts", "contacts:write"),
    ("PUT", "/v1/contacts/con_1", "contacts:write"),
    ("DELETE", "/v1/contacts/con_1", "contacts:write"),
    ("GET", "/v1/analytics/runs/daily", "analytics:read"),
    ("GET", "/v1/webhooks", "webhooks:manage"),
    ("POST", "/v1/webhooks", "webhooks:manage"),
    ("DELETE", "/v1/webhooks/wh_1", "webhooks:manage"),
    ("GET", "/v1/billing/invoices", "billing:read"),
    ("PATCH", "/v1/workspace/settings", "workspace:admin"),
];
const UNAUTHORIZED: &str =
    r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key"}}"#;

fn gateway(api: &Origin, sandbox: &Origin) -> TestGateway {
    TestGateway::example(FILE, TestStore::sqlite())
        .upstream("api", api)
        .sandbox("api", sandbox)
        .start()
}

#[test]
fn a_key_is_taken_from_authorization_and_from_x_api_key() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let key = gateway.key("--name backend --scope agents:read");
    let key = key.secret();

    let bearer = gateway.curl("/v1/agents").args(["-H", &format!("Authorization: Bearer {key}")]);
    let answer = bearer.send();
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#));
    answer.says("content-type", "application/json").says("x-ratelimit-limit", "60");

    let x_api_key = gateway.curl("/v1/agents").args(["-H", &format!("X-API-Key: {key}")]);
    let answer = x_api_key.send();
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#));

    for request in api.received() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/v1/agents"));
        assert_eq!(request.header("x-auth-scopes"), Some("agents:read"));
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("x-api-key"), None);
    }
}

#[test]
fn production_keys_go_to_the_api_and_test_keys_to_the_sandbox() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let live = gateway.key("--name production --scope agents:read");
    let test = gateway.key("--name development --scope agents:read --test");
    assert!(live.secret().starts_with("sk_live_"));
    assert!(test.secret().starts_with("sk_test_"));

    assert_eq!(gateway.curl("/v1/agents").bearer(&live).send().status, 200);
    assert_eq!((api.count(), sandbox.count()), (1, 0));
    assert_eq!(api.last().header("x-auth-env"), Some("live"));
    assert_eq!(gateway.curl("/v1/agents").bearer(&test).send().status, 200);
    assert_eq!((api.count(), sandbox.count()), (1, 1));
    assert_eq!(sandbox.last().header("x-auth-env"), Some("test"));
}

#[test]
fn each_scope_opens_what_it_is_for_and_workspace_admin_everything() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    each_scope_opens_its_own_routes_and_no_other(&gateway, &SCOPES, &NEEDS, |answer, needed| {
        let message = format!("API key does not have required scope: {needed}");
        answer.is_refusal(403, "forbidden", &message);
    });
}

#[test]
fn a_scope_that_the_document_does_not_have_is_not_minted() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let create = ["key", "create", "--name", "a", "--scope", "agents:delete"];
    let printed = gateway.installation().try_run(&create);
    assert_eq!((printed.code, printed.out.as_str()), (2, ""), "{}", printed.err);
    assert!(printed.err.contains("agents:delete"), "{}", printed.err);
}

#[test]
fn the_documented_401_is_answered_to_the_letter() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let missing = gateway.curl("/v1/agents").send();
    assert_eq!((missing.status, missing.text().as_str()), (401, UNAUTHORIZED));
    missing.says("content-type", "application/json").says("www-authenticate", "Bearer");

    for field in ["Authorization: Bearer sk_your_api_key", "X-API-Key: sk_your_api_key"] {
        let invalid = gateway.curl("/v1/agents").args(["-H", field]).send();
        assert_eq!((invalid.status, invalid.text().as_str()), (401, UNAUTHORIZED));
        invalid.says("www-authenticate", r#"Bearer error="invalid_token""#);
    }
    assert_eq!(api.count(), 0);
}

#[test]
fn the_documented_403_is_answered_to_the_letter() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let key = gateway.key("--name reader --scope agents:read");
    let run = gateway.curl("/v1/agents/agt_1/runs").method("POST").bearer(&key).body("{}").send();
    let forbidden = concat!(
        r#"{"error":{"code":"forbidden","#,
        r#""message":"API key does not have required scope: agents:execute"}}"#
    );
    assert_eq!((run.status, run.text().as_str()), (403, forbidden));
    run.says("content-type", "application/json");
    run.says("www-authenticate", r#"Bearer error="insufficient_scope", scope="agents:execute""#);
    assert_eq!(api.count(), 0);
}

#[test]
fn a_production_key_with_an_allowlist_works_from_there_alone() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = gateway(&api, &sandbox);
    let key = gateway.key("--name office --scope agents:read --allow-ip 203.0.113.0/24");
    let call = || gateway.curl("/v1/agents").bearer(&key).send();
    call().is_refusal(403, "forbidden", "API key is not allowed from this address");
    gateway.run(&format!("key update {} --allow-ip 127.0.0.1", key.id()));
    crate::support::until("the new allowlist is in force", || call().status == 200);
}

//! AgentGate: keys of an organization, nine scopes and `*`, one header, three errors, rotation.

use super::{Need, each_scope_opens_its_own_routes_and_no_other};
use crate::support::{Origin, TestGateway, TestStore, until};

const FILE: &str = "agentgate.toml";
const SCOPES: [&str; 10] = [
    "work-orders:write",
    "work-orders:read",
    "runs:read",
    "runs:write",
    "credits:read",
    "webhooks:read",
    "webhooks:write",
    "templates:read",
    "templates:write",
    "*",
];
const NEEDS: [Need; 17] = [
    ("POST", "/v1/work-orders", "work-orders:write"),
    ("GET", "/v1/work-orders", "work-orders:read"),
    ("GET", "/v1/work-orders/wo_1", "work-orders:read"),
    ("GET", "/v1/runs", "runs:read"),
    ("GET", "/v1/runs/run_1", "runs:read"),
    ("POST", "/v1/runs/run_1/cancel", "runs:write"),
    ("GET", "/v1/credits", "credits:read"),
    ("GET", "/v1/webhooks", "webhooks:read"),
    ("GET", "/v1/webhooks/wh_1", "webhooks:read"),
    ("POST", "/v1/webhooks", "webhooks:write"),
    ("PATCH", "/v1/webhooks/wh_1", "webhooks:write"),
    ("DELETE", "/v1/webhooks/wh_1", "webhooks:write"),
    ("GET", "/v1/templates", "templates:read"),
    ("GET", "/v1/templates/tpl_1", "templates:read"),
    ("POST", "/v1/templates", "templates:write"),
    ("PUT", "/v1/templates/tpl_1", "templates:write"),
    ("DELETE", "/v1/templates/tpl_1", "templates:write"),
];

fn gateway(api: &Origin) -> TestGateway {
    TestGateway::example(FILE, TestStore::sqlite()).upstream("api", api).start()
}

#[test]
fn a_key_of_an_organization_calls_with_a_bearer_token() {
    let api = Origin::start();
    let gateway = gateway(&api);
    gateway.run("owner create acme");
    let key = gateway.key("--owner acme --name Production --scope work-orders:write");
    assert!(key.secret().starts_with("org_live_"));

    let body = r#"{"task":"summarise"}"#;
    let call =
        gateway.curl("/v1/work-orders").bearer(&key).header("Content-Type: application/json");
    assert_eq!(call.body(body).send().status, 200);
    let request = api.last();
    assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", body.as_bytes()));
    assert_eq!(request.header("x-auth-key-name"), Some("Production"));
    assert!(request.header("x-auth-owner").is_some_and(|owner| owner.starts_with("own_")));

    gateway.run("owner disable acme");
    let call = || gateway.curl("/v1/work-orders").method("POST").bearer(&key).send();
    until("the organization is disabled", || call().status == 401);
    call().is_refusal(401, "invalid_api_key", "Invalid API Key");
}

#[test]
fn no_other_header_is_looked_at_and_there_are_no_test_keys() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name a --scope runs:read");
    let answer = gateway.curl("/v1/runs").api_key(&key).send();
    answer.is_refusal(401, "missing_api_key", "Missing API Key");
    let create = ["key", "create", "--name", "a", "--scope", "runs:read", "--test"];
    let printed = gateway.installation().try_run(&create);
    assert_eq!((printed.code, printed.out.as_str()), (2, ""), "{}", printed.err);
}

#[test]
fn each_scope_opens_what_it_is_for_and_the_wildcard_everything() {
    let api = Origin::start();
    let gateway = gateway(&api);
    each_scope_opens_its_own_routes_and_no_other(&gateway, &SCOPES, &NEEDS, |answer, needed| {
        answer.is_refusal(403, "insufficient_permissions", "Insufficient Permissions");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
        answer.says("www-authenticate", &challenge);
    });
}

#[test]
fn the_documented_use_cases_have_the_least_they_need() {
    let api = Origin::start();
    let gateway = gateway(&api);
    for (permission, scopes) in [
        ("backend", ["work-orders:write", "runs:read", "webhooks:write"].as_slice()),
        ("monitoring", &["runs:read", "credits:read"]),
        ("ci", &["work-orders:write", "runs:read"]),
    ] {
        let key = gateway.key(&format!("--name {permission} --permission {permission}"));
        for (method, path, needed) in NEEDS {
            let status = gateway.curl(path).method(method).bearer(&key).send().status;
            let expected = if scopes.contains(&needed) { 200 } else { 403 };
            assert_eq!(status, expected, "{method} {path} with {permission}");
        }
    }
}

#[test]
fn missing_and_invalid_keys_are_told_apart() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let missing = gateway.curl("/v1/runs").send();
    missing.is_refusal(401, "missing_api_key", "Missing API Key");
    missing.says("www-authenticate", "Bearer");
    let empty = gateway.curl("/v1/runs").header("Authorization: Bearer ").send();
    empty.is_refusal(401, "missing_api_key", "Missing API Key");

    let unknown = format!("Authorization: Bearer org_live_{}", "x".repeat(38));
    for field in ["Authorization: Bearer org_live_xxxx", &unknown] {
        let invalid = gateway.curl("/v1/runs").header(field).send();
        invalid.is_refusal(401, "invalid_api_key", "Invalid API Key");
        invalid.says("www-authenticate", r#"Bearer error="invalid_token""#);
    }
    assert_eq!(api.count(), 0);
}

#[test]
fn a_key_is_replaced_without_a_moment_when_none_works() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let status = |key| gateway.curl("/v1/runs").bearer(key).send().status;
    let old = gateway.key("--name old --scope runs:read");
    assert_eq!(status(&old), 200);
    // Create the new one with identical scopes, update the applications, verify.
    let new = gateway.key("--name new --scope runs:read");
    assert_eq!((status(&new), status(&old)), (200, 200));
    // Revoke the old one.
    gateway.run(&format!("key revoke {} --no-wait", old.id()));
    until("the old key is revoked", || status(&old) == 401);
    assert_eq!(status(&new), 200);
    let refused = gateway.curl("/v1/runs").bearer(&old).send();
    refused.is_refusal(401, "invalid_api_key", "Invalid API Key");
}

#[test]
fn a_rotated_key_works_with_both_secrets_until_the_grace_ends() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let old = gateway.key("--name a --scope runs:read");
    let new = gateway.mint(&format!("key rotate {} --grace 7d", old.id()));
    assert_eq!(new.id(), old.id());
    until("the old secret is in its grace", || {
        let answer = gateway.curl("/v1/runs").bearer(&old).send();
        assert_eq!(answer.status, 200);
        answer.header("sunset").is_some() && answer.header("x-api-key-rotate-by").is_some()
    });
    gateway.curl("/v1/runs").bearer(&new).send().lacks("sunset");
}

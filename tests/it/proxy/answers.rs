//! Section 7 of the contract by curl, with ten thousand keys in Postgres and an API behind.

use jiff::Timestamp;
use keygate::domain::{Environment, Key, OwnerId};

use crate::support::bulk;
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore};

const KEYS: usize = 10_000;
const CONFIG: &str = r#"
[scopes]
"agents:read" = "Read agent information"
"agents:execute" = "Execute agents and create runs"
"agents:delete" = "Delete agents"
[[routes]]
path = "/v1/agents"
methods = ["GET"]
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/v1/agents/{id}/runs"
methods = ["POST"]
scopes = ["agents:execute"]
upstream = "api"
[[routes]]
path = "/v1/either"
any_scope = ["agents:execute", "agents:delete"]
upstream = "api"
[[routes]]
path = "/v1/live-only"
allow_test_keys = false
upstream = "api"
"#;
const UNAUTHORIZED: (&str, &str) = ("unauthorized", "Invalid or missing API key");

/// The places of the keys that are not like all the others.
const ALLOWED: usize = 5_000;
const EXPIRED: usize = 1;
const REVOKED: usize = 2;
const DISABLED: usize = 3;
const OWNED: usize = 4;
const ELSEWHERE: usize = 5;
const LIMITED: usize = 6;
const TEST: usize = 7;
const HERE: usize = 8;

fn alter(place: usize, key: &mut Key) {
    let past = || Timestamp::from_second(1_700_000_000).unwrap();
    match place {
        EXPIRED => key.expires_at = Some(past()),
        REVOKED => key.revoked_at = Some(past()),
        DISABLED => key.disabled = true,
        OWNED => key.owner_id = OwnerId::from_text("own_disabled"),
        ELSEWHERE => key.allowed_ips = vec!["203.0.113.0/24".parse().unwrap()],
        HERE => key.allowed_ips = vec!["127.0.0.0/8".parse().unwrap()],
        LIMITED => key.limits = vec!["2/min".parse().unwrap()],
        TEST => key.environment = Environment::Test,
        _ => {}
    }
}

#[test]
fn every_outcome_is_answered_as_the_contract_says() {
    let api = Origin::start();
    let Some(store) = TestStore::postgres() else { return };
    let setup = TestGateway::with(store).config(CONFIG).upstream("api", &api);
    let (installation, store) = setup.install();
    installation.run(&["migrate"]);
    bulk::disabled_owner(&store, "own_disabled");
    let keys = bulk::insert(&store, KEYS, alter);
    let gateway = installation.serve(store);

    allowed(&gateway, &api, &keys[ALLOWED]);
    no_key(&gateway);
    wrong_keys(&gateway, &keys[ALLOWED]);
    for place in [EXPIRED, REVOKED, DISABLED, OWNED] {
        refused_for_invalid_token(&get(&gateway, "/v1/agents", keys[place].secret()));
    }
    wrong_scopes(&gateway, &keys[ALLOWED]);
    let message = "API key is not allowed from this address";
    let elsewhere = get(&gateway, "/v1/agents", keys[ELSEWHERE].secret());
    elsewhere.is_refusal(403, "forbidden", message).lacks("www-authenticate");
    assert_eq!(get(&gateway, "/v1/agents", keys[HERE].secret()).status, 200);
    let test = get(&gateway, "/v1/live-only", keys[TEST].secret());
    test.is_refusal(403, "forbidden", "Test keys are not allowed here").lacks("www-authenticate");
    over_the_limit(&gateway, &keys[LIMITED]);
    nowhere(&gateway, &keys[ALLOWED]);
}

fn get(gateway: &TestGateway, path: &str, secret: &str) -> Answer {
    gateway.curl(path).header(&format!("Authorization: Bearer {secret}")).send()
}

fn allowed(gateway: &TestGateway, api: &Origin, key: &MintedKey) {
    let answer = get(gateway, "/v1/agents?page=2", key.secret());
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#));
    answer.says("content-type", "application/json").lacks("www-authenticate");
    answer.says("x-ratelimit-limit", "60").says("x-ratelimit-remaining", "59");
    assert!(answer.header("ratelimit").is_some() && answer.header("ratelimit-policy").is_some());
    let request = api.last();
    assert_eq!(request.target, "/v1/agents?page=2");
    assert_eq!(request.header("x-auth-key-id"), Some(key.id()));
    assert_eq!(request.header("x-auth-owner"), Some("default"));
    assert_eq!(request.header("x-auth-scopes"), Some("agents:read"));
    assert_eq!(request.header("x-auth-env"), Some("live"));
    assert_eq!(request.header("authorization"), None);
}

fn no_key(gateway: &TestGateway) {
    let (code, message) = UNAUTHORIZED;
    let answer = gateway.curl("/v1/agents").send();
    answer.is_refusal(401, code, message).says("www-authenticate", "Bearer");
    answer.lacks("x-ratelimit-limit").lacks("retry-after");
}

fn wrong_keys(gateway: &TestGateway, known: &MintedKey) {
    refused_for_invalid_token(&get(gateway, "/v1/agents", "nonsense"));
    refused_for_invalid_token(&get(gateway, "/v1/agents", bulk::unknown_secret().expose()));
    refused_for_invalid_token(&get(gateway, "/v1/agents", &bulk::wrong_secret(known.secret(), 1)));
    let cut = &known.secret()[..known.secret().len() - 1];
    refused_for_invalid_token(&get(gateway, "/v1/agents", cut));
}

fn refused_for_invalid_token(answer: &Answer) {
    let (code, message) = UNAUTHORIZED;
    answer.is_refusal(401, code, message);
    answer.says("www-authenticate", r#"Bearer error="invalid_token""#);
    answer.lacks("x-ratelimit-limit").lacks("retry-after");
}

fn wrong_scopes(gateway: &TestGateway, key: &MintedKey) {
    for (method, path, needed) in [
        ("POST", "/v1/agents/agt_1/runs", "agents:execute"),
        ("GET", "/v1/either", "agents:execute agents:delete"),
    ] {
        let bearer = format!("Authorization: Bearer {}", key.secret());
        let answer = gateway.curl(path).method(method).header(&bearer).send();
        let message = format!("API key does not have required scope: {needed}");
        answer.is_refusal(403, "forbidden", &message);
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
        answer.says("www-authenticate", &challenge).lacks("x-ratelimit-limit");
    }
}

fn over_the_limit(gateway: &TestGateway, key: &MintedKey) {
    for remaining in ["1", "0"] {
        let answer = get(gateway, "/v1/agents", key.secret());
        assert_eq!(answer.status, 200);
        answer.says("x-ratelimit-limit", "2").says("x-ratelimit-remaining", remaining);
    }
    let answer = get(gateway, "/v1/agents", key.secret());
    answer.is_refusal(429, "rate_limited", "Too many requests").lacks("www-authenticate");
    answer.says("x-ratelimit-limit", "2").says("x-ratelimit-remaining", "0");
    assert!((1..=64).contains(&answer.number("retry-after")), "{answer:?}");
    assert!(answer.number("x-ratelimit-reset") > 1_700_000_000, "{answer:?}");
}

fn nowhere(gateway: &TestGateway, key: &MintedKey) {
    let (code, message) = ("not_found", "No such route");
    get(gateway, "/v2/agents", key.secret()).is_refusal(404, code, message);
    gateway.curl("/v2/agents").send().is_refusal(404, code, message).lacks("www-authenticate");
    let answer = gateway.curl("/v1/agents").method("DELETE").send();
    answer.is_refusal(405, "method_not_allowed", "Method not allowed");
    answer.says("allow", "GET, HEAD");
}

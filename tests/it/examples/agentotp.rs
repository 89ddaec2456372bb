//! Agent OTP: the words of `agent`, 32 characters, three codes, quotas that test keys are outside of.

use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, until};

const FILE: &str = "agentotp.toml";
const PATH: &str = "/v1/permissions/request";
const BODY: &str = r#"{"action": "email.send", "scope": {}}"#;

fn gateway(api: &Origin) -> TestGateway {
    TestGateway::example(FILE, TestStore::sqlite()).upstream("api", api).start()
}

/// The document's own call.
fn request(gateway: &TestGateway, key: &MintedKey) -> Answer {
    let key = format!("Authorization: Bearer {}", key.secret());
    let json = "Content-Type: application/json";
    gateway.curl(PATH).args(["-X", "POST", "-H", &key, "-H", json, "-d", BODY]).send()
}

#[test]
fn an_agent_is_created_by_its_name_and_its_key_is_printed_alone_and_once() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let printed = gateway.installation().run(&["agent", "create", "--name", "my-assistant"]);
    let secret = printed.trim_end();
    crate::support::leaks::note(secret);
    let random = secret.strip_prefix("ak_live_").expect("a live key");
    assert_eq!(random.len(), 32);
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(printed, format!("{secret}\n"));

    let listed = gateway.run("agent list");
    assert_eq!(listed["data"][0]["name"], "my-assistant");
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_documented_calls_are_let_through_as_they_are() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.mint("agent create --name my-assistant");
    assert_eq!(request(&gateway, &key).status, 200);
    let key = format!("X-API-Key: {}", key.secret());
    let json = "Content-Type: application/json";
    let call = gateway.curl(PATH).args(["-X", "POST", "-H", &key, "-H", json, "-d", BODY]);
    assert_eq!(call.send().status, 200);
    for request in api.received() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", PATH));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("x-auth-key-name"), Some("my-assistant"));
        assert_eq!(String::from_utf8_lossy(&request.body), BODY);
    }
}

#[test]
fn the_three_codes_are_told_apart() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let missing = gateway.curl(PATH).args(["-X", "POST", "-d", BODY]).send();
    missing.is_refusal(401, "MISSING_API_KEY", "No API key provided");

    let unknown = format!("Authorization: Bearer ak_live_{}", "x".repeat(32));
    for field in ["Authorization: Bearer ak_live_xxxx", &unknown, "X-API-Key: nonsense"] {
        let invalid = gateway.curl(PATH).args(["-X", "POST", "-H", field, "-d", BODY]).send();
        invalid.is_refusal(401, "INVALID_API_KEY", "API key is malformed or doesn't exist");
    }

    let message = "API key has been revoked or expired";
    let revoked = gateway.mint("agent create --name revoked");
    assert_eq!(request(&gateway, &revoked).status, 200);
    gateway.run(&format!("agent revoke --id {}", revoked.id()));
    until("the agent is revoked", || request(&gateway, &revoked).status == 401);
    request(&gateway, &revoked).is_refusal(401, "EXPIRED_API_KEY", message);

    let expired = gateway.key("--name expired --expires 1s");
    until("the key is expired", || request(&gateway, &expired).status == 401);
    request(&gateway, &expired).is_refusal(401, "EXPIRED_API_KEY", message);
}

#[test]
fn that_a_key_is_revoked_is_told_to_its_holder_alone() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.mint("agent create --name a");
    gateway.run(&format!("agent revoke --id {} ", key.id()));
    until("the agent is revoked", || request(&gateway, &key).status == 401);
    // The same public id, another secret.
    let guessed = format!("X-API-Key: {}{}", &key.secret()[..16], "0".repeat(24));
    let answer = gateway.curl(PATH).args(["-X", "POST", "-H", &guessed]).send();
    answer.is_refusal(401, "INVALID_API_KEY", "API key is malformed or doesn't exist");
}

#[test]
fn a_live_key_has_sixty_requests_a_minute_and_a_test_key_has_no_quota() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let live = gateway.mint("agent create --name live");
    let test = gateway.key("--name test --test");
    assert!(test.secret().starts_with("ak_test_"));
    for number in 1..=60 {
        let answer = request(&gateway, &live);
        assert_eq!(answer.status, 200);
        answer.says("x-ratelimit-limit", "60");
        answer.says("x-ratelimit-remaining", &(60 - number).to_string());
    }
    let refused = request(&gateway, &live);
    refused.is_refusal(429, "rate_limited", "Too many requests");
    assert!((1..=64).contains(&refused.number("retry-after")));
    for _ in 0..70 {
        let answer = request(&gateway, &test);
        assert_eq!(answer.status, 200);
        answer.lacks("x-ratelimit-limit");
    }
    assert_eq!(api.last().header("x-auth-env"), Some("test"));
}

#[test]
fn the_environment_sets_the_limits_of_the_minute_and_of_the_hour() {
    for (variable, limit) in [("RATE_LIMIT_PER_MIN", "5"), ("RATE_LIMIT_PER_HOUR", "7")] {
        let api = Origin::start();
        let gateway = TestGateway::example(FILE, TestStore::sqlite())
            .upstream("api", &api)
            .variable(variable, limit)
            .start();
        let key = gateway.mint("agent create --name a");
        let max = limit.parse().unwrap();
        for _ in 0..max {
            assert_eq!(request(&gateway, &key).status, 200);
        }
        request(&gateway, &key).is_refusal(429, "rate_limited", "Too many requests");
        assert_eq!(api.count(), max);
    }
}

#[test]
fn a_key_is_replaced_without_a_moment_when_none_works() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let old = gateway.mint("agent create --name my-assistant");
    let new = gateway.mint("agent create --name my-assistant");
    assert_eq!((request(&gateway, &old).status, request(&gateway, &new).status), (200, 200));
    gateway.run(&format!("agent revoke --id {}", old.id()));
    until("the old key is revoked", || request(&gateway, &old).status == 401);
    assert_eq!(request(&gateway, &new).status, 200);
}

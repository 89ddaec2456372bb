//! Limits, counted over all workers of one instance: exact, and consumed by nothing that is refused.

use std::collections::BTreeSet;

use keygate::domain::Clock;

use super::OPEN;
use crate::support::load::{get, send_all, tally};
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, until};

const ROUTES: &str = r#"
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[[routes]]
path = "/free"
upstream = "api"
[[routes]]
path = "/limited"
limits = ["2/min"]
upstream = "api"
[[routes]]
path = "/written"
scopes = ["agents:write"]
upstream = "api"
"#;

fn gateway(origin: &Origin, limits: &str) -> TestGateway {
    TestGateway::with(TestStore::sqlite())
        .config(ROUTES)
        .config(limits)
        .upstream("api", origin)
        .start()
}

fn call(gateway: &TestGateway, key: &MintedKey, path: &str) -> Answer {
    gateway.curl(path).bearer(key).send()
}

#[test]
fn of_a_hundred_requests_at_once_on_eight_connections_sixty_pass() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "[limits]\nper_key = [\"60/min\"]");
    let key = gateway.key("--name a --scope agents:read");
    let begun_s = Clock::system().now_ms().unsigned_abs() / 1_000;

    let answers = send_all(gateway.address(), 8, 100, |_| get("/free", key.secret()));

    assert_eq!(tally(&answers), [(200, 60), (429, 40)].into());
    assert_eq!(origin.count(), 60);
    let remaining = |answer: &Answer| answer.number("x-ratelimit-remaining");
    let passed = answers.iter().filter(|answer| answer.status == 200);
    let seen: BTreeSet<u64> = passed.map(remaining).collect();
    assert_eq!(seen, (0..60).collect(), "every answer says how many are left");
    for answer in &answers {
        answer.says("x-ratelimit-limit", "60");
        answer.says("ratelimit-policy", r#""60/min";q=60;w=60"#);
        let reset = answer.number("x-ratelimit-reset");
        assert!((begun_s + 59..=begun_s + 90).contains(&reset), "{reset} from {begun_s}");
        if answer.status == 429 {
            answer.is_refusal(429, "rate_limited", "Too many requests");
            assert_eq!(remaining(answer), 0);
            assert!((1..=64).contains(&answer.number("retry-after")), "{answer:?}");
        }
    }
}

#[test]
fn the_window_nearest_to_its_end_speaks() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "[limits]\nper_key = [\"5/min\", \"3/hour\"]");
    let key = gateway.key("--name a");
    let answer = call(&gateway, &key, "/free");
    answer.says("x-ratelimit-limit", "3").says("x-ratelimit-remaining", "2");
    call(&gateway, &key, "/free");
    call(&gateway, &key, "/free");
    let refused = call(&gateway, &key, "/free");
    refused.is_refusal(429, "rate_limited", "Too many requests").says("x-ratelimit-limit", "3");
    assert!((3_500..=3_900).contains(&refused.number("retry-after")), "{refused:?}");
}

#[test]
fn a_refused_request_consumes_nothing() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "[limits]\nper_key = [\"2/min\", \"10/hour\"]");
    let key = gateway.key("--name a --scope agents:read");
    call(&gateway, &key, "/written").is_refusal(
        403,
        "forbidden",
        "API key does not have required scope: agents:write",
    );
    assert_eq!(call(&gateway, &key, "/nowhere").status, 404);
    let body = "x".repeat(20);
    let too_large = gateway.curl("/free").bearer(&key).header("Content-Length: 99999999");
    assert_eq!(too_large.method("POST").body(&body).send().status, 413);
    assert_eq!(call(&gateway, &key, "/free").number("x-ratelimit-remaining"), 1);
    assert_eq!(call(&gateway, &key, "/free").number("x-ratelimit-remaining"), 0);
    for _ in 0..20 {
        assert_eq!(call(&gateway, &key, "/free").status, 429);
    }
    // The hour has counted what passed alone; and a change of the limits forgets nothing of it.
    gateway.run(&format!("key update {} --limit 1000/min --limit 10/hour", key.id()));
    let mut passed = 2;
    until("the wider limit is in force", || {
        let answer = call(&gateway, &key, "/free");
        passed += u64::from(answer.status == 200);
        answer.status == 200
    });
    assert_eq!(call(&gateway, &key, "/free").number("x-ratelimit-remaining"), 10 - passed - 1);
}

#[test]
fn a_route_counts_each_key_for_itself_and_beside_the_keys_own_limits() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "[limits]\nper_key = [\"5/min\"]");
    let (one, other) = (gateway.key("--name one"), gateway.key("--name other"));
    call(&gateway, &one, "/limited").says("x-ratelimit-limit", "2");
    assert_eq!(call(&gateway, &one, "/limited").status, 200);
    let refused = call(&gateway, &one, "/limited");
    refused.is_refusal(429, "rate_limited", "Too many requests").says("x-ratelimit-limit", "2");
    let elsewhere = call(&gateway, &one, "/free");
    elsewhere.says("x-ratelimit-limit", "5").says("x-ratelimit-remaining", "2");
    assert_eq!(call(&gateway, &other, "/limited").status, 200);
}

#[test]
fn a_key_with_a_limit_of_its_own_has_only_its_own() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "[limits]\nper_key = [\"1/min\", \"1000/hour\"]");
    let key = gateway.key("--name a --limit 3/s");
    for _ in 0..2 {
        assert_eq!(call(&gateway, &key, "/free").status, 200);
    }
    call(&gateway, &key, "/free").says("x-ratelimit-limit", "3");
}

#[test]
fn test_keys_are_outside_quotas_unless_they_are_to_count() {
    for (counted, last) in [(false, 200), (true, 429)] {
        let origin = Origin::start();
        let limits = format!("[limits]\nper_key = [\"2/min\"]\ntest_keys_count = {counted}");
        let gateway = gateway(&origin, &limits);
        let key = gateway.key("--name a --test");
        for _ in 0..2 {
            let answer = call(&gateway, &key, "/limited");
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("x-ratelimit-limit").is_some(), counted);
        }
        assert_eq!(call(&gateway, &key, "/limited").status, last);
    }
}

#[test]
fn where_nothing_is_counted_nothing_is_said_of_limits() {
    let origin = Origin::start();
    let public = "[[routes]]\npath = \"/status\"\npublic = true\nupstream = \"api\"";
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(public)
        .upstream("api", &origin)
        .start();
    let answer = gateway.curl("/status").send();
    assert_eq!(answer.status, 200);
    answer.lacks("x-ratelimit-limit").lacks("ratelimit").lacks("ratelimit-policy");
}

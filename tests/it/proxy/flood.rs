//! Guessing: what a flood of wrong secrets costs.

use keygate::key::hash::Argon2Strength;
use tokio::time::Instant;

use super::{OPEN, open};
use crate::support::bulk::{insert_hashed, unknown_secret, wrong_secret};
use crate::support::load::{Load, get, send_all, tally};
use crate::support::{Origin, TestGateway, TestStore};

const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 8;
/// Keys that are first used at once: more than twice what may wait for Argon2.
const FIRST_USES: usize = 600;
/// Statements that the store may be sent in a second, whatever comes in.
const QUERIES_PER_SECOND: u64 = 100;

/// Sends the flood while a good key goes on calling; nothing of it may reach Argon2 or, beyond the
/// bound, the store.
fn flood_is_cheap(request: impl Fn(&str, usize) -> Vec<u8> + Sync) {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    let before = gateway.metrics();
    assert_eq!(before.total("keygate_argon2_runs_total"), 1, "the first confirmation");
    let good = Load::start(gateway.address(), vec![get("/good", key.secret())]);

    let begun = Instant::now();
    let answers = send_all(gateway.address(), CONNECTIONS, REQUESTS, |n| request(key.secret(), n));
    let seconds = begun.elapsed().as_secs();

    let after = gateway.metrics();
    let good = good.stop();
    assert_eq!(tally(&answers), [(401, REQUESTS as u64)].into());
    assert!(good.keys().eq([&200]), "the good key was harmed: {good:?}");
    assert_eq!(after.total("keygate_argon2_runs_total"), 1);
    let queries = "keygate_store_queries_total";
    let queries = after.total(queries) - before.total(queries);
    let allowed = QUERIES_PER_SECOND * (seconds + 1);
    assert!(queries <= allowed, "{queries} statements in {seconds} s");
    assert!(origin.received().iter().all(|request| request.target != "/flood"));
    let refused = after.matching("keygate_refusals_total", &["reason=\"invalid_key\""]);
    assert_eq!(refused, REQUESTS as u64);
}

#[test]
fn unknown_keys_cost_no_argon2_and_a_bounded_number_of_store_queries() {
    flood_is_cheap(|_, _| get("/flood", unknown_secret().expose()));
}

#[test]
fn wrong_secrets_of_a_known_key_cost_no_argon2_and_no_store_queries() {
    flood_is_cheap(|known, number| get("/flood", &wrong_secret(known, number)));
}

#[test]
fn an_address_that_keeps_guessing_is_turned_away_and_verified_keys_go_on() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[limits]\nfailed_auth_per_ip = \"30/min\"")
        .upstream("api", &origin)
        .start();
    let (verified, fresh) = (gateway.key("--name verified"), gateway.key("--name fresh"));
    assert_eq!(gateway.curl("/a").bearer(&verified).send().status, 200);
    // What brings no key guesses nothing.
    for _ in 0..35 {
        assert_eq!(gateway.curl("/a").send().status, 401);
    }
    for number in 0..30 {
        let guess = match number % 3 {
            0 => "nonsense".to_owned(),
            1 => unknown_secret().expose().to_owned(),
            _ => wrong_secret(verified.secret(), number),
        };
        let answer = gateway.curl("/a").header(&format!("X-API-Key: {guess}")).send();
        answer.is_refusal(401, "unauthorized", "Invalid or missing API key");
    }
    let runs = gateway.metrics().total("keygate_argon2_runs_total");
    let turned_away = gateway.curl("/a").header("X-API-Key: nonsense").send();
    turned_away.is_refusal(429, "rate_limited", "Too many requests").lacks("x-ratelimit-limit");
    assert!((1..=64).contains(&turned_away.number("retry-after")), "{turned_away:?}");
    // A good key that was never seen cannot be told from a guess without work.
    assert_eq!(gateway.curl("/a").bearer(&fresh).send().status, 429);
    assert_eq!(gateway.curl("/a").bearer(&verified).send().status, 200);
    assert_eq!(gateway.metrics().total("keygate_argon2_runs_total"), runs);
}

#[test]
fn many_first_uses_of_one_secret_at_once_cost_one_argon2_run() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let answers = send_all(gateway.address(), 32, 32, |_| get("/a", key.secret()));
    assert_eq!(tally(&answers), [(200, 32)].into());
    assert_eq!(gateway.metrics().total("keygate_argon2_runs_total"), 1);
}

#[test]
fn first_uses_that_find_the_queue_full_are_told_to_come_again_and_known_keys_go_on() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let known = gateway.key("--name known");
    assert_eq!(gateway.curl("/a").bearer(&known).send().status, 200);
    // Slow enough that the queue fills faster than it empties.
    let strength = Argon2Strength { memory_kib: 8 * 1024, iterations: 1, parallelism: 1 };
    let cold = insert_hashed(gateway.store(), FIRST_USES, strength, |_, _| {});
    let load = Load::start(gateway.address(), vec![get("/a", known.secret())]);

    let request = |n: usize| get("/a", cold[n].secret());
    let answers = send_all(gateway.address(), FIRST_USES, FIRST_USES, request);

    let (let_in, told): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
    assert!(!let_in.is_empty() && !told.is_empty(), "{:?}", tally(&answers));
    for answer in &told {
        answer.is_refusal(503, "unavailable", "Temporarily unavailable");
        assert!(answer.number("retry-after") >= 1, "{answer:?}");
    }
    let metrics = gateway.metrics();
    let overloaded = metrics.matching("keygate_refusals_total", &["reason=\"overloaded\""]);
    assert_eq!(overloaded, told.len() as u64);
    assert_eq!(metrics.total("keygate_argon2_runs_total"), 1 + let_in.len() as u64);
    assert!(load.stop().keys().eq([&200]));
}

//! Who keeps guessing waits, and nobody waits for them.

use rustix::process::Signal;

use super::visitor::Visitor;
use crate::support::curl::Curl;
use crate::support::{TestGateway, TestStore};

/// Well formed, checksum and all, and of nobody.
const UNKNOWN: &str = "kga_AAAAAAAAbbbbbbbbbbbbbbbbbbbbbbbb";
const PATH: &str = "/admin/v1/instances";

fn gateway() -> TestGateway {
    let setup = TestGateway::with(TestStore::sqlite());
    setup.config("[admin]\nfailed_sign_in_per_ip = \"10/min\"").start()
}

fn with(gateway: &TestGateway, token: &str) -> Curl {
    Curl::new(gateway.admin_address(), PATH).header(&format!("Authorization: Bearer {token}"))
}

/// An unknown token of the right form.
fn unknown(n: usize) -> String {
    let body = format!("{}{n:03}", &UNKNOWN[..UNKNOWN.len() - 3]);
    let mut sum = crc32(body.as_bytes());
    let alphabet: Vec<char> = ('0'..='9').chain('A'..='Z').chain('a'..='z').collect();
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.push(alphabet[(sum % 62) as usize]);
        sum /= 62;
    }
    body + &digits.iter().rev().collect::<String>()
}

/// ISO-HDLC, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 }
        })
    })
}

#[test]
fn the_limit_holds_for_forms_and_bearers_together_and_before_any_work() {
    let gateway = gateway();
    let (known, late) = (gateway.admin_token("--name known"), gateway.admin_token("--name late"));
    assert_eq!(gateway.as_admin(&known, PATH).send().status, 200);
    let session = Visitor::signed_in(&gateway, &known);
    let mut form = Visitor::of(&gateway);
    for n in 0..4 {
        with(&gateway, &unknown(n)).send().is_error(401, "unauthorized");
        assert_eq!(form.sign_in(&unknown(n)).status, 401);
    }
    // Such as are no tokens by their form, and sessions that are none, count as well.
    with(&gateway, "nonsense").send().is_error(401, "unauthorized");
    form.cookie = Some(format!("keygate_session={}", "0".repeat(64)));
    assert_eq!(form.get("/").status, 303);
    form.cookie = None;

    let before = gateway.metrics();
    let answer = with(&gateway, &unknown(9)).send();
    answer.is_error(429, "rate_limited");
    let seconds = answer.number("retry-after");
    assert!((1..=60).contains(&seconds), "{seconds}");
    let page = form.sign_in(&unknown(9));
    assert_eq!(page.status, 429);
    assert!(page.text().contains("<form") && page.header("retry-after").is_some());
    assert!(page.text().contains("Too many sign-ins"), "{}", page.text());
    with(&gateway, "nonsense").send().is_error(429, "rate_limited");
    // A good token that was never seen here is not looked at either, or it could be guessed.
    gateway.as_admin(&late, PATH).send().is_error(429, "rate_limited");
    let after = gateway.metrics();
    for name in ["keygate_argon2_runs_total", "keygate_failed_sign_ins_total"] {
        assert_eq!(before.total(name), after.total(name), "{name}");
    }
    assert_eq!(after.total("keygate_failed_sign_ins_total"), 10);
    assert_eq!(after.total("keygate_failed_sign_ins_blocked_total"), 4);

    // Who was let in before goes on, and who comes from elsewhere.
    assert_eq!(gateway.as_admin(&known, PATH).send().status, 200);
    assert_eq!(session.get("/").status, 200);
    let elsewhere = ["--interface", "127.0.0.2"];
    assert_eq!(gateway.as_admin(&late, PATH).args(elsewhere).send().status, 200);
    assert_eq!(gateway.as_admin(&late, PATH).send().status, 200, "it is known from now on");
    assert_eq!(gateway.admin(PATH).status, 401, "nothing was tried");
    assert_eq!(gateway.admin("/healthz").status, 200);
}

#[test]
fn a_token_that_was_revoked_is_known_no_more() {
    let gateway = gateway();
    let token = gateway.admin_token("--name known");
    assert_eq!(gateway.as_admin(&token, PATH).send().status, 200);
    let id = gateway.run("admin-token list")["data"][0]["id"].as_str().unwrap().to_owned();
    gateway.run(&format!("admin-token revoke {id}"));
    let statuses: Vec<u16> =
        (0..11).map(|_| gateway.as_admin(&token, PATH).send().status).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10], 429);
}

#[test]
fn another_limit_is_in_force_with_the_next_try() {
    let gateway = gateway();
    for n in 0..10 {
        with(&gateway, &unknown(n)).send().is_error(401, "unauthorized");
    }
    with(&gateway, &unknown(0)).send().is_error(429, "rate_limited");
    gateway.rewrite("[admin]\nfailed_sign_in_per_ip = \"\"");
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("the configuration was reloaded");
    with(&gateway, &unknown(0)).send().is_error(401, "unauthorized");
}

#[test]
fn a_token_is_taken_from_one_header_and_from_nowhere_else() {
    let gateway = gateway();
    let token = gateway.admin_token("--name ops");
    let text = token.text();
    for query in ["token", "access_token", "api_key"] {
        gateway.admin(&format!("{PATH}?{query}={text}")).is_error(401, "unauthorized");
    }
    let form = Curl::new(gateway.admin_address(), PATH).method("GET");
    form.body(&format!("access_token={text}")).send().is_error(401, "unauthorized");
    for fields in [
        vec![format!("X-API-Key: {text}")],
        vec![format!("Authorization: Basic {text}")],
        vec![format!("Authorization: {text}")],
        vec![format!("Authorization: Bearer {text}"), "Authorization: Bearer x".to_owned()],
    ] {
        let call = Curl::new(gateway.admin_address(), PATH);
        let call = fields.iter().fold(call, |call, field| call.header(field));
        call.send().is_error(401, "unauthorized");
    }
    // Nor is what keys show.
    let key = gateway.key("--name k");
    with(&gateway, key.secret()).send().is_error(401, "unauthorized");
    assert_eq!(gateway.as_admin(&token, PATH).send().status, 200);
    // The gateway's log, at the level that tells most, is searched for all of them at its end.
}

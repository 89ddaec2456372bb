//! What takes rights away says who has confirmed it; and what was confirmed holds.

use std::thread;
use std::time::Duration;

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{listed, start, three};
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::installation::Printed;
use crate::support::load::get;
use crate::support::{MintedKey, Origin, TestGateway, TestStore, Wire, until};

/// How long a command waits for a receipt.
const AT_MOST: Duration = Duration::from_secs(5);
/// A machine that is held up for three seconds is not the gateway's fault.
const ATTEMPTS: usize = 5;

fn status(gateway: &TestGateway, key: &MintedKey) -> u16 {
    let mut wire = Wire::connect(gateway.address());
    wire.send(get("/a", key.secret()));
    wire.answer().status
}

/// Runs a command that must do its work; its JSON, and what it said beside.
fn said(gateway: &TestGateway, command: &str) -> (Value, String) {
    let command = format!("--json {command}");
    let words: Vec<&str> = command.split_whitespace().collect();
    let Printed { code, out, err } = gateway.installation().try_run(&words);
    assert_eq!(code, 0, "{command}: {err}");
    (serde_json::from_str(&out).expect("JSON"), err)
}

#[track_caller]
fn is_confirmed(receipt: &Value, by: u64) {
    let numbers = (&receipt["instances"], &receipt["confirmed"], &receipt["silent"]);
    assert_eq!(numbers, (&json!(by), &json!(by), &json!(0)), "{receipt}");
    assert!(receipt["slowest_ms"].as_u64().is_some_and(|ms| ms < 5_000), "{receipt}");
}

#[test]
fn what_all_have_confirmed_passes_on_none() {
    let origin = Origin::start();
    let Some(gateways) = three(&origin) else { return };
    let [first, ..] = &gateways;
    first.run("owner create acme");
    for command in ["key revoke ID", "key disable ID", "agent revoke --id ID", "owner disable acme"]
    {
        let key = first.key("--owner acme --name a");
        for gateway in &gateways {
            until("each knows the key", || status(gateway, &key) == 200);
        }
        let (receipt, beside) = said(first, &command.replace("ID", key.id()));
        is_confirmed(&receipt, 3);
        assert_eq!(beside, "");
        let now = gateways.each_ref().map(|gateway| status(gateway, &key));
        assert_eq!(now, [401; 3], "{command}");
    }
}

#[test]
fn one_that_stands_still_for_a_moment_is_waited_for() {
    let origin = Origin::start();
    let Some([first, second, slow]) = three(&origin) else { return };
    for _ in 0..ATTEMPTS {
        let key = first.key("--name a");
        for gateway in [&first, &second, &slow] {
            until("each knows the key", || status(gateway, &key) == 200);
        }
        slow.signal(Signal::STOP);
        let (receipt, too_soon) = thread::scope(|scope| {
            let revoke = scope.spawn(|| said(&first, &format!("key revoke {}", key.id())).0);
            for gateway in [&first, &second] {
                until("it has applied it", || status(gateway, &key) == 401);
            }
            let too_soon = revoke.is_finished();
            slow.signal(Signal::CONT);
            (revoke.join().expect("the command does its work"), too_soon)
        });
        if receipt["silent"] == 0 {
            assert!(!too_soon, "the third cannot have confirmed it: {receipt}");
            assert_eq!(status(&slow, &key), 401);
            return is_confirmed(&receipt, 3);
        }
    }
    panic!("the machine is too slow to stand still for less than three seconds");
}

#[rstest]
fn the_receipt_stands_beside_what_was_done(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = start(store, &origin);
    let key = gateway.key("--name a");
    assert_eq!(status(&gateway, &key), 200);
    let (disabled, _) = said(&gateway, &format!("key disable {}", key.id()));
    is_confirmed(&disabled, 1);
    assert_eq!((&disabled["name"], &disabled["status"]), (&json!("a"), &json!("disabled")));
    gateway.run(&format!("key enable {}", key.id()));

    let new = gateway.mint(&format!("key rotate {}", key.id()));
    until("the new secret works", || status(&gateway, &new) == 200);
    let secret_id = &key.secret()["sk_live_".len()..][..8];
    let ended = format!("key revoke {} --secret {secret_id}", key.id());
    let (ended, _) = said(&gateway, &ended);
    is_confirmed(&ended, 1);
    assert_eq!((&ended["status"], &ended["revoked"]), (&json!("active"), &json!(1)));
    assert_eq!((status(&gateway, &key), status(&gateway, &new)), (401, 200));

    let (mut revoked, _) = said(&gateway, &format!("key revoke {}", key.id()));
    is_confirmed(&revoked, 1);
    revoked["slowest_ms"] = json!(7);
    let whole = json!({
        "id": key.id(), "status": "revoked", "revoked": 1,
        "instances": 1, "confirmed": 1, "slowest_ms": 7, "silent": 0,
    });
    assert_eq!(revoked, whole);
    let words = gateway.installation().run(&["key", "revoke", key.id()]);
    assert!(words.contains("the one running instance has confirmed it, after "), "{words}");
}

#[test]
fn where_none_runs_there_is_none_to_wait_for() {
    let (installation, _store) = TestGateway::with(TestStore::sqlite()).install();
    let key = installation.mint("key create --name a");
    let revoked = installation.run(&["--json", "key", "revoke", key.id()]);
    let revoked: Value = serde_json::from_str(&revoked).expect("JSON");
    let numbers = (&revoked["instances"], &revoked["confirmed"], &revoked["slowest_ms"]);
    assert_eq!(numbers, (&json!(0), &json!(0), &Value::Null));
    let words = installation.run(&["key", "revoke", key.id()]);
    assert!(words.ends_with("was revoked before; no instance is running.\n"), "{words}");
}

#[test]
fn one_that_died_and_one_that_stands_still_are_waited_for_until_they_are_silent() {
    let origin = Origin::start();
    let Some([first, mut dead, frozen]) = three(&origin) else { return };
    let key = first.key("--name a");
    for gateway in [&first, &dead, &frozen] {
        until("each knows the key", || status(gateway, &key) == 200);
    }
    dead.signal(Signal::KILL);
    assert!(!dead.wait().success());
    frozen.signal(Signal::STOP);
    let (receipt, beside) = said(&first, &format!("key revoke {}", key.id()));
    let numbers = (&receipt["instances"], &receipt["confirmed"], &receipt["silent"]);
    assert_eq!(numbers, (&json!(1), &json!(1), &json!(2)), "{receipt}");
    assert!(receipt["slowest_ms"].as_u64().is_some_and(|ms| ms < 2_500), "{receipt}");
    for gone in [&dead, &frozen] {
        let named = format!("(pid {}) was last heard of ", gone.process_id());
        assert!(beside.contains(&named), "{beside}");
    }
    assert_eq!(beside.lines().count(), 3, "{beside}");
    let silent = || listed(&first).iter().filter(|seen| seen["status"] == "silent").count();
    assert_eq!(silent(), 2);

    frozen.signal(Signal::CONT);
    until("the one that goes on is heard of again", || silent() == 1);
    until("it has applied the change", || status(&frozen, &key) == 401);
}

#[test]
fn one_that_does_not_confirm_is_named_and_no_wait_waits_for_none() {
    let origin = Origin::start();
    let gateway = start(TestStore::sqlite(), &origin);
    // It is heard of for a long time to come, and applies nothing.
    gateway.store().sql(&row("inst_stuck", "9000000000000000"));
    let [waited, not_waited] = ["a", "b"].map(|name| gateway.key(&format!("--name {name}")));
    let begun = Instant::now();
    let (revoked, beside) = said(&gateway, &format!("key revoke {} --no-wait", not_waited.id()));
    assert!(begun.elapsed() < AT_MOST);
    assert_eq!(revoked, json!({"id": not_waited.id(), "status": "revoked", "revoked": 1}));
    assert_eq!(beside, "");

    let begun = Instant::now();
    let (revoked, beside) = said(&gateway, &format!("key revoke {}", waited.id()));
    assert!(begun.elapsed() >= AT_MOST);
    assert_eq!((&revoked["instances"], &revoked["confirmed"]), (&json!(2), &json!(1)));
    assert!(beside.contains("instance inst_stuck on nowhere has not confirmed it"), "{beside}");
    assert!(beside.contains("hint: `keygate instances`"), "{beside}");
}

#[test]
fn one_that_is_silent_is_told_of_for_as_long_as_it_may_go_by_what_it_knew() {
    let origin = Origin::start();
    let gateway = start(TestStore::sqlite(), &origin);
    let now = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
    // `cache.stale_if_down` is 15 minutes.
    gateway.store().sql(&row("inst_lately", &format!("{now} - 60000")));
    gateway.store().sql(&row("inst_long_ago", &format!("{now} - 960000")));
    let key = gateway.key("--name a");
    let (revoked, beside) = said(&gateway, &format!("key revoke {}", key.id()));
    let numbers = (&revoked["instances"], &revoked["confirmed"], &revoked["silent"]);
    assert_eq!(numbers, (&json!(1), &json!(1), &json!(1)));
    assert!(beside.contains("inst_lately on nowhere was last heard of 1 min ago"), "{beside}");
    assert!(!beside.contains("inst_long_ago"), "{beside}");
    assert_eq!(listed(&gateway).len(), 3);
}

/// An instance's row, written by hand.
fn row(id: &str, seen_at: &str) -> String {
    format!(
        "INSERT INTO instances \
         (id, host, version, started_at, seen_at, revision, config_hash) \
         VALUES ('{id}', 'nowhere', '0', 0, {seen_at}, 0, 'x')"
    )
}

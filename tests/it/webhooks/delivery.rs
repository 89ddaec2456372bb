//! What happens to keys arrives: signed, at least once, in order, when the endpoint is back at last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use keygate::config::{self, Environment};
use keygate::domain::Clock;
use keygate::store::open;
use keygate::webhooks::Hooks;
use rstest::rstest;
use rustix::process::Signal;

use super::{DUE_NOW, SECRET, endpoint, gateway, told, verified};
use crate::support::modern::{ModernOrigin, Speaks};
use crate::support::tls::Authority;
use crate::support::{Kind, Origin, TestGateway, TestStore, block_on, leaks, until};

/// An endpoint that answers as it is told at the moment.
fn answering() -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let answer = Arc::clone(&status);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        call.answer(answer.load(Ordering::SeqCst), &[], b"")
    });
    (origin, status)
}

#[rstest]
fn what_happens_to_a_key_arrives_signed_and_without_its_secrets(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let origin = Origin::start();
    let gateway = gateway(store, &[&origin]);
    let key = gateway.key("--name nightly --meta team=core");
    gateway.mint(&format!("key rotate {}", key.id()));
    gateway.run(&format!("key revoke {} --reason leaked", key.id()));
    origin.wait_for("three events", |received| received.iter().filter(|r| r.is_whole).count() == 3);
    let expected = ["key.created", "key.rotated", "key.revoked"];
    assert_eq!(told(&origin), expected.map(|kind| (kind.to_owned(), key.id().to_owned())));
    let messages = origin.received();
    let created = verified(&messages[0], SECRET);
    assert_eq!(created["data"]["name"], "nightly");
    assert!(created["timestamp"].as_str().unwrap().ends_with('Z'), "{created}");
    assert_eq!(created.as_object().unwrap().len(), 3);
    let first = &messages[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/hook"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert!(first.header("webhook-id").unwrap().starts_with("evt_"));
    leaks::search("all that was sent", &origin.bytes());
    until("it is counted", || {
        gateway.metrics().matching("keygate_webhook_deliveries_total", &["outcome=\"delivered\""])
            == 3
    });
}

#[rstest]
fn an_endpoint_that_was_down_gets_everything_in_order_per_key(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let (origin, status) = answering();
    status.store(500, Ordering::SeqCst);
    let gateway = gateway(store, &[&origin]);
    let keys: Vec<_> = (0..3).map(|n| gateway.key(&format!("--name k{n}"))).collect();
    origin.wait_for("each key's first", |received| received.len() >= 3);
    for key in &keys {
        gateway.mint(&format!("key rotate {}", key.id()));
        gateway.run(&format!("key revoke {}", key.id()));
    }
    // Tried again and again, and nothing overtakes.
    for _ in 0..3 {
        let before = origin.count();
        gateway.store().sql(DUE_NOW);
        until("it is tried again", || origin.count() >= before + 3);
    }
    assert!(told(&origin).iter().all(|(kind, _)| kind == "key.created"));
    let waiting = gateway.run("webhook list --status pending");
    let waiting = waiting["data"].as_array().unwrap();
    assert_eq!(waiting.len(), 9);
    assert!(waiting.iter().any(|row| row["last_error"] == "answered 500 Internal Server Error"));

    let before = origin.count();
    status.store(200, Ordering::SeqCst);
    gateway.store().sql(DUE_NOW);
    origin.wait_for("all of them", |received| {
        received.iter().filter(|r| r.is_whole).count() >= before + 9
    });
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, key) in told(&origin).split_off(before) {
        of.entry(key).or_default().push(kind);
    }
    for key in &keys {
        assert_eq!(of[key.id()], ["key.created", "key.rotated", "key.revoked"]);
    }
    // The same id at every attempt.
    let ids: Vec<_> = origin
        .received()
        .iter()
        .filter(|message| verified(message, SECRET)["data"]["key_id"] == keys[0].id())
        .map(|message| message.header("webhook-id").unwrap().to_owned())
        .collect();
    assert!(ids.len() >= 6);
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{ids:?}");
}

#[rstest]
fn what_a_killed_gateway_had_taken_on_is_sent_again(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let silent = Arc::new(AtomicU16::new(1));
    let hold = Arc::clone(&silent);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        if hold.load(Ordering::SeqCst) == 1 { call.read_off() } else { call.answer(200, &[], b"") }
    });
    let mut gateway = gateway(store, &[&origin]);
    let key = gateway.key("--name a");
    origin.wait_for("the first attempt", |received| received.iter().any(|r| r.is_whole));
    gateway.signal(Signal::KILL);
    gateway.wait();
    silent.store(0, Ordering::SeqCst);
    gateway.store().sql(DUE_NOW);
    let next = gateway.another();
    let delivered =
        || next.run("webhook list --status delivered")["data"].as_array().unwrap().len();
    until("it is sent again", || delivered() == 1);
    let sent = told(&origin);
    assert_eq!(sent, vec![("key.created".to_owned(), key.id().to_owned()); 2]);
}

#[test]
fn an_endpoint_gets_what_it_asked_for_and_a_reload_can_add_one() {
    let (all, some, late) = (Origin::start(), Origin::start(), Origin::start());
    let url = |origin: &Origin| format!("http://{}/?token=hush", origin.address());
    let config = [
        "[webhooks]\nallow_private_networks = true\n",
        &endpoint(&url(&all), "[\"key.*\"]"),
        &endpoint(&url(&some), "[\"key.revoked\", \"credits.low\"]"),
    ];
    let gateway = TestGateway::with(TestStore::sqlite()).config(&config.concat()).start();
    let key = gateway.key("--name a");
    gateway.run(&format!("key revoke {}", key.id()));
    all.wait_for("both", |received| received.len() == 2);
    some.wait_for("one", |received| received.len() == 1);
    assert_eq!(told(&some)[0].0, "key.revoked");
    assert_eq!(some.last().target, "/?token=hush");
    let listed = gateway.run("webhook list");
    assert!(!listed.to_string().contains("hush"), "{listed}");
    assert!(!gateway.log().contains("hush"));

    gateway.rewrite(&endpoint(&url(&late), "[\"*\"]"));
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("the configuration was reloaded");
    gateway.key("--name b");
    late.wait_for("the new one's", |received| received.len() == 1);
    assert_eq!((all.count(), some.count()), (2, 1), "the old ones are gone");
}

#[test]
fn an_endpoint_over_tls_must_show_a_certificate_of_a_trusted_authority() {
    let (authority, stranger) = (Authority::new("hooks"), Authority::new("stranger"));
    let start = |authority: &Authority| {
        let identity = authority.certificate(&["localhost"]);
        ModernOrigin::start(Speaks::Tls(identity, &["h2", "http/1.1"], None))
    };
    let (good, bad) = (start(&authority), start(&stranger));
    let url = |origin: &ModernOrigin| format!("https://localhost:{}/", origin.address().port());
    let ca = authority.file("ca.pem");
    let config = [
        format!("[webhooks]\nallow_private_networks = true\nca_file = \"{}\"\n", ca.display()),
        endpoint(&url(&good), "[\"*\"]"),
        endpoint(&url(&bad), "[\"*\"]"),
    ];
    let gateway = TestGateway::with(TestStore::sqlite()).config(&config.concat()).start();
    gateway.key("--name a");
    until("it comes", || good.received().len() == 1);
    let error = || {
        let listed = gateway.run("webhook list --status pending");
        listed["data"][0]["last_error"].as_str().unwrap_or_default().to_owned()
    };
    until("the stranger is refused", || error().starts_with("no TLS: "));
    assert!(bad.received().is_empty());
}

#[rstest]
fn what_was_given_up_is_listed_and_sent_again_by_command(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let (origin, status) = answering();
    status.store(410, Ordering::SeqCst);
    let gateway = gateway(store, &[&origin]);
    let keys = [gateway.key("--name a"), gateway.key("--name b")];
    let failed = || {
        let listed = gateway.run("webhook list --status failed");
        listed["data"].as_array().unwrap().clone()
    };
    until("both are given up", || failed().len() == 2);
    let row = failed().pop().unwrap();
    assert_eq!((&row["type"], &row["attempts"]), (&"key.created".into(), &1.into()));
    assert_eq!(row["last_error"], "answered 410: the endpoint is gone");
    assert_eq!(row["subject"], keys[0].id());
    assert_eq!(row["url"], format!("http://{}/hook", origin.address()));

    status.store(204, Ordering::SeqCst);
    let id = row["id"].as_str().unwrap();
    let replayed = gateway.run(&format!("webhook replay {id}"));
    assert_eq!(replayed["replayed"], serde_json::json!([id]));
    origin.wait_for("the one", |received| received.len() == 3);
    assert_eq!(origin.last().header("webhook-id"), row["event_id"].as_str());
    gateway.run("webhook replay --failed");
    origin.wait_for("the other", |received| received.len() == 4);
    until("none is left", || failed().is_empty());
    let audit = gateway.run(&format!("audit --key {}", keys[0].id()));
    assert_eq!(audit["data"][0]["action"], "webhook.replay");
    for (args, code) in
        [(["webhook", "replay", "evt_none"], 1), (["webhook", "replay", "--oops"], 2)]
    {
        assert_eq!(gateway.installation().try_run(&args).code, code, "{args:?}");
    }
    let page = gateway.run("webhook list --limit 1");
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = gateway.run(&format!("webhook list --limit 1 --cursor {cursor}"));
    assert_ne!(rest["data"][0]["id"], page["data"][0]["id"]);
}

#[test]
fn two_instances_send_each_event_once() {
    let Some(store) = TestStore::postgres() else { return };
    let origin = Origin::start();
    let gateway = gateway(store, &[&origin]);
    let another = gateway.another();
    for n in 0..12 {
        gateway.key(&format!("--name k{n}"));
    }
    let delivered =
        || another.run("webhook list --status delivered")["data"].as_array().unwrap().len();
    until("all are delivered", || delivered() == 12);
    assert_eq!(origin.count(), 12);
}

#[test]
fn a_keys_own_hook_gets_its_events_alone_and_its_secret_outlives_a_restart() {
    let (hook, all) = (Origin::start(), Origin::start());
    let gateway = gateway(TestStore::sqlite(), &[&all]);
    let (key, other) = (gateway.key("--name a"), gateway.key("--name b"));
    // What happened before a hook was there does not go to it, once it went to the others.
    all.wait_for("both", |received| received.len() == 2);
    let text = format!(
        "[store]\nurl = \"{}\"\n[webhooks]\nallow_private_networks = true",
        gateway.store().url()
    );
    let loaded = config::parse(&text, Path::new("k.toml"), &Environment::default()).unwrap();
    let secret = block_on(async {
        let store = open(&loaded.config.store).await.unwrap();
        let hooks = Hooks::new(store, &loaded, Clock::system()).unwrap();
        hooks.register(key.id(), &format!("http://{}/", hook.address())).await.unwrap()
    });
    let secret = secret.text();
    gateway.mint(&format!("key rotate {}", other.id()));
    gateway.mint(&format!("key rotate {}", key.id()));
    hook.wait_for("the key's own", |received| received.iter().any(|r| r.is_whole));
    let body = verified(&hook.last(), secret.expose());
    assert_eq!((&body["type"], &body["data"]["key_id"]), (&"key.rotated".into(), &key.id().into()));
    let dump = gateway.store().dump();
    let held = |text: &[u8]| dump.windows(text.len()).any(|window| window == text);
    assert!(held(b"hook_") && !held(&secret.expose().as_bytes()[6..30]));

    let next = gateway.another();
    gateway.signal(Signal::TERM);
    gateway.wait_for_log("stopped");
    next.run(&format!("key revoke {}", key.id()));
    hook.wait_for("the next one", |received| received.iter().filter(|r| r.is_whole).count() == 2);
    assert_eq!(verified(&hook.last(), secret.expose())["type"], "key.revoked");
}

//! `Idempotency-Key`: what creates something does so once, and gives the same answer again.

use std::thread;

use serde_json::{Value, json};

use super::{Scene, minted, reader};
use crate::support::{Answer, leaks};

const NAME: &str = "Idempotency-Key: one";

#[test]
fn every_creation_happens_once_under_its_name() {
    let scene = Scene::new();
    let key = scene.key(&reader("worker"));
    let calls: [(String, Value); 6] = [
        ("keys".to_owned(), reader("a")),
        (format!("keys/{}/children", key.id()), json!({ "name": "child" })),
        (format!("keys/{}/rotate", key.id()), json!({})),
        ("owners".to_owned(), json!({ "name": "acme" })),
        ("owners/default/credits".to_owned(), json!({ "amount": "5", "reason": "paid" })),
        ("tokens".to_owned(), json!({ "name": "t", "role": "viewer" })),
    ];
    for (place, (path, body)) in calls.iter().enumerate() {
        let name = format!("Idempotency-Key: call-{place}");
        let first = scene.sent_with(&name, "POST", path, body);
        assert!(matches!(first.status, 200 | 201), "{path}: {}", first.text());
        for secret in ["secret", "token"] {
            first.json()[secret].as_str().into_iter().for_each(leaks::note);
        }
        let audited = scene.seen("audit?limit=1");
        let again = scene.sent_with(&name, "POST", path, body);
        assert_eq!((again.status, again.text()), (first.status, first.text()), "{path}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(scene.seen("audit?limit=1"), audited, "{path}: nothing was done");
        scene.sent_with(&name, "POST", path, &json!({ "name": "other" })).is_error(409, "conflict");
        let elsewhere = scene.sent_with(&name, "POST", "owners", &json!({ "name": "elsewhere" }));
        elsewhere.is_error(409, "conflict");
    }
}

#[test]
fn what_was_refused_may_be_asked_for_again_under_the_same_name() {
    let scene = Scene::new();
    scene.sent_with(NAME, "POST", "keys", &json!({ "name": "" })).is_error(400, "bad_request");
    let made = scene.sent_with(NAME, "POST", "keys", &reader("a"));
    assert_eq!(made.status, 201, "{}", made.text());
    minted(&made.json());
}

#[test]
fn of_requests_at_once_one_makes_something() {
    let scene = Scene::new();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = || scope.spawn(|| scene.sent_with(NAME, "POST", "keys", &reader("a")));
        let asked: Vec<_> = (0..6).map(|_| ask()).collect();
        asked.into_iter().map(|answer| answer.join().unwrap()).collect()
    });
    let (done, others): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 201);
    minted(&done[0].json());
    assert!(done.iter().all(|answer| answer.text() == done[0].text()));
    for other in others {
        other.is_error(409, "conflict");
    }
    assert_eq!(scene.fields("keys", "id").len(), 1);
}

#[test]
fn a_name_is_its_tokens_own_and_no_way_round_its_role() {
    let scene = Scene::new();
    let made = scene.sent_with(NAME, "POST", "keys", &reader("a"));
    minted(&made.json());
    let other = scene.gateway.admin_token("--name other");
    let theirs = scene.gateway.as_admin(&other, "/admin/v1/keys").method("POST").header(NAME);
    let body = reader("a").to_string();
    let theirs = theirs.header("Content-Type: application/json").body(&body).send();
    assert_eq!(theirs.status, 201, "{}", theirs.text());
    assert_ne!(minted(&theirs.json()).id(), minted(&made.json()).id());

    let viewer = scene.gateway.admin_token("--name eyes --role viewer");
    let refused = scene.gateway.as_admin(&viewer, "/admin/v1/keys").method("POST").header(NAME);
    let refused = refused.header("Content-Type: application/json").body(&body).send();
    refused.is_error(403, "forbidden");
    let long = format!("Idempotency-Key: {}", "x".repeat(256));
    for wrong in ["Idempotency-Key: a b", &long] {
        scene.sent_with(wrong, "POST", "keys", &reader("a")).is_error(400, "bad_request");
    }
}

//! `Idempotency-Key`: a creation happens once, and its answer is read by who asked alone.

use std::thread;

use serde_json::{Value, json};

use super::{CONFIG, Scene, made};
use crate::support::{Answer, Kind, MintedKey, Origin, TestGateway, TestStore, until};

const MAKE: &str = "/v1/api-keys";
const CHILD: &str = r#"{"name":"child","scopes":["models:read"]}"#;

fn post(scene: &Scene, key: &MintedKey, path: &str, name: &str, body: &str) -> Answer {
    let name = format!("Idempotency-Key: {name}");
    scene.gateway.curl(path).bearer(key).method("POST").header(&name).body(body).send()
}

fn keys(scene: &Scene) -> usize {
    let listed = scene.ask(&scene.key, "GET", MAKE, "").json();
    listed["data"].as_array().expect("a list").len()
}

fn conflicts(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (409, &json!("conflict")));
}

#[test]
fn asking_again_gives_the_same_answer_and_makes_nothing() {
    let scene = Scene::new();
    let first = post(&scene, &scene.key, MAKE, "one", CHILD);
    assert_eq!(first.status, 201, "{}", first.text());
    made(&first);
    let before = keys(&scene);
    for _ in 0..3 {
        let again = post(&scene, &scene.key, MAKE, "one", CHILD);
        assert_eq!((again.status, again.text()), (201, first.text()));
    }
    assert_eq!(keys(&scene), before);
    let other = post(&scene, &scene.key, MAKE, "two", CHILD);
    made(&other);
    assert_ne!(other.json()["id"], first.json()["id"], "another name is another creation");
    conflicts(&post(&scene, &scene.key, MAKE, "one", r#"{"name":"other"}"#));
    conflicts(&post(&scene, &scene.key, "/v1/agents/create-child", "one", CHILD));
    let rows = scene.gateway.store().dump();
    let rows = String::from_utf8_lossy(&rows);
    assert!(!rows.contains("\"api_key\""), "the answer is not there to be read");
}

#[test]
fn what_was_refused_may_be_asked_for_again() {
    let scene = Scene::new();
    let wrong =
        post(&scene, &scene.key, MAKE, "one", r#"{"name":"child","scopes":["services:use"]}"#);
    assert_eq!(wrong.status, 403);
    let right = post(&scene, &scene.key, MAKE, "one", CHILD);
    assert_eq!(right.status, 201);
    made(&right);
}

#[test]
fn of_requests_at_once_one_makes_something() {
    let scene = Scene::new();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask = || scope.spawn(|| post(&scene, &scene.key, MAKE, "one", CHILD));
        let asked: Vec<_> = (0..8).map(|_| ask()).collect();
        asked.into_iter().map(|answer| answer.join().unwrap()).collect()
    });
    let (done, others): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 201);
    made(done[0]);
    assert!(done.iter().all(|answer| answer.text() == done[0].text()));
    others.into_iter().for_each(conflicts);
    assert_eq!(keys(&scene), 2, "the maker and one child");
}

#[test]
fn a_name_is_its_askers_own_and_the_answer_its_secrets() {
    let scene = Scene::new();
    let first = post(&scene, &scene.key, MAKE, "one", CHILD);
    made(&first);
    let other = scene.gateway.key("--name other --scope keys:* --scope models:use");
    let theirs = post(&scene, &other, MAKE, "one", CHILD);
    made(&theirs);
    assert_ne!(theirs.json()["id"], first.json()["id"]);

    let rotated = post(&scene, &scene.key, "/v1/api-keys/rotate", "turn", "");
    let (new, _) = made(&rotated);
    let again = post(&scene, &scene.key, "/v1/api-keys/rotate", "turn", "");
    assert_eq!((again.status, again.text()), (200, rotated.text()), "asked with the old secret");
    conflicts(&post(&scene, &new, "/v1/api-keys/rotate", "turn", ""));
    conflicts(&post(&scene, &new, MAKE, "one", CHILD));
}

#[test]
fn a_name_has_1_to_255_visible_characters_and_is_given_once() {
    let scene = Scene::new();
    let long = "x".repeat(256);
    for wrong in ["a b", "ä", &long] {
        let refused = post(&scene, &scene.key, MAKE, wrong, CHILD);
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let twice = scene.gateway.curl(MAKE).bearer(&scene.key).method("POST").body(CHILD);
    let twice = twice.header("Idempotency-Key: a").header("Idempotency-Key: b").send();
    assert_eq!(twice.status, 400);
    let fits = post(&scene, &scene.key, MAKE, &long[1..], CHILD);
    assert_eq!(fits.status, 201);
    made(&fits);
    // Where nothing is made, it says nothing.
    let listed = scene.gateway.curl(MAKE).bearer(&scene.key).header("Idempotency-Key: a b").send();
    assert_eq!((listed.status, listed.json()["next_cursor"].clone()), (200, Value::Null));
}

#[test]
fn instances_share_what_was_made_and_what_was_answered() {
    let Some(store) = TestStore::of(Kind::Postgres) else { return };
    let origin = Origin::start();
    let setup = TestGateway::with(store).config(CONFIG).upstream("api", &origin);
    let gateway = setup.start();
    let other = gateway.another();
    let key = gateway.key("--name maker --scope keys:* --scope models:read");
    let ask = |gateway: &TestGateway| {
        let call = gateway.curl(MAKE).bearer(&key).method("POST").header("Idempotency-Key: one");
        call.body(CHILD).send()
    };
    let first = ask(&gateway);
    let (child, _) = made(&first);
    assert_eq!(other.curl("/v1/models").bearer(&child).send().status, 200, "at once");
    assert_eq!(ask(&other).text(), first.text());
    let path = format!("{MAKE}/{}", child.id());
    assert_eq!(other.curl(&path).bearer(&key).method("DELETE").send().status, 200);
    until("it is refused everywhere", || {
        [&gateway, &other]
            .iter()
            .all(|gateway| gateway.curl("/v1/models").bearer(&child).send().status == 401)
    });
}

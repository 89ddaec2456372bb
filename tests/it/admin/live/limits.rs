//! A key's limits by the very counters that decide.

use serde_json::{Value, json};

use super::{Scene, last_check};
use crate::support::{MintedKey, Origin};

const LIMITS: &str = "[limits]\nper_key = [\"5/min\", \"100/hour\"]";

/// Each limit with its route and what is left of it.
fn left(scene: &Scene, key: &MintedKey) -> Vec<(String, Value, u64)> {
    let seen = scene.seen(&format!("keys/{}/limits", key.id()));
    assert_eq!(seen["held"], true, "{seen}");
    let rows = seen["data"].as_array().unwrap().iter();
    rows.map(|row| {
        let limit = row["limit"].as_str().unwrap().to_owned();
        (limit, row["route"].clone(), row["remaining"].as_u64().unwrap())
    })
    .collect()
}

#[test]
fn what_is_left_is_what_the_next_answer_says_and_one_more() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, LIMITS);
    let key = scene.gateway.key("--name a");
    assert_eq!(scene.seen(&format!("keys/{}/limits", key.id()))["held"], false);
    for turn in 0..3 {
        let answer = scene.gateway.curl("/any").bearer(&key).send();
        let remaining = answer.number("x-ratelimit-remaining");
        assert_eq!(remaining, 4 - turn);
        let expected = [("5/min", remaining), ("100/hour", 99 - turn)];
        let expected = expected.map(|(limit, left)| (limit.to_owned(), Value::Null, left));
        assert_eq!(left(&scene, &key), expected, "asking counts nothing");
    }
    scene.gateway.curl("/limited").bearer(&key).send();
    let of_route = ("1/min".to_owned(), json!("/limited"), 0);
    assert_eq!(left(&scene, &key).last(), Some(&of_route));
}

#[test]
fn a_test_key_that_is_not_counted_has_no_limits_and_a_key_that_is_not_there_is_404() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, LIMITS);
    let key = scene.gateway.key("--name a --test");
    assert_eq!(scene.gateway.curl("/any").bearer(&key).send().status, 200);
    assert_eq!(left(&scene, &key), []);
    scene.asked("keys/key_nowhere/limits").is_error(404, "not_found");
}

#[test]
fn a_dry_run_says_what_is_left_and_uses_none_of_it() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, LIMITS);
    let key = scene.gateway.key("--name a");
    assert_eq!(scene.gateway.curl("/any").bearer(&key).send().status, 200);
    let explain = || {
        let asked = json!({"method": "GET", "path": "/limited", "key_id": key.id()});
        let answer = scene.sent("explain", &asked);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    for _ in 0..3 {
        let explained = explain();
        let limit =
            &explained["checks"].as_array().unwrap().iter().find(|it| it["step"] == "limit");
        let told = "5/min: 4 left, 100/hour: 99 left, 1/min on this route: 1 left";
        assert_eq!(limit.unwrap()["detail"], told, "{explained}");
    }
    assert_eq!(scene.gateway.curl("/limited").bearer(&key).send().status, 200);
    let explained = explain();
    assert_eq!(explained["answer"]["reason"], "rate_limited", "{explained}");
    assert_eq!(last_check(&explained)["step"], "limit");
}

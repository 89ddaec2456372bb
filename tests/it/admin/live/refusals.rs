//! The list of the last refusals: what stands in it, what does not, and how long it is.

use jiff::Timestamp;
use serde_json::Value;

use super::Scene;
use crate::support::load::{get, send_all};
use crate::support::{Origin, leaks};

fn rows(seen: &Value) -> &Vec<Value> {
    seen["data"].as_array().expect("a list")
}

#[test]
fn a_secret_in_path_query_method_or_request_id_is_masked() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let key = scene.gateway.key("--name a");
    let secret = key.secret();
    let encoded = secret.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
    for (path, shown) in [
        (format!("/a/{secret}"), format!("/a/{}***", &secret[..16])),
        (format!("/a?key={secret}&b=1"), format!("/a?key={}***&b=1", &secret[..16])),
        (format!("/a/{encoded}"), "***".to_owned()),
    ] {
        assert_eq!(scene.gateway.curl(&path).send().status, 404);
        assert_eq!(rows(&scene.seen("refusals?limit=1"))[0]["path"], shown.as_str());
    }
    scene.gateway.curl("/a").method(secret).send();
    assert_eq!(rows(&scene.seen("refusals?limit=1"))[0]["path"], "/a");
    scene.gateway.curl("/named").header(&format!("X-Request-Id: {secret}")).send();
    let named = scene.asked(&format!("explain?request={secret}"));
    assert_eq!((named.status, &named.json()["path"]), (200, &"/named".into()));
    leaks::search("what was explained", &named.body);
}

#[test]
fn refusals_are_listed_newest_first_and_found_by_reason_key_and_request() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let key = scene.gateway.key("--name a --scope notes:read");
    for (path, id) in [("/one", "one"), ("/two", "two")] {
        scene.gateway.curl(path).header(&format!("X-Request-Id: {id}")).send();
    }
    scene.gateway.curl("/both").bearer(&key).header("X-Request-Id: three").send();
    assert_eq!(scene.gateway.curl("/any").bearer(&key).send().status, 200);
    let ids = |query: &str| -> Vec<String> {
        let seen = scene.seen(&format!("refusals?{query}"));
        rows(&seen).iter().map(|row| row["request_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), ["three", "two", "one"]);
    assert_eq!(ids("limit=2"), ["three", "two"]);
    assert_eq!(ids("reason=route_not_found"), ["two", "one"]);
    assert_eq!(ids(&format!("key={}", key.id())), ["three"]);
    assert_eq!(ids("request_id=one"), ["one"]);
    assert_eq!(ids("request_id=one&reason=rate_limited"), [""; 0]);
    for wrong in ["reason=nonsense", "limit=0", "limit=1001", "colour=red"] {
        scene.asked(&format!("refusals?{wrong}")).is_error(400, "bad_request");
    }
    let unknown = scene.asked("explain?request=nobody");
    unknown.is_error(404, "not_found");
    assert!(unknown.text().contains("the last 1000 are held"), "{}", unknown.text());
}

#[test]
fn as_many_are_held_as_the_configuration_says_and_none_where_it_says_none() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "[admin]\nkeep_refusals = 50");
    send_all(scene.gateway.address(), 8, 400, |_| get("/nowhere", "none"));
    let seen = scene.seen("refusals?limit=1000");
    assert_eq!(rows(&seen).len(), 50);
    let time = |row: &Value| row["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let times: Vec<Timestamp> = rows(&seen).iter().map(time).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    for (keep, held) in [(10, 10), (0, 0)] {
        scene.gateway.rewrite(&format!("[admin]\nkeep_refusals = {keep}"));
        assert_eq!(scene.sent("config/reload", &Value::Null).status, 200);
        scene.gateway.curl("/nowhere").send();
        assert_eq!(rows(&scene.seen("refusals?limit=1000")).len(), held);
    }
}

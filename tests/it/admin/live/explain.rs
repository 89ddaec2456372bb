//! Requests explained: by the API for those that were not made, by the command for refused ones.

use serde_json::{Value, json};

use super::Scene;
use crate::support::{Origin, leaks};

#[test]
fn a_dry_run_says_what_the_command_says_and_sends_nothing() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let key = scene.gateway.key("--name a --scope notes:read --budget 1.00");
    for (path, status) in
        [("/open", None), ("/both", Some(403)), ("/paid", None), ("/no", Some(404))]
    {
        let command = format!("explain GET {path} --key-id {}", key.id());
        let said = scene.gateway.run(&command);
        for how in [json!({"key_id": key.id()}), json!({"key": key.secret()})] {
            let mut asked = json!({"method": "GET", "path": path});
            asked.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
            let answer = scene.sent("explain", &asked);
            assert_eq!(answer.json()["answer"], said["answer"], "{path}");
            assert_eq!(answer.json()["answer"]["status"], json!(status), "{path}");
            leaks::search("what was explained", &answer.body);
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_dry_run_that_cannot_be_meant_is_refused() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let wrong = |asked: Value, status, code: &str| {
        scene.sent("explain", &asked).is_error(status, code);
    };
    wrong(json!({"method": "GET"}), 400, "bad_request");
    wrong(json!({"method": "G E T", "path": "/any"}), 400, "bad_request");
    wrong(json!({"method": "GET", "path": "/any", "ip": "nowhere"}), 400, "bad_request");
    wrong(json!({"method": "GET", "path": "/any", "colour": "red"}), 400, "bad_request");
    let both = json!({"method": "GET", "path": "/any", "key_id": "key_1", "key": "x"});
    wrong(both, 400, "bad_request");
    wrong(json!({"method": "GET", "path": "/any", "key_id": "key_1"}), 404, "not_found");
}

#[test]
fn the_command_asks_the_running_gateway_and_leaves_no_token_behind() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let gateway = &scene.gateway;
    // Where the commands look for it; the running one stays where it is.
    gateway.rewrite(&format!("[admin]\nlisten = \"{}\"", gateway.admin_address()));
    let key = gateway.key("--name a --scope notes:read");
    gateway.curl("/both").bearer(&key).header("X-Request-Id: mine").send();
    let told = gateway.run("explain --request mine");
    assert_eq!((&told["reason"], &told["key_id"]), (&"missing_scope".into(), &key.id().into()));
    let words = gateway.installation().run(&["explain", "--request", "mine"]);
    assert!(words.contains("scope        REFUSED  missing_scope: needs notes:read and"), "{words}");
    assert!(words.contains("The client would get 403 forbidden (missing_scope)"), "{words}");
    let unknown = gateway.installation().try_run(&["explain", "--request", "other"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("holds no refusal of a request with that id"), "{}", unknown.err);
    let wrong = gateway.installation().try_run(&["explain", "--request", "a/b"]);
    assert_eq!((wrong.code, wrong.err.contains("X-Request-Id")), (2, true), "{}", wrong.err);
    let tokens = gateway.run("admin-token list");
    let active = tokens["data"].as_array().unwrap().iter().filter(|it| it["status"] == "active");
    assert_eq!(active.count(), 1, "only the test's own: {tokens}");
}

#[test]
fn the_command_says_that_nobody_runs_there() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    scene.gateway.rewrite(&format!("[admin]\nlisten = \"{}\"", nobody.unwrap()));
    let printed = scene.gateway.installation().try_run(&["explain", "--request", "mine"]);
    assert_eq!(printed.code, 1);
    assert!(printed.err.contains("no gateway answers at 127.0.0.1:"), "{}", printed.err);
    assert!(printed.err.contains("hint: start it with `keygate serve`"), "{}", printed.err);
}

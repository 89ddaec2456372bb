//! Rotation on schedule, as a key asks for it itself.

use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{CONFIG, Scene, made};
use crate::support::origin::Received;
use crate::support::{Origin, TestGateway, TestStore, leaks};

const PATH: &str = "/v1/api-keys/auto-rotate";
/// Encrypts what events are signed with.
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn scene(allow_private_networks: bool) -> Scene {
    scene_with(&format!("[webhooks]\nallow_private_networks = {allow_private_networks}"))
}

fn scene_with(config: &str) -> Scene {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config(config)
        .variable("KEYGATE_CACHE_KEY", KEY)
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name maker --scope models:read");
    Scene { origin, gateway, key }
}

fn wish(days: u32, url: &str) -> String {
    json!({"rotation_interval_days": days, "webhook_url": url}).to_string()
}

#[test]
fn a_key_sets_its_schedule_is_told_where_it_said_and_takes_it_away() {
    let scene = scene(true);
    let ask = |method: &str, body: &str| scene.ask(&scene.key, method, PATH, body);
    ask("GET", "").is_refusal(404, "not_found", "Not found");
    ask("DELETE", "").is_refusal(404, "not_found", "Not found");

    let endpoint = Origin::start();
    let url = format!("http://{}/key-rotated", endpoint.address());
    let set = ask("POST", &wish(90, &url));
    assert_eq!(set.status, 200, "{}", set.text());
    let mut set = set.json();
    let secret = set.as_object_mut().unwrap().shift_remove("webhook_signing_secret").unwrap();
    let secret = secret.as_str().unwrap();
    leaks::note(secret);
    assert!(secret.starts_with("whsec_"));
    assert_eq!((&set["rotation_interval_days"], &set["webhook_url"]), (&json!(90), &json!(url)));
    assert_eq!(ask("GET", "").json(), set, "the secret is shown once");
    let shown = scene.gateway.run(&format!("key show {}", scene.key.id()));
    assert_eq!(shown["rotation"]["interval_days"], 90);

    made(&scene.ask(&scene.key, "POST", "/v1/api-keys/rotate", ""));
    let is_it = |message: &Received| {
        message.is_whole && String::from_utf8_lossy(&message.body).contains("key.rotated")
    };
    endpoint.wait_for("the event", |received| received.iter().any(is_it));
    let message = endpoint.received().into_iter().find(is_it).unwrap();
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers
            .insert(HeaderName::from_static(name), message.header(name).unwrap().parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(&message.body, &headers).expect("the signature is good");
    let event: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(event["data"]["key_id"], scene.key.id());

    let ended = ask("DELETE", "");
    assert_eq!(
        (ended.status, ended.json()),
        (200, json!({"id": scene.key.id(), "status": "removed"}))
    );
    ask("GET", "").is_refusal(404, "not_found", "Not found");
}

#[test]
fn what_is_no_schedule_or_leads_into_the_operators_network_is_refused_alike() {
    let scene = scene(false);
    let ask = |body: &str| scene.ask(&scene.key, "POST", PATH, body);
    let url = "https://agent.example.com/key-rotated";
    for (body, named) in [
        (wish(0, url), "`rotation_interval_days`"),
        (wish(3_651, url), "`rotation_interval_days`"),
        ("{\"rotation_interval_days\":90}".to_owned(), "`webhook_url` is missing"),
        (format!("{{\"webhook_url\":\"{url}\"}}"), "`rotation_interval_days`"),
        (wish(90, "http://agent.example.com/"), "`webhook_url`"),
        (wish(90, "https://user:pass@agent.example.com/"), "`webhook_url`"),
        (wish(90, "ftp://agent.example.com/"), "`webhook_url`"),
    ] {
        let answer = ask(&body);
        assert!(answer.status == 400 && answer.text().contains(named), "{body}: {}", answer.text());
    }
    let inside =
        ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "localhost"];
    let answers = inside.map(|host| ask(&wish(90, &format!("https://{host}/"))));
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (400, answers[0].text()));
    }
    scene.ask(&scene.key, "GET", PATH, "").is_refusal(404, "not_found", "Not found");
    // What a name leads to is looked at when there is something to send, and tells nobody anything.
    for name in ["nowhere.invalid", "database.internal"] {
        assert_eq!(ask(&wish(90, &format!("https://{name}/"))).status, 200);
    }
}

#[test]
fn where_rotation_is_enforced_a_key_may_tighten_its_schedule_and_not_loosen_it() {
    let scene = scene_with("[keys]\nenforce_rotation = true");
    let id = scene.key.id();
    scene.gateway.run(&format!("key update {id} --rotate-every 30d"));
    let ask = |method: &str, body: &str| scene.ask(&scene.key, method, PATH, body);
    let url = "https://agent.example.com/key-rotated";
    let loosened = ask("POST", &wish(31, url));
    assert_eq!(loosened.status, 400);
    assert!(loosened.text().contains("at most 30"), "{}", loosened.text());
    assert_eq!(ask("DELETE", "").status, 400);
    assert_eq!(ask("POST", &wish(29, url)).status, 200);
    let shown = scene.gateway.run(&format!("key show {id}"));
    assert_eq!(shown["rotation"]["interval_days"], 29);
}

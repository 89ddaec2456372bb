//! Routes in the order in which they are tried, and how upstreams stand.

use serde_json::Value;

use super::Scene;
use crate::support::{Origin, until};

const UPSTREAMS: &str = r#"
[upstreams.down]
targets = ["http://NOBODY"]
health = { path = "/healthz", interval = "100ms" }
[upstreams.broken]
targets = ["http://NOBODY"]
[[routes]]
path = "/a/**"
upstream = "api"
[[routes]]
path = "/a/{id}"
any_scope = ["notes:read", "notes:write"]
cost = "0.25"
cost_header = "x-cost"
limits = ["7/min"]
timeout = "3s"
upstream = "api"
[[routes]]
path = "/a/new"
methods = ["POST"]
public = true
cors = { origins = ["https://app.example"] }
upstream = "down"
[[routes]]
path = "/broken"
public = true
upstream = "broken"
"#;

fn scene(origin: &Origin) -> Scene {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    Scene::of(origin, &UPSTREAMS.replace("NOBODY", &nobody.unwrap().to_string()))
}

#[test]
fn an_upstream_that_is_down_is_shown_with_why() {
    let origin = Origin::start();
    let scene = scene(&origin);
    let upstream = |name: &str| -> Value {
        let seen = scene.seen("upstreams");
        seen["data"].as_array().unwrap().iter().find(|it| it["upstream"] == name).unwrap().clone()
    };
    until("its checks have failed", || upstream("down")["up"] == false);
    let down = upstream("down");
    assert!(down["why"].as_str().unwrap().contains("its health check fails: "), "{down}");
    assert_eq!(down["checked"], true);
    assert_eq!(upstream("broken")["up"], true);
    until("it failed often enough", || {
        scene.gateway.curl("/broken").send();
        upstream("broken")["up"] == false
    });
    let broken = upstream("broken");
    assert!(broken["why"].as_str().unwrap().contains("again and again"), "{broken}");
    let api = upstream("api");
    assert_eq!(
        (&api["up"], &api["why"], &api["sandbox"]),
        (&true.into(), &Value::Null, &false.into())
    );
    assert_eq!(api["target"], format!("http://{}", origin.address()));
}

#[test]
fn routes_are_listed_as_they_are_tried_with_what_they_ask_for() {
    let origin = Origin::start();
    let scene = scene(&origin);
    let seen = scene.seen("routes");
    let rows = seen["data"].as_array().unwrap();
    let paths: Vec<&str> = rows.iter().map(|row| row["path"].as_str().unwrap()).collect();
    let (own, configured) =
        paths.split_at(paths.iter().position(|path| path.starts_with("/a/")).unwrap());
    assert!(own.len() > 5 && own.iter().all(|path| path.starts_with("/v1")), "{paths:?}");
    assert_eq!(configured[..3], ["/a/new", "/a/{id}", "/a/**"]);
    let row = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    let (new, id) = (row("/a/new"), row("/a/{id}"));
    assert_eq!((&new["public"], &new["methods"]), (&true.into(), &["POST"].into_iter().collect()));
    assert_eq!(new["cors"], Value::from_iter(["https://app.example"]));
    assert_eq!(id["any_scope"], Value::from_iter(["notes:read", "notes:write"]));
    assert_eq!((&id["cost"], &id["cost_header"]), (&"0.25".into(), &"x-cost".into()));
    assert_eq!((&id["limits"], &id["timeout"]), (&Value::from_iter(["7/min"]), &"3s".into()));
    assert_eq!(row("/v1/me")["upstream"], Value::Null);
}

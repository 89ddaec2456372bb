//! What holds for every endpoint, read from the document: none can be forgotten.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Scene, reader};
use crate::support::admin::AdminToken;

/// An endpoint.
struct Endpoint {
    method: String,
    path: String,
    operation: Value,
}

impl Endpoint {
    fn has_body(&self) -> bool {
        self.operation.get("requestBody").is_some()
    }

    fn for_admins(&self) -> bool {
        self.operation["security"][0]["admin_token"][0] == "admin"
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.operation["parameters"].as_array().into_iter().flatten()
    }

    /// The path with ids of things that are there, where it asks for some.
    fn filled(&self, key: &str, token: &str) -> String {
        let id = match self.path.trim_start_matches("/admin/v1/").split('/').next() {
            Some("keys") => key,
            Some("owners") => "default",
            Some("tokens") => token,
            _ => "nosuch_1",
        };
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn document(scene: &Scene) -> Value {
    scene.gateway.admin("/admin/openapi.json").json()
}

fn endpoints(document: &Value) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let (method, path) = (method.to_uppercase(), path.clone());
            endpoints.push(Endpoint { method, path, operation: operation.clone() });
        }
    }
    assert!(endpoints.len() > 25, "{}", endpoints.len());
    endpoints
}

fn ask(scene: &Scene, token: Option<&AdminToken>, method: &str, path: &str, body: &str) -> u16 {
    let call = match token {
        Some(token) => scene.gateway.as_admin(token, path),
        None => crate::support::curl::Curl::new(scene.gateway.admin_address(), path),
    };
    let call = call.method(method);
    let answer = if method == "GET" {
        call.send()
    } else {
        call.header("Content-Type: application/json").body(body).send()
    };
    assert!(answer.status < 500, "{method} {path}: {}", answer.text());
    answer.status
}

#[test]
fn every_endpoint_is_described_whole() {
    let scene = Scene::new();
    let document = document(&scene);
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for endpoint in endpoints(&document) {
        let operation = &endpoint.operation;
        let id = operation["operationId"].as_str().expect("an id").to_owned();
        assert!(ids.insert(id), "{}: another one has its id", endpoint.name());
        assert!(operation["summary"].as_str().is_some_and(|it| it.ends_with('.')), "{operation}");
        assert!(operation["tags"][0].is_string(), "{operation}");
        let answers = operation["responses"].as_object().expect("answers");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{operation}");
        for status in ["401", "503"] {
            assert!(answers.contains_key(status), "{}: {status}", endpoint.name());
        }
        for answer in answers.values() {
            assert!(answer["description"].as_str().is_some_and(|it| !it.is_empty()), "{operation}");
        }
        for parameter in endpoint.parameters() {
            // What is one of a few words says all by these.
            let is_told =
                parameter["description"].is_string() || parameter["schema"]["enum"].is_array();
            assert!(is_told, "{}: {parameter}", endpoint.name());
        }
    }
    references(&document, &mut |reference| {
        let pointer = reference.strip_prefix('#').expect("a reference within");
        assert!(document.pointer(pointer).is_some(), "{reference} is nowhere");
    });
}

fn references(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                look(reference);
            }
            members.values().for_each(|member| references(member, look));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, look)),
        _ => {}
    }
}

#[test]
fn without_a_token_nothing_is_shown_and_nothing_done() {
    let scene = Scene::new();
    for endpoint in endpoints(&document(&scene)) {
        let path = endpoint.filled("key_1", "adm_1");
        let status = ask(&scene, None, &endpoint.method, &path, "{}");
        assert_eq!(status, 401, "{}", endpoint.name());
    }
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let scene = Scene::new();
    let viewer = scene.gateway.admin_token("--name eyes --role viewer");
    let key = scene.key(&reader("seen"));
    let token = scene.admin_id();
    scene.done("POST", "owners/default/credits", &json!({ "amount": "5" }));
    let before = scene.seen("audit?limit=1");
    let mut seen = 0;
    for endpoint in endpoints(&document(&scene)) {
        let path = endpoint.filled(key.id(), &token);
        let status = ask(&scene, Some(&viewer), &endpoint.method, &path, "{}");
        if endpoint.for_admins() {
            assert_ne!(endpoint.method, "GET", "{}: looking is for everybody", endpoint.name());
            assert_eq!(status, 403, "{}", endpoint.name());
        } else {
            let needs =
                endpoint.parameters().any(|it| it["in"] == "query" && it["required"] == true);
            let is_there = !path.contains("nosuch_1");
            seen += 1;
            match status {
                200 => {}
                400 => assert!(needs || endpoint.has_body(), "{}", endpoint.name()),
                404 => assert!(!is_there || needs || endpoint.has_body(), "{}", endpoint.name()),
                status => panic!("{}: {status}", endpoint.name()),
            }
        }
    }
    assert!(seen > 10);
    assert_eq!(scene.seen("audit?limit=1"), before, "nothing was changed");
}

#[test]
fn what_is_not_known_is_refused() {
    let scene = Scene::new();
    let key = scene.key(&reader("strict"));
    let token = scene.admin_id();
    for endpoint in endpoints(&document(&scene)) {
        let path = endpoint.filled(key.id(), &token);
        if endpoint.parameters().any(|it| it["in"] == "query") {
            let path = format!("{path}?nosuch=1");
            let status = ask(&scene, Some(&scene.admin), &endpoint.method, &path, "{}");
            assert_eq!(status, 400, "{}", endpoint.name());
        }
        if endpoint.has_body() {
            for body in [r#"{"nosuch":1}"#, "[null]", "[]", "7", "{", "{} {}", "\u{1}"] {
                let status = ask(&scene, Some(&scene.admin), &endpoint.method, &path, body);
                assert_eq!(status, 400, "{}: {body}", endpoint.name());
            }
        }
    }
}

#[test]
fn what_asks_with_a_secret_where_an_id_belongs_is_not_repeated() {
    let scene = Scene::new();
    let key = scene.gateway.key("--name a");
    let secret = key.secret();
    // An error's body is searched for secrets by the harness.
    let path = |path: String| scene.gateway.as_admin(&scene.admin, &path).send();
    path(format!("/admin/v1/keys/{secret}")).is_error(404, "not_found");
    path(format!("/admin/v1/keys?q={secret}")).is_error(400, "bad_request");
    path(format!("/admin/v1/keys?{secret}=1")).is_error(400, "bad_request");
    scene.sent("POST", "keys", &json!({ secret: 1 })).is_error(400, "bad_request");
    scene.sent("POST", "keys", &json!({ "name": "a", "monthly_budget": secret }));
    scene.sent("POST", "keys", &json!({ "name": "a", "owner": secret }));
    scene.sent("POST", "keys", &json!({ "name": "a", "parent_id": secret }));
    scene.sent("POST", "keys", &json!({ "name": "a", "metadata": { "a": secret } }));
}

#[test]
fn the_page_for_people_has_every_call_and_nothing_from_elsewhere() {
    let scene = Scene::new();
    let page = scene.gateway.admin("/admin/docs");
    assert_eq!(page.status, 200);
    let text = page.text();
    for endpoint in endpoints(&document(&scene)) {
        let call = format!("<code>{} {}</code>", endpoint.method, endpoint.path);
        assert!(text.contains(&call), "{call}");
    }
    for elsewhere in ["src=\"http", "href=\"http", " style=", " onclick", "<script>"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    let anchors = text.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    for anchor in anchors {
        assert!(text.contains(&format!("id=\"{anchor}\"")), "#{anchor} leads nowhere");
    }
}

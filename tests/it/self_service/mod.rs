//! The self-service API on real gateways: every call as its document has it, and nothing beyond.

mod auto_rotate;
mod calls;
mod escalation;
mod once;

use serde_json::Value;

use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore};

const CONFIG: &str = r#"
[keys]
max_depth = 3
max_children = 12
[limits]
per_key = ["100000/min"]
test_keys_count = true
[scopes]
"models:read" = "List models"
"models:use" = { description = "Call models", implies = ["models:read"] }
"services:use" = "Use services"
[self_service]
enabled = true
[[routes]]
path = "/v1/models"
scopes = ["models:read"]
upstream = "api"
[[routes]]
path = "/v1/{anything}"
upstream = "api"
"#;

/// A gateway with a key that may manage keys, and use models.
struct Scene {
    origin: Origin,
    gateway: TestGateway,
    key: MintedKey,
}

impl Scene {
    fn new() -> Self {
        Self::with("--scope keys:* --scope agents:create --scope billing:read --scope models:use")
    }

    fn with(flags: &str) -> Self {
        let origin = Origin::start();
        let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
        let gateway = setup.upstream("api", &origin).start();
        let key = gateway.key(&format!("--name maker {flags}"));
        Self { origin, gateway, key }
    }

    /// Makes a call with a key.
    fn ask(&self, key: &MintedKey, method: &str, path: &str, body: &str) -> Answer {
        let call = self.gateway.curl(path).bearer(key).method(method);
        if body.is_empty() { call.send() } else { call.body(body).send() }
    }

    /// Makes a key by a call that must make one.
    #[track_caller]
    fn make(&self, key: &MintedKey, path: &str, body: &str) -> (MintedKey, Value) {
        let answer = self.ask(key, "POST", path, body);
        assert_eq!(answer.status, 201, "{body}: {}", answer.text());
        made(&answer)
    }

    /// Whether a key is let in.
    fn status(&self, key: &MintedKey, path: &str) -> u16 {
        self.ask(key, "GET", path, "").status
    }
}

/// The key that an answer holds, and what it says beside its secret.
fn made(answer: &Answer) -> (MintedKey, Value) {
    let mut json = answer.json();
    let object = json.as_object_mut().expect("an object");
    let secrets = ["api_key", "new_api_key", "child_key"].map(|name| object.shift_remove(name));
    let secret = secrets.iter().flatten().next().and_then(Value::as_str).expect("a secret");
    let key = MintedKey::known(object["id"].as_str().expect("an id"), secret);
    (key, json)
}

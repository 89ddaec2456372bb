//! The admin API on real gateways: every call as its document has it, and nothing beyond.

mod changes;
mod document;
mod keys;
mod lists;
mod measure;
mod once;
mod others;
mod schemathesis;

use serde_json::{Value, json};

use crate::support::admin::AdminToken;
use crate::support::{Answer, Kind, MintedKey, Origin, TestGateway, TestStore};

const CONFIG: &str = r#"
[limits]
per_key = ["100000/min"]
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[permissions]
read-only = ["agents:read"]
[[routes]]
path = "/agents"
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/agents/write"
scopes = ["agents:write"]
upstream = "api"
"#;
const V1: &str = "/admin/v1";

/// A gateway in front of an API, and an admin.
struct Scene {
    _origin: Origin,
    gateway: TestGateway,
    admin: AdminToken,
}

impl Scene {
    fn new() -> Self {
        Self::on(TestStore::sqlite())
    }

    /// `None` where no such store is installed.
    fn of(kind: Kind) -> Option<Self> {
        TestStore::of(kind).map(Self::on)
    }

    fn on(store: TestStore) -> Self {
        let origin = Origin::start();
        let gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
        let admin = gateway.admin_token("--name ops");
        Self { _origin: origin, gateway, admin }
    }

    /// What a path below `/admin/v1` shows.
    #[track_caller]
    fn seen(&self, path: &str) -> Value {
        self.gateway.seen(&self.admin, &format!("{V1}/{path}"))
    }

    fn sent(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.gateway.sent(&self.admin, method, &format!("{V1}/{path}"), body)
    }

    /// The same with one more header.
    fn sent_with(&self, header: &str, method: &str, path: &str, body: &Value) -> Answer {
        let call = self.gateway.as_admin(&self.admin, &format!("{V1}/{path}")).method(method);
        call.header(header).header("Content-Type: application/json").body(&body.to_string()).send()
    }

    /// What comes of a change that must be made.
    #[track_caller]
    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.sent(method, path, body);
        assert!(matches!(answer.status, 200 | 201), "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Makes a key by the API.
    #[track_caller]
    fn key(&self, body: &Value) -> MintedKey {
        self.minted("keys", body)
    }

    /// Makes a secret by a call of the API.
    #[track_caller]
    fn minted(&self, path: &str, body: &Value) -> MintedKey {
        minted(&self.done("POST", path, body))
    }

    /// What a key is answered on the data plane.
    fn calls(&self, key: &MintedKey, path: &str) -> u16 {
        self.gateway.curl(path).bearer(key).send().status
    }

    /// All rows of a list, page by page, so many on each.
    #[track_caller]
    fn pages(&self, path: &str, rows: usize) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        let sign = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.seen(&format!("{path}{sign}limit={rows}{cursor}"));
            let data = page["data"].as_array().expect("a list");
            assert!(data.len() <= rows, "{path}: {} rows", data.len());
            all.extend(data.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => {
                    assert_eq!(data.len(), rows, "{path}: a page before the last one is full");
                    cursor = format!("&cursor={}", next.replace('+', "%2B"));
                }
                None => return all,
            }
        }
    }

    /// The values of one field of all rows of a list.
    fn fields(&self, path: &str, field: &str) -> Vec<String> {
        let rows = self.seen(path)["data"].as_array().expect("a list").clone();
        rows.iter().map(|row| row[field].as_str().expect("a text").to_owned()).collect()
    }

    /// Who changed what and from where, the newest first.
    fn audit(&self, query: &str) -> Vec<(String, String, Value)> {
        let rows = self.seen(&format!("audit?{query}"))["data"].as_array().expect("a list").clone();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| (text(row, "action"), text(row, "actor"), row["address"].clone()))
            .collect()
    }

    /// The id of the admin's token.
    fn admin_id(&self) -> String {
        let tokens = self.seen("tokens");
        let own = tokens["data"].as_array().unwrap().iter().find(|token| token["name"] == "ops");
        own.expect("the admin has a token")["id"].as_str().unwrap().to_owned()
    }
}

/// The key of an answer with a secret.
fn minted(answer: &Value) -> MintedKey {
    let text = |field: &str| answer[field].as_str().unwrap_or_else(|| panic!("no {field}"));
    MintedKey::known(text("id"), text("secret"))
}

/// A key that may read.
fn reader(name: &str) -> Value {
    json!({ "name": name, "scopes": ["agents:read"] })
}

//! Child keys on running gateways: what is cut above is cut below at once, on every instance.

use serde_json::Value;

use crate::support::load::get;
use crate::support::{Kind, MintedKey, Origin, TestGateway, TestStore, Wire, until};

const CONFIG: &str = r#"
[limits]
per_key = ["1000000/min"]
[scopes]
"agents:read" = "Read"
"agents:write" = { description = "Write", implies = ["agents:read"] }
"jobs:read" = "Read"
[[routes]]
path = "/read"
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/any"
any_scope = ["agents:write", "jobs:read"]
upstream = "api"
[[routes]]
path = "/open"
upstream = "api"
"#;

/// Two gateways, and a key with a child and a grandchild.
struct Family {
    origin: Origin,
    gateways: [TestGateway; 2],
    top: MintedKey,
    child: MintedKey,
    youngest: MintedKey,
}

impl Family {
    fn on(store: TestStore, scopes: &str) -> Self {
        let origin = Origin::start();
        let gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
        let top = gateway.key(&format!("--name top {scopes}"));
        let child = gateway.key(&format!("--name child --parent {}", top.id()));
        let youngest = gateway.key(&format!("--name youngest --parent {}", child.id()));
        let gateways = [gateway.another(), gateway];
        Self { origin, gateways, top, child, youngest }
    }

    fn command(&self, command: &str) -> Value {
        self.gateways[0].run(command)
    }

    /// Calls on every gateway until each answers so, and then goes on to.
    #[track_caller]
    fn answers(&self, key: &MintedKey, path: &str, status: u16) {
        for gateway in &self.gateways {
            let mut wire = Wire::connect(gateway.address());
            let mut asked = || {
                wire.send(get(path, key.secret()));
                wire.answer().status
            };
            until("the change is in force", || asked() == status);
            assert_eq!(asked(), status);
        }
    }
}

#[test]
fn what_is_cut_above_is_cut_below_at_once_and_comes_back_with_it() {
    let Some(store) = TestStore::of(Kind::Postgres) else { return };
    let family = Family::on(store, "--scope agents:* --scope jobs:read");
    let (top, youngest) = (family.top.id(), &family.youngest);
    family.answers(youngest, "/read", 200);
    family.answers(youngest, "/any", 200);
    let told = || family.origin.last().header("x-auth-scopes").map(str::to_owned);
    assert_eq!(told().as_deref(), Some("agents:* jobs:read"), "as granted");

    family.command(&format!("key update {top} --scope agents:read --scope jobs:read"));
    until("what is left is told by its names", || {
        family.answers(youngest, "/any", 200);
        told().as_deref() == Some("agents:read jobs:read")
    });
    family.command(&format!("key update {top} --scope agents:read"));
    family.answers(youngest, "/any", 403);
    family.answers(youngest, "/read", 200);

    family.command(&format!("key update {top} --allow-ip 10.0.0.0/8"));
    family.answers(youngest, "/read", 403);
    family.command(&format!("key update {top} --any-ip"));
    family.answers(youngest, "/read", 200);

    family.command(&format!("key disable {top}"));
    family.answers(youngest, "/open", 401);
    family.command(&format!("key enable {top}"));
    family.answers(youngest, "/open", 200);
    family.command(&format!("key update {top} --scope agents:* --scope jobs:read"));
    family.answers(youngest, "/any", 200);
    family.command(&format!("key revoke {}", family.child.id()));
    family.answers(youngest, "/open", 401);
    family.answers(&family.top, "/open", 200);
}

#[test]
fn an_any_scope_needs_one_scope_that_all_above_have() {
    let family = Family::on(TestStore::sqlite(), "--scope agents:write --scope jobs:read");
    family.command(&format!("key update {} --scope jobs:read", family.child.id()));
    family.answers(&family.youngest, "/any", 200);
    family.command(&format!("key update {} --scope agents:write", family.top.id()));
    family.answers(&family.child, "/any", 403);
    family.answers(&family.youngest, "/any", 403);
}

#[test]
fn explain_says_of_a_child_what_its_request_gets() {
    let family = Family::on(TestStore::sqlite(), "--scope agents:write --allow-ip 127.0.0.0/8");
    let explain = |path: &str, from: &str| {
        let id = family.youngest.id();
        let said = family.command(&format!("explain GET {path} --key-id {id} --ip {from}"));
        let checks = said["checks"].as_array().unwrap().clone();
        let detail = move |step: &str| {
            let check = checks.iter().find(|check| check["step"] == step);
            check.map(|check| check["detail"].as_str().unwrap().to_owned()).unwrap_or_default()
        };
        (said["answer"]["reason"].as_str().map(str::to_owned), detail)
    };
    let (reason, detail) = explain("/any", "127.0.0.1");
    assert_eq!((reason, detail("scope").contains("has agents:write")), (None, true));
    family.command(&format!("key update {} --scope agents:read", family.top.id()));
    let (reason, detail) = explain("/any", "127.0.0.1");
    assert_eq!(reason.as_deref(), Some("missing_scope"), "{}", detail("scope"));
    family.answers(&family.youngest, "/any", 403);
    let (reason, detail) = explain("/read", "127.0.0.1");
    assert_eq!((reason, detail("scope").contains("has agents:read")), (None, true));
    let (reason, _) = explain("/read", "10.0.0.1");
    assert_eq!(reason.as_deref(), Some("ip_not_allowed"));
    family.command(&format!("key disable {}", family.child.id()));
    let (reason, _) = explain("/read", "127.0.0.1");
    assert_eq!(reason.as_deref(), Some("revoked_key"));
}

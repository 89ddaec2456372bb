//! The dashboard's pages, as they come over the wire: what they show, and what their forms do.

mod bulk;
mod create;
mod edit;
mod harmless;
mod keys;
mod overview;
mod revoke;
mod rotate;

use crate::support::admin::Browserless;
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore};

/// Routes for each kind of key there is.
const CONFIG: &str = r#"
[scopes]
"agents:read" = "Read agents"
"agents:write" = { description = "Change agents", implies = ["agents:read"] }
"billing:read" = "Read invoices"
[permissions]
writer = ["agents:write"]
[[routes]]
path = "/agents"
methods = ["GET"]
scopes = ["agents:read"]
upstream = "api"
cost = "0.50"
[[routes]]
path = "/invoices"
scopes = ["billing:read"]
upstream = "api"
"#;

/// A gateway in front of an API.
fn gateway(api: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", api).start()
}

/// Somebody with the role admin who is signed in.
fn admin(gateway: &TestGateway) -> Browserless<'_> {
    Browserless::signed_in(gateway, &gateway.admin_token("--name ops"))
}

/// The value of a hidden field.
#[track_caller]
fn hidden(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// The secret that an answer shows, and the id of its key.
#[track_caller]
fn shown_secret(answer: &Answer) -> MintedKey {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.says("cache-control", "no-store");
    let page = answer.text();
    let (_, rest) = page.split_once("<pre id=\"secret\">").expect("a secret is shown");
    let secret = rest.split('<').next().unwrap_or_default();
    let (_, rest) = page.split_once("href=\"/keys/key_").expect("it leads to the key");
    let id = format!("key_{}", rest.split('"').next().unwrap_or_default());
    MintedKey::known(&id, secret)
}

/// How many keys there are.
fn keys(gateway: &TestGateway) -> usize {
    gateway.run("key list")["data"].as_array().map_or(0, Vec::len)
}
